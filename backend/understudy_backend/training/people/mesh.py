"""Parts of a person that are not the body's own mesh: tubes and strips that follow the body's shape and pose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from understudy_shared.body import free_body

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Part:
    """A mesh in the rest pose of the mean body, with a texture of its own."""

    vertices: Floats
    """(N, 3) metres."""
    weights: Floats
    """(N, 24) skinning weights."""
    faces: NDArray[np.int32]
    """(F, 3)."""
    uvs: Floats
    """(N, 2) in [0, 1] from the top-left corner of `texture`."""
    texture: NDArray[np.uint8]
    """(H, W, 3) sRGB."""


@cache
def _tree() -> KDTree:
    return KDTree(free_body().v_template)


def follow(points: Floats, values: Floats) -> Floats:
    """Values (V, C) of the body's vertices at `points` (N, 3): a mean of the nearest ones."""
    distance, index = _tree().query(points, 12)
    coefficient = 1 / (distance + 0.01) ** 2
    coefficient /= coefficient.sum(1, keepdims=True)
    return np.einsum("nk,nkc->nc", coefficient, values[index]).astype(np.float32)


def grid_faces(rows: int, columns: int, closed: bool) -> NDArray[np.int32]:
    """Triangles of a grid of vertices in row-major order; `closed` joins the last column to the first."""
    r, c = np.mgrid[0 : rows - 1, 0 : columns if closed else columns - 1]
    a, b = r * columns + c, r * columns + (c + 1) % columns
    quads = np.stack([a, b, b + columns, a + columns], -1).reshape(-1, 4)
    return np.concatenate([quads[:, [0, 2, 1]], quads[:, [0, 3, 2]]]).astype(np.int32)


def grid_uvs(rows: int, columns: int) -> Floats:
    """(rows * columns, 2) in [0, 1]."""
    v, u = np.mgrid[0:rows, 0:columns]
    return np.stack([u / (columns - 1), v / (rows - 1)], -1).reshape(-1, 2).astype(np.float32)


def resample(grid: Floats, height: int, width: int) -> Floats:
    """A grid (rows, columns, C) at the texel centres of a texture (height, width): (height * width, C)."""
    rows, columns = grid.shape[:2]
    v = (np.arange(height) + 0.5) / height * (rows - 1)
    u = (np.arange(width) + 0.5) / width * (columns - 1)
    r, c = np.minimum(v.astype(int), rows - 2), np.minimum(u.astype(int), columns - 2)
    fv, fu = (v - r).astype(np.float32)[:, None, None], (u - c).astype(np.float32)[None, :, None]
    grid = grid.astype(np.float32)
    tall = grid[r] * (1 - fv) + grid[r + 1] * fv
    return (tall[:, c] * (1 - fu) + tall[:, c + 1] * fu).reshape(-1, grid.shape[2])
