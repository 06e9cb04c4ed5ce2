"""Champ's pictures of the body - depth, normals, parts - by its conventions (arXiv 2403.14781, section 3.2).

All are (H, W, 3) uint8 RGB, linear numbers rather than colours, black where there is no body.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import BodyModel
from understudy_shared.camera import project

from understudy_backend.texture.normals import vertex_normals
from understudy_backend.texture.raster import Raster, rasterize
from understudy_backend.texture.render import decode_srgb, encode_srgb

Picture = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class BodyMaps:
    """Of one frame."""

    depth: Picture
    normal: Picture
    semantic_map: Picture
    mask: NDArray[np.bool_]
    """(H, W), where the body is."""


def depth_picture(depth: NDArray[np.floating]) -> Picture:
    """Depth (H, W) in metres, inf where there is nothing: white where this frame's body is nearest, black where it is
    farthest and beyond. So distance itself is not in it."""
    there = np.isfinite(depth)
    shade = np.zeros(depth.shape)
    if there.any():
        near, far = depth[there].min(), depth[there].max()
        shade[there] = 1 - (depth[there] - near) / max(far - near, 1e-9)
    return _bytes(np.repeat(shade[..., None], 3, 2))


def normal_picture(normal: NDArray[np.floating], mask: NDArray[np.bool_]) -> Picture:
    """Unit normals (H, W, 3) in camera axes (x right, y down, z forward): red to the right, green up, blue towards the
    camera, each from -1 to 1."""
    return _bytes(np.where(mask[..., None], 0.5 + 0.5 * normal * (1, -1, -1), 0))


def part_colours(body: BodyModel) -> NDArray[np.uint8]:
    """Colour (V, 3) of every vertex: that of the joint which it follows most."""
    wheel = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]
    return np.asarray(wheel[10 * body.weights.argmax(1)], np.uint8)


def semantic_picture(raster: Raster, faces: NDArray[np.integer], colours: NDArray[np.uint8]) -> Picture:
    """The vertices' colours (V, 3), interpolated inside triangles in linear light, as Blender does."""
    return encode_srgb(raster.interpolate(decode_srgb(colours), faces))


def render_maps(
    vertices: NDArray[np.floating],
    faces: NDArray[np.integer],
    colours: NDArray[np.uint8],
    k: NDArray[np.floating],
    extrinsics: NDArray[np.floating],
    size: tuple[int, int],
) -> BodyMaps:
    """The pictures of a posed body.

    Args:
        vertices: (V, 3) world, metres.
        faces: (F, 3); normals are those of the side that is seen.
        colours: (V, 3), see `part_colours`.
        k: (3, 3) intrinsics in pixels of `size`.
        extrinsics: (4, 4) world to camera, OpenCV axes.
        size: (width, height).
    """
    points, depth = project(np.asarray(vertices, np.float64), extrinsics, k)
    raster = rasterize(points, depth, faces, size)
    normals = vertex_normals(vertices, faces) @ np.asarray(extrinsics, np.float32)[:3, :3].T
    normal = raster.interpolate(normals, faces)
    normal[_backwards(raster, vertices, faces, extrinsics)] *= -1
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    return BodyMaps(
        depth_picture(raster.depth),
        normal_picture(normal, raster.mask),
        semantic_picture(raster, faces, colours),
        raster.mask,
    )


def _backwards(
    raster: Raster, vertices: NDArray[np.floating], faces: NDArray[np.integer], extrinsics: NDArray[np.floating]
) -> NDArray[np.bool_]:
    """(H, W) where a triangle's other side is seen."""
    camera = np.asarray(vertices, np.float64) @ np.asarray(extrinsics, np.float64)[:3, :3].T + extrinsics[:3, 3]
    a, b, c = (camera[faces[:, i]] for i in range(3))
    behind = (np.cross(b - a, c - a) * a).sum(1) > 0
    return raster.mask & behind[raster.face]


def _bytes(values: NDArray[np.floating]) -> Picture:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
