"""What a fit gives."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from understudy_shared.camera import CameraTrajectory

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A body before a camera. World: Z up, metres."""

    betas: Floats
    """(B,) shape."""
    global_orient: Floats
    """(1, 3) axis-angle, radians."""
    body_pose: Floats
    """(1, 23, 3) axis-angle, radians."""
    transl: Floats
    """(1, 3) metres."""
    camera: CameraTrajectory
    """One frame, of the photo's size."""


@dataclass(frozen=True, eq=False)
class FitResult(Estimate):
    """The body and the camera of a photo (H, W), and how well they fit it.

    A fresh fit puts the lowest point of the body at z = 0 and its pelvis above the origin; a fit that began from an
    estimate stays in that estimate's world.
    """

    keypoint_error_px: float
    """Mean distance of the keypoints that are seen, at a longer side of 1024 px."""
    silhouette_iou: float
    """Of the body and the person's mask."""
    mask: Floats
    """(H, W) in [0, 1], the person."""
    overlay: NDArray[np.uint8]
    """(H, W, 3) the photo with the body, its outline and the keypoints laid over it."""
    seconds: float
    """Time that the fit took, without detection."""
    warnings: tuple[str, ...] = ()
    """Sentences for the artist."""
    keypoint_errors: dict[str, float] = field(default_factory=dict)
    """Each landmark's distance, at a longer side of 1024 px."""
