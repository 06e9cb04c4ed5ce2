"""How well a fit lies on its photo, in numbers and as a picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import BodyModel

from understudy_backend.texture.normals import vertex_normals
from understudy_backend.texture.raster import Raster

TINT = np.array([70, 150, 255], np.float32)


def silhouette_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks; 0 when both are empty."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 0.0


def draw_overlay(
    image: NDArray[np.uint8],
    raster: Raster,
    body: BodyModel,
    vertices: NDArray[np.floating],
    to_camera: NDArray[np.floating],
    found: NDArray[np.floating],
    fitted: NDArray[np.floating],
) -> NDArray[np.uint8]:
    """The photo (H, W, 3) with the body half-transparent over it, and a line from each landmark to its keypoint.

    Args:
        raster: the body as the camera sees it.
        vertices: (V, 3) world.
        to_camera: (3, 3) rotation, world to camera.
        found: (K, 2) landmarks, yellow.
        fitted: (K, 2) the body's keypoints, red.
    """
    normal = raster.interpolate(vertex_normals(vertices, body.faces) @ to_camera.T.astype(np.float32), body.faces)
    light = np.clip(0.35 - 0.65 * normal[..., 2:], 0, 1)
    hit = raster.mask
    out = image.astype(np.float32)
    out[hit] = out[hit] * 0.5 + light[hit] * TINT * 0.5
    out = np.ascontiguousarray(out.astype(np.uint8))
    contours, _ = cv2.findContours(hit.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    unit = max(1, round(max(image.shape[:2]) / 1024))
    cv2.drawContours(out, contours, -1, (40, 90, 255), unit)
    for a, b in zip(found, fitted, strict=True):
        p, q = (round(float(a[0])), round(float(a[1]))), (round(float(b[0])), round(float(b[1])))
        cv2.line(out, p, q, (255, 0, 0), unit)
        cv2.circle(out, p, 2 * unit, (255, 230, 0), -1)
        cv2.circle(out, q, unit, (255, 0, 0), -1)
    return out
