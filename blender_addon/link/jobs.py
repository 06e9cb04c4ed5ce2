# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs as Blender knows them: what was asked, how far it is, what is still missing; kept in the .blend as JSON.

A job in Blender is one *take*: a place in the sequencer and a folder. The backend knows it by the id of its spec with
the owner in it; the file holds neither owner nor key nor address, so that it can be given to anyone.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

import bpy
import msgspec
from understudy_shared.job import JobSpec

from . import folders
from .names import frame_name
from .refs import Ref

TEXT_NAME = "Understudy jobs"
"""The text datablock that carries the jobs of a .blend."""

Role = Literal["frames", "fit", "texture"]
"""What becomes of a job's results: a strip, the body's pose and camera, or the body's texture."""

Source = Literal["geometry", "render", "nothing"]
"""What is sent of a frame: the posed vertices and the camera, or Blender's own render of the body, or
nothing, where the method makes frames from its inputs alone."""


class State(StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    """Wanted, but the backend has not accepted it (yet, or again after a lost connection)."""
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"
    PAUSED = "paused"
    """Read from a file: it goes on when it is resumed."""

    @property
    def active(self) -> bool:
        return self in (State.WAITING, State.RUNNING)


class Problem(msgspec.Struct, frozen=True):
    """Why a job failed."""

    code: str
    message: str
    """One sentence for the artist."""
    fix: str
    """What to do about it."""

    def __str__(self) -> str:
        return f"{self.message.rstrip('.')}. {self.fix}".strip() if self.fix else self.message


class Record(msgspec.Struct):
    """What the .blend keeps of a job: small, plain, and no secret in it."""

    take: str
    """The key of this take; strips carry it too."""
    title: str
    spec: JobSpec
    """With an empty owner: who resumes it puts in their own."""
    role: Role
    folder: str
    """As Blender writes paths: `//` is the folder of the .blend."""
    scene: Ref
    sequencer: Ref
    body: Ref | None = None
    camera: Ref | None = None
    source: Source = "geometry"
    channels: tuple[str, ...] = ()
    """The channels of a frame that are sent; empty: all."""
    state: State = State.WAITING
    problem: Problem | None = None
    channel: int = 0
    """The sequencer channel, chosen when the job was made; 0 where it makes no strip."""
    placed: bool = False
    """Its strip was made once: if there is none now, the artist has deleted it, and it is not made again."""


@dataclass
class Job:
    """A record, and what only this session knows of it."""

    record: Record
    wire_id: str = ""
    """Its id at the backend; empty until submitted in this session."""
    fraction: float = 0.0
    stage: str = ""
    eta: float | None = None
    """Seconds left, as the backend reckons."""
    started: float = 0.0
    """`time.monotonic()` of the last submission."""
    begun_with: int = 0
    """How many frames there were at that moment: the time left counts only the new ones."""
    finished: set[int] = field(default_factory=set)
    """Frame numbers whose file is on disk."""
    log: deque[str] = field(default_factory=lambda: deque(maxlen=200))
    meta: dict = field(default_factory=dict)
    """What came with the last result: a report, warnings."""
    stale: bool = False
    """Its strip is not yet in line with `finished`."""
    rewritten: bool = False
    """A file that the strip already shows has changed on disk."""

    @property
    def take(self) -> str:
        return self.record.take

    @property
    def state(self) -> State:
        return self.record.state

    @property
    def problem(self) -> Problem | None:
        return self.record.problem

    @property
    def spec(self) -> JobSpec:
        return self.record.spec

    @property
    def folder(self) -> Path:
        """Where its files are, absolute."""
        return Path(bpy.path.abspath(self.record.folder))

    @property
    def numbers(self) -> range:
        """The frame numbers that it makes; empty for a job without frames."""
        return self.spec.frames.numbers() if self.record.role == "frames" else range(0)

    @property
    def missing(self) -> list[int]:
        """Frame numbers that are not there yet."""
        return [n for n in self.numbers if n not in self.finished]

    def file_of(self, number: int) -> Path:
        """The file of one frame, there or not."""
        return self.folder / frame_name(number)

    def scan(self) -> None:
        """Finds the frames that are on disk: the disk is the truth, not the .blend."""
        folder = self.folder
        self.finished = {n for n in self.numbers if (folder / frame_name(n)).is_file()}

    @property
    def progress(self) -> float:
        """How much is done, from 0 to 1."""
        if self.state is State.DONE:
            return 1.0
        return len(self.finished) / len(self.numbers) if self.numbers else self.fraction

    @property
    def seconds_left(self) -> float | None:
        """The backend's estimate, else one from the pace since the last submission; None before there is one."""
        if self.state is not State.RUNNING:
            return None
        if self.eta is not None:
            return self.eta
        spent = time.monotonic() - self.started
        if self.numbers:
            made, left = len(self.finished) - self.begun_with, len(self.missing)
            return spent / made * left if made > 0 else None
        return spent / self.fraction * (1 - self.fraction) if self.fraction > 0.02 else None

    def say(self, line: str) -> None:
        self.log.append(f"{time.strftime('%H:%M:%S')} {line}")

    def fail(self, problem: Problem) -> None:
        self.record.state, self.record.problem = State.FAILED, problem
        self.stale = True
        self.say(str(problem))


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

    def active(self) -> list[Job]:
        return [job for job in self._jobs.values() if job.state.active]

    def write(self, blend_folder: Path | None = None) -> None:
        """Into the text datablock. Called at every change of state and before saving, so undo cannot lose a job.

        Args:
            blend_folder: where the .blend is about to be saved; by default where it is.
        """
        text = bpy.data.texts.get(TEXT_NAME)
        if not self._jobs:
            if text is not None:
                bpy.data.texts.remove(text)
            return
        records = [job.record for job in self._jobs.values()]
        for record in records:  # names as they are now: uids do not outlive the session
            for item in (record.scene, record.sequencer, record.body, record.camera):
                if item is not None:
                    item.find()
        if blend_folder is not None:
            seen = [folders.seen_from(job.record.folder, job.folder, blend_folder) for job in self._jobs.values()]
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
            for item in (record.scene, record.sequencer, record.body, record.camera):
                if item is not None:
                    item.uid = 0
            if record.state.active:
                record.state = State.PAUSED
            job = Job(record, stale=record.role == "frames" and record.state is not State.DONE)
            job.scan()
            self._jobs[record.take] = job
