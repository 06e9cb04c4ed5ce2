# SPDX-License-Identifier: GPL-3.0-or-later
"""The person in the scene's own render: passes of a take as files, and the nodes that lay them over the scene."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import bpy
import numpy as np
from bpy.types import Object, Scene
from understudy_shared.frames import Channel

from ..link.jobs import Job
from ..link.session import current
from ..render import pass_files, scene_light
from ..render.choose import lights, occluders
from ..render.conditions import frame_geometry
from ..render.pass_desk import PassDesk
from ..render.pass_saving import FileFormat, PassSaving, file_number, subjects
from ..scene import compositor, compositor_body
from ..scene.body_parts import is_body, mesh_of
from ..scene.camera import picture_size, read_camera
from ..timeline import placeholder
from .versions import take_in_hand

Shadow = Literal["AUTO", "GROUND", "SCENE", "NONE"]

NEEDED = ("beauty", "depth")
"""The passes that the nodes cannot do without."""

_MISSING = "passes_missing.png"
_LOOKS = 5
"""At so many frames of a shot it is looked where the body is."""

DESK = PassDesk(
    lambda saving: current().jobs.get(saving.job.take) is saving.job, lambda saving: compositor.refresh(saving.job.take)
)
"""The passes that are being saved; `register` has nothing to do for it, `unregister` calls its `stop`."""


@dataclass(frozen=True)
class Composite:
    """What `build_compositor` has done."""

    take: Job
    saving: PassSaving
    """Of the passes; in a window it goes on by itself."""
    ground: Object | None
    """The ground that takes the shadow, where there is one."""
    notes: tuple[str, ...]
    """Sentences for the artist."""


def save_passes(
    take: Job | None = None,
    passes: Iterable[str] = pass_files.PASSES,
    *,
    file_format: FileFormat = "EXR",
) -> PassSaving:
    """Saves passes of a take beside its frames, frame by frame; what is there and still right is left as it is.

    In a window it goes on by itself; a script without one calls `wait` of what this returns.

    Args:
        take: default: the one in hand, see `take_in_hand`.
        passes: of "beauty", "alpha" (the finished frame), "intermediate", "depth", "normal", "uv", "mask" (the body, as
            Blender renders it from the scene as it is now).
        file_format: "EXR": one multilayer file for each frame. "PNG": one file for each frame and pass. See
            `render.pass_files` for units and axes.

    Raises:
        ValueError: there is no take or no such pass, or scene, body or camera of the take were deleted.
    """
    saving = PassSaving(take or _in_hand(), tuple(passes), file_format, held=lambda: current().lock.held)
    DESK.begin(saving)
    return saving


def saved_passes(take: Job) -> PassSaving | None:
    """The last saving of passes of a take in this session: how far it is. None where there was none."""
    return DESK.of(take.take)


def cancel_passes(take: Job | None = None) -> int:
    """Stops saving the passes of a take, default: of all. What is written stays. Returns how many were stopped."""
    running = [saving for saving in DESK.running() if take is None or saving.job is take]
    for saving in running:
        saving.cancel()
        DESK.ended(saving)
    return len(running)


def build_compositor(
    take: Job | None = None,
    *,
    shadow: Shadow = "AUTO",
    match_light: bool = True,
) -> Composite:
    """Lays the person of a take over the scene's own render, by nodes in the scene's compositor.

    The scene hides the person where it is nearer. A frame that is missing shows a magenta cross. Passes that are not
    saved yet are saved: see `save_passes`. Called again, it brings the nodes up to date; what the artist has set on
    them stays.

    Args:
        take: default: the one in hand, see `take_in_hand`.
        shadow: who takes the shadow that the body throws. "SCENE": what there is. "GROUND": a ground that takes nothing
            but shadows is added under the feet. "AUTO": the ground where nothing is below the feet. "NONE": no shadow.
        match_light: multiply the person's colour by the light of the scene where the body is, measured once; the
            factor is `Gain` on the node. One that the artist has set stays.

    Raises:
        ValueError: there is no take, or it has no frame yet; scene, body or camera were deleted; the scene renders
            through another camera. RuntimeError: Blender renders, or the first frame's passes cannot be made. OSError:
            they cannot be written.
    """
    take = take or _in_hand()
    session = current()
    if session.lock.held:
        raise RuntimeError("Blender is rendering or saving: build the nodes afterwards")
    take.scan()
    if not take.finished:
        raise ValueError(f"{take.record.title} has no finished frame yet: wait for the first")
    scene, body, camera = _things(take)
    if scene.camera is None:
        scene.camera = camera
    elif scene.camera != camera:
        raise ValueError(
            f'The scene renders through "{scene.camera.name}", the take was made with "{camera.name}": '
            "make that the scene's camera, or render a take with the other"
        )
    notes = []
    saving = save_passes(take, _wanted(take))
    saving.first()
    placeholder_file = take.folder / _MISSING
    placeholder.ensure(take.folder, take.spec.size, [placeholder.missing(None)])
    if not placeholder_file.is_file():
        placeholder_file.write_bytes((take.folder / placeholder.missing(None)).read_bytes())
    ground = _shadow(take, scene, body, camera, shadow)
    if ground is not None and not scene.render.film_transparent:
        notes.append("A ground takes the shadow. Switch on Film, Transparent to lay all of it over a photo or film")
    gain = _light(take, scene, body, camera, notes) if match_light else None
    editor = scene.sequence_editor
    had_strips = scene.render.use_sequencer and editor is not None and len(editor.strips) > 0
    compositor.build(scene, _described(take, scene, camera), gain)
    if had_strips:
        notes.append("The scene renders its nodes now, not its sequencer")
    if take.absent:
        count = len(take.absent)
        lacking = "One frame of the take is" if count == 1 else f"{count} frames of the take are"
        notes.append(f"{lacking} missing: a cross shows there")
    if scene.view_settings.view_transform not in ("Standard", "Raw"):
        notes.append(
            f"The view transform {scene.view_settings.view_transform} changes the colours of person and scene alike"
        )
    return Composite(take, saving, ground, tuple(notes))


def remove_compositor(scene: Scene | None = None, shot: str = "") -> int:
    """Takes the nodes away again, the ground too, and shows the body as before; files stay. Returns of how many shots.

    Args:
        scene: default: the one that the artist sees.
        shot: the key of one shot (`Job.shot`), default: all.
    """
    scene = scene or bpy.context.scene
    assert scene is not None
    count = 0
    for key in [shot] if shot else compositor.shots(scene):
        count += compositor.remove(scene, key)
        compositor_body.remove_ground(scene, key)
    left = {mesh_of(body).name for key in compositor.shots(scene) for body in _bodies(key)}
    for mesh in {mesh_of(obj) for obj in scene.objects if is_body(obj)}:
        if mesh.name not in left:
            compositor_body.show(mesh)
    return count


def composited(scene: Scene | None = None) -> list[str]:
    """The keys of the shots (`Job.shot`) that a scene composites."""
    return compositor.shots(scene or bpy.context.scene)


# -- inside


def _in_hand() -> Job:
    take = take_in_hand()
    if take is None:
        takes = [job for job in current().jobs if job.record.role == "frames"]
        if len(takes) != 1:
            raise ValueError("Select the strip of a take first" if takes else "Render a first take")
        take = takes[0]
    return take


def _things(take: Job) -> tuple[Scene, Object, Object]:
    record = take.record
    if record.role != "frames":
        raise ValueError(f"{record.title} is no take: it has no frames")
    if record.driving is not None:
        raise ValueError(f"{record.title} was driven by a clip, not by the scene: lay its strip over others instead")
    return subjects(take)


def _bodies(shot: str) -> list[Object]:
    """The bodies of a shot's takes."""
    found = [job.record.body.find() for job in current().jobs.of_shot(shot) if job.record.body]
    return [body for body in found if isinstance(body, Object)]


