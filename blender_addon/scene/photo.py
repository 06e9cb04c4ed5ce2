# SPDX-License-Identifier: GPL-3.0-or-later
"""A fit in the scene: the body before its photo and its camera. And back, as the artist has left it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from bpy.types import Image, Object, PropertyGroup, Scene
from numpy.typing import NDArray
from understudy_shared.body import BodyModel
from understudy_shared.camera import CameraTrajectory
from understudy_shared.fit import FIT_ARRAYS

from .background import set_background
from .body import create_body
from .body_parts import armature_of, betas_of, mesh_of
from .camera import import_camera, read_camera
from .motion import read_motion, set_pose

FIT_SHAPES: dict[str, tuple[int, ...]] = {
    "betas": (-1,),
    "global_orient": (3,),
    "body_pose": (23, 3),
    "transl": (3,),
    "extrinsics": (4, 4),
    "intrinsics": (3, 3),
}

_FIT = "understudy_fit"
"""Custom property of a fitted body: the arrays of its fit as flat lists, for when it has moved on to other poses."""


def show_fit(
    scene: Scene,
    photo: Image,
    fit: Mapping[str, NDArray],
    body: BodyModel,
    name: str = "Photo",
    *,
    set_camera: bool = True,
) -> tuple[Object, Object]:
    """Puts the fitted body before its photo, in the world frame of the fit. Resolution, rate and range of the scene are
    the shot's and stay.

    Args:
        scene: gets body and camera.
        photo: the picture that was fitted.
        fit: the arrays named in `FIT_ARRAYS`.
        body: the model that was fitted.
        name: of both objects, with "Body" and "Camera" after it.
        set_camera: also makes the camera the scene's.

    Returns:
        (mesh object of the body, camera).

    Raises:
        ValueError: an array is missing.
    """
    fit = fit_arrays(fit)
    width, height = photo.size
    fps = scene.render.fps / scene.render.fps_base
    view = CameraTrajectory(fit["extrinsics"][None], fit["intrinsics"][None], width, height, fps)
    camera = import_camera(scene, view, scene.frame_start, f"{name} Camera", set_scene=False)
    if set_camera:
        scene.camera = camera
    set_background(scene, camera, photo)
    mesh = create_body(scene, body, fit["betas"], f"{name} Body")
    set_pose(mesh, fit["global_orient"], fit["body_pose"], fit["transl"])
    store_fit(mesh, fit)
    return mesh, camera


def fit_arrays(arrays: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """The arrays of a fit in the shapes of the scene's functions, whatever the backend's leading axes.

    Raises:
        ValueError: one is missing or of another size.
    """
    missing = [name for name in FIT_ARRAYS if name not in arrays]
    if missing:
        raise ValueError(
            f"The fit lacks {', '.join(missing)}: update the backend and the extension to the same version"
        )
    types = {"extrinsics": np.float64, "intrinsics": np.float64}
    return {
        name: np.asarray(arrays[name], types.get(name, np.float32)).reshape(FIT_SHAPES[name]) for name in FIT_ARRAYS
    }


def store_fit(body: Object, fit: Mapping[str, NDArray]) -> None:
    """Keeps a fit with its body."""
    body[_FIT] = {name: [float(x) for x in np.asarray(fit[name]).reshape(-1)] for name in FIT_ARRAYS}


def stored_fit(body: Object) -> dict[str, NDArray] | None:
    """The fit that a body came from, in its present shape; None for a body that came from none."""
    kept = body.get(_FIT)
    if kept is None:
        return None
    fit = fit_arrays({name: np.array(kept[name], np.float64) for name in FIT_ARRAYS})
    return {**fit, "betas": betas_of(body)}


def moves(body: Object) -> bool:
    """Whether a body has a motion, and so does not stand in the pose of its photo."""
    animation = armature_of(body).animation_data
    return animation is not None and animation.action is not None


def read_fit(scene: Scene, photo: PropertyGroup) -> dict[str, NDArray]:
    """The fit of a photo as the artist has left it: pose, shape, and camera with its lens.

    Args:
        scene: whose photo.
        photo: its settings, see `photos.photo_of`.

    Returns:
        The arrays named in `FIT_ARRAYS`, shapes as there, float32 for the body and float64 for the camera; K is in
        pixels of the photo.

    Raises:
        ValueError: it is not fitted, the body moves, or the scene's pixels are not square.
    """
    body, camera, image = photo.photo_body, photo.photo_camera, photo.photo
    if body is None:
        raise ValueError("The photo is not fitted yet: fit it first")
    if camera is None or image is None:
        raise ValueError("The photo or its camera was removed: fit the photo again")
    if moves(body):
        raise ValueError(f'"{body.name}" moves already: show its photo, where it stands, or fit anew')
    if scene.render.pixel_aspect_x != scene.render.pixel_aspect_y:
        raise ValueError("The scene has non-square pixels, a photo has square ones: set both pixel aspects to 1")
    frames = [scene.frame_current]
    pose = read_motion(body, scene, frames)
    # The scene's resolution may be another shot's: the photo's own counts.
    view = read_camera(camera, scene, frames, (image.size[0], image.size[1]))
    return {
        "betas": betas_of(mesh_of(body)),
        "global_orient": pose.global_orient[0],
        "body_pose": pose.body_pose[0],
        "transl": pose.transl[0],
        "extrinsics": view.extrinsics[0],
        "intrinsics": view.intrinsics[0],
    }
