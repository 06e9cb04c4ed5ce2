# SPDX-License-Identifier: GPL-3.0-or-later
"""Understudy in Python: what every button does, for scripts and `blender -b`.

    from bl_ext.user_default.understudy import api

    api.start_local_backend()
    api.load_photo("person.jpg"); api.wait(api.fit_photo())
    api.wait(api.make_texture())
    api.import_motion("walk.npz"); api.import_camera("orbit.json")
    api.wait(api.render())

Jobs run at the backend. In a window they go on by themselves; in a script without one, `wait` moves them. All errors
are one sentence that tells what to do: ValueError for what was given, RuntimeError for what is in the way, OSError for
files.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import free_body
from understudy_shared.formats import detect
from understudy_shared.job import FrameRange, JobSpec
from understudy_shared.protocol.security import is_private
from understudy_shared.staging import on_mark

from . import preferences
from .link import folders, gather, take_files
from .link.jobs import Job, Record, Role, Source, State
from .link.refs import ref
from .link.session import current
from .scene.body import create_body as _create_body
from .scene.body_parts import armature_of, betas_of, mesh_of
from .scene.camera import import_camera as _import_camera
from .scene.motion import apply_motion
from .timeline import strip
from .timeline.compat import sequencer_scene


class JobFailed(RuntimeError):
    """A job that was waited for did not end well; the message says why and what to do."""


# -- the scene


def create_body(scene: bpy.types.Scene | None = None) -> bpy.types.Object:
    """A body of mean shape in its rest pose; it becomes the scene's body."""
    scene = scene or bpy.context.scene
    body = free_body()
    obj = _create_body(scene, body, np.zeros(body.num_betas, np.float32))
    scene.understudy.body = obj
    return obj


def import_motion(
    path: str | Path,
    scene: bpy.types.Scene | None = None,
    body: bpy.types.Object | None = None,
    start: int | None = None,
    on_floor: bool = True,
) -> bpy.types.Action:
    """A motion file (AMASS-like npz, BVH) as an action of the body; one is made where the scene has none.

    Args:
        path: of the file.
        scene: default: the current one.
        body: default: the scene's body.
        start: scene frame of the first sample; default: the scene's first frame.
        on_floor: over the origin where the scene begins, with this body's feet on the floor; else as in the file.

    Raises:
        ValueError: the file is not a motion, with what to do.
    """
    scene = scene or bpy.context.scene
    clip = detect.load_motion(Path(path), free_body())
    body = body or scene.understudy.body or create_body(scene)
    first, fps = scene.frame_start if start is None else start, scene.render.fps / scene.render.fps_base
    if on_floor:
        shown = round((scene.frame_start - first) / fps * clip.fps)  # the sample that the scene begins with
        clip = on_mark(clip, free_body(), betas_of(mesh_of(body)), at=min(max(shown, 0), len(clip) - 1))
    return apply_motion(armature_of(body), clip, first, fps)


def import_camera(
    path: str | Path, scene: bpy.types.Scene | None = None, start: int | None = None, set_scene: bool = True
) -> bpy.types.Object:
    """A camera file (nerfstudio camera path or transforms.json) as a keyframed camera; it becomes the scene's.

    Args:
        path: of the file.
        scene: default: the current one.
        start: scene frame of the first sample; default: the scene's first frame.
        set_scene: also take over resolution, frame rate and range, so that the picture is the file's.

    Raises:
        ValueError: the file holds no camera path, with what to do.
    """
    scene = scene or bpy.context.scene
    trajectory = detect.load_camera(Path(path))
    first = scene.frame_start if start is None else start
    camera = _import_camera(scene, trajectory, first, Path(path).stem, set_scene=set_scene)
    scene.understudy.camera = camera
    return camera


def load_photo(path: str | Path, scene: bpy.types.Scene | None = None) -> bpy.types.Image:
    """The photo of the person; it becomes the scene's photo, and an earlier photo's mask is let go.

    Raises:
        ValueError: it is no picture that Blender can read.
    """
    scene = scene or bpy.context.scene
    try:
        image = bpy.data.images.load(str(Path(path).resolve()), check_existing=True)
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be opened: choose a PNG or JPEG picture") from error
    if 0 in image.size:
        bpy.data.images.remove(image)
        raise ValueError(f"{path} is not a picture that Blender can read: choose a PNG or JPEG picture")
    if scene.understudy.photo != image:
        scene.understudy.photo, scene.understudy.photo_mask = image, None
    return image


# -- the backend


def connect(address: str = "", key_folder: str | Path | None = None) -> None:
    """Connects in the background to a backend that runs; by default to the one in the preferences.

    Args:
        address: `tcp://host:port` or `ipc://path`.
        key_folder: with this client's keys. Default: off this machine the folder in the preferences, else no keys.

    Raises:
        ValueError: there is no address. RuntimeError: online access is off, or keys are missing.
    """
    settings = preferences.settings()
    address = address or settings.address
    if not address:
        raise ValueError("No address is set: write one as tcp://host:port in the preferences, or start a local backend")
    keys = None if is_private(address) else settings.key_folder
    current().connect(address, Path(key_folder) if key_folder else keys)


def disconnect() -> None:
    """Ends the connection. Jobs run on at the backend and arrive after the next connection."""
    current().disconnect()


def start_local_backend(python: str = "", data_folder: str | Path = "", address: str = "", device: str = "") -> None:
    """Starts a backend on this machine and connects to it; by default with the preferences' Python and folder. It ends
    with Blender.

    Raises:
        RuntimeError: it cannot be started, with what to do.
    """
    settings = preferences.settings()
    folder = Path(data_folder) if data_folder else settings.data_folder
    current().start_backend(python or settings.python, folder, address, ("--device", device or settings.device))


def status() -> str:
    """How the connection to the backend is, in one sentence."""
    return current().status


def stop_local_backend() -> None:
    """Stops it: politely, and after ten seconds by force. Finished frames stay."""
    current().stop_backend()


# -- jobs


def fit_photo(scene: bpy.types.Scene | None = None, params: Mapping | None = None) -> Job:
    """Fits the body to the scene's photo; the result is a body before the photo, and a mask of the person.

    Raises:
        ValueError: there is no photo.
    """
    scene = scene or bpy.context.scene
    return _start(scene, "fit", "fit", {"photo": gather.photo(scene)}, params)


def refit(scene: bpy.types.Scene | None = None, params: Mapping | None = None) -> Job:
    """Fits again, starting from pose, shape and camera as the artist has left them.

    Raises:
        ValueError: there is no fitted body yet, or it moves already.
    """
    scene = scene or bpy.context.scene
    return _start(scene, "fit", "fit", {"photo": gather.photo(scene), **gather.corrected_fit(scene)}, params)


def make_texture(scene: bpy.types.Scene | None = None, params: Mapping | None = None) -> Job:
    """Makes the complete texture of the person from photo, mask and fit, and puts it onto the fitted body and, where it
    is another one, the scene's body.

    Raises:
        ValueError: the photo is not fitted yet.
    """
    scene = scene or bpy.context.scene
    inputs = {"photo": gather.photo(scene), "photo_mask": gather.photo_mask(scene), **gather.fit(scene)}
    side = int((params or {}).get("texture_size", 1024))
    return _start(scene, "threedhm_texture", "texture", inputs, params, size=(side, side), body=scene.understudy.body)


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
    return _start(
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


def _start(
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
