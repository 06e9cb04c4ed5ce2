"""Parts of a person that are not the body's own mesh: tubes and strips that follow the body's shape and pose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from understudy_shared.body import free_body, rotation_matrices

from understudy_backend.training.people.kernels import mix

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Hang:
    """A joint of a part's own, which gravity turns upright or lowers."""

    joint: int
    """Of the body, from which it hangs."""
    pivot: Floats
    """(3,) metres, in the rest pose of the mean body."""
    upright: float = 0.0
    """Share of the joint's tilt that gravity takes away."""
    sag: float = 0.0
    """Metres it sinks."""
    forward_only: bool = False
    """It lies against the body when that leans back, and hangs free only when it leans forward."""

    def matrix(self, above: Floats) -> Floats:
        """(3, 4) of this joint where the body's joint has `above` (3, 4), both from the rest pose, Y up."""
        turn = above[:, :3]
        top = turn[:, 1]
        axis = np.cross(top, [0.0, 1.0, 0.0])
        sine = np.linalg.norm(axis)
        angle = min(np.arctan2(sine, top[1]), 1.2) * self.upright  # nothing folds back over itself
        if self.forward_only and turn[1, 2] > 0:  # the front looks up
            angle = 0.0
        if sine > 1e-6:
            turn = rotation_matrices((axis / sine * angle).astype(np.float32)) @ turn
        place = above[:, :3] @ self.pivot + above[:, 3] - [0.0, self.sag, 0.0]
        return np.concatenate([turn, (place - turn @ self.pivot)[:, None]], 1).astype(np.float32)


SPARSE = 2
"""Every how many-th vertex of the body what hangs from it looks to: skin is smooth."""


@cache
def _tree() -> KDTree:
    return KDTree(free_body().v_template[::SPARSE])


@dataclass(frozen=True, eq=False)
class Anchors:
    """The vertices of the body that points (N, 3) move with."""

    index: NDArray[np.integer]
    """(N, K)."""
    share: Floats
    """(N, K), sums to 1."""

    def mix(self, values: Floats) -> Floats:
        """Values (V, C) of the body's vertices at the points, (N, C)."""
        return mix(np.ascontiguousarray(values, np.float32), self.index, self.share)


def anchors(points: Floats) -> Anchors:
    """The nearest vertices of the body's rest pose, the nearer the stronger."""
    distance, index = (np.asarray(a) for a in _tree().query(points, 5))
    coefficient = (1 / (distance + 0.01) ** 2).astype(np.float32)
    return Anchors(index * SPARSE, coefficient / coefficient.sum(1, keepdims=True))


@dataclass(frozen=True, eq=False)
class Part:
    """A mesh in the rest pose of the mean body, with a texture of its own."""

    vertices: Floats
    """(N, 3) metres."""
    weights: Floats
    """(N, 24 + H) skinning weights: the body's joints, then those of `hangs`."""
    faces: NDArray[np.int32]
    """(F, 3)."""
    uvs: Floats
    """(N, 2) in [0, 1] from the top-left corner of `texture`."""
    texture: NDArray[np.uint8]
    """(H, W, 3) sRGB."""
    hangs: tuple[Hang, ...] = ()
    anchors: Anchors | None = None
    """What it moves with as the body's shape changes; what is nearest without."""


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
