"""The skeleton of a person in a picture, found by BlazePose (arXiv 2006.10204): a driving video in place of a body.

BlazePose knows the body and roughly where the hands are, but neither fingers nor the 68 points of the face; those stay
hidden.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from understudy_backend.guidance.skeleton import openpose_of_whole_body
from understudy_backend.photo.blazepose import BlazePose, Region, region_through

COCO_OF_BLAZEPOSE = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""BlazePose's landmark of each of COCO's 17 points."""
MIN_SCORE = 0.5
"""Probability from which on somebody is there."""
BACKDROP = 128
"""Grey behind what is transparent in a picture."""


class PictureSkeleton:
    """Finds skeletons in pictures, one by one; a picture's does not depend on the others."""

    def __init__(self) -> None:
        self._networks = BlazePose()

    def find(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.floating], NDArray[np.floating]] | None:
        """OpenPose's points (134, 2) in pixels and scores (134,) of the likeliest person; None where there is nobody.

        Args:
            picture: (H, W, 3 or 4) uint8 sRGB, straight alpha.
        """
        image = _opaque(picture)
        region, score = self._networks.find(image)
        if score < MIN_SCORE or not _sensible(region):
            return None
        first = self._networks.landmarks(image, region)
        if first.score < MIN_SCORE:
            return None
        # The landmarks place the crop better than the detector does; a crop and its mirror image err differently.
        region = region_through(first.points[33], first.points[34])
        if not _sensible(region):
            return None
        views = [self._networks.landmarks(image, region, mirrored) for mirrored in (False, True)]
        points, scores = np.zeros((1, 133, 2)), np.zeros((1, 133))
        points[0, :17] = np.mean([v.points for v in views], axis=0)[list(COCO_OF_BLAZEPOSE)]
        scores[0, :17] = np.mean([v.visibility for v in views], axis=0)[list(COCO_OF_BLAZEPOSE)]
        height, width = image.shape[:2]
        outside = ((points < 0) | (points >= (width, height))).any(-1)
        scores[outside] = 0  # the network guesses on beyond the picture; an annotator does not
        found, seen = openpose_of_whole_body(points, scores)
        return found[0], seen[0]


def _sensible(region: Region) -> bool:
    return bool(np.isfinite(region.centre).all()) and np.isfinite(region.radius) and region.radius >= 1


def _opaque(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if picture.shape[2] == 3:
        return np.ascontiguousarray(picture)
    share = picture[..., 3:].astype(np.float32) / 255
    return (picture[..., :3] * share + BACKDROP * (1 - share) + 0.5).astype(np.uint8)
