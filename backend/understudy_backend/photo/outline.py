"""Pulling the outline of the posed body onto the outline of the person's mask."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from understudy_shared.body import BodyModel

from understudy_backend.texture.raster import Raster, rasterize

NORMAL_REACH = 12.0
"""Pixels by which a pair is counted as further apart when its two outlines face opposite ways."""


@dataclass(frozen=True, eq=False)
class Outline:
    """Points on the border of a mask with the direction that leads out of it."""

    points: NDArray[np.float64]
    """(N, 2) pixels, half-integer centres."""
    outward: NDArray[np.float64]
    """(N, 2) unit."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Vertices of the body's outline and the places in the image that each should come to."""

    vertices: NDArray[np.int64]
    """(M,) vertex of each pair."""
    targets: NDArray[np.float64]
    """(M, 2) pixels."""
    normals: NDArray[np.float64]
    """(M, 2) direction across the target's outline: along it a vertex may slide freely."""


def outline(mask: NDArray[np.bool_], spacing: float = 2.5) -> Outline:
    """The outline of a mask (H, W), about every `spacing` pixels. What touches the image's frame is no outline."""
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2.0)
    gy, gx = np.gradient(soft)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    step = max(1, round(spacing))
    pixels = np.concatenate([c[::step, 0] for c in contours if len(c) > 20] or [np.zeros((0, 2), np.int32)])
    height, width = mask.shape
    x, y = pixels[:, 0], pixels[:, 1]
    inside = (x > 1) & (y > 1) & (x < width - 2) & (y < height - 2)
    x, y = x[inside], y[inside]
    outward = -np.column_stack([gx[y, x], gy[y, x]])
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
    return Outline(np.column_stack([x, y]).astype(np.float64) + 0.5, outward)


def pair_outlines(
    target: Outline, points: NDArray[np.float64], depth: NDArray[np.float64], body: BodyModel, size: tuple[int, int]
) -> Pairs:
    """Pairs the outline of a posed body with that of the person, both ways.

    Args:
        target: the person's outline.
        points: (V, 2) the body's vertices in the image.
        depth: (V,) metres.
        body: its triangles.
        size: (width, height) of the image.
    """
    raster = rasterize(points, depth, body.faces, size)
    rim = outline(raster.mask)
    if len(rim.points) == 0 or len(target.points) == 0:
        return Pairs(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros((0, 2)))
    vertex = _rim_vertices(rim, raster, body)
    # a vertex is up to half an edge inside the outline it stands for; targets move by as much
    offset = points[vertex] - rim.points
    there = KDTree(np.hstack([target.points, target.outward * NORMAL_REACH]))
    here = np.hstack([rim.points, rim.outward * NORMAL_REACH])
    _, forth = there.query(here)
    _, back = KDTree(here).query(there.data)
    return Pairs(
        np.concatenate([vertex, vertex[back]]),
        np.concatenate([target.points[forth] + offset, target.points + offset[back]]),
        np.concatenate([target.outward[forth], target.outward]),
    )


def _rim_vertices(rim: Outline, raster: Raster, body: BodyModel) -> NDArray[np.int64]:
    """The vertex nearest to each outline pixel of a raster."""
    x, y = rim.points[:, 0].astype(int), rim.points[:, 1].astype(int)
    face = raster.face[y, x]
    corner = raster.barycentric[y, x].argmax(1)
    return body.faces[face, corner].astype(np.int64)
