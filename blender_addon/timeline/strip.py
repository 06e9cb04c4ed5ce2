# SPDX-License-Identifier: GPL-3.0-or-later
"""A job's image strip: made when its first frame arrives, longer with every frame, each take a strip of its own.

Frames may arrive in any order, the strip grows in order. While the job runs, what lies behind a missing frame is held
back, so that the strip never shows a wrong picture. When the job stops, the held frames are shown at their true
places, and a missing frame between them shows a placeholder (a magenta picture): a file name without a file would do
the same in 4.5 and 5.0, but crashes Blender 5.2 as soon as the sequencer is rendered.

The wanted list of files is worked out anew each time and compared with the strip's, so that undo, which may take the
strip back to an earlier length, heals itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import bpy
import numpy as np

from ..link import png
from ..link.jobs import Job
from ..link.names import frame_name
from . import compat, prefetch

TAKE = "understudy_take"
"""Custom property of a strip: the key of its take."""

_PLACEHOLDER = "missing.png"
_CHANNELS = 128


class StripError(RuntimeError):
    """The strip could not be made; the message says what to do."""


def find(scene: bpy.types.Scene, take: str) -> bpy.types.Strip | None:
    """The strip of a take. Where the artist has cut it, the last part, which is the one that grows."""
    editor = scene.sequence_editor
    if editor is None:
        return None
    parts = [strip for strip in editor.strips_all if strip.type == "IMAGE" and strip.get(TAKE) == take]
    return max(parts, key=compat.strip_end, default=None)


def free_channel(scene: bpy.types.Scene, start: int, end: int, jobs: Iterable[Job] = ()) -> int:
    """The channel above everything between the frames `start` and `end` (excluded): the newest take is seen.

    Args:
        scene: whose sequencer it is.
        jobs: takes whose strip may still come: their channels are taken.

    Raises:
        StripError: all channels are taken.
    """
    strips = scene.sequence_editor.strips if scene.sequence_editor else ()
    taken = {s.channel for s in strips if compat.strip_start(s) < end and compat.strip_end(s) > start}
    for job in jobs:
        frames = job.spec.frames
        if job.numbers and not job.record.placed and frames.start < end and frames.end >= start:
            taken.add(job.record.channel)
    channel = max(taken, default=0) + 1
    if channel > _CHANNELS:
        channel = next((c for c in range(1, _CHANNELS + 1) if c not in taken), 0)
    if not channel:
        raise StripError("The sequencer has no free channel at these frames: delete or move some strips")
    return channel


def wanted_files(job: Job) -> list[str]:
    """The strip's files, one for each scene frame from the job's first on. With a step, a frame is held until the
    next."""
    names: list[str] = []
    numbers = job.numbers
    last = max(job.finished & set(numbers), default=None)
    for number in numbers:
        if last is None or number > last:
            break
        there = number in job.finished
        if not there and job.state.active:
            break
        name = frame_name(number) if there else _PLACEHOLDER
        names += [name] * (numbers.step if number + numbers.step in numbers else 1)
    return names


def update(job: Job) -> int:
    """Brings the strip in line with the frames that are there, making it if need be. Gives the number of changes.

    Raises:
        StripError: the scene is gone, or Blender made no strip.
    """
    scene = job.record.sequencer.find()
    if scene is None:
        raise StripError(
            f"The scene {job.record.sequencer.name!r} for the strip is gone; the frames are in {job.folder}"
        )
    names = wanted_files(job)
    if not names:
        return 0
    if _PLACEHOLDER in names:
        _write_placeholder(job)
    strip = find(scene, job.take)
    changes = 0
    if strip is None:
        if job.record.placed:
            return 0
        strip = _make(scene, job, names[0])
        changes += 1
    prefetch.suspend(scene)
    elements = strip.elements
    for i, name in enumerate(names[: len(elements)]):
        if elements[i].filename != name:
            elements[i].filename = name
            changes += 1
    for name in names[len(elements) :]:
        elements.append(name)
        changes += 1
    if job.rewritten:
        compat.refresh_pixels(strip)
        job.rewritten = False
    return changes


def _make(scene: bpy.types.Scene, job: Job, first: str) -> bpy.types.Strip:
    editor = scene.sequence_editor or scene.sequence_editor_create()
    prefetch.suspend(scene)
    strip = editor.strips.new_image(
        name=job.record.title,
        filepath=f"{job.record.folder}/{first}",  # as relative as the folder: both move with the .blend
        channel=job.record.channel or 1,
        frame_start=job.spec.frames.start,
        fit_method="FIT",
    )
    if strip is None:
        raise StripError(f"Blender made no strip; the frames are in {job.folder}: add them by hand")
    strip[TAKE] = job.take
    strip.colorspace_settings.name = "sRGB"
    strip.alpha_mode = "STRAIGHT"
    if find(scene, job.take) is None:
        raise StripError(
            f"The strip did not appear in {scene.name!r}; the frames are in {job.folder}: add them by hand"
        )
    job.record.placed = True
    return strip


def _write_placeholder(job: Job) -> None:
    path = job.folder / _PLACEHOLDER
    if path.exists():
        return
    width, height = job.spec.size
    picture = np.empty((height, width, 4), np.uint8)
    picture[:] = (255, 0, 255, 255)
    png.write_atomically(path, png.encode(picture, level=1))
