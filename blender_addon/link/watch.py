# SPDX-License-Identifier: GPL-3.0-or-later
"""Notices when the files of a take are removed, or come back: somebody tidies up, a network folder is gone for a while.

A strip that names a file that is not there is more than ugly: Blender 5.2 crashes when it renders it. So the disk is
looked at every now and then, one take at a time, in the writer's thread: a network folder may be slow.
"""

from __future__ import annotations

import time
from concurrent.futures import Future

from .book import JobBook
from .jobs import Job, files_in
from .names import frame_name
from .sender import Sender

SECONDS = 2.0
"""Between two looks."""


class Watch:
    """Call `look` at every tick.

    Args:
        jobs: the jobs of the open file.
        sender: its writer's thread looks.
    """

    def __init__(self, jobs: JobBook, sender: Sender) -> None:
        self._jobs, self._sender = jobs, sender
        self._last = ""
        self._next = 0.0
        self._seen: Future[set[str]] | None = None
        self._known: set[int] = set()

    def look(self) -> None:
        """Starts a look, or takes over what one has found."""
        if self._seen is None:
            now = time.monotonic()
            if now < self._next:
                return
            self._next = now + SECONDS
            job = self._following()
            if job is not None:
                self._last, self._known = job.take, set(job.finished)
                self._seen = self._sender.later(files_in, job.folder)
        elif self._seen.done():
            job, there, self._seen = self._jobs.get(self._last), self._seen.result(), None
            if job is not None:
                self._compare(job, there)

    def _following(self) -> Job | None:
        jobs = [job for job in self._jobs if job.numbers]
        takes = [job.take for job in jobs]
        if not jobs:
            return None
        return jobs[(takes.index(self._last) + 1) % len(jobs) if self._last in takes else 0]

    def _compare(self, job: Job, there: set[str]) -> None:
        # A frame that has come meanwhile is not one that is gone.
        gone = {n for n in self._known & job.finished if frame_name(n) not in there and not job.file_of(n).is_file()}
        back = set()
        if not job.state.active:
            back = {n for n in job.numbers if n not in job.finished and frame_name(n) in there}
        if not gone and not back:
            return
        job.finished = (job.finished - gone) | back
        job.taken_over -= gone
        job.in_line, job.stale = 0, True
        if gone:
            job.say(f"{len(gone)} frames are gone from {job.folder}: resume to make them again")
        if back:
            job.say(f"{len(back)} frames have been found in {job.folder}")
