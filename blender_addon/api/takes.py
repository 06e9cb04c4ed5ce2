# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs: starting, stopping, resuming and waiting for them. A job that makes frames is a take."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import bpy
from numpy.typing import NDArray
from understudy_shared.frames import Channel
from understudy_shared.job import FrameRange, JobSpec

from .. import preferences
from ..link import driving as clips
from ..link import folders, gather, shots, take_files
from ..link.disk import DiskError
from ..link.driving import Driving
from ..link.jobs import Job, Record, Role, Source, State
from ..link.ranges import to_ranges
from ..link.reference import REFERENCE, reference_frame, wants_reference
from ..link.refs import ref
from ..link.session import current
from ..scene.body_parts import mesh_of
from ..scene.photo_end import let_move
from ..timeline import selection, strip
from ..timeline.compat import sequencer_scene


class JobFailed(RuntimeError):
    """A job that was waited for did not end well; the message says why and what to do."""


@dataclass(frozen=True)
class Again:
    """A take that is another one with some frames made again."""

    base: Job
    frames: frozenset[int] | None = None
    """Those that are made again; the others are taken over. None: all."""
    only_changed: bool = False
    """Of those, the ones that differ from the base's."""


def render(
    scene: bpy.types.Scene | None = None,
    *,
    method: str = "",
    body: bpy.types.Object | None = None,
    camera: bpy.types.Object | None = None,
    driving: bpy.types.Strip | str | Path | None = None,
    frames: tuple[int, int, int] | None = None,
    size: tuple[int, int] | None = None,
    seed: int | None = None,
    params: Mapping | None = None,
    inputs: Mapping[str, NDArray] | None = None,
    sequencer: bpy.types.Scene | None = None,
    new_strip: bool = False,
    again: Again | None = None,
) -> Job:
    """Starts a take: frames of the person in the scene's motion and camera, as a strip that grows in the sequencer.

    The scene is read at once, frame by frame, so that the take shows it as it is now. Frames that the backend made
    before and that nothing has changed for are not made again. A take goes to the end of the queue.

    Takes of the same scene, body, camera and frames are versions of one shot. The first has a strip of its own; a later
    one is shown by that strip, in place of the earlier one, as soon as its first frame is there (see
    `api.choose_take`).

    Args:
        scene: default: the current one; what is left out below is taken from its settings.
        method: name of the backend's method.
        body: the body that moves.
        camera: a perspective camera.
        driving: for a method that pictures drive, a clip in place of body and camera: a movie or image strip, or the
            path of a movie, a picture, or one of a row of numbered pictures. A strip's pictures are those that it shows
            at each frame, trimmed and at its own speed, wherever it stands in the picture; a file's first is that of
            the first frame, and each frame has the next. "": the body, whatever the scene says.
        frames: (first, last, step); default: the scene's range, or that of the clip.
        size: (width, height) in pixels.
        seed: another one, another take.
        params: the method's parameters that differ from its defaults.
        inputs: arrays for the method in place of, or besides, the scene's photo, mask and texture.
        sequencer: the scene whose sequencer gets the strip; default: the one that the artist sees.
        new_strip: a strip of its own in any case, on a free channel.
        again: see `api.render_again`.

    Raises:
        ValueError: body, camera, photo, texture or pictures of the clip are missing, with what to do. OSError: the
            inputs cannot be kept.
    """
    from . import settings as choices

    scene = scene or bpy.context.scene
    settings = scene.understudy
    method = method or choices.chosen_method(scene)
    size = size or (settings.width, settings.height)
    if driving is None and driven_by_strip(scene, method):
        driving = _chosen_strip(scene)
    make = partial(_clip_job, driving=driving) if driving else partial(_body_job, body=body, camera=camera)
    return make(
        scene,
        method,
        frames,
        size,
        dict(inputs or {}),
        {
            "params": choices.params_of(scene, method) if params is None else params,
            "size": size,
            "seed": settings.seed if seed is None else seed,
            "sequencer": sequencer or sequencer_scene(bpy.context),
            "new_strip": new_strip,
            "again": again,
        },
    )


def driven_by_strip(scene: bpy.types.Scene, method: str = "") -> bool:
    """Whether a strip is to move the photo of a scene, so that neither body nor camera is needed: the scene says so,
    and the method, by default the scene's, is known to take pictures."""
    from . import settings as choices

    name = method or choices.chosen_method(scene)
    return scene.understudy.driving == "STRIP" and clips.takes_clip(choices.described(name))


