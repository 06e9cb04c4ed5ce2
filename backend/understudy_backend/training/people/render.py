"""Pictures of a posed mesh: cameras that frame it, a rasterised image with soft edges, straight alpha."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import free_body

from understudy_backend.texture.raster import Raster
from understudy_backend.training.people.kernels import colour, corners, perspective, scan

Floats = NDArray[np.floating]
Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class View:
    """One camera: world to camera (4, 4), K (3, 3) in pixels, OpenCV axes, world Z up."""

    extrinsics: Doubles
    intrinsics: Doubles
    size: tuple[int, int]
    """(width, height) in pixels."""

    @property
    def centre(self) -> Doubles:
        """(3,) the camera's place in the world."""
        r = self.extrinsics[:3, :3]
        return -r.T @ self.extrinsics[:3, 3]

    def scaled(self, factor: float) -> View:
        """The same view with `factor` times as many pixels on a side."""
        k = self.intrinsics.copy()
        k[:2] *= factor
        return View(self.extrinsics, k, (round(self.size[0] * factor), round(self.size[1] * factor)))


def frame(
    points: Floats, azimuth: float, elevation: float, focal: float, fill: float, shift: Floats, size: tuple[int, int]
) -> View:
    """A camera that looks at posed world points (N, 3).

    Args:
        points: world, metres, Z up.
        azimuth: radians; 0 looks at somebody who faces -Y from the front, positive goes to the person's left.
        elevation: radians above the horizon.
        focal: focal length as a multiple of the image's height.
        fill: share of the image's height that the points fill.
        shift: (2,) where the middle goes, as a share of the image, from its centre.
        size: (width, height) in pixels.
    """
    direction = np.array([np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), np.sin(elevation)])
    right = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    rotation = np.stack([right, np.cross(-direction, right), -direction])
    middle = np.mean(_bounds(points), axis=0)
    local = ((points - middle) @ rotation.T).astype(np.float32)
    width, height = size
    k = np.array([[focal * height, 0, width / 2], [0, focal * height, height / 2], [0, 0, 1]])
    low, high = _bounds(local)
    extent = max(high[1] - low[1], (high[0] - low[0]) * 0.75 * height / width)
    distance = focal * extent / fill
    away = np.eye(4)
    for _ in range(2):  # perspective makes near parts larger: correct the distance by what it really fills
        away[2, 3] = distance
        low, high = _bounds(perspective(local, k @ away[:3])[0])
        filled = max((high[1] - low[1]) / height, (high[0] - low[0]) / width * 0.75)
        distance *= filled / fill
    away[2, 3] = distance
    centre = np.mean(_bounds(perspective(local, k @ away[:3])[0]), axis=0)
    k[:2, 2] += np.array([width, height]) * (0.5 + np.asarray(shift)) - centre
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = rotation
    extrinsics[:3, 3] = [0, 0, distance] - rotation @ middle
    return View(extrinsics, k, size)


def _bounds(points: Floats) -> tuple[Floats, Floats]:
    """Least and greatest coordinates (C,) of points (N, C); by columns, which numpy does much faster than by rows."""
    columns = np.ascontiguousarray(points.T)
    return columns.min(1), columns.max(1)


def look(view: View, vertices: Floats, faces: NDArray[np.int32]) -> Raster:
    """What each pixel sees of world vertices (N, 3); the first faces are those of the body, a solid.

    Its faces are told apart by side, which takes a third of the time of `raster.rasterize`.
    """
    points, nearness = perspective(vertices, view.intrinsics @ view.extrinsics[:3])
    face, near = scan(points, nearness, faces, len(free_body().faces), view.size)
    barycentric, depth = corners(face, near, points, nearness, faces)
    return Raster(face, barycentric, depth)


def picture(
    raster: Raster,
    faces: NDArray[np.integer],
    uvs: Floats,
    face_uvs: NDArray[np.integer],
    atlas: NDArray[np.uint8],
    shading: Floats,
    reduce: int,
) -> NDArray[np.uint8]:
    """Colours a raster: (H / reduce, W / reduce, 4) uint8 sRGB with straight alpha.

    Args:
        raster: of an image `reduce` times as large on a side, whose pixels are averaged in linear light.
        faces: (F, 3) into `shading`.
        uvs: (T, 2) pixels of the atlas, texel centres at half-integers.
        face_uvs: (F, 3) into `uvs`.
        atlas: (A, B, 3) uint8 sRGB.
        shading: (N, 3) linear factors at vertices, or (3,) for all.
        reduce: how many samples on a side make one pixel.
    """
    if shading.ndim == 1:
        shading = np.broadcast_to(shading, (int(faces.max()) + 1, 3))
    light = np.ascontiguousarray(shading, np.float32)
    return colour(raster.face, raster.barycentric, faces, uvs, face_uvs, atlas, light, reduce)


def sample(image: NDArray[np.uint8], points: Floats) -> Floats:
    """Bilinear samples (N, 3) in [0, 1] of an image at pixel positions (N, 2), pixel centres at half-integers."""
    points = np.asarray(points, np.float32) - np.float32(0.5)
    pad = -len(points) % 1024  # OpenCV's remap wants fewer than 32768 columns
    grid = np.concatenate([points, np.zeros((pad, 2), np.float32)]).reshape(-1, 1024, 2)
    out = cv2.remap(image, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return out.reshape(-1, image.shape[2])[: len(points)].astype(np.float32) / np.float32(255)
