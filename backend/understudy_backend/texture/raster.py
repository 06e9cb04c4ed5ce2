"""A z-buffer rasteriser on the CPU, compiled by numba: face ids, perspective-correct barycentrics and depth.

It serves the intermediate frames, the visibility of texels and the baking of UV maps. Pixel centres lie at
half-integers, the origin is the top-left corner, y points down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Raster:
    """What each pixel of an image (H, W) sees."""

    face: NDArray[np.int32]
    """(H, W) index of the nearest triangle, -1 where there is none."""
    barycentric: NDArray[np.float32]
    """(H, W, 3) weights of its corners, perspective-correct."""
    depth: NDArray[np.float32]
    """(H, W) metres along the camera axis, inf where there is no surface."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) True where there is a surface."""
        return self.face >= 0

    def interpolate(self, values: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.float32]:
        """Values (N, C) at corners `faces` (F, 3), at every pixel: (H, W, C), zero where there is no surface."""
        out = np.zeros((*self.face.shape, values.shape[1]), np.float32)
        hit = self.mask
        corners = np.asarray(values, np.float32)[faces[self.face[hit]]]
        out[hit] = np.einsum("nk,nkc->nc", self.barycentric[hit], corners)
        return out


def rasterize(
    points: NDArray[np.floating], depth: NDArray[np.floating], faces: NDArray[np.integer], size: tuple[int, int]
) -> Raster:
    """Rasterises triangles with a z-buffer; both sides of a triangle count.

    Args:
        points: (V, 2) pixel coordinates.
        depth: (V,) metres along the camera axis; triangles that reach nearer than a millimetre are dropped.
        faces: (F, 3) into V.
        size: (width, height) in pixels.
    """
    width, height = size
    face = np.full((height, width), -1, np.int32)
    bary = np.zeros((height, width, 3), np.float32)
    zbuf = np.full((height, width), np.inf, np.float32)
    xyz = np.empty((len(points), 3), np.float64)
    xyz[:, :2], xyz[:, 2] = points, depth
    _fill(xyz, np.ascontiguousarray(faces, np.int32), face, bary, zbuf)
    return Raster(face, bary, zbuf)


def rasterize_uv(uvs: NDArray[np.floating], face_uvs: NDArray[np.integer], size: int) -> Raster:
    """Which triangle each texel of a square texture belongs to. `uvs` (T, 2) have their origin at the bottom left."""
    points = np.asarray(uvs, np.float64) * [size, -size] + [0, size]
    return rasterize(points, np.ones(len(points)), face_uvs, (size, size))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def triangle(xyz, face):
    """A triangle before the camera: its corners' depths, its first corner, the ways from there to the other two, and
    twice its signed area, 0 where it cannot be seen: it reaches nearer than a millimetre, or is seen edge on."""
    za, zb, zc = xyz[face[0], 2], xyz[face[1], 2], xyz[face[2], 2]
    ax, ay = xyz[face[0], 0], xyz[face[0], 1]
    bx, by = xyz[face[1], 0] - ax, xyz[face[1], 1] - ay
    cx, cy = xyz[face[2], 0] - ax, xyz[face[2], 1] - ay
    area = bx * cy - by * cx
    if min(za, zb, zc) < 1e-3 or not abs(area) > 1e-12:  # also drops NaN
        area = 0.0
    return (za, zb, zc), (ax, ay), (bx, by), (cx, cy), area


@numba.njit(cache=True, nogil=True, error_model="numpy")
def corner_weights(x, y, b, c, area):
    """Barycentric weights of a `triangle`'s corners at a place (x, y) seen from the first of them."""
    v = (x * c[1] - y * c[0]) / area
    w = (y * b[0] - x * b[1]) / area
    return 1.0 - v - w, v, w


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fill(xyz, faces, face, bary, zbuf):
    height, width = zbuf.shape
    for f in range(len(faces)):
        (za, zb, zc), (ax, ay), b, c, area = triangle(xyz, faces[f])
        if area == 0:
            continue
        x0 = max(0, int(np.floor(ax + min(0.0, b[0], c[0]) - 0.5)))
        x1 = min(width - 1, int(np.ceil(ax + max(0.0, b[0], c[0]) - 0.5)))
        y0 = max(0, int(np.floor(ay + min(0.0, b[1], c[1]) - 0.5)))
        y1 = min(height - 1, int(np.ceil(ay + max(0.0, b[1], c[1]) - 0.5)))
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                u, v, w = corner_weights(x + 0.5 - ax, y + 0.5 - ay, b, c, area)
                if u < -1e-9 or v < -1e-9 or w < -1e-9:
                    continue
                inv = u / za + v / zb + w / zc
                z = 1.0 / inv
                if z < zbuf[y, x]:
                    zbuf[y, x] = z
                    face[y, x] = f
                    bary[y, x, 0] = u / za * z
                    bary[y, x, 1] = v / zb * z
                    bary[y, x, 2] = w / zc * z
