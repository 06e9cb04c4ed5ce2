"""Where the person of a photo is: 33 landmarks in pixels and in metres, and a mask."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from understudy_backend.methods.contract import MethodError
from understudy_backend.photo.blazepose import CROP_SIZE, BlazePose, CropLandmarks, Region, region_through
from understudy_backend.photo.face import FaceMesh, find_face
from understudy_backend.photo.matte import clean_mask

LANDMARK_NAMES: tuple[str, ...] = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index", "left_thumb",
    "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel",
    "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip
"""BlazePose's 33 landmarks, in its order; left is the person's left."""

VIEWS: tuple[tuple[float, float, float, bool], ...] = (
    (1.0, 0.0, 0.0, False),
    (1.0, 0.0, 0.0, True),
    (0.92, 0.02, 0.0, False),
    (0.92, -0.02, 0.0, True),
    (1.1, 0.0, 0.03, False),
    (1.1, 0.0, -0.03, True),
)
"""Crops whose answers are averaged: scale, shift of the centre in radii (x, y), mirrored. One crop pixel is about 4 px
of a 1024 px photo; the mean of six differently laid grids is finer than any one."""

MIN_SCORE = 0.5


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The person of a photo (H, W)."""

    points: NDArray[np.float64]
    """(33, 2) pixels."""
    visibility: NDArray[np.float64]
    """(33,) in [0, 1]."""
    world: NDArray[np.float64]
    """(33, 3) metres about the middle of the hips: x right, y down, z away from the camera."""
    mask: NDArray[np.float32]
    """(H, W) in [0, 1], the person."""
    score: float
    """Probability that there is a person."""


def detect(image: NDArray[np.uint8]) -> Landmarks:
    """Finds the person of a photo (H, W, 3) uint8 sRGB.

    The eleven landmarks of the face come from a network of its own where it finds one: at the size at which BlazePose
    sees a whole person, an eye is two pixels.

    Raises:
        MethodError: `no_person`, the photo shows no person that can be used.
    """
    networks = _networks()
    region, score = networks.find(image)
    first = networks.landmarks(image, region) if score >= MIN_SCORE else None
    if first is None or first.score < MIN_SCORE:
        raise MethodError(
            "no person was found in the photo",
            code="no_person",
            fix="use a photo that shows one whole person, from head to feet, large and unobstructed",
        )
    region = region_through(first.points[33], first.points[34])
    views = [_look(networks, image, region, *view) for view in VIEWS]
    points = np.mean([v.points for _, v in views], axis=0)[:33]
    face = find_face(_face_mesh(), image, points[:11])
    if face is not None:
        points[:11] = face
    coarse = np.stack([_to_image(v.mask, r, image.shape[:2]) for r, v in views]).mean(0).astype(np.float32)
    return Landmarks(
        points=points,
        visibility=np.mean([v.visibility for _, v in views], axis=0)[:33],
        world=np.mean([v.world for _, v in views], axis=0)[:33],
        mask=clean_mask(image, coarse, points),
        score=min(score, *(v.score for _, v in views)),
    )


@cache
def _face_mesh() -> FaceMesh:
    return FaceMesh()


@cache
def _networks() -> BlazePose:
    return BlazePose()


def _look(
    networks: BlazePose, image: NDArray[np.uint8], region: Region, scale: float, dx: float, dy: float, mirrored: bool
) -> tuple[Region, CropLandmarks]:
    shifted = Region(region.centre + np.array([dx, dy]) * region.radius, region.radius * scale, region.angle)
    return shifted, networks.landmarks(image, shifted, mirrored)


def _to_image(mask: NDArray[np.float32], region: Region, shape: tuple[int, int]) -> NDArray[np.float32]:
    """A mask in crop pixels (256, 256) laid back onto the image (H, W)."""
    matrix = region.to_crop()
    matrix[:, 2] += (matrix[:, :2].sum(1) - 1) * 0.5  # OpenCV's pixel centres are integers
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    assert mask.shape == (CROP_SIZE, CROP_SIZE)
    return cv2.warpAffine(mask, matrix, (shape[1], shape[0]), flags=flags).astype(np.float32).clip(0, 1)
