# SPDX-License-Identifier: GPL-3.0-or-later
"""Body and photo shown together: there pose and shape are corrected by hand.

Nothing of the shot is touched, neither the scene's camera nor its resolution: the 3D view looks through a camera of its
own (see `photo_window`). A body that has a motion stands in its photo's pose meanwhile, and moves on afterwards.
"""

from __future__ import annotations

import bpy
from bpy.types import Object, Scene

from .background import frame_photo
from .body_parts import armature_of
from .motion import set_pose
from .photo import moves, read_fit, store_fit, stored_fit
from .photos import current_number, numbers, objects_of, photo_of

STYLES = (
    ("OVER", "Photo over Body", "The photo lies half transparent over the body"),
    ("BEHIND", "Photo behind Body", "The body hides the photo"),
    ("BONES", "Bones over Photo", "The photo alone, with the body's bones over it"),
)
"""For an enumeration property."""

_SHOWN = "understudy_photo_shown"
"""Custom property of a scene: the number of the photo that is shown."""

_BEFORE = "understudy_before"
"""Custom property of an object, while a photo is shown: what it was like before."""


def show(scene: Scene, number: int = 0) -> None:
    """Shows a photo's body before its photo, in the pose of the photo, and hides the bodies of the others.

    Args:
        scene: whose photo.
        number: which; 0 for the one that is worked on.

    Raises:
        ValueError: there is none of that number, or it is not fitted.
    """
    photo = photo_of(scene, number)
    number = number or current_number(scene)
    body, camera = photo.photo_body, photo.photo_camera
    if body is None or camera is None or photo.photo is None:
        raise ValueError("Fit the photo first" if number == 1 else f"Fit photo {number} first")
    if moves(body) and stored_fit(body) is None:
        raise ValueError(f'"{body.name}" has a motion and came from no photo: fit the photo again')
    if shown(scene):
        hide(scene)
    for obj in _others(scene, number):
        _remember(obj)
        obj.hide_viewport = True
    for obj in objects_of(photo):
        _remember(obj)
        obj.hide_viewport = False
    if moves(body):
        _stand(body)
    frame_photo(scene, camera, photo.photo)
    scene.understudy.photo_number = number
    scene[_SHOWN] = number
    restyle(scene)


def hide(scene: Scene) -> None:
    """Brings all objects back as they were before `show`. Corrections stay: those of a moving body's photo pose too."""
    number = shown(scene)
    if number:
        _keep_correction(scene, number)
    for obj in bpy.data.objects:
        if _BEFORE in obj:
            _restore(obj)
    if _SHOWN in scene:
        del scene[_SHOWN]


def shown(scene: Scene) -> int:
    """The number of the photo that is shown; 0 where there is none."""
    number = scene.get(_SHOWN, 0)
    return number if number in numbers(scene) else 0


def paused(body: Object) -> bool:
    """Whether a body that has a motion stands in its photo's pose just now."""
    before = armature_of(body).get(_BEFORE)
    return before is not None and before.get("action") is not None and not moves(body)


def restyle(scene: Scene) -> None:
    """Shows body and photo in the style of the scene's settings, where they are shown."""
    settings, number = scene.understudy, shown(scene)
    if not number:
        return
    photo = photo_of(scene, number)
    style = settings.photo_style
    if photo.photo_body is not None:
        photo.photo_body.hide_viewport = style == "BONES"
    if photo.photo_camera is not None:
        for background in photo.photo_camera.data.background_images:
            if background.image == photo.photo:
                background.display_depth = "FRONT" if style == "OVER" else "BACK"
                background.alpha = settings.photo_opacity if style == "OVER" else 1.0


def _others(scene: Scene, number: int) -> list[Object]:
    """What stands in the way: the bodies of the other photos, and the body that moves."""
    own = objects_of(photo_of(scene, number))
    found: list[Object] = []
    for other in numbers(scene):
        body = photo_of(scene, other).photo_body
        if body is not None:
            found += [body, armature_of(body)]
    if scene.understudy.body is not None:
        found += [scene.understudy.body, armature_of(scene.understudy.body)]
    return [obj for obj in dict.fromkeys(found) if obj not in own]


def _remember(obj: Object) -> None:
    if _BEFORE not in obj:
        obj[_BEFORE] = {"hide_viewport": obj.hide_viewport}


def _stand(body: Object) -> None:
    """Takes a body out of its motion and into the pose of its photo."""
    armature = armature_of(body)
    animation, fit = armature.animation_data, stored_fit(body)
    assert animation is not None and fit is not None
    slot = animation.action_slot.identifier if animation.action_slot else ""
    armature[_BEFORE] = {**armature[_BEFORE].to_dict(), "action": animation.action, "slot": slot}
    animation.action = None
    set_pose(armature, fit["global_orient"], fit["body_pose"], fit["transl"])


def _keep_correction(scene: Scene, number: int) -> None:
    photo = photo_of(scene, number)
    body = photo.photo_body
    if body is not None and photo.photo_camera is not None and not moves(body):
        try:
            store_fit(body, read_fit(scene, photo))
        except ValueError:
            return  # without a camera that can be read the last fit stays


def _restore(obj: Object) -> None:
    before = obj[_BEFORE]
    obj.hide_viewport = bool(before["hide_viewport"])
    action, animation = before.get("action"), obj.animation_data
    if action is not None and animation is not None and animation.action is None:  # or it has a new motion meanwhile
        animation.action = action
        slot = action.slots.get(before["slot"])
        if slot is not None:
            animation.action_slot = slot
    del obj[_BEFORE]
