"""Which point of the body each BlazePose landmark is, and how far each is to be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import BodyModel

from understudy_backend.methods.contract import MethodError
from understudy_backend.photo.landmarks import LANDMARK_NAMES

KEYPOINTS: dict[str, tuple[str, float]] = {
    "left_shoulder": ("left_shoulder", 1.0),
    "right_shoulder": ("right_shoulder", 1.0),
    "left_elbow": ("left_elbow", 1.0),
    "right_elbow": ("right_elbow", 1.0),
    "left_wrist": ("left_wrist", 1.0),
    "right_wrist": ("right_wrist", 1.0),
    "left_hip": ("left_hip", 1.0),
    "right_hip": ("right_hip", 1.0),
    "left_knee": ("left_knee", 1.0),
    "right_knee": ("right_knee", 1.0),
    "left_ankle": ("left_ankle", 1.0),
    "right_ankle": ("right_ankle", 1.0),
    "left_heel": ("left_heel", 0.7),
    "right_heel": ("right_heel", 0.7),
    "left_foot_index": ("left_big_toe", 0.8),
    "right_foot_index": ("right_big_toe", 0.8),
}
"""Landmark to the body's keypoint of (nearly) the same meaning, and its weight. Shoes are longer than feet."""

SURFACE_POINTS: dict[str, tuple[tuple[float, float, float], float]] = {
    "left_eye": ((0.0320, 0.3580, 0.187), 1.0),
    "left_ear": ((0.0680, 0.3380, 0.112), 0.3),
    "nose": ((0.0, 0.3195, 0.2135), 1.0),
    "left_eye_inner": ((0.0170, 0.3564, 0.186), 0.5),
    "left_eye_outer": ((0.0424, 0.3592, 0.183), 0.5),
    "mouth_left": ((0.0240, 0.2892, 0.191), 1.0),
    "left_index": ((0.755, 0.150, 0.095), 0.3),
    "left_pinky": ((0.740, 0.140, 0.028), 0.3),
    "left_thumb": ((0.730, 0.120, 0.125), 0.2),
}
"""Landmarks that mean another place than the free body's keypoints: that place on its rest surface (m), and the weight.
The right side is the mirror. The ear is where the cheek ends before it."""

REPORTED = (*KEYPOINTS, "nose", "left_eye", "right_eye", "left_ear", "right_ear")
"""The 21 landmarks whose mean distance is reported: those of COCO, heels and big toes."""

FACE = ("nose", "left_eye", "right_eye", "left_eye_inner", "left_eye_outer", "right_eye_inner", "right_eye_outer",
        "mouth_left", "mouth_right")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Correspondence:
    """K landmarks as linear combinations of S body vertices."""

    names: tuple[str, ...]
    """(K,) landmark names."""
    landmarks: NDArray[np.int64]
    """(K,) rows of BlazePose's 33."""
    weights: NDArray[np.float32]
    """(K,) trust in [0, 1]."""
    reported: NDArray[np.bool_]
    """(K,) True for the keypoints that the report's mean error is over (`REPORTED`)."""
    vertices: NDArray[np.int64]
    """(S,) the body's vertices that are needed."""
    regressor: NDArray[np.float32]
    """(K, S), rows sum to 1."""

    def index(self, name: str) -> int:
        """The row of a landmark."""
        return self.names.index(name)


def correspondence(body: BodyModel) -> Correspondence:
    """The correspondence of a body.

    Raises:
        MethodError: the body names no keypoints.
    """
    if body.keypoint_regressor is None:
        raise MethodError(
            "this body has no keypoint regressor, which fitting to a photo needs",
            code="body_without_keypoints",
            fix="fit with the free body",
        )
    rows, names, weights, reported = [], [], [], []
    for name, (keypoint, weight) in KEYPOINTS.items():
        row = body.keypoint_regressor[body.keypoint_names.index(keypoint)].astype(np.float64)
        row = np.where(np.abs(row) > 1e-4, row, 0)  # the tail of tiny weights would triple the vertices to be skinned
        rows.append(row / row.sum())
        names.append(name)
        weights.append(weight)
        reported.append(name in REPORTED)
    for name, (place, weight) in SURFACE_POINTS.items():
        other = name.replace("left", "right")
        for side, x in {name: place[0], other: -place[0]}.items():
            distance = np.linalg.norm(body.v_template - np.array([x, *place[1:]]), axis=1)
            row = np.zeros(len(distance))
            row[np.argsort(distance)[:3]] = 1 / 3
            rows.append(row)
            names.append(side)
            weights.append(weight)
            reported.append(side in REPORTED)
    dense = np.array(rows)
    used = np.flatnonzero(dense.any(0))
    return Correspondence(
        names=tuple(names),
        landmarks=np.array([LANDMARK_NAMES.index(n) for n in names]),
        weights=np.array(weights, np.float32),
        reported=np.array(reported),
        vertices=used,
        regressor=dense[:, used].astype(np.float32),
    )


BONES: tuple[tuple[str, str, float], ...] = (
    ("left_shoulder", "left_elbow", 1.0), ("left_elbow", "left_wrist", 1.0),
    ("right_shoulder", "right_elbow", 1.0), ("right_elbow", "right_wrist", 1.0),
    ("left_hip", "left_knee", 1.0), ("left_knee", "left_ankle", 1.0),
    ("right_hip", "right_knee", 1.0), ("right_knee", "right_ankle", 1.0),
    ("left_hip", "right_hip", 1.0), ("left_shoulder", "right_shoulder", 1.0),
    ("left_heel", "left_foot_index", 0.5), ("right_heel", "right_foot_index", 0.5),
    ("right_eye_outer", "left_eye_outer", 0.5), ("left_hip", "left_shoulder", 0.5),
    ("right_hip", "right_shoulder", 0.5),
)  # fmt: skip
"""Pairs of landmarks whose direction in space counts, with its weight."""
