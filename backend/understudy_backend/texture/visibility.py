"""Which texels of the body a camera sees, and where in its image.

Every texel is tested at its own place: triangles are swept over the texels' projections and each keeps the depth of the
nearest surface there. It is a z-buffer whose cells are the sample points themselves, so it has no resolution to choose,
and agrees with casting a ray to each texel.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import BodyModel
from understudy_shared.camera import project

from understudy_backend.texture.bake import TexelMap, texel_map
from understudy_backend.texture.normals import vertex_normals
from understudy_backend.texture.raster import corner_weights, rasterize, triangle
from understudy_backend.texture.render import face_areas

Floats = NDArray[np.float32]

DEPTH_TOLERANCE = 2e-4
"""Metres by which a surface must be nearer to hide a texel: above float32's error, below the gap between eyelid and
eye."""

OCCLUDER_STEP = 0.03
"""Metres between an occluder and what is behind it, from which its border is kept clear."""


@dataclass(frozen=True, eq=False)
class Visibility:
    """What a camera sees of a texture (S, S), top-left origin."""

    mask: NDArray[np.bool_]
    """(S, S) True where the body's surface is seen well enough to be sampled."""
    pixel: Floats
    """(S, S, 2) where each body texel is in the image, in pixels with half-integer centres; zero between islands."""
    weight: Floats
    """(S, S) cosine between the surface and the view, zero where it is not seen."""
    footprint: Floats
    """(S, S) image pixels along a texel's side, zero between islands."""

    def share(self, texels: TexelMap) -> float:
        """Share of the body's texels that are seen."""
        return float(self.mask[texels.mask].mean())


