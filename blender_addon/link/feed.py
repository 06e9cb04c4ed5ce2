# SPDX-License-Identifier: GPL-3.0-or-later
"""From the scene to the backend: takes a snapshot of one frame at a time, and pushes what the backend wants.

Only what needs `bpy` happens on the main thread: a writer's thread hashes the snapshots and writes them to disk.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path

import bpy
from numpy.typing import NDArray
from understudy_shared.frames import Frame
from understudy_shared.job import frame_digest

from ..render.choose import lights, occluders
from ..render.conditions import frame_geometry
from ..render.passes import BlenderBusy, render_passes
from . import driving, take_files
from .connection import BackendLink
from .jobs import Job

_UNWRITTEN = 4
"""Snapshots that may wait for the writer: a slow disk holds up the reading of the scene rather than fill the memory."""

_AHEAD = 2
"""Snapshots that are read before the backend has credit for them."""


class FeedError(RuntimeError):
    """A frame's conditions cannot be made; the message says what to do."""


@dataclass
class Feed:
    """What is still to be done for the conditions of one take."""

    writer: Executor
    inputs: Future[dict[str, NDArray]]
    """Of the job, read from its folder."""
    to_capture: deque[int]
    """Frame numbers without a snapshot."""
    writing: dict[int, Future[str]] = field(default_factory=dict)
    """The digests to be of the snapshots that are not on disk yet."""
    digests: dict[int, str] = field(default_factory=dict)
    """Of the snapshots that there are."""
    taking: Future[set[int]] | None = None
    """The frames that are being taken over from another take; see `again.keep`."""
    taken: bool = False
    """That is done."""
    reading: dict[int, Future[Frame | None]] = field(default_factory=dict)
    """Snapshots on their way from the disk to the backend."""

    @property
    def ready(self) -> bool:
        """All snapshots are taken and written."""
        return not self.to_capture and not self.writing and self.inputs.done()

    @property
    def full(self) -> bool:
        """No other snapshot can be taken now: there is none, or too many wait for the disk."""
        return not self.to_capture or len(self.writing) >= _UNWRITTEN


def begin(job: Job, writer: Executor) -> Feed:
    """For a new or resumed take: the frames that are missing, in order; all of them where they are made together.

    Args:
        job: whose.
        writer: runs what needs no `bpy`, in a thread of its own.
    """
    inputs = writer.submit(take_files.load_inputs, job.folder, dict(job.spec.inputs))
    numbers = job.numbers if job.together and job.missing else job.missing
    return Feed(writer, inputs, deque(numbers if job.record.source != "nothing" else ()))


def capture_next(job: Job, feed: Feed) -> None:
    """Takes the snapshot of one frame, or finds the one that is on disk from before.

    Raises:
        BlenderBusy: Blender renders; try again later.
        FeedError, ValueError: scene, body or camera is gone or unfit.
    """
    number, folder = feed.to_capture[0], job.folder
    frame = take_files.load_conditions(folder, number)
    if frame is None:
        feed.writing[number] = feed.writer.submit(_write, folder, _capture(job, number))
    else:
        feed.writing[number] = feed.writer.submit(frame_digest, frame)
    feed.to_capture.popleft()


def collect_written(feed: Feed) -> None:
    """Takes over what the writer has done meanwhile.

    Raises:
        OSError: a snapshot cannot be written.
    """
    for number in [number for number, future in feed.writing.items() if future.done()]:
        feed.digests[number] = feed.writing.pop(number).result()


def push_wanted(job: Job, feed: Feed, link: BackendLink) -> bool:
    """Pushes one frame that the backend wants, once the writer's thread has read it from disk. Returns whether another
    may follow now.

    Raises:
        As `capture_next`, where the snapshot was lost.
    """
    wanted = link.wanted(job.wire_id)
    for number in [number for number in feed.reading if number not in wanted]:
        del feed.reading[number]
    for number in wanted[:_AHEAD]:
        if number not in feed.reading:
            feed.reading[number] = feed.writer.submit(take_files.load_conditions, job.folder, number)
    if not wanted or not feed.reading[wanted[0]].done():
        return False
    number = wanted[0]
    frame = feed.reading[number].result()
    if frame is None:
        frame = _capture(job, number)
        feed.reading[number] = feed.writer.submit(_kept, job.folder, frame)
    if not link.push(job.wire_id, frame):
        return False  # no credit now
    feed.reading.pop(number, None)
    return len(wanted) > 1


def _kept(folder: Path, frame: Frame) -> Frame:
    take_files.save_conditions(folder, frame)
    return frame


def _write(folder: Path, frame: Frame) -> str:
    take_files.save_conditions(folder, frame)
    return frame_digest(frame)


def _capture(job: Job, number: int) -> Frame:
    record = job.record
    if record.driving is not None:
        return driving.frame(record.driving, number)
    scene = record.scene.find()
    body = record.body.find() if record.body else None
    camera = record.camera.find() if record.camera else None
    for thing, what in ((scene, "scene"), (body, "body"), (camera, "camera")):
        if thing is None:
            raise FeedError(f"The {what} of this take was deleted: undo that, or start a new take")
    assert isinstance(scene, bpy.types.Scene) and isinstance(body, bpy.types.Object)
    assert isinstance(camera, bpy.types.Object)
    if record.source == "geometry":
        frame = frame_geometry(body, camera, scene, number, record.spec.size)
    else:
        include = [*occluders(scene, body), *lights(scene)]
        frame = render_passes(scene, body, camera, number, record.spec.size, include=include)
    if not record.channels:
        return frame
    return Frame(number, {channel: frame.channels[channel] for channel in frame.channels if channel in record.channels})


__all__ = ["BlenderBusy", "Feed", "FeedError", "begin", "capture_next", "collect_written", "push_wanted"]
