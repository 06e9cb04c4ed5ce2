# SPDX-License-Identifier: GPL-3.0-or-later
"""The imitator: the photo, the body fitted to it, and the person's texture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import bpy

from ..link import gather
from ..link.jobs import Job
from .takes import start_job


def load_photo(path: str | Path, scene: bpy.types.Scene | None = None) -> bpy.types.Image:
    """The photo of the person; it becomes the scene's photo, and an earlier photo's mask is let go.

    Raises:
        ValueError: it is no picture that Blender can read.
    """
    scene = scene or bpy.context.scene
    try:
        image = bpy.data.images.load(str(Path(path).resolve()), check_existing=True)
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be opened: choose a PNG or JPEG picture") from error
    if 0 in image.size:
        bpy.data.images.remove(image)
        raise ValueError(f"{path} is not a picture that Blender can read: choose a PNG or JPEG picture")
    if scene.understudy.photo != image:
        scene.understudy.photo, scene.understudy.photo_mask = image, None
    return image


def fit_photo(scene: bpy.types.Scene | None = None, params: Mapping | None = None) -> Job:
    """Fits the body to the scene's photo; the result is a body before the photo, and a mask of the person.

    Raises:
        ValueError: there is no photo.
    """
    scene = scene or bpy.context.scene
    return start_job(scene, "fit", "fit", {"photo": gather.photo(scene)}, params)


def refit(scene: bpy.types.Scene | None = None, params: Mapping | None = None) -> Job:
    """Fits again, starting from pose, shape and camera as the artist has left them.

    Raises:
        ValueError: there is no fitted body yet, or it moves already.
    """
    scene = scene or bpy.context.scene
    return start_job(scene, "fit", "fit", {"photo": gather.photo(scene), **gather.corrected_fit(scene)}, params)


def make_texture(scene: bpy.types.Scene | None = None, params: Mapping | None = None) -> Job:
    """Makes the complete texture of the person from photo, mask and fit, and puts it onto the fitted body and, where it
    is another one, the scene's body.

    Raises:
        ValueError: the photo is not fitted yet.
    """
    scene = scene or bpy.context.scene
    inputs = {"photo": gather.photo(scene), "photo_mask": gather.photo_mask(scene), **gather.fit(scene)}
    side = int((params or {}).get("texture_size", 1024))
    return start_job(scene, "threedhm_texture", "texture", inputs, params, size=(side, side), body=scene.understudy.body)