def visible_texels(
    vertices: NDArray[np.floating],
    body: BodyModel,
    k: NDArray[np.floating],
    extrinsics: NDArray[np.floating],
    image_size: tuple[int, int],
    texture_size: int,
    mask: NDArray[np.floating] | None = None,
    min_cosine: float = 0.2,
    border_px: float = 2.0,
) -> Visibility:
    """Finds the texels that a camera sees.

    Args:
        vertices: (V, 3) world, metres.
        body: its triangles and UVs.
        k: (3, 3) intrinsics in pixels of the image.
        extrinsics: (4, 4) world to camera.
        image_size: (width, height) in pixels.
        texture_size: S.
        mask: (H, W) in [0, 1] the person, where known; texels outside it show background and are rejected.
        min_cosine: texels that the camera sees at a flatter angle are rejected; 0 keeps all that face it.
        border_px: pixels to keep clear of the mask's border and of the border of whatever hides a part of the body (an
            arm before the trunk); 0 tests the sight alone.
    """
    width, height = image_size
    texels = texel_map(body, texture_size)
    points, depth = project(np.asarray(vertices, np.float64), extrinsics, k)
    position = texels.points(vertices, body).astype(np.float64)
    pixel, distance = project(position, extrinsics, k)
    facing, cosine = _facing(vertices, body, texels, position, extrinsics)
    seen = facing & (distance > 1e-3)
    if min_cosine > 0:
        seen &= cosine > min_cosine
    seen &= (pixel >= 0.5).all(1) & (pixel <= np.array([width, height]) - 0.5).all(1)
    own = texels.face[texels.rows, texels.columns]
    candidates = np.flatnonzero(seen)
    hidden = _hidden(points, depth, body.faces, pixel[candidates], distance[candidates], own[candidates], image_size)
    seen[candidates[hidden]] = False
    x = np.clip(pixel[:, 0], 0, width - 1).astype(int)
    y = np.clip(pixel[:, 1], 0, height - 1).astype(int)
    if mask is not None:
        inside = cv2.distanceTransform(np.pad((mask > 0.5).astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
        seen &= inside[y, x] > border_px
    if border_px > 0:
        seen &= distance < _nearest_around(points, depth, body, image_size, border_px)[y, x] + OCCLUDER_STEP
    out = Visibility(
        mask=np.zeros((texture_size, texture_size), bool),
        pixel=np.zeros((texture_size, texture_size, 2), np.float32),
        weight=np.zeros((texture_size, texture_size), np.float32),
        footprint=np.zeros((texture_size, texture_size), np.float32),
    )
    where = texels.rows, texels.columns
    out.mask[where] = seen
    out.pixel[where] = pixel
    out.weight[where] = np.where(seen, cosine.clip(1e-3), 0)
    out.footprint[where] = _footprint(points, body, texture_size)[own]
    return out


def _facing(
    vertices: NDArray[np.floating],
    body: BodyModel,
    texels: TexelMap,
    position: NDArray[np.float64],
    extrinsics: NDArray[np.floating],
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Whether each body texel's (N,) triangle faces the camera, and the cosine between its smooth normal and the way
    there."""
    rotation = np.asarray(extrinsics, np.float64)[:3, :3]
    view = -rotation.T @ np.asarray(extrinsics, np.float64)[:3, 3] - position
    view /= np.maximum(np.linalg.norm(view, axis=1, keepdims=True), 1e-12)
    normal = texels.points(vertex_normals(vertices, body.faces), body).astype(np.float64)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    a, b, c = (np.asarray(vertices, np.float64)[body.faces[:, i]] for i in range(3))
    flat = np.cross(b - a, c - a)[texels.face[texels.rows, texels.columns]]
    return (flat * view).sum(1) > 0, (normal * view).sum(1)


def _footprint(points: NDArray[np.float64], body: BodyModel, size: int) -> NDArray[np.float64]:
    """Pixels along a texel's side, by triangle (F,)."""
    texel_area = np.maximum(face_areas(body.uvs * size, body.face_uvs), 1e-9)
    return np.sqrt(face_areas(points, body.faces) / texel_area)


def _nearest_around(
    points: NDArray[np.float64], depth: NDArray[np.float64], body: BodyModel, size: tuple[int, int], radius: float
) -> Floats:
    """(H, W) depth of the nearest surface within `radius` pixels."""
    z = rasterize(points, depth, body.faces, size).depth
    reach = int(np.ceil(radius))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return cv2.erode(z, disc, borderType=cv2.BORDER_CONSTANT, borderValue=(np.inf,) * 4).astype(np.float32)


def _hidden(
    points: NDArray[np.float64],
    depth: NDArray[np.float64],
    faces: NDArray[np.int32],
    pixel: NDArray[np.float64],
    distance: NDArray[np.float64],
    own: NDArray[np.int32],
    size: tuple[int, int],
) -> NDArray[np.bool_]:
    """(N,) True where a triangle other than its own is nearer than a sample."""
    cells_x, cells_y = size[0] // 2 + 1, size[1] // 2 + 1  # cells of 2 x 2 pixels
    cell = (pixel[:, 1] // 2).astype(np.int64) * cells_x + (pixel[:, 0] // 2).astype(np.int64)
    order = np.argsort(cell, kind="stable")
    first = np.searchsorted(cell[order], np.arange(cells_x * cells_y + 1))
    xyz = np.column_stack([points, depth])
    hidden = np.zeros(len(pixel), np.bool_)
    _sweep(xyz, faces, pixel, distance, own, order, first, cells_x, cells_y, hidden)
    return hidden


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sweep(xyz, faces, pixel, distance, own, order, first, cells_x, cells_y, hidden):
    for f in range(len(faces)):
        (za, zb, zc), (ax, ay), b, c, area = triangle(xyz, faces[f])
        if area == 0:
            continue
        x0 = max(0, int((ax + min(0.0, b[0], c[0])) // 2))
        x1 = min(cells_x - 1, int((ax + max(0.0, b[0], c[0])) // 2))
        y0 = max(0, int((ay + min(0.0, b[1], c[1])) // 2))
        y1 = min(cells_y - 1, int((ay + max(0.0, b[1], c[1])) // 2))
        for y in range(y0, y1 + 1):
            for i in range(first[y * cells_x + x0], first[y * cells_x + x1 + 1] if x1 >= x0 else 0):
                s = order[i]
                if hidden[s] or own[s] == f:
                    continue
                u, v, w = corner_weights(pixel[s, 0] - ax, pixel[s, 1] - ay, b, c, area)
                if u < 0 or v < 0 or w < 0:
                    continue
                if 1.0 / (u / za + v / zb + w / zc) < distance[s] - DEPTH_TOLERANCE:
                    hidden[s] = True
