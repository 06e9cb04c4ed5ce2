# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the way of the next step, in the artist's words, and the one click that mends it.

Nothing here draws, changes anything or touches the disk: it is asked at every redraw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import bpy
from understudy_shared.protocol.description import MethodDescription, WeightsDescription
from understudy_shared.protocol.security import is_private

from .. import preferences
from ..api import settings as api_settings
from ..api.takes import driven_by_strip
from ..link.local_backend import BackendState
from ..link.session import Session
from ..preferences import Known
from ..scene import photos
from ..scene.body_parts import armature_of
from ..scene.material import texture_image

Goal = Literal["fit", "texture", "render"]

_PLAIN_SIZE = 8
"""Side in pixels of the grey texture that a body has before it is given one."""


@dataclass(frozen=True)
class Obstacle:
    """Something in the way, and how to go on."""

    sentence: str
    """Without a full stop. Words to be put in are in `values`, so that the sentence can be translated."""
    operator: str = ""
    """Of the button that mends it; empty where there is nothing to do but wait."""
    label: str = ""
    """Of the button; empty: the operator's own."""
    options: Mapping[str, str] = field(default_factory=dict)
    """The operator's properties."""
    blocking: bool = True
    """Without it the step cannot be done; else it is advice."""
    values: tuple[object, ...] = ()


def readiness(
    scene: bpy.types.Scene, session: Session, goal: Goal = "render", known: Known | None = None
) -> list[Obstacle]:
    """What is in the way of a goal, the first thing to do first. Empty: go.

    Args:
        scene: with its settings.
        session: connection, backend, jobs and methods.
        goal: fit the photo, make the texture, or render frames.
        known: what is set of the way to a backend; default: the preferences.
    """
    known = preferences.known() if known is None else known
    found = list(_backend(session, known))
    if goal == "fit":
        if photos.photo_of(scene).photo is None:
            found.append(Obstacle("There is no photo yet", "understudy.load_photo"))
        found += _running(session, scene, "fit", "The photo is being fitted")
    elif goal == "texture":
        found += _fitted(scene, session)
        found += _running(session, scene, "texture", "The texture is being made")
    else:
        found += _render(scene, session)
    return found


def has_texture(body: bpy.types.Object | None) -> bool:
    """Whether a body shows more than the plain grey."""
    image = texture_image(body) if body is not None else None
    return image is not None and image.size[0] > _PLAIN_SIZE


def has_camera(scene: bpy.types.Scene) -> bool:
    """Whether the shot has a camera of its own: not none, and not merely the photo's."""
    settings = scene.understudy
    return settings.camera is not None or (scene.camera is not None and scene.camera != settings.photo_camera)


def moves(body: bpy.types.Object) -> bool:
    """Whether a body has a motion."""
    animation = armature_of(body).animation_data
    return animation is not None and animation.action is not None


def missing_weights(description: MethodDescription) -> list[WeightsDescription]:
    """The sets of weights that a method lacks; none where it has one that it can use."""
    if any(weights.available for weights in description.weights):
        return []
    return list(description.weights)


def _backend(session: Session, known: Known) -> Iterator[Obstacle]:
    state = session.backend.state
    if session.pump.online:
        return
    if state is BackendState.STARTING:
        yield Obstacle("The local backend is starting")
    elif state is BackendState.STOPPING:
        yield Obstacle("The local backend is stopping")
    elif state is BackendState.DIED:
        yield Obstacle("The local backend has ended", "understudy.start_local_backend", "Start It Again")
    elif session.pump.link is not None:
        yield Obstacle("Waiting for the backend to answer")
    elif known.address and not is_private(known.address) and not bpy.app.online_access:
        yield Obstacle(
            "The backend is on another computer, and online access is off",
            "understudy.show_preferences",
            "Allow Online Access",
            {"page": "SYSTEM"},
        )
    elif known.address:
        yield Obstacle("The backend is not connected", "understudy.connect")
    elif known.python:
        yield Obstacle("The backend does not run", "understudy.start_local_backend")
    else:
        yield Obstacle("No backend is set up yet", "understudy.show_preferences", "Set Up", {"page": "UNDERSTUDY"})


def _fitted(scene: bpy.types.Scene, session: Session) -> Iterator[Obstacle]:
    settings = scene.understudy
    if settings.photo is None:
        yield Obstacle("There is no photo yet", "understudy.load_photo")
    elif settings.photo_body is None:
        waiting = list(_running(session, scene, "fit", "The photo is being fitted"))
        yield from waiting or [Obstacle("The photo is not fitted yet", "understudy.fit_photo")]


def _running(session: Session, scene: bpy.types.Scene, role: str, sentence: str) -> Iterator[Obstacle]:
    if any(job.record.role == role and job.record.scene.find() == scene for job in session.jobs.active()):
        yield Obstacle(sentence)


def _render(scene: bpy.types.Scene, session: Session) -> Iterator[Obstacle]:
    settings = scene.understudy
    name = api_settings.chosen_method(scene)
    known = session.method_book.methods
    description = next((each for each in known if each.name == name), None)
    if known and description is None:
        yield Obstacle('The backend lacks the method "{}": choose another', values=(name,))
    if description is not None:
        if missing_weights(description):
            if session.weights.running:
                yield Obstacle("The weights are being fetched", "understudy.cancel_weights")
            else:
                yield Obstacle("{} lacks its weights", "understudy.get_weights", values=(description.title,))
        multiple = description.size_multiple
        if settings.width % multiple or settings.height % multiple:
            yield Obstacle("Width and height must be multiples of {}", "understudy.round_size", values=(multiple,))
    needs = {need.name for need in description.needs if not need.optional} if description else {"photo", "texture"}
    if needs & {"photo", "photo_mask", "texture"}:
        yield from _imitator(scene, session, needs)
    if driven_by_strip(scene):
        if not settings.driving_strip:
            yield Obstacle("Choose the strip whose pictures move the photo")
        return
    if settings.body is None:
        yield Obstacle("There is no body to move", "understudy.import_motion")
        return  # a camera move is made around the body
    if not moves(settings.body):
        yield Obstacle("The body stands still", "understudy.import_motion", blocking=False)
    orbit = {"operator": "understudy.add_camera_rig", "label": "Add a Camera Orbit", "options": {"kind": "ORBIT"}}
    if settings.camera is None and scene.camera is None:
        yield Obstacle("There is no camera yet", **orbit)
    elif not has_camera(scene):
        yield Obstacle("The shot is seen as the photo is", **orbit, blocking=False)


def _imitator(scene: bpy.types.Scene, session: Session, needs: set[str]) -> Iterator[Obstacle]:
    settings = scene.understudy
    if needs & {"photo_mask", "texture"}:
        before = list(_fitted(scene, session))
        yield from before
        if before:
            return
        body = settings.body or settings.photo_body
        if "texture" in needs and not has_texture(body):
            waiting = list(_running(session, scene, "texture", "The texture is being made"))
            yield from waiting or [Obstacle("The body has no texture yet", "understudy.make_texture")]
    elif settings.photo is None:
        yield Obstacle("There is no photo yet", "understudy.load_photo")
