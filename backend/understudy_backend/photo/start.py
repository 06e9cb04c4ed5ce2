"""A first guess of where the body stands and which way it faces, from the landmarks alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from understudy_shared.body import BodyModel, skin
from understudy_shared.camera import CameraTrajectory

from understudy_backend.photo.correspondence import Correspondence
from understudy_backend.photo.landmarks import LANDMARK_NAMES, Landmarks
from understudy_backend.photo.prior import mean_pose
from understudy_backend.photo.result import Estimate

TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")


def first_guess(
    body: BodyModel,
    matches: Correspondence,
    points: NDArray[np.float64],
    landmarks: Landmarks,
    camera: CameraTrajectory,
    betas: NDArray[np.floating] | None = None,
) -> Estimate:
    """The body in the mean pose, turned as the trunk is, where it covers the landmarks.

    Args:
        points: (33, 2) landmarks in pixels of the camera.
        landmarks: their places in metres are used for the direction.
        camera: level, at the origin.
        betas: (B,) shape, where it is known; else that of the mean body.
    """
    to_world = camera.extrinsics[0, :3, :3].T
    betas = np.zeros(body.num_betas, np.float32) if betas is None else np.asarray(betas, np.float32)
    rest = matches.regressor @ body.shaped(betas)[matches.vertices]
    here = np.array([rest[matches.index(n)] for n in TRUNK], np.float64)
    there = landmarks.world[[LANDMARK_NAMES.index(n) for n in TRUNK]] @ to_world.T
    turn = Rotation.align_vectors(there - there.mean(0), here - here.mean(0))[0]
    pose = mean_pose().numpy()[1:][None]
    orient = turn.as_rotvec().astype(np.float32)[None]
    vertices = skin(body, betas, orient, pose, np.zeros((1, 3), np.float32))[0]
    keypoints = (matches.regressor @ vertices[matches.vertices])[matches.reported]
    seen = points[matches.landmarks[matches.reported]]
    k = camera.intrinsics[0]
    distance = k[1, 1] * _spread(keypoints) / max(_spread(seen), 1.0)
    ray = np.append((seen.mean(0) - k[:2, 2]) / [k[0, 0], k[1, 1]], 1.0)
    transl = to_world @ (ray * distance) - keypoints.mean(0)
    return Estimate(betas, orient, pose, transl.astype(np.float32)[None], camera)


def _spread(points: NDArray[np.floating]) -> float:
    """Root of the summed variance: a size that needs no up direction."""
    return float(np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean()))
