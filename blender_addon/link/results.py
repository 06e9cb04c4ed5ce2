# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of jobs without frames, put into the scene: a fit becomes a body before its photo, a texture its texture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import free_body
from understudy_shared.fit import FIT_ARRAYS

from ..scene.body_parts import armature_of
from ..scene.material import get_texture, set_texture, texture_image
from ..scene.photo import show_fit
from ..scene.pixels import image_rgba, mask_image
from . import png
from .jobs import Job

FIT = "understudy_fit"
"""Custom property of a fitted body: the arrays of its fit as flat lists, for when it has moved on to other poses."""

_TEXTURED = "understudy_textured"
"""Custom property of a body that has a texture of a person."""

FIT_SHAPES: dict[str, tuple[int, ...]] = {
    "betas": (-1,),
    "global_orient": (3,),
    "body_pose": (23, 3),
    "transl": (3,),
    "extrinsics": (4, 4),
    "intrinsics": (3, 3),
}


def apply(job: Job, arrays: dict[str, NDArray], meta: dict[str, Any]) -> None:
    """Puts the result of a `fit` or `texture` job into its scene.

    Raises:
        ValueError: the scene, photo or body is gone, or the backend's result lacks something.
    """
    scene = job.record.scene.find()
    if not isinstance(scene, bpy.types.Scene):
        raise ValueError(f"The scene of {job.record.title} was deleted; its result is in {job.folder}")
    if job.record.role == "fit":
        _apply_fit(job, scene, arrays)
    elif job.record.role == "texture":
        _apply_texture(job, scene, arrays)
    for warning in meta.get("warnings", ()):
        job.say(str(warning))


def fit_arrays(arrays: dict[str, NDArray]) -> dict[str, NDArray]:
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


def stored_fit(body: bpy.types.Object) -> dict[str, NDArray] | None:
    """The fit that a body came from, None for a body that came from none."""
    kept = body.get(FIT)
    return fit_arrays({name: np.array(kept[name], np.float64) for name in FIT_ARRAYS}) if kept is not None else None


def photo_file(image: bpy.types.Image, folder: Path) -> Path:
    """A file of the photo: its own, or one written into `folder` where it is packed or painted only."""
    if image.filepath and not image.is_dirty:
        own = Path(bpy.path.abspath(image.filepath, library=image.library))
        if own.is_file():
            return own
    path = folder / "photo.png"
    png.write_atomically(path, png.encode(image_rgba(image), level=1))
    return path


def _apply_fit(job: Job, scene: bpy.types.Scene, arrays: dict[str, NDArray]) -> None:
    settings = scene.understudy
    if settings.photo is None:
        raise ValueError("The photo of this fit was removed from the scene: choose it again, then fit again")
    fit = fit_arrays(arrays)
    old_body, old_camera = settings.photo_body, settings.photo_camera
    name = Path(settings.photo.name).stem
    body, camera = show_fit(scene, photo_file(settings.photo, job.folder), fit, free_body(), name)
    body[FIT] = {name: [float(x) for x in values.reshape(-1)] for name, values in fit.items()}
    mask = arrays.get("photo_mask", arrays.get("mask"))
    if mask is not None:
        settings.photo_mask = mask_image(f"{name} Mask", np.asarray(mask), settings.photo_mask)
    if old_body is not None:
        if texture_image(old_body) is not None and old_body.get(_TEXTURED):
            set_texture(body, get_texture(old_body))
            body[_TEXTURED] = True
        for old in (old_body, armature_of(old_body), old_camera):  # hidden, not deleted: the artist's work may be on it
            if old is not None:
                old.hide_render = True
                old.hide_viewport = True
    settings.photo_body, settings.photo_camera = body, camera
    if settings.body is None or settings.body == old_body:
        settings.body = body


def _apply_texture(job: Job, scene: bpy.types.Scene, arrays: dict[str, NDArray]) -> None:
    if "texture" not in arrays:
        raise ValueError("The backend sent no texture: update the backend and the extension to the same version")
    chosen = job.record.body.find() if job.record.body else None
    bodies = [body for body in dict.fromkeys((scene.understudy.photo_body, chosen)) if body is not None]
    if not bodies:
        raise ValueError(f"The body of this texture was deleted; the texture is in {job.folder}")
    for body in bodies:
        set_texture(body, np.asarray(arrays["texture"]))
        body[_TEXTURED] = True
