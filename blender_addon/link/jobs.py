# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs as Blender knows them: what was asked, how far it is, what is still missing; kept in the .blend as JSON.

A job in Blender is one *take*: a place in the sequencer and a folder. The backend knows it by the id of its spec with
the owner in it; the file holds neither owner nor key nor address, so that it can be given to anyone.
"""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

import bpy
import msgspec
from understudy_shared.job import JobSpec

from .driving import Driving
from .names import frame_name
from .ranges import Ranges, within
from .refs import Ref

Role = Literal["frames", "fit", "texture"]
"""What becomes of a job's results: a strip, the body's pose and camera, or the body's texture."""

Source = Literal["geometry", "render", "clip", "nothing"]
"""What is sent of a frame: the posed vertices and the camera, or Blender's own render of the body, or the picture of a
clip, or nothing, where the method makes frames from its inputs alone."""


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
    photo: Ref | None = None
    """The photo that is fitted."""
    source: Source = "geometry"
    driving: Driving | None = None
    """The clip, where one drives the photo in place of body and camera."""
    channels: tuple[str, ...] = ()
    """The channels of a frame that are sent; empty: all."""
    state: State = State.WAITING
    problem: Problem | None = None
    channel: int = 0
    """The sequencer channel, chosen when the job was made; 0 where it makes no strip."""
    placed: bool = False
    """A strip has shown it once: if none does now, the artist has deleted it or chosen another take."""
    shot: str = ""
    """What it is a version of: the key of the shot's first take. Empty in files of before there were shots."""
    replaces: str = ""
    """The take whose strip shows this one instead as soon as its first frame is there. Empty: a strip of its own."""
    base: str = ""
    """The take that frames are taken over from."""
    only_changed: bool = False
    """Make only those frames that differ from the base's, and take over the others."""
    leave: Ranges = ()
    """Frames that are not made: the base's are taken over where there are some."""
    turn: int = 0
    """Its place in the queue: the lowest goes first."""
    asked: str = ""
    """When, by the clock on the artist's wall: `2026-11-23 14:05`."""

    @property
    def refs(self) -> tuple[Ref, ...]:
        """All datablocks that it refers to."""
        clip = self.driving.scene if self.driving else None
        found = (self.scene, self.sequencer, self.body, self.camera, self.photo, clip)
        return tuple(item for item in found if item is not None)


@dataclass(eq=False)
class Job:
    """A record, and what only this session knows of it."""

    record: Record
    wire_id: str = ""
    """Its id at the backend; empty until submitted in this session."""
    sent: bool = False
    """It is submitted now: it is this job's turn."""
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
    taken_over: set[int] = field(default_factory=set)
    """Those of them that were another take's."""
    captured: int = 0
    """How many snapshots of the scene have been taken."""
    to_capture: int = 0
    """How many there are still to be taken."""
    together: bool = False
    """Its method makes all frames at once, from what the scene looks like at all of them."""
    previews: set[int] = field(default_factory=set)
    """Numbers of frames of which a preview is on disk."""
    in_line: int = 0
    """How many pictures of its strip are known to be as they should: those after it are looked at."""
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
    def shot(self) -> str:
        """The key of the shot that it is a version of."""
        return self.record.shot or self.take

    @property
    def missing(self) -> list[int]:
        """Frame numbers that were asked for and are not there yet."""
        leave = self.record.leave
        return [n for n in self.numbers if n not in self.finished and not (leave and within(leave, n))]

    @property
    def absent(self) -> list[int]:
        """Frame numbers without a picture, those that nobody asked for included."""
        return [n for n in self.numbers if n not in self.finished]

    def file_of(self, number: int) -> Path:
        """The file of one frame, there or not."""
        return self.folder / frame_name(number)

    def preview_for(self, number: int) -> int | None:
        """The frame whose preview stands for a frame: the last one before it that has one, else the first."""
        return max((n for n in self.previews if n <= number), default=min(self.previews, default=None))

    def scan(self) -> None:
        """Finds the frames that are on disk: the disk is the truth, not the .blend."""
        there = files_in(self.folder)
        self.finished = {n for n in self.numbers if frame_name(n) in there}
        self.taken_over &= self.finished
        self.in_line = 0

    @property
    def progress(self) -> float:
        """How much is done, from 0 to 1."""
        if self.state is State.DONE:
            return 1.0
        if not self.numbers:
            return self.fraction
        leave = self.record.leave
        asked = sum(not within(leave, n) for n in self.numbers) if leave else len(self.numbers)
        there = 1 - len(self.missing) / asked if asked else 1.0
        return max(there, self.fraction) if self.together and self.state is State.RUNNING else there

    @property
    def seconds_left(self) -> float | None:
        """The backend's estimate, else one from the pace since the last submission; None before there is one."""
        if self.state is not State.RUNNING:
            return None
        if self.eta is not None:
            return self.eta
        spent = time.monotonic() - self.started
        if self.numbers and not self.together:
            made, left = len(self.finished) - self.begun_with, len(self.missing)
            return spent / made * left if made > 0 else None
        return spent / self.fraction * (1 - self.fraction) if self.fraction > 0.02 else None

    def say(self, line: str) -> None:
        self.log.append(f"{time.strftime('%H:%M:%S')} {line}")

    def fail(self, problem: Problem) -> None:
        self.record.state, self.record.problem = State.FAILED, problem
        self.sent = False
        self.stale = True
        self.say(str(problem))


def files_in(folder: Path) -> set[str]:
    """Names of the files in a folder; none where it cannot be read. One look at the folder, not one for each file."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:
        return set()
