"""The skeleton of a posed body as a camera sees it, in OpenPose's points.

Body and hands come from the body's own joints and vertices. SMPL's hands do not bend, so fingers are straight: their
joints lie between wrist and finger tip, in a hand's usual proportions. The 68 points of the face are not known of the
body; they stay hidden, and eyes, ears and nose say where the head looks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from understudy_shared.camera import project

from understudy_backend.guidance.skeleton import openpose_of_whole_body
from understudy_backend.texture.raster import Raster

FACE_VERTICES = (332, 2800, 6260, 583, 4071)
"""Nose, left and right eye, left and right ear: SMPL's vertices, which other bodies here share."""
TIPS = ((2746, 2319, 2445, 2556, 2673), (6191, 5782, 5905, 6016, 6133))
"""Vertices at the tips of thumb to little finger; left, right."""
LIMB_JOINTS = (16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8)
"""SMPL's joints where COCO has shoulders, elbows, wrists, hips, knees and ankles, left first."""
FINGER_SHARES = ((0.2, 0.55, 0.8), (0.54, 0.76, 0.89), (0.5, 0.74, 0.88), (0.49, 0.73, 0.88), (0.54, 0.75, 0.87))
"""How far each joint of a finger is on the way from the wrist to its tip, after bone lengths of adult hands."""
THICKNESS = 0.03
"""Metres by which a point of the face may lie behind what the camera sees there."""


def whole_body_points(vertices: NDArray[np.floating], joints: NDArray[np.floating]) -> NDArray[np.float64]:
    """COCO's 133 points (133, 3) in the world; NaN where the body knows none.

    Args:
        vertices: (V, 3) posed, SMPL's or of a body with its landmarks at the same indices.
        joints: (24, 3) posed.
    """
    out = np.full((133, 3), np.nan)
    out[:5] = vertices[list(FACE_VERTICES)]
    out[5:17] = joints[list(LIMB_JOINTS)]
    for side, first in ((0, 91), (1, 112)):
        wrist = np.asarray(joints[20 + side], np.float64)
        out[first] = wrist
        for finger, (tip, shares) in enumerate(zip(TIPS[side], FINGER_SHARES, strict=True)):
            reach = vertices[tip] - wrist
            for number, share in enumerate((*shares, 1.0)):
                out[first + 1 + 4 * finger + number] = wrist + share * reach
    return out


def body_skeleton(
    vertices: NDArray[np.floating],
    joints: NDArray[np.floating],
    k: NDArray[np.floating],
    extrinsics: NDArray[np.floating],
    raster: Raster,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """OpenPose's points (134, 2) in pixels and scores (134,), 1 for those to be drawn.

    A point outside the picture or behind the camera is hidden, as an annotator would not find it; so is one of the head
    that the body covers. Limbs that the body covers are drawn, as annotators do.

    Args:
        vertices: (V, 3) world, metres.
        joints: (24, 3) world, metres.
        k: (3, 3) intrinsics in pixels of the raster.
        extrinsics: (4, 4) world to camera, OpenCV axes.
        raster: of the same body and camera.
    """
    places = whole_body_points(vertices, joints)
    known = np.isfinite(places[:, :1])
    pixels, depth = project(np.where(known, places, 0), extrinsics, k)
    height, width = raster.face.shape
    seen = known[:, 0] & (depth > 1e-3) & (pixels.min(1) >= 0) & (pixels[:, 0] < width) & (pixels[:, 1] < height)
    column, row = np.where(seen[:5, None], pixels[:5], 0).astype(int).T
    seen[:5] &= depth[:5] <= raster.depth[row, column] + THICKNESS
    points, scores = openpose_of_whole_body(np.where(seen[:, None], pixels, 0)[None], seen[None].astype(np.float64))
    return points[0], scores[0]