def cancel(job: Job) -> None:
    """Stops a job; its finished frames stay in the strip. `resume` goes on with it.

    Raises:
        ValueError: it is no job of this file.
    """
    _require_ours(job)
    current().pump.cancel(job)


def cancel_all() -> int:
    """Stops all jobs of this file, and of no other. Returns how many there were."""
    active = current().jobs.active()
    for job in reversed(active):  # the last first: no other is begun meanwhile
        current().pump.cancel(job)
    return len(active)


def resume(job: Job) -> None:
    """Goes on with a job that was cancelled, failed, or left behind when the file was closed: only what is missing is
    made. Of a take that was to have only some frames, and has them, the others are made.

    Raises:
        ValueError: it is running or complete.
    """
    _require_ours(job)
    if job.state.active:
        raise ValueError(f"{job.record.title} is running already")
    if job.state is State.DONE:
        job.scan()
        if not job.absent:
            raise ValueError(f"{job.record.title} is complete: start a new take for another version")
        if not job.missing:
            job.record.leave = ()
    current().pump.begin(job)


def resume_all() -> list[Job]:
    """Goes on with all jobs that were cancelled, failed or left behind, in the order in which they stood in the queue.
    Returns them."""
    left = [job for job in current().jobs if job.state in (State.PAUSED, State.CANCELLED, State.FAILED)]
    for job in sorted(left, key=lambda job: job.record.turn):
        current().pump.begin(job)
    return left


def jobs() -> list[Job]:
    """The jobs of the file, oldest first."""
    return list(current().jobs)


def wait(job: Job, timeout: float = 3600.0) -> Job:
    """Waits for a job while moving it, and those before it in the queue; a window freezes meanwhile, so only scripts
    without one should.

    Raises:
        JobFailed: it failed or was cancelled, or there is no backend to make it. TimeoutError: it is not done after
            `timeout` seconds.
    """
    session = current()
    session.pump.run_until_done(timeout, [job], lambda: job.state.active and session.lost)
    session.pump.sender.settle()
    if job.state.active:
        raise JobFailed(f"{job.record.title} waits for a backend: {session.status}")
    if job.state is not State.DONE:
        raise JobFailed(str(job.problem or f"{job.record.title} was {job.state}"))
    return job


def start_job(
    scene: bpy.types.Scene,
    method: str,
    role: Role,
    inputs: dict[str, NDArray],
    params: Mapping | None = None,
    *,
    frames: FrameRange | None = None,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    body: bpy.types.Object | None = None,
    camera: bpy.types.Object | None = None,
    sequencer: bpy.types.Scene | None = None,
    driving: Driving | None = None,
    source: Source = "geometry",
    channels: tuple[str, ...] = (),
    new_strip: bool = False,
    again: Again | None = None,
    photo: bpy.types.Image | None = None,
) -> Job:
    """Makes a job of these values and puts it into the queue; see `render` for what they mean."""
    session = current()
    frames = frames or FrameRange(0, 0)
    sequencer = sequencer or scene
    if size is None:
        size = (inputs["photo"].shape[1], inputs["photo"].shape[0])
    kind = f"{scene.name} {'take' if role == 'frames' else role}"
    title = f"{kind} {shots.next_number(session.jobs, kind)}"
    take = uuid.uuid4().hex[:8]
    shot = replaces = ""
    if role == "frames":
        like = shots.shot_like(session.jobs, scene, sequencer, body, camera, frames, driving)
        shot = again.base.shot if again else like
        replaces = "" if new_strip else _shown(sequencer, shot)
    channel = 0
    if role == "frames" and not replaces:
        channel = strip.free_channel(sequencer, frames.start, frames.end + 1, session.jobs)
    folder, digests = _keep_inputs(title, take, inputs)
    record = Record(
        take=take,
        title=title,
        spec=JobSpec(method, frames, size, seed, dict(params or {}), digests),
        role=role,
        folder=folder,
        scene=ref("scenes", scene),
        sequencer=ref("scenes", sequencer),
        body=ref("objects", body) if body else None,
        camera=ref("objects", camera) if camera else None,
        photo=ref("images", photo) if photo else None,
        source=source,
        driving=driving,
        channels=channels,
        channel=channel,
        shot=shot or take,
        replaces=replaces,
        base=again.base.take if again else "",
        only_changed=again.only_changed if again else False,
        leave=_left_out(frames, again.frames) if again and again.frames is not None else (),
        asked=time.strftime("%Y-%m-%d %H:%M"),
    )
    job = Job(record)
    if role == "frames" and sequencer.view_settings.view_transform not in ("Standard", "Raw"):
        job.say(
            f"The view transform {sequencer.view_settings.view_transform} changes the strip's colours: use Standard"
        )
    session.jobs.add(job)
    session.pump.begin(job)
    return job


