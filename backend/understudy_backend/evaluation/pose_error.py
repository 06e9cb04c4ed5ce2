"""How well a picture shows the pose that it was made for: the body is fitted to it anew and compared.

The distances are those of the literature: MPJPE over joints and MPVPE over vertices, with both pelvises in one place,
and PA-MPJPE after the best rotation, scale and translation; millimetres, in the camera's frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import free_body, joint_transforms, skin

from understudy_backend.methods.contract import MethodError
from understudy_backend.photo.fit import fit
from understudy_backend.photo.landmarks import detect
from understudy_backend.training.people.render import View

Floats = NDArray[np.floating]
ITERATIONS = 200
"""Of the fitter."""


@dataclass(frozen=True, eq=False)
class Posed:
    """A body in a camera's frame, metres."""

    joints: Floats
    """(24, 3)."""
    vertices: Floats
    """(V, 3)."""

    @staticmethod
    def seen(joints: Floats, vertices: Floats, extrinsics: Floats) -> Posed:
        """World joints and vertices in the frame of a camera (4, 4)."""
        rotation, offset = extrinsics[:3, :3].T, extrinsics[:3, 3]
        return Posed(joints @ rotation + offset, vertices @ rotation + offset)


def refit(picture: NDArray[np.uint8], view: View) -> Posed | None:
    """The body of the person in a picture (H, W, 3), with our own fitter; None where it finds nobody.

    Of the camera it knows the focal length, as an estimator of human meshes does.
    """
    try:
        landmarks = detect(picture)
        focal = float(view.intrinsics[1, 1]) / max(view.size)
        found = fit(picture, landmarks, focal=focal, iterations=ITERATIONS)
    except MethodError:
        return None
    body = free_body()
    arrays = found.betas, found.global_orient, found.body_pose, found.transl
    joints = joint_transforms(body, *arrays)[0, :, :3, 3]
    return Posed.seen(joints, skin(body, *arrays)[0], found.camera.extrinsics[0])


def pose_errors(found: Posed, truth: Posed) -> dict[str, float]:
    """`mpjpe`, `pa_mpjpe` and `mpvpe` in mm."""
    shift = truth.joints[0] - found.joints[0]
    return {
        "mpjpe": _mean_distance(found.joints + shift, truth.joints),
        "pa_mpjpe": _mean_distance(procrustes(found.joints, truth.joints), truth.joints),
        "mpvpe": _mean_distance(found.vertices + shift, truth.vertices),
    }


def procrustes(points: Floats, target: Floats) -> Floats:
    """Points (N, 3) after the rotation, scale and translation that bring them nearest to `target` (N, 3)."""
    a, b = points - points.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    mirror = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * mirror) @ vt
    scale = (s * mirror).sum() / max((a**2).sum(), 1e-12)
    return scale * a @ rotation + target.mean(0)


def _mean_distance(a: Floats, b: Floats) -> float:
    return float(np.linalg.norm(a - b, axis=1).mean() * 1000)
