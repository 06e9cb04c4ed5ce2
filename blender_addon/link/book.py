# SPDX-License-Identifier: GPL-3.0-or-later
"""All jobs of the .blend that is open: in the order in which they were made, and in the order of the queue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import bpy
import msgspec

from . import folders
from .jobs import Job, Record, State

TEXT_NAME = "Understudy jobs"
"""The text datablock that carries the jobs of a .blend."""


class JobBook:
    """The jobs of the .blend that is open."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, take: str) -> Job | None:
        return self._jobs.get(take)

    def by_wire_id(self, wire_id: str) -> Job | None:
        """The take that the backend means; takes that ask for the same follow each other, and only one has the id."""
        return next((job for job in self._jobs.values() if job.wire_id == wire_id), None)

    def add(self, job: Job) -> None:
        self._jobs[job.take] = job
        self.write()

    def clear(self) -> None:
        self._jobs.clear()

    def remove(self, job: Job) -> None:
        self._jobs.pop(job.take, None)
        self.write()

    def active(self) -> list[Job]:
        """The queue: jobs that are wanted, whose turn it is first."""
        return sorted((job for job in self._jobs.values() if job.state.active), key=lambda job: job.record.turn)

    def place(self, job: Job) -> int:
        """Its place in the queue, 1 for the one whose turn it is; 0 for a job that is not in it."""
        queue = self.active()
        return queue.index(job) + 1 if job in queue else 0

    def to_end(self, job: Job) -> None:
        """Puts a job behind all others of the queue."""
        job.record.turn = max((other.record.turn for other in self._jobs.values() if other is not job), default=0) + 1

    def move_up(self, job: Job) -> bool:
        """Lets a job go before the one before it. False where it is the first already, or not in the queue."""
        place = self.place(job)
        if place < 2:
            return False
        before = self.active()[place - 2].record
        before.turn, job.record.turn = job.record.turn, before.turn
        self.write()
        return True

    def of_shot(self, shot: str) -> list[Job]:
        """The takes of a shot, oldest first."""
        return [job for job in self._jobs.values() if job.record.role == "frames" and job.shot == shot]

    def write(self, blend_folder: Path | None = None, moved: Mapping[str, str] | None = None) -> None:
        """Into the text datablock. Called at every change of state and before saving, so undo cannot lose a job.

        Args:
            blend_folder: where the .blend is about to be saved; by default where it is.
            moved: folder of takes that will be elsewhere then, by the take's key.
        """
        text = bpy.data.texts.get(TEXT_NAME)
        if not self._jobs:
            if text is not None:
                bpy.data.texts.remove(text)
            return
        records = [job.record for job in self._jobs.values()]
        for record in records:  # names as they are now: uids do not outlive the session
            for item in record.refs:
                item.find()
        if blend_folder is not None:
            seen = [folders.seen_from(job.record.folder, job.folder, blend_folder) for job in self._jobs.values()]
            seen = [(moved or {}).get(r.take, folder) for r, folder in zip(records, seen, strict=True)]
            records = [msgspec.structs.replace(r, folder=f) for r, f in zip(records, seen, strict=True)]
        content = msgspec.json.format(msgspec.json.encode(records), indent=1).decode()
        text = text or bpy.data.texts.new(TEXT_NAME)
        if text.as_string() != content:
            text.from_string(content)

    def read(self) -> None:
        """From the text datablock of a file that was just opened. What was running is paused.

        A text that is not ours any more (edited by hand, of a newer version) gives no jobs: the strips stay.
        """
        self._jobs.clear()
        text = bpy.data.texts.get(TEXT_NAME)
        if text is None:
            return
        try:
            records = msgspec.json.decode(text.as_string(), type=list[Record])
        except (msgspec.DecodeError, ValueError) as error:
            print(f"Understudy: the jobs of this file cannot be read ({error}); its strips stay as they are")
            return
        for record in records:
            for item in record.refs:
                item.uid = 0
            if record.state.active:
                record.state = State.PAUSED
            job = Job(record)
            job.scan()
            job.stale = record.role == "frames" and (record.state is not State.DONE or bool(job.absent))
            self._jobs[record.take] = job
