# SPDX-License-Identifier: GPL-3.0-or-later
"""From the scene to the backend: takes a snapshot of one frame at a time, and pushes what the backend wants."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import bpy
from understudy_shared.frames import Frame
from understudy_shared.job import frame_digest

from ..render.choose import lights, occluders
from ..render.conditions import frame_geometry
from ..render.passes import BlenderBusy, render_passes
from . import take_files
from .connection import BackendLink
from .jobs import Job


class FeedError(RuntimeError):
    """A frame's conditions cannot be made; the message says what to do."""


@dataclass
class Feed:
    """What is still to be done for the conditions of one take."""

    to_capture: deque[int]
    """Frame numbers without a snapshot."""
    digests: dict[int, str] = field(default_factory=dict)
    """Of the snapshots that there are."""
    refused: Frame | None = None
    """Read from disk, and not taken by the connection for want of credit: the next to be pushed."""

    @property
    def ready(self) -> bool:
        """All snapshots are taken: the job can be submitted."""
        return not self.to_capture


def begin(job: Job) -> Feed:
    """For a new or resumed take: the frames that are missing, in order."""
    return Feed(deque(job.missing if job.record.source != "nothing" else ()))


def capture_next(job: Job, feed: Feed) -> None:
    """Takes the snapshot of one frame, or finds the one that is on disk from before.

    Raises:
        BlenderBusy: Blender renders; try again later.
        FeedError, ValueError: scene, body or camera is gone or unfit.
        OSError: it cannot be written.
    """
    number = feed.to_capture[0]
    frame = take_files.load_conditions(job.folder, number)
    if frame is None:
        frame = _capture(job, number)
        take_files.save_conditions(job.folder, frame)
    feed.digests[number] = frame_digest(frame)
    feed.to_capture.popleft()


def push_wanted(job: Job, feed: Feed, link: BackendLink) -> bool:
    """Pushes one frame that the backend wants. Returns whether another may follow now.

    Raises:
        As `capture_next`, where the snapshot was lost.
    """
    wanted = link.wanted(job.wire_id)
    if not wanted:
        return False
    number = wanted[0]
    frame = feed.refused if feed.refused is not None and feed.refused.index == number else None
    frame = frame or take_files.load_conditions(job.folder, number)
    if frame is None:
        frame = _capture(job, number)
        take_files.save_conditions(job.folder, frame)
    taken = link.push(job.wire_id, frame)
    feed.refused = None if taken else frame
    return taken and len(wanted) > 1


def _capture(job: Job, number: int) -> Frame:
    record = job.record
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


__all__ = ["BlenderBusy", "Feed", "FeedError", "begin", "capture_next", "push_wanted"]
