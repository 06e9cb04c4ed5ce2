# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends the look at a photo: all that it changed in the scene and its views is as before."""

from __future__ import annotations

from bpy.types import Object, Scene

from . import modes, photo_view, photo_window, photos
from .body_parts import armature_of


def end(scene: Scene) -> None:
    """Objects and 3D views as they were before a photo was shown. Corrections of pose and shape stay."""
    number = photo_view.shown(scene)
    body = photos.photo_of(scene, number).photo_body if number else None
    if body is not None and armature_of(body).mode == "POSE":
        modes.enter(scene, armature_of(body), "OBJECT")
    photo_view.hide(scene)
    photo_window.look_back()


def let_move(scene: Scene, body: Object) -> None:
    """Ends it where it holds a body back from its motion, so that a take shows that."""
    if photo_view.paused(body):
        end(scene)
