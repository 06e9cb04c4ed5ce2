# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes as versions of a shot: the same scene, body and camera (or clip), and frames, made again.

A strip shows one take of its shot. A new take is shown by the strip that stood for the shot when it was asked for: by
that of the take it replaces, or of a take that has replaced that one meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable

import bpy
from understudy_shared.job import FrameRange

from .driving import Driving, same
from .jobs import Job


def shot_like(
    jobs: Iterable[Job],
    scene: bpy.types.Scene,
    sequencer: bpy.types.Scene,
    body: bpy.types.Object | None,
    camera: bpy.types.Object | None,
    frames: FrameRange,
    driving: Driving | None = None,
) -> str:
    """The key of the shot that a take of these would be a version of; empty for a new shot."""
    for job in jobs:
        record = job.record
        if record.role != "frames" or record.spec.frames != frames or not same(record.driving, driving):
            continue
        found = [ref.find() if ref else None for ref in (record.scene, record.sequencer, record.body, record.camera)]
        if found == [scene, sequencer, body, camera]:
            return job.shot
    return ""


def stands_for(job: Job, jobs: Iterable[Job]) -> set[str]:
    """The takes whose strip is to show `job`: the one it replaces, and those that came in between.

    Args:
        job: a take.
        jobs: all of them, in the order in which they were made.
    """
    if not job.record.replaces:
        return set()
    takes = {job.record.replaces}
    for other in jobs:
        if other is job:
            break
        if other.record.replaces in takes:
            takes.add(other.take)
    return takes


def next_number(jobs: Iterable[Job], start: str) -> int:
    """The lowest number that follows all titles that begin with `start` ("Scene take")."""
    used = [0]
    for job in jobs:
        head, _, tail = job.record.title.rpartition(" ")
        if head == start and tail.isdigit():
            used.append(int(tail))
    return max(used) + 1