def _wanted(take: Job) -> tuple[str, ...]:
    """All passes, unless a saving of some is under way that has what the nodes need."""
    running = DESK.of(take.take)
    chosen = running.passes if running is not None and running.running and running.file_format == "EXR" else ()
    return chosen if set(NEEDED) <= set(chosen) else pass_files.PASSES


def _described(take: Job, scene: Scene, camera: Object) -> compositor.Take:
    folder, numbers = take.record.folder, take.numbers
    files = (pass_files.exr_name(file_number(take, number)) for number in numbers)
    first = next(name for name in files if (take.folder / name).is_file())
    full = picture_size(scene)
    ours = read_camera(camera, scene, [numbers[0]], take.spec.size).intrinsics[0, 0, 0]
    theirs = read_camera(camera, scene, [numbers[0]], full).intrinsics[0, 0, 0]
    fitted = min(full[0] / take.spec.size[0], full[1] / take.spec.size[1])
    return compositor.Take(
        key=take.take,
        shot=take.shot,
        title=take.record.title,
        first_file=f"{folder}/{first}",
        missing_file=f"{folder}/{_MISSING}",
        frames=(numbers[0], numbers[-1]),
        file_shift=file_number(take, 0),
        scale=float(theirs / ours / fitted),
    )


def _shadow(take: Job, scene: Scene, body: Object, camera: Object, shadow: Shadow) -> Object | None:
    compositor_body.hide(body, shadow=shadow != "NONE")
    ground = compositor_body.ground_of(scene, take.shot)
    if shadow in ("NONE", "SCENE"):
        compositor_body.remove_ground(scene, take.shot)
        return None
    if ground is not None:
        return ground
    points = _where(take, scene, body, camera)
    feet = points[np.argmin(points[:, 2])]
    solid = {obj.name for obj in occluders(scene, body)}
    if shadow == "AUTO" and compositor_body.stands_on_something(scene, feet, solid):
        return None
    made = compositor_body.ensure_ground(scene, take.shot, points.min(0), points.max(0))
    with contextlib.suppress(RuntimeError):  # without Cycles there is EEVEE's shadow, too dark or too light
        around = [*occluders(scene, body), *lights(scene)]
        level = scene_light.brightness(scene, made, camera, _middle(take), take.spec.size, around)
        compositor_body.set_brightness(made, level)
    return made


def _middle(take: Job) -> int:
    """The frame in the middle of a shot."""
    return take.numbers[len(take.numbers) // 2]


def _where(take: Job, scene: Scene, body: Object, camera: Object) -> np.ndarray:
    """(N, 3) points of the body at some frames of the shot: vertices, or joints where modifiers change the mesh."""
    numbers = take.numbers
    found = []
    for i in sorted({round(i) for i in np.linspace(0, len(numbers) - 1, _LOOKS)}):
        try:
            found.append(frame_geometry(body, camera, scene, numbers[i], take.spec.size).channels[Channel.VERTICES])
        except ValueError:
            found.append(np.array([tuple(body.matrix_world @ v.co) for v in body.data.vertices], np.float32))
    return np.concatenate(found)


def _light(
    take: Job, scene: Scene, body: Object, camera: Object, notes: list[str]
) -> tuple[float, float, float] | None:
    if not compositor.wants_gain(scene, take.shot):
        return None
    around = [*occluders(scene, body), *lights(scene)]
    try:
        return scene_light.gain(scene, body, camera, _middle(take), take.spec.size, around)
    except RuntimeError as error:
        notes.append(f"The light was not matched: {error}")
        return None
