# SPDX-License-Identifier: GPL-3.0-or-later
"""After an undo: strips are brought in line again, and those of takes whose files are deleted do not come back.

A strip without files is more than useless: Blender 5.2 crashes when it renders one.
"""

from __future__ import annotations

import bpy

from ..link.book import JobBook
from ..link.jobs import Job
from . import strip


class Upkeep:
    """Call `undone` from the handlers, which should do little, and `tend` at every tick.

    Args:
        jobs: the jobs of the open file.
    """

    def __init__(self, jobs: JobBook) -> None:
        self._jobs = jobs
        self._deleted: dict[str, str] = {}
        """Takes whose files were deleted in this session, and their shots."""
        self._undone = False

    def deleted(self, job: Job) -> None:
        """The files of a take were deleted."""
        self._deleted[job.take] = job.shot

    def forget(self) -> None:
        """Another file is open."""
        self._deleted.clear()

    def undone(self) -> None:
        """An undo or a redo has taken strips to another state; the jobs went on."""
        self._undone = True

    def tend(self) -> None:
        """Does what there is to do after an undo."""
        if not self._undone:
            return
        self._undone = False
        for job in self._jobs:
            if job.record.role == "frames":
                job.stale, job.in_line = True, 0
        for scene in bpy.data.scenes if self._deleted else ():
            for take, shot in self._deleted.items():
                for found in strip.parts(scene, take):
                    replace(scene, found, shot, self._jobs)


def replace(scene: bpy.types.Scene, found: bpy.types.Strip, shot: str, jobs: JobBook) -> None:
    """Lets a strip show the newest take of the shot that has frames, or removes it where there is none."""
    others = [job for job in jobs.of_shot(shot) if job.finished]
    if not others:
        strip.remove(scene, found)
        return
    strip.show(others[-1], found, jobs)
    others[-1].record.placed, others[-1].in_line, others[-1].stale = True, 0, True
