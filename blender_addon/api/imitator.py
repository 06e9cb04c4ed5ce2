# SPDX-License-Identifier: GPL-3.0-or-later
"""The imitator: photos of the person, the bodies fitted to them, and the person's texture.

A scene has one photo or several of the same person. They are counted from 1; where a function takes a `number`, 0 is
the photo that is worked on, `scene.understudy.photo_number`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import bpy
import numpy as np
from numpy.typing import NDArray
from understudy_shared.camera import project

from ..link import photo_inputs, png, results, take_files
from ..link.jobs import Job
from ..link.session import current
from ..scene import modes, painting, photo_end, photo_view, photo_window, photos
from ..scene.body_parts import armature_of
from ..scene.evaluation import at_frame, scene_aside
from ..scene.material import get_texture, set_texture, texture_image
from ..scene.photo import store_fit
from ..scene.photo_file import open_photo
from .settings import params_of
from .takes import start_job

Stage = Literal["PARTIAL", "VISIBILITY"]


def load_photo(path: str | Path, scene: bpy.types.Scene | None = None) -> bpy.types.Image:
    """The photo of the person; it becomes the scene's first photo, and an earlier one's mask is let go.

    A photo that a phone has saved lying is turned upright, one of more than 4096 pixels is made smaller; both as a copy
    in the .blend, and the image's custom property `understudy_note` tells of it.

    Raises:
        ValueError: it is no picture that Blender can read, or too small.
    """
    scene = scene or bpy.context.scene
    image = open_photo(Path(path))
    if photos.number_of(scene, image) > 1:
        raise ValueError(f'"{image.name}" is a further photo already: choose another picture')
    if scene.understudy.photo != image:
        scene.understudy.photo, scene.understudy.photo_mask = image, None
    return image


def add_photo(path: str | Path, scene: bpy.types.Scene | None = None) -> int:
    """Another photo of the same person, in any pose. Fitted, it shows the texture what the first one does not.

    Returns:
        Its number; it is the one that is worked on now.

    Raises:
        ValueError: there is no first photo, the scene has this one already, or it is no picture.
    """
    scene = scene or bpy.context.scene
    return photos.add(scene, open_photo(Path(path)))


def remove_photo(number: int = 0, scene: bpy.types.Scene | None = None) -> None:
    """Removes a further photo, with the body and the camera that were fitted to it.

    Raises:
        ValueError: it is the first photo, or there is none of that number.
    """
    scene = scene or bpy.context.scene
    number = number or photos.current_number(scene)
    if photo_view.shown(scene):
        hide_photo(scene)
    photos.remove(scene, number)


def fit_photo(scene: bpy.types.Scene | None = None, params: Mapping | None = None, number: int = 0) -> Job:
    """Fits the body to a photo; the result is a body before the photo, and a mask of the person. A further photo keeps
    the shape of the first.

    Raises:
        ValueError: there is no such photo, or for a further one the first is not fitted yet.
    """
    scene = scene or bpy.context.scene
    photo = photos.photo_of(scene, number)
    inputs = photo_inputs.first_fit(scene, number or photos.current_number(scene))
    return start_job(scene, "fit", "fit", inputs, _params(scene, "fit", params), photo=photo.photo)


def refit(
    scene: bpy.types.Scene | None = None, params: Mapping | None = None, number: int = 0, *, keep_pose: bool = False
) -> Job:
    """Fits again, starting from pose, shape and camera as the artist has left them.

    Args:
        keep_pose: leaves every limb as it is; only place, turn and shape change.

    Raises:
        ValueError: there is no fitted body yet, or it moves already.
    """
    scene = scene or bpy.context.scene
    photo = photos.photo_of(scene, number)
    inputs = {"photo": photo_inputs.pixels(photo), **photo_inputs.corrected_fit(scene, photo)}
    values = _params(scene, "fit", params)
    if keep_pose:
        values["keep_pose"] = True
    if photo != scene.understudy:
        values["keep_shape"] = True  # one person has one shape: the first photo's
    return start_job(scene, "fit", "fit", inputs, values, photo=photo.photo)


def show_photo(scene: bpy.types.Scene | None = None, number: int = 0, *, pose: bool = False) -> None:
    """Shows a photo with its body before it, through the photo's camera; the bodies of other photos hide meanwhile.

    How they are laid over each other is `scene.understudy.photo_style` and `photo_opacity`. The scene's camera and
    resolution are not touched.

    Args:
        pose: also enters Pose Mode on the body.

    Raises:
        ValueError: the photo is not fitted yet.
    """
    scene = scene or bpy.context.scene
    photo_view.show(scene, number)
    body = photos.photo_of(scene, photo_view.shown(scene)).photo_body
    modes.enter(scene, armature_of(body), "POSE" if pose else "OBJECT")
    photo_window.look(scene, bpy.context)


def hide_photo(scene: bpy.types.Scene | None = None) -> None:
    """Ends `show_photo`: objects and 3D views are as they were before. Corrections of pose and shape stay."""
    photo_end.end(scene or bpy.context.scene)


def work_on_photo(scene: bpy.types.Scene, number: int) -> None:
    """Shows another photo in place of the one that is shown; where that is not fitted, none. Nothing where none is."""
    shown = photo_view.shown(scene)
    if not shown or shown == number:
        return
    photo = photos.photo_of(scene, number)
    if photo.photo_body is None or photo.photo_camera is None:
        hide_photo(scene)
    else:
        show_photo(scene, number)


def photo_shown(scene: bpy.types.Scene | None = None) -> int:
    """The number of the photo that is shown; 0 where none is."""
    return photo_view.shown(scene or bpy.context.scene)


def lies_on_person(scene: bpy.types.Scene | None = None, number: int = 0) -> float:
    """How much of the body lies on the person's mask, from 0 to 1: a quick measure while correcting by hand.

    Raises:
        ValueError: the photo is not fitted yet.
    """
    scene = scene or bpy.context.scene
    photo = photos.photo_of(scene, number)
    mask, fit = photo_inputs.mask(photo), photo_inputs.fit(scene, photo)
    with scene_aside(scene, [photo.photo_body]) as aside:
        body = photo.photo_body.evaluated_get(at_frame(aside, scene.frame_current))
        places = np.empty(len(body.data.vertices) * 3, np.float32)
        body.data.vertices.foreach_get("co", places)
        world = np.array(body.matrix_world)
    points, _ = project(places.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3], fit["extrinsics"], fit["intrinsics"])
    width, height = photo.photo.size
    cells = np.floor(points / [width, height] * [mask.shape[1], mask.shape[0]]).astype(int)
    inside = ((cells >= 0) & (cells < [mask.shape[1], mask.shape[0]])).all(1)
    hit = np.zeros(len(cells), bool)
    hit[inside] = mask[cells[inside, 1], cells[inside, 0]] > 127
    return float(hit.mean())


def paint_mask(scene: bpy.types.Scene | None = None, number: int = 0) -> bpy.types.Image:
    """Opens the person's mask in an Image Editor to be painted on: what is made transparent is not the person.

    Returns:
        The mask, also where Blender has no window.

    Raises:
        ValueError: there is none yet.
    """
    scene = scene or bpy.context.scene
    photo = photos.photo_of(scene, number)
    if photo.photo_mask is None:
        raise ValueError("There is no mask of the person: fit the photo first")
    painting.paint_mask(scene, photo.photo_mask, scene.understudy.photo_body, bpy.context)
    return photo.photo_mask


def stop_painting_mask(scene: bpy.types.Scene | None = None, number: int = 0) -> None:
    """Ends `paint_mask`: closes the Image Editor, if that was opened for the mask."""
    mask = photos.photo_of(scene or bpy.context.scene, number).photo_mask
    if mask is not None:
        painting.stop_painting_mask(mask, bpy.context)


def painting_mask(scene: bpy.types.Scene | None = None, number: int = 0) -> bool:
    """Whether the artist paints on the mask of the person just now, in the window of the context."""
    mask = photos.photo_of(scene or bpy.context.scene, number).photo_mask
    return mask is not None and painting.painting_mask(mask, bpy.context)


def mask_brush(scene: bpy.types.Scene | None = None) -> bpy.types.Brush | None:
    """The brush in hand, where it takes away from a mask or brings back; its `blend` says which."""
    return painting.mask_brush(scene or bpy.context.scene)


def make_texture(
    scene: bpy.types.Scene | None = None,
    params: Mapping | None = None,
    *,
    fill_in: bool = True,
    keep_painted: bool = True,
) -> Job:
    """Makes the texture of the person from all fitted photos, their masks and fits, and puts it onto the fitted bodies
    and, where it is another one, the scene's body.

    Args:
        fill_in: completes what the photos do not show. Without it the texture is transparent there, to be looked at and
            painted on; what is painted then counts as seen when it is made again with `fill_in`.
        keep_painted: texels that were painted on the texture as it was made last are kept.

    Raises:
        ValueError: the first photo is not fitted yet.
    """
    scene = scene or bpy.context.scene
    inputs, left_out = photo_inputs.for_texture(scene)
    store_fit(scene.understudy.photo_body, inputs)  # frames are made with the same
    values = _params(scene, "threedhm_texture", params)
    if not fill_in:
        values["fill_in"] = False
    painted = painted_texels(scene) if keep_painted else None
    if painted is not None:
        inputs["painted"] = painted
    side = int(values.get("texture_size", 1024))
    job = start_job(scene, "threedhm_texture", "texture", inputs, values, size=(side, side), body=scene.understudy.body)
    for number in left_out:
        job.say(f"Photo {number} is not fitted yet and was left out")
    return job


def painted_texels(scene: bpy.types.Scene | None = None) -> NDArray[np.uint8] | None:
    """What the artist has painted on the texture since it was made, and before: (S, S, 4) with alpha 0 elsewhere. None
    where nothing was painted, or nobody knows because the folder of the take that made it is gone.

    Raises:
        ValueError: there is no fitted body.
    """
    scene = scene or bpy.context.scene
    body = _textured_body(scene)
    image = texture_image(body)
    job = current().jobs.get(results.made_by(image)) if image is not None else None
    if job is None:
        return None
    try:
        made = results.shown_texture(results.kept_result(job))
    except ValueError:
        return None
    now = get_texture(body)
    earlier = take_files.load_inputs(job.folder, job.spec.inputs).get("painted")
    out = np.zeros_like(now) if earlier is None else _nearest(earlier, len(now))
    if len(made) == len(now):
        changed = (now != made).any(-1)
        out[changed] = now[changed]
    return out if out[..., 3].any() else None


def paint_texture(scene: bpy.types.Scene | None = None) -> bpy.types.Image:
    """Enters Texture Paint on the body, with its texture as the canvas. What is painted is saved with the .blend.

    Raises:
        ValueError: there is no texture yet, or the body has another material. RuntimeError: the body is hidden.
    """
    scene = scene or bpy.context.scene
    body = _textured_body(scene)
    image = texture_image(body)
    if image is None:
        raise ValueError(f'"{body.name}" has a material of your own: paint on its images, or make the texture again')
    if not results.made_by(image) and max(image.size) < 64:
        raise ValueError("There is no texture yet: make it first")
    painting.paint_body(scene, body, image)
    return image


def stop_painting(scene: bpy.types.Scene | None = None) -> None:
    """Leaves Texture Paint; 3D views are shaded as before."""
    scene = scene or bpy.context.scene
    painting.stop_painting(scene, _textured_body(scene))


def painting_texture(scene: bpy.types.Scene | None = None) -> bool:
    """Whether the artist paints on the texture just now."""
    settings = (scene or bpy.context.scene).understudy
    body = settings.photo_body or settings.body
    return body is not None and painting.painting(body)


def reset_texture(scene: bpy.types.Scene | None = None) -> None:
    """Brings the texture back as it was made last, without what was painted on it since.

    Raises:
        ValueError: none was made, or its folder is gone.
    """
    scene = scene or bpy.context.scene
    body, job = _textured_body(scene), _made(scene)
    results.mark_made(set_texture(body, results.shown_texture(results.kept_result(job))), job.take)


def view_texture(stage: Stage, scene: bpy.types.Scene | None = None) -> bpy.types.Image:
    """Opens in an Image Editor what the photos show of the texture (PARTIAL), or how squarely they show it: white where
    the photo looks straight at the surface, black where it does not see it (VISIBILITY).

    Raises:
        ValueError: no texture was made, or its folder is gone. OSError: the picture cannot be written there.
    """
    scene = scene or bpy.context.scene
    job = _made(scene)
    arrays = results.kept_result(job)
    name = stage.lower()
    if name not in arrays:
        raise ValueError(f"The backend sent no {name}: update it to the version of the extension")
    pixels = arrays[name]
    if stage == "VISIBILITY":
        grey = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
        pixels = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    path = job.folder / f"{name}.png"
    png.write_atomically(path, png.encode(np.ascontiguousarray(pixels), level=1))
    image = bpy.data.images.load(str(path), check_existing=True)
    image.reload()
    painting.show_image(image, bpy.context)
    return image


def _params(scene: bpy.types.Scene, method: str, given: Mapping | None) -> dict:
    return dict(params_of(scene, method) if given is None else given)


def _textured_body(scene: bpy.types.Scene) -> bpy.types.Object:
    body = scene.understudy.photo_body or scene.understudy.body
    if body is None:
        raise ValueError("There is no body: fit a photo first")
    return body


def _made(scene: bpy.types.Scene) -> Job:
    image = texture_image(_textured_body(scene))
    job = current().jobs.get(results.made_by(image)) if image is not None else None
    if job is None:
        raise ValueError("No texture was made for this body: make it first")
    return job


def _nearest(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A square image at another size, each texel the nearest one of the given."""
    places = (np.arange(side) + 0.5) * len(pixels) / side
    return np.ascontiguousarray(pixels[np.ix_(places.astype(int), places.astype(int))])
