# SPDX-License-Identifier: GPL-3.0-or-later
"""Which frames of a take the artist means: a part of its strip that is selected, or the one under the playhead."""

from __future__ import annotations

import bpy

from ..link.book import JobBook
from ..link.jobs import Job
from . import compat, strip


def active_strip(scene: bpy.types.Scene) -> bpy.types.Strip | None:
    """The strip that the artist has clicked last, if it shows a take."""
    editor = scene.sequence_editor
    found = editor.active_strip if editor is not None else None
    return found if found is not None and found.get(strip.TAKE) else None


def take_of(found: bpy.types.Strip, jobs: JobBook) -> Job | None:
    """The take that a strip shows, None for any other strip and for a take that was removed from the list."""
    return jobs.get(found.get(strip.TAKE, ""))


def shot_of(found: bpy.types.Strip, jobs: JobBook) -> str:
    """The shot whose takes a strip can show; empty for any other strip."""
    job = take_of(found, jobs)
    return job.shot if job is not None else found.get(strip.SHOT, "")


def strip_in_hand(scene: bpy.types.Scene, jobs: JobBook) -> bpy.types.Strip | None:
    """The strip that the artist is about to work on: the active one, else the topmost under the playhead, else the only
    one that there is; None where none of them shows a take."""
    found = active_strip(scene)
    if found is not None and shot_of(found, jobs):
        return found
    editor = scene.sequence_editor
    shown = [s for s in editor.strips_all if s.get(strip.TAKE) and shot_of(s, jobs)] if editor is not None else []
    now = scene.frame_current
    under = [s for s in shown if compat.strip_start(s) <= now < compat.strip_end(s)]
    if under:
        return max(under, key=lambda s: s.channel)
    return shown[0] if len(shown) == 1 else None


def number_at(found: bpy.types.Strip, job: Job, frame: int) -> int | None:
    """The take's frame number that its strip shows at a scene frame, None where it shows none."""
    if not compat.strip_start(found) <= frame < compat.strip_end(found):
        return None
    index = frame - compat.content_start(found)
    if not 0 <= index < len(found.elements):
        return None
    return job.numbers[min(index // job.numbers.step, len(job.numbers) - 1)]


def selected_numbers(scene: bpy.types.Scene, job: Job) -> list[int]:
    """The take's frame numbers that are meant: those of the selected parts of its strip where it was cut or trimmed,
    else the one under the playhead.

    Raises:
        ValueError: neither is there.
    """
    strips = strip.parts(scene, job.take)
    cut = [s for s in strips if s.select and not _is_whole(s)]
    if cut:
        frames = ((s, frame) for s in cut for frame in range(compat.strip_start(s), compat.strip_end(s)))
        numbers = {number_at(s, job, frame) for s, frame in frames}
    else:
        numbers = {number_at(s, job, scene.frame_current) for s in strips}
    found = sorted(number for number in numbers if number is not None)
    if not found:
        raise ValueError(
            f"No frame of {job.record.title} is chosen: put the playhead on one, or cut the strip and select a part"
        )
    return found


def _is_whole(found: bpy.types.Strip) -> bool:
    start = compat.content_start(found)
    end = start + len(found.elements)
    return compat.strip_start(found) <= start and compat.strip_end(found) >= end
