# SPDX-License-Identifier: GPL-3.0-or-later
"""The photo behind the fitted body, seen through the fitted camera: there the artist corrects the pose by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import bpy
import numpy as np
from bpy.types import Object, Scene
from numpy.typing import NDArray
from understudy_shared.body import BodyModel
from understudy_shared.camera import CameraTrajectory
from understudy_shared.fit import FIT_ARRAYS

from .body import create_body
from .body_parts import betas_of, mesh_of
from .camera import import_camera, read_camera
from .motion import read_motion, set_pose


def show_fit(
    scene: Scene, photo_path: Path | str, fit: Mapping[str, NDArray], body: BodyModel, name: str = "Photo"
) -> tuple[Object, Object]:
    """Puts the fitted body before its photo, in the world frame of the fit.

    Args:
        scene: gets body and camera; the camera becomes the scene's, resolution and pixel aspect those of the photo.
        photo_path: the picture that was fitted.
        fit: the arrays named in `FIT_ARRAYS`.
        body: the model that was fitted.
        name: of both objects, with "Body" and "Camera" after it.

    Returns:
        (mesh object of the body, camera).

    Raises:
        ValueError: an array is missing or the photo cannot be read.
    """
    missing = [key for key in FIT_ARRAYS if key not in fit]
    if missing:
        raise ValueError(f"the fit lacks {', '.join(missing)}: fit the photo again")
    image = _photo(Path(photo_path))
    width, height = image.size
    fps = scene.render.fps / scene.render.fps_base
    view = CameraTrajectory(
        np.asarray(fit["extrinsics"], np.float64).reshape(1, 4, 4),
        np.asarray(fit["intrinsics"], np.float64).reshape(1, 3, 3),
        width,
        height,
        fps,
    )
    first, last = scene.frame_start, scene.frame_end
    camera = import_camera(scene, view, first, f"{name} Camera")
    scene.frame_start, scene.frame_end = first, last  # a photo has no length
    camera.data.show_background_images = True
    background = camera.data.background_images.new()
    background.image, background.frame_method, background.display_depth = image, "STRETCH", "BACK"
    background.alpha = 1.0
    mesh = create_body(scene, body, np.asarray(fit["betas"]), f"{name} Body")
    set_pose(mesh, *(np.asarray(fit[key]) for key in ("global_orient", "body_pose", "transl")))
    return mesh, camera


def read_fit(body_obj: Object, camera: Object, scene: Scene) -> dict[str, NDArray]:
    """The fit as the artist left it, from which to fit again.

    Returns:
        `start_` before each name of `FIT_ARRAYS`, shapes as there, float32 for the body and float64 for the camera; K
        is in pixels of the photo behind the camera, or of the scene's resolution if the artist took it away.
    """
    frames = [scene.frame_current]
    pose = read_motion(body_obj, scene, frames)
    photo = next((b.image for b in camera.data.background_images if b.image), None)
    view = read_camera(camera, scene, frames, tuple(photo.size) if photo else None)
    return {
        "start_betas": betas_of(mesh_of(body_obj)),
        "start_global_orient": pose.global_orient[0],
        "start_body_pose": pose.body_pose[0],
        "start_transl": pose.transl[0],
        "start_extrinsics": view.extrinsics[0],
        "start_intrinsics": view.intrinsics[0],
    }


def _photo(path: Path) -> bpy.types.Image:
    try:
        image = bpy.data.images.load(str(path.resolve()), check_existing=True)
    except RuntimeError as error:
        raise ValueError(f"{path.name} cannot be opened: choose a PNG or JPEG picture") from error
    if 0 in image.size:
        bpy.data.images.remove(image)
        raise ValueError(f"{path.name} is not a picture that Blender can read: choose a PNG or JPEG picture")
    return image
