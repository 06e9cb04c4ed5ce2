# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings jobs to the backend, on the main thread: snapshots of the scene, then the job, then what the backend wants.

The backend shares its time among all jobs that it has; an artist wants the first to be finished first. So only the job
whose turn it is, is sent: the others of this file are kept here, with their snapshots.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
from understudy_shared.job import scene_digest
from understudy_shared.protocol.description import MethodDescription
from understudy_shared.standstill import Writer

from . import again, feed, take_files
from .book import JobBook
from .connection import BackendLink
from .jobs import Job, State
from .ranges import within


class Sender:
    """See the module's text.

    Args:
        jobs: the jobs of the open file.
    """

    def __init__(self, jobs: JobBook) -> None:
        self.link: BackendLink | None = None
        self.methods: tuple[MethodDescription, ...] = ()
        """What the backend has told that it can do; none while there is no connection."""
        self.describe: Callable[[str], MethodDescription | None] = lambda name: None
        """What is known of a method, also from an earlier connection."""
        self._jobs = jobs
        self._feeds: dict[str, feed.Feed] = {}
        self._stopping: set[str] = set()
        """Wire ids of jobs that the backend was told to stop, and has not said that it did."""
        self._writer = Writer("understudy-writer")

    def close(self) -> None:
        """Waits for the file that is just being written."""
        self._writer.shutdown(cancel_futures=True)

    def later(self, function: Callable[..., Any], *args: object) -> Future[Any]:
        """Calls `function` in the writer's thread, after what it has to do already. It must not touch `bpy`."""
        return self._writer.submit(function, *args)

    def settle(self) -> None:
        """Waits until the writer's thread has done all that it has to do now."""
        self._writer.submit(int).result()

    def attach(self, link: BackendLink | None) -> None:
        """Takes a new connection; nothing is sent to it yet."""
        self.link, self.methods = link, ()
        self._stopping.clear()

    def begin(self, job: Job) -> None:
        """A job is wanted: from now on `step` brings it on its way."""
        description = self.describe(job.spec.method)
        job.together = description is not None and not description.independent_frames
        found = feed.begin(job, self._writer)
        job.sent, job.captured, job.to_capture = False, 0, len(found.to_capture)
        self._feeds[job.take] = found

    def drop(self, job: Job) -> None:
        """A job has ended."""
        self._feeds.pop(job.take, None)

    def forget(self) -> None:
        """All jobs are let go; the backend goes on with what it has."""
        self._feeds.clear()

    def stop_at_backend(self, job: Job) -> None:
        """Tells the backend to stop a job that it has. What is on its way still arrives."""
        if self.link is not None and job.sent:
            self._stopping.add(job.wire_id)
            self.link.cancel(job.wire_id)
        job.sent = False

    def heard_end(self, wire_id: str) -> bool:
        """The backend says that a job has ended. Returns whether it was told to stop it."""
        asked = wire_id in self._stopping
        self._stopping.discard(wire_id)
        return asked

    def step(self, job: Job, *, its_turn: bool, deadline: float) -> bool:
        """Brings a job on as far as it goes until `deadline` (`time.perf_counter`). Returns whether it is complete
        without the backend: all its frames were taken over from another take.

        Raises:
            feed.FeedError, ValueError, OSError: it cannot go on.
        """
        found = self._feeds[job.take]
        if job.sent and not its_turn:
            self.stop_at_backend(job)
            job.record.state, job.stage = State.WAITING, ""
            job.say("Another job goes first")
        try:
            feed.collect_written(found)
            self._capture(job, found, deadline)
            if not found.ready or not self._take_over(job, found):
                return False
            if job.numbers and not job.missing and not job.sent:
                return True
            if self.link is None or not its_turn:
                return False
            if not job.sent:
                self._submit(job, found)
            elif job.state is State.RUNNING:
                while feed.push_wanted(job, found, self.link) and time.perf_counter() < deadline:
                    pass
        except feed.BlenderBusy:
            pass
        return False

    def _capture(self, job: Job, found: feed.Feed, deadline: float) -> None:
        while not found.full:
            begun = time.perf_counter()
            if begun > deadline:
                return
            total = len(found.to_capture) + job.captured
            job.stage = f"Reading the scene, frame {job.captured + 1} of {total}"
            feed.capture_next(job, found)
            job.captured, job.to_capture = job.captured + 1, len(found.to_capture)
            now = time.perf_counter()
            if now + (now - begun) > deadline:  # the next would take as long
                return

    def _take_over(self, job: Job, found: feed.Feed) -> bool:
        """Whether the other take's frames are here; asks for it where it was not yet asked for."""
        if found.taken:
            return True
        record = job.record
        if not job.numbers:
            found.taken = True
            return True
        if found.taking is None:
            base = self._jobs.get(record.base)
            # The snapshots may be more: those of a whole clip.
            numbers = [n for n in job.missing if n in found.digests or record.source == "nothing"]
            keys = again.frame_keys(job.spec, numbers, found.digests, self.describe(job.spec.method))
            if base is not None and record.leave:
                left = [n for n in job.absent if within(record.leave, n)]
                found.taking = self._writer.submit(_left, base.folder, job.folder, left, keys)
            else:
                source = base.folder if base is not None and record.only_changed else None
                found.taking = self._writer.submit(again.keep, job.folder, keys, source)
        if not found.taking.done():
            job.stage = "Taking over frames"
            return False
        taken, found.taken, job.stage = found.taking.result(), True, ""
        job.finished |= taken
        job.taken_over |= taken
        base = self._jobs.get(record.base)
        if taken and base is not None:
            job.say(f"{len(taken)} frames are those of {base.record.title}")
        return True

    def _submit(self, job: Job, found: feed.Feed) -> None:
        """Sends the job off; it may take several ticks until it can go.

        The backend knows takes that ask for the very same by one id: the end of the earlier one must be heard first.
        """
        assert self.link is not None
        if found.digests and not job.spec.scene:
            job.record.spec = msgspec.structs.replace(job.spec, scene=scene_digest(found.digests))
            self._jobs.write()
        wire_id = self.link.wire_id(job.spec)
        if wire_id in self._stopping:
            return
        for other in self._jobs:
            if other.wire_id == wire_id:
                other.wire_id = ""
        job.wire_id, job.stage = wire_id, "Sending"
        left = {n for n in job.absent if within(job.record.leave, n)}
        inputs = found.inputs.result()
        self.link.submit(job.spec, inputs, job.folder, have=job.finished | left, conditions=found.digests)
        job.sent = True


def _left(base: Path, folder: Path, numbers: list[int], keys: dict[int, str]) -> set[int]:
    taken = take_files.take_over(base, folder, numbers)
    take_files.save_keys(folder, keys)
    return taken
