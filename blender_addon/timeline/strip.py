# SPDX-License-Identifier: GPL-3.0-or-later
"""A take's image strip: made when its first frame arrives, longer with every frame.

Frames may arrive in any order, the strip grows in order. While the job runs, what lies behind a missing frame is held
back, so that the strip never shows a wrong picture. When the job stops, the held frames are shown at their true
places, and a missing frame between them shows a placeholder (see `placeholder`).

Where the backend shows frames while it makes them, the strip shows those previews meanwhile, and has its whole length.

A new take of a shot that has a strip already takes that strip over when its first frame arrives: place, length, trim
and effects stay, and frames that are not there yet show a placeholder too. Until then the earlier take is seen.

Only what is not known to be in line is looked at (`Job.in_line`): after an undo, which may take the strip back to an
earlier state, all of it, so that it heals itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import bpy

from ..link.jobs import Job
from ..link.names import frame_name, preview_name
from ..link.ranges import within
from ..link.shots import stands_for
from . import compat, placeholder, prefetch

TAKE = "understudy_take"
"""Custom property of a strip: the key of the take that it shows."""

SHOT = "understudy_shot"
"""Custom property of a strip: the key of the shot whose takes it can show."""

_CHANNELS = 128
_NUMBERED = 12
"""Up to so many missing frames have a picture with their number each; more share one, or the main thread is kept."""


class StripError(RuntimeError):
    """The strip could not be made; the message says what to do."""


def parts(scene: bpy.types.Scene, take: str) -> list[bpy.types.Strip]:
    """The strips that show a take, in the order of time: several where the artist has cut or copied it."""
    editor = scene.sequence_editor
    if editor is None:
        return []
    found = [strip for strip in editor.strips_all if strip.type == "IMAGE" and strip.get(TAKE) == take]
    return sorted(found, key=compat.strip_end)


def find(scene: bpy.types.Scene, take: str) -> bpy.types.Strip | None:
    """The strip of a take. Where the artist has cut it, the last part, which is the one that grows."""
    return next(reversed(parts(scene, take)), None)


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


def wanted_files(job: Job, start: int = 0, length: int = 0) -> list[str]:
    """The strip's files from its picture `start` on, one for each scene frame from the job's first on. With a step, a
    frame is held until the next.

    Args:
        job: whose.
        start: pictures that are left out at the beginning.
        length: pictures that the strip has: it never becomes shorter.
    """
    numbers, leave = job.numbers, job.record.leave
    last = max(job.finished, default=None)
    count = (len(numbers) - 1) * numbers.step + 1 if len(numbers) else 0
    names: list[str] = []
    lacking: list[tuple[int, int]] = []
    for index in range(start, max(count, length)):
        number = numbers[min(index // numbers.step, len(numbers) - 1)]
        if number in job.finished:
            names.append(frame_name(number))
            continue
        left = bool(leave) and within(leave, number)
        preview = job.preview_for(number) if job.state.active and not left else None
        if preview is not None:
            names.append(preview_name(preview))
            continue
        beyond = last is None or number > last
        if index >= length and (beyond or (job.state.active and not left)):
            break
        names.append(placeholder.PENDING if job.state.active and not left else "")
        if not names[-1]:
            lacking.append((index - start, number))
    numbered = len({number for _, number in lacking}) <= _NUMBERED
    for place, number in lacking:
        names[place] = placeholder.missing(number if numbered else None)
    return names


def update(job: Job, jobs: Iterable[Job] = ()) -> int:
    """Brings the take's strips in line with the frames that are there: makes one, or takes over that of the take it
    replaces, if need be. Gives the number of changes.

    Args:
        job: whose.
        jobs: all jobs of the file, in the order in which they were made.

    Raises:
        StripError: the scene is gone, or Blender made no strip.
        OSError: a placeholder cannot be written.
    """
    scene = job.record.sequencer.find()
    if not isinstance(scene, bpy.types.Scene):
        raise StripError(
            f"The scene {job.record.sequencer.name!r} for the strip is gone; the frames are in {job.folder}"
        )
    strips = parts(scene, job.take)
    changes = 0
    begun = bool(job.finished - job.taken_over or not job.missing)
    if not strips and not job.record.placed and (begun or job.previews):
        taken = [strip for take in stands_for(job, jobs) for strip in parts(scene, take)]
        if taken and not begun:
            return 0  # previews are no reason to hide frames
        if taken:
            for strip in taken:
                show(job, strip, jobs)
            strips = parts(scene, job.take)
        elif names := wanted_files(job):
            placeholder.ensure(job.folder, job.spec.size, names[:1])
            strips = [_make(scene, job, names[0])]
        job.record.placed |= bool(strips)
        job.in_line = 0
        changes = len(strips)
    if not strips:
        return 0
    prefetch.suspend(scene)
    for strip in strips:
        changes += _fill(job, strip, grow=strip == strips[-1])
    if job.rewritten:
        for strip in strips:
            compat.refresh_pixels(strip)
        job.rewritten = False
    job.in_line = _in_line(job, len(strips[-1].elements))
    return changes


def show(job: Job, strip: bpy.types.Strip, jobs: Iterable[Job] = ()) -> None:
    """Makes a strip show a take. Place, trim, transform and effects of the strip stay as they are.

    Args:
        job: a take of the strip's shot.
        strip: an image strip.
        jobs: all jobs of the file.

    Raises:
        OSError: a placeholder cannot be written.
    """
    before = next((other for other in jobs if other.take == strip.get(TAKE)), None)
    elements = strip.elements
    names = wanted_files(job, 0, len(elements))[: len(elements)]
    placeholder.ensure(job.folder, job.spec.size, names)
    prefetch.suspend(strip.id_data)
    if before is not None and strip.name.startswith(before.record.title):  # else it is the artist's name
        strip.name = strip.name.replace(before.record.title, job.record.title, 1)
    strip[TAKE], strip[SHOT] = job.take, job.shot
    strip.directory = f"{job.record.folder}/"
    for element, name in zip(elements, names, strict=False):
        element.filename = name


def remove(scene: bpy.types.Scene, found: bpy.types.Strip) -> None:
    """Removes a strip, also from within a meta strip."""
    editor = scene.sequence_editor
    if editor is None:
        return
    prefetch.suspend(scene)
    metas = [meta for meta in editor.strips_all if meta.type == "META" and found in list(meta.strips)]
    (metas[0] if metas else editor).strips.remove(found)


def _fill(job: Job, strip: bpy.types.Strip, *, grow: bool) -> int:
    """Sets the pictures of one part; all parts of a cut strip hold all of them. Only the last one becomes longer:
    another would run into the next."""
    elements = strip.elements
    length = len(elements)
    start = min(job.in_line, length)
    names = wanted_files(job, start, length)
    placeholder.ensure(job.folder, job.spec.size, names)
    changes = 0
    for index, name in enumerate(names[: length - start], start):
        if elements[index].filename != name:
            elements[index].filename = name
            changes += 1
    for name in names[length - start :] if grow else ():
        elements.append(name)
        changes += 1
    return changes


def _in_line(job: Job, length: int) -> int:
    """How many pictures from the beginning on are final for now: those of frames that are there."""
    numbers = job.numbers
    index = min(job.in_line, length)
    while index < length and numbers[min(index // numbers.step, len(numbers) - 1)] in job.finished:
        index += 1
    return index


def _make(scene: bpy.types.Scene, job: Job, first: str) -> bpy.types.Strip:
    editor = scene.sequence_editor or scene.sequence_editor_create()
    prefetch.suspend(scene)
    frames = job.spec.frames
    strip = editor.strips.new_image(
        name=job.record.title,
        filepath=f"{job.record.folder}/{first}",  # as relative as the folder: both move with the .blend
        channel=job.record.channel or free_channel(scene, frames.start, frames.end + 1),
        frame_start=frames.start,
        fit_method="FIT",
    )
    if strip is None:
        raise StripError(f"Blender made no strip; the frames are in {job.folder}: add them by hand")
    strip[TAKE], strip[SHOT] = job.take, job.shot
    strip.colorspace_settings.name = "sRGB"
    strip.alpha_mode = "STRAIGHT"
    compat.show_scene(scene)
    if find(scene, job.take) is None:
        raise StripError(
            f"The strip did not appear in {scene.name!r}; the frames are in {job.folder}: add them by hand"
        )
    return strip
