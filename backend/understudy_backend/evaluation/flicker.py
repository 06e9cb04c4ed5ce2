"""Flicker along true motion: how much a point of the surface changes its colour from one frame to the next.

Where every surface point goes is known, so nothing has to be guessed by optical flow: the previous frame is carried
along the true motion onto this one, and compared on the points that both show.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from understudy_shared.camera import project

from understudy_backend.texture.raster import Raster
from understudy_backend.training.people.render import View

TOLERANCE = 0.02
"""Metres by which the surface at a point's earlier place may be nearer than the point: it is the same surface."""


@dataclass(frozen=True, eq=False)
class Step:
    """Where M surface points are in a frame, and where they were in the one before."""

    rows: NDArray[np.intp]
    """(M,) pixels of this frame."""
    columns: NDArray[np.intp]
    """(M,)."""
    before: NDArray[np.float32]
    """(M, 2) image positions in the previous frame, in pixels, centres at half-integers."""


@dataclass(frozen=True, eq=False)
class Moment:
    """The surface at one frame."""

    vertices: NDArray[np.floating]
    """(N, 3) world."""
    view: View
    raster: Raster
    """What `view` sees of them."""


def step(before: Moment, now: Moment, faces: NDArray[np.integer]) -> Step:
    """Follows the surface from one moment to the next.

    Points at the rim of the silhouette are left out in both: a pixel there is half background. So are points that
    something hides in the earlier frame.
    """
    inside = cv2.erode(now.raster.mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    rows, columns = np.nonzero(inside)
    corners = faces[now.raster.face[rows, columns]]
    weights = now.raster.barycentric[rows, columns].astype(np.float64)
    places = np.einsum("nk,nkc->nc", weights, np.asarray(before.vertices, np.float64)[corners])
    pixels, depth = project(places, before.view.extrinsics, before.view.intrinsics)
    width, height = before.view.size
    low = np.floor(pixels - 0.5).astype(np.intp)
    kept = (depth > 1e-3) & (low >= 0).all(1) & (low[:, 0] < width - 1) & (low[:, 1] < height - 1)
    was_inside = cv2.erode(before.raster.mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    x, y = np.where(kept[:, None], low, 0).T
    for dx in (0, 1):
        for dy in (0, 1):
            surface = before.raster.depth[y + dy, x + dx]
            kept &= was_inside[y + dy, x + dx] & (surface > depth - TOLERANCE)
    return Step(rows[kept], columns[kept], pixels[kept].astype(np.float32))


def flicker(frames: list[NDArray[np.uint8]], steps: list[Step]) -> float:
    """Mean absolute difference of surface points between neighbouring frames, where the range of a channel is 255.

    Args:
        frames: T pictures (H, W, 3).
        steps: T - 1, from each frame to the next.

    Raises:
        ValueError: fewer than two frames, or not one step between each two.
    """
    if len(frames) < 2 or len(steps) != len(frames) - 1:
        raise ValueError(f"{len(frames)} frames and {len(steps)} steps make no clip")
    values = []
    for (before, now), way in zip(pairwise(frames), steps, strict=True):
        if len(way.rows):
            difference = _sample(before, way.before) - now[way.rows, way.columns]
            values.append(float(np.abs(difference).mean()))
    return float(np.mean(values)) if values else float("nan")


def _sample(image: NDArray[np.uint8], points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bilinear values (M, 3) at positions (M, 2)."""
    x, y = (points - 0.5).T
    x0, y0 = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    whole = image.astype(np.float32)
    top = whole[y0, x0] * (1 - fx) + whole[y0, x0 + 1] * fx
    bottom = whole[y0 + 1, x0] * (1 - fx) + whole[y0 + 1, x0 + 1] * fx
    return top * (1 - fy) + bottom * fy
