# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of jobs without frames, put into the scene: a fit becomes a body before its photo, a texture its texture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from bpy.types import Image, Object, PropertyGroup, Scene
from numpy.typing import NDArray
from understudy_shared.body import free_body

from ..scene import photo_view, photo_window
from ..scene.body_parts import armature_of
from ..scene.material import set_texture, share_texture, texture_image
from ..scene.painting import keep
from ..scene.photo import fit_arrays, show_fit
from ..scene.photos import number_of, numbers, photo_of
from ..scene.pixels import image_rgba, mask_image
from ..scene.shape import share_shape
from . import photo_inputs
from .jobs import Job
from .names import result_name

_TEXTURED = "understudy_textured"
"""Custom property of a body that has a texture of a person."""

_MADE_BY = "understudy_made_by"
"""Custom property of a texture: the take that made it, whose folder has it as it was made."""


def apply(job: Job, arrays: dict[str, NDArray], meta: dict[str, Any]) -> None:
    """Puts the result of a `fit` or `texture` job into its scene.

    Raises:
        ValueError: the scene, photo or body is gone, or the backend's result lacks something.
    """
    scene = job.record.scene.find()
    if not isinstance(scene, Scene):
        raise ValueError(f"The scene of {job.record.title} was deleted; its result is in {job.folder}")
    if job.record.role == "fit":
        _apply_fit(job, scene, arrays)
    elif job.record.role == "texture":
        _apply_texture(job, scene, arrays)
    for warning in meta.get("warnings", ()):
        job.say(str(warning))


def made_by(image: Image) -> str:
    """The take that made a texture; empty for an image that none made."""
    return str(image.get(_MADE_BY, ""))


def mark_made(image: Image, take: str) -> None:
    """Notes which take made a texture; saving the .blend then keeps what is painted on it."""
    image[_MADE_BY] = take
    keep(image)


def kept_result(job: Job) -> dict[str, NDArray]:
    """The arrays of a job without frames, from its folder.

    Raises:
        ValueError: they are not there (any more).
    """
    path = job.folder / result_name()
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise ValueError(f"The result of {job.record.title} is not in {job.folder} any more: make it again") from error


def shown_texture(arrays: dict[str, NDArray]) -> NDArray[np.uint8]:
    """Which of a texture job's arrays the body shows: the complete texture, or what the photos show of it.

    Raises:
        ValueError: there is neither.
    """
    texture = arrays.get("texture", arrays.get("partial"))
    if texture is None:
        raise ValueError("The backend sent no texture: update the backend and the extension to the same version")
    return np.asarray(texture)


def _apply_fit(job: Job, scene: Scene, arrays: dict[str, NDArray]) -> None:
    photo = _photo_of(job, scene)
    number = number_of(scene, photo.photo)
    fit = fit_arrays(arrays)
    looking = photo_view.shown(scene)
    if looking:
        photo_view.hide(scene)
    old_body, old_camera = photo.photo_body, photo.photo_camera
    name = Path(photo.photo.name).stem
    body, camera = show_fit(scene, photo.photo, fit, free_body(), name, set_camera=_may_set_camera(scene, number))
    mask = arrays.get("photo_mask", arrays.get("mask"))
    if mask is not None:
        mask = np.asarray(mask)
        behind = image_rgba(photo.photo)
        photo.photo_mask = mask_image(
            f"{name} Mask", mask, photo.photo_mask, behind if behind.shape[:2] == mask.shape else None
        )
        keep(photo.photo_mask)
    if old_body is not None:
        _hand_on_texture(old_body, body)
        _hand_on_motion(armature_of(old_body), armature_of(body))
        for old in (old_body, armature_of(old_body), old_camera):  # hidden, not deleted: the artist's work may be on it
            if old is not None:
                old.hide_render = True
                old.hide_viewport = True
    photo.photo_body, photo.photo_camera = body, camera
    if number == 1:
        if scene.understudy.body is None or scene.understudy.body == old_body:
            scene.understudy.body = body
    else:
        for obj in (body, armature_of(body), camera):
            obj.hide_render = obj.hide_viewport = True
    for other in photo_inputs.bodies(scene)[1:]:  # one person has one shape
        share_shape(photo_of(scene, 1).photo_body, other)
    if looking:
        photo_view.show(scene, looking)
    photo_window.follow(old_camera, camera)


def _photo_of(job: Job, scene: Scene) -> PropertyGroup:
    """The photo that was fitted."""
    image = job.record.photo.find() if job.record.photo else scene.understudy.photo
    number = number_of(scene, image) if isinstance(image, Image) else 0
    if not number:
        raise ValueError("The photo of this fit was removed from the scene: choose it again, then fit again")
    return photo_of(scene, number)


def _may_set_camera(scene: Scene, number: int) -> bool:
    """Whether the photo's camera may become the scene's: not where the artist has one for the shot."""
    photo_cameras = [photo_of(scene, n).photo_camera for n in numbers(scene)]
    return number == 1 and (scene.camera is None or scene.camera in photo_cameras)


def _hand_on_texture(old: Object, new: Object) -> None:
    image = texture_image(old)
    if image is not None and old.get(_TEXTURED):
        share_texture(new, image)
        new[_TEXTURED] = True


def _hand_on_motion(old: Object, new: Object) -> None:
    before = old.animation_data
    if before is not None and before.action is not None:
        animation = new.animation_data_create()
        animation.action, animation.action_slot = before.action, before.action_slot


def _apply_texture(job: Job, scene: Scene, arrays: dict[str, NDArray]) -> None:
    pixels = shown_texture(arrays)
    chosen = job.record.body.find() if job.record.body else None
    bodies = [body for body in dict.fromkeys((*photo_inputs.bodies(scene), chosen)) if body is not None]
    if not bodies:
        raise ValueError(f"The body of this texture was deleted; the texture is in {job.folder}")
    image = set_texture(bodies[0], pixels)
    mark_made(image, job.take)
    for body in bodies:  # one image for all: it is in the .blend once
        share_texture(body, image)
        body[_TEXTURED] = True
