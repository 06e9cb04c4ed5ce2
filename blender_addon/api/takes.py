# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs: starting, stopping, resuming and waiting for them. A job that makes frames is a take."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

import bpy
from numpy.typing import NDArray
from understudy_shared.job import FrameRange, JobSpec

from .. import preferences
from ..link import folders, gather, take_files
from ..link.jobs import Job, Record, Role, Source, State
from ..link.refs import ref
from ..link.session import current
from ..scene.body_parts import mesh_of
from ..timeline import strip
from ..timeline.compat import sequencer_scene


class JobFailed(RuntimeError):
    """A job that was waited for did not end well; the message says why and what to do."""


def render(
    scene: bpy.types.Scene | None = None,
    *,
    method: str = "threedhm",
    body: bpy.types.Object | None = None,
    camera: bpy.types.Object | None = None,
    frames: tuple[int, int, int] | None = None,
    size: tuple[int, int] | None = None,
    seed: int | None = None,
    params: Mapping | None = None,
    inputs: Mapping[str, NDArray] | None = None,
    sequencer: bpy.types.Scene | None = None,
) -> Job:
    """Starts a take: frames of the person in the scene's motion and camera, as a new strip that grows in the sequencer.

    The scene is read at once, frame by frame, so that the take shows it as it is now. Frames that the backend made
    before and that nothing has changed for are not made again.

    Args:
        scene: default: the current one; what is left out below is taken from its settings.
        method: name of the backend's method.
        body: the body that moves.
        camera: a perspective camera.
        frames: (first, last, step); default: the scene's range.
        size: (width, height) in pixels.
        seed: another one, another take.
        params: the method's parameters that differ from its defaults.
        inputs: arrays for the method in place of, or besides, the scene's photo, mask and texture.
        sequencer: the scene whose sequencer gets the strip; default: the one that the artist sees.

    Raises:
        ValueError: body, camera, photo or texture is missing, with what to do.
    """
    scene = scene or bpy.context.scene
    settings = scene.understudy
    body = body or settings.body
    if body is None:
        raise ValueError("There is no body: fit a photo or import a motion first")
    body = mesh_of(body)
    camera = camera or settings.camera or scene.camera
    if camera is None:
        raise ValueError("There is no camera: import one, or add one to the scene")
    start, end, step = frames or (scene.frame_start, scene.frame_end, scene.frame_step)
    description = gather.described(current().pump.methods, method)
    needed = gather.inputs(description, scene, body, dict(inputs or {}))
    source, channels = gather.conditions(description, scene, body)
    return start_job(
        scene,
        method,
        "frames",
        needed,
        params,
        frames=FrameRange(start, end, step),
        size=size or (settings.width, settings.height),
        seed=settings.seed if seed is None else seed,
        body=body,
        camera=camera,
        sequencer=sequencer or sequencer_scene(bpy.context),
        source=source,
        channels=channels,
    )


def cancel(job: Job) -> None:
    """Stops a job; its finished frames stay in the strip. `resume` goes on with it."""
    current().pump.cancel(job)


def resume(job: Job) -> None:
    """Goes on with a job that was cancelled, failed, or left behind when the file was closed: only what is missing is
    made.

    Raises:
        ValueError: it is running or complete.
    """
    if job.state.active:
        raise ValueError(f"{job.record.title} is running already")
    if job.state is State.DONE:
        job.scan()
        if not job.missing:
            raise ValueError(f"{job.record.title} is complete: start a new take for another version")
    current().pump.begin(job)


def jobs() -> list[Job]:
    """The jobs of the file, oldest first."""
    return list(current().jobs)


def wait(job: Job, timeout: float = 3600.0) -> Job:
    """Waits for a job while moving it; a window freezes meanwhile, so only scripts without one should.

    Raises:
        JobFailed: it failed or was cancelled, or there is no backend to make it. TimeoutError: it is not done after
            `timeout` seconds.
    """
    session = current()
    session.pump.run_until_done(timeout, [job], lambda: job.state.active and session.lost)
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
    params: Mapping | None,
    *,
    frames: FrameRange | None = None,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    body: bpy.types.Object | None = None,
    camera: bpy.types.Object | None = None,
    sequencer: bpy.types.Scene | None = None,
    source: Source = "geometry",
    channels: tuple[str, ...] = (),
) -> Job:
    """Makes a job of these values and begins it; see `render` for what they mean."""
    session = current()
    frames = frames or FrameRange(0, 0)
    sequencer = sequencer or scene
    if size is None:
        size = (inputs["photo"].shape[1], inputs["photo"].shape[0])
    count = sum(job.record.role == role and job.record.scene.find() == scene for job in session.jobs) + 1
    title = f"{scene.name} {'take' if role == 'frames' else role} {count}"
    take = uuid.uuid4().hex[:8]
    folder = folders.new_take_folder(title, take, preferences.settings().output_folder)
    digests = take_files.save_inputs(Path(bpy.path.abspath(folder)), inputs)
    channel = strip.free_channel(sequencer, frames.start, frames.end + 1, session.jobs) if role == "frames" else 0
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
        source=source,
        channels=channels,
        channel=channel,
    )
    job = Job(record)
    if role == "frames" and sequencer.view_settings.view_transform not in ("Standard", "Raw"):
        job.say(
            f"The view transform {sequencer.view_settings.view_transform} changes the strip's colours: use Standard"
        )
    session.jobs.add(job)
    session.pump.begin(job)
    return job