def _body_job(
    scene: bpy.types.Scene,
    method: str,
    frames: tuple[int, int, int] | None,
    size: tuple[int, int],
    inputs: dict[str, NDArray],
    rest: dict[str, Any],
    body: bpy.types.Object | None,
    camera: bpy.types.Object | None,
) -> Job:
    """A take of a body seen by a camera."""
    from . import settings as choices

    body = body or scene.understudy.body
    if body is None:
        raise ValueError("There is no body: fit a photo or import a motion first")
    body = mesh_of(body)
    let_move(scene, body)
    camera = camera or scene.understudy.camera or scene.camera
    if camera is None:
        raise ValueError("There is no camera: import one, or add one to the scene")
    start, end, step = frames or (scene.frame_start, scene.frame_end, scene.frame_step)
    description = gather.described(choices.methods(), method)
    needed = gather.inputs(description, scene, body, inputs)
    source, channels = gather.conditions(description, scene, body)
    if REFERENCE not in needed and wants_reference(description):
        needed[REFERENCE] = reference_frame(scene, body, camera, start, size)
    what = {"body": body, "camera": camera, "source": source, "channels": channels}
    return start_job(scene, method, "frames", needed, frames=FrameRange(start, end, step), **what, **rest)


def _clip_job(
    scene: bpy.types.Scene,
    method: str,
    frames: tuple[int, int, int] | None,
    size: tuple[int, int],
    inputs: dict[str, NDArray],
    rest: dict[str, Any],
    driving: bpy.types.Strip | str | Path,
) -> Job:
    """A take that a clip drives. Its reference is the clip's first picture, whichever frames are made."""
    from . import settings as choices

    description = gather.described(choices.methods(), method)
    clip = clips.clip_of(driving, frames[0] if frames else scene.frame_start, description, size)
    first, last = clips.span(clip)
    start, end, step = frames or (first, last, 1)
    if start < first or end > last:
        raise ValueError(f"The clip has the frames {first} to {last}: choose some of them")
    needed = gather.inputs(description, scene, None, inputs)
    if REFERENCE not in needed and wants_reference(description):
        needed[REFERENCE] = clips.picture(clip, first)
    what = {"driving": clip, "source": "clip", "channels": (Channel.RGBA.value,)}
    return start_job(scene, method, "frames", needed, frames=FrameRange(start, end, step), **what, **rest)


def _chosen_strip(scene: bpy.types.Scene) -> bpy.types.Strip:
    """The strip that the scene's settings name, in the sequencer that the artist sees."""
    name = scene.understudy.driving_strip
    if not name:
        raise ValueError("Choose the strip whose pictures move the photo")
    editor = sequencer_scene(bpy.context).sequence_editor or scene.sequence_editor
    strip = editor.strips_all.get(name) if editor else None
    if strip is None:
        raise ValueError(f'There is no strip "{name}" in the sequencer: choose another to move the photo')
    return strip


def _require_ours(job: Job) -> None:
    if current().jobs.get(job.take) is not job:
        raise ValueError(f"{job.record.title} is no job of this file")


def _shown(sequencer: bpy.types.Scene, shot: str) -> str:
    """The take that the strip of a shot shows, or is about to show: the one that a new take replaces. Of several strips
    of the shot the active one counts, else the topmost."""
    jobs = current().jobs
    editor = sequencer.sequence_editor
    strips = [s for s in editor.strips_all if shot and selection.shot_of(s, jobs) == shot] if editor else []
    if not strips:
        # the first take's strip may be still to come
        coming = [job for job in jobs.of_shot(shot) if job.state.active and not job.record.placed] if shot else []
        return coming[0].take if coming else ""
    active = selection.active_strip(sequencer)
    chosen = active if active in strips else max(strips, key=lambda s: s.channel)
    return chosen[strip.TAKE]


def _left_out(frames: FrameRange, chosen: Iterable[int]) -> tuple[tuple[int, int], ...]:
    numbers = frames.numbers()
    return to_ranges(set(numbers) - set(chosen), numbers)


def _keep_inputs(title: str, take: str, inputs: dict[str, NDArray]) -> tuple[str, dict[str, str]]:
    where = preferences.settings().output_folder
    try:
        folder = folders.new_take_folder(title, take, where)
        where = str(bpy.path.abspath(folder))
        return folder, take_files.save_inputs(Path(where), inputs)
    except OSError as error:
        raise DiskError(error, where or "the folder for takes") from error
