# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes as versions of a shot: which one a strip shows, and how to make another from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import bpy
from numpy.typing import NDArray

from ..link.driving import source_of
from ..link.jobs import Job
from ..link.session import current
from ..link.shots import stands_for
from ..scene.body_parts import mesh_of
from ..timeline import selection, strip
from ..timeline.compat import sequencer_scene
from .takes import Again, render


def takes_of(found: bpy.types.Strip) -> list[Job]:
    """The takes that a strip can show, oldest first; none for a strip that is not of Understudy."""
    jobs = current().jobs
    shot = selection.shot_of(found, jobs)
    return jobs.of_shot(shot) if shot else []


def take_in_hand(sequencer: bpy.types.Scene | None = None) -> Job | None:
    """The take that the artist is about to work on: that of `strip_in_hand`; None where there is none."""
    found = strip_in_hand(sequencer)
    return selection.take_of(found, current().jobs) if found is not None else None


def strip_in_hand(sequencer: bpy.types.Scene | None = None) -> bpy.types.Strip | None:
    """The strip that the artist is about to work on: the active one, else the topmost under the playhead, else the only
    one that there is; None where none of them shows a take.

    Args:
        sequencer: the scene whose sequencer it is; default: the one that the artist sees.
    """
    return selection.strip_in_hand(sequencer or sequencer_scene(bpy.context), current().jobs)


def choose_take(found: bpy.types.Strip, take: Job) -> None:
    """Makes a strip show another take of its shot. Place, trim, transform and effects of the strip stay.

    A take of the shot that is still to come does not take the strip over any more: the artist has chosen.

    Raises:
        ValueError: the strip is not of that take's shot. RuntimeError: Blender renders or saves.
    """
    session = current()
    if take not in takes_of(found):
        raise ValueError(f'"{found.name}" is not a strip of the shot of {take.record.title}')
    if session.lock.held:
        raise RuntimeError("Blender is rendering or saving: choose the take afterwards")
    shown = {found[strip.TAKE], take.take}
    for job in session.jobs.of_shot(take.shot):
        if not job.record.placed and shown & stands_for(job, session.jobs):
            job.record.placed = True
    before = session.jobs.get(found[strip.TAKE])
    strip.show(take, found, session.jobs)
    take.record.placed, take.in_line, take.stale = True, 0, True
    if before is not None:
        before.stale = True
    session.jobs.write()


def render_again(
    take: Job,
    frames: Iterable[int] | None = None,
    *,
    changed: bool = False,
    method: str = "",
    params: Mapping | None = None,
    seed: int | None = None,
    inputs: Mapping[str, NDArray] | None = None,
    new_strip: bool = False,
) -> Job:
    """Makes another take of a shot, from the scene as it is now. The given take stays as it was.

    Args:
        take: what is made again; its body and camera, or its clip, and its frames count, all else is as the scene says
            now.
        frames: numbers of the frames that are made again; the others are taken over. Default: all.
        changed: make only those that differ from the take's: because the body, the camera, the texture or a setting is
            another now. What has not changed is taken over.
        method: as in `api.render`, and so are the following.
        params: see `api.render`.
        seed: see `api.render`.
        inputs: see `api.render`.
        new_strip: see `api.render`.

    Raises:
        ValueError: scene, body or camera of the take were deleted, or none of its frames is chosen; and as
            `api.render`.
    """
    record = take.record
    if record.role != "frames":
        raise ValueError(f"{record.title} is no take: it has no frames")
    scene, body, camera = _scene_of(take)
    clip = record.driving
    chosen = None
    if frames is not None:
        chosen = frozenset(frames) & set(take.numbers)
        if not chosen:
            span = f"{take.numbers[0]} to {take.numbers[-1]}"
            raise ValueError(f"{record.title} has the frames {span}: choose some of them")
    sequencer = record.sequencer.find()
    shot = record.spec.frames
    return render(
        scene,
        method=method,
        body=body,
        camera=camera,
        driving=source_of(clip) if clip else "",
        frames=(shot.start, shot.end, shot.step),
        # frames of two sizes do not go into one take
        size=record.spec.size if chosen is not None else None,
        seed=seed,
        params=params,
        inputs=inputs,
        sequencer=sequencer if isinstance(sequencer, bpy.types.Scene) else scene,
        new_strip=new_strip,
        again=Again(take, chosen, changed),
    )


def selected_frames(take: Job) -> list[int]:
    """The frames of a take that the artist has chosen in the sequencer: those of the selected parts of its strip where
    it was cut or trimmed, else the one under the playhead.

    Raises:
        ValueError: neither is there.
    """
    sequencer = take.record.sequencer.find()
    if not isinstance(sequencer, bpy.types.Scene):
        raise ValueError(f"The scene with the strip of {take.record.title} was deleted")
    return selection.selected_numbers(sequencer, take)


def redo(take: Job) -> bpy.types.Scene:
    """Puts the settings of a take back into its scene, ready to be changed and rendered: method and its settings, seed,
    size, frames, body and camera, or the strip that drove it. Returns the scene.

    Raises:
        ValueError: scene, body or camera were deleted, or the backend has the method no more.
    """
    from . import settings as choices

    record = take.record
    if record.role != "frames":
        raise ValueError(f"{record.title} is no take: it has no settings of a shot")
    scene, body, camera = _scene_of(take)
    choices.set_method(scene, record.spec.method)
    choices.set_params(scene, record.spec.method, record.spec.params)
    settings, spec = scene.understudy, record.spec
    settings.seed = spec.seed
    settings.width, settings.height = spec.size
    if record.driving is not None:  # the clip has its own frames
        settings.driving, settings.driving_strip = "STRIP", record.driving.strip
        return scene
    assert body is not None
    settings.driving = "BODY"
    settings.body, settings.camera = mesh_of(body), camera
    scene.frame_start, scene.frame_end, scene.frame_step = spec.frames.start, spec.frames.end, spec.frames.step
    return scene


def _scene_of(take: Job) -> tuple[bpy.types.Scene, bpy.types.Object | None, bpy.types.Object | None]:
    """Scene, body and camera of a take; without the latter two where a clip drives it."""
    record = take.record
    scene = record.scene.find()
    body = record.body.find() if record.body else None
    camera = record.camera.find() if record.camera else None
    needed = ((scene, "scene"),) if record.driving else ((scene, "scene"), (body, "body"), (camera, "camera"))
    for thing, what in needed:
        if thing is None:
            raise ValueError(f"The {what} of {record.title} was deleted: undo that, or render a new take")
    assert isinstance(scene, bpy.types.Scene)
    assert body is None or isinstance(body, bpy.types.Object)
    assert camera is None or isinstance(camera, bpy.types.Object)
    return scene, body, camera
