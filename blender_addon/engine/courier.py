# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames to the backend and back, for one render that waits for them: a connection of its own, apart from the pump's.

Nothing here touches `bpy`. Finished frames wait on disk, so that a backend that is far ahead fills no memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from understudy_shared.frames import Channel, Frame
from understudy_shared.job import JobSpec, with_inputs
from understudy_shared.protocol import events
from understudy_shared.protocol.client import Connection
from understudy_shared.protocol.description import MethodDescription
from understudy_shared.protocol.security import ClientKeys

from ..link.jobs import Problem

PATIENCE = 60.0
"""Seconds that the backend may be away."""

_FAREWELL = 1.0
"""Seconds that a cancelled job's end is waited for."""


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    fraction: float = 0.0
    stage: str = "Waiting for the backend"


class Stopped(Exception):
    """Whoever waited does not want to wait any longer."""


class BackendFailure(RuntimeError):
    """The backend is away, or cannot make a frame. One line, with what to do."""

    def __init__(self, message: str, *, away: bool = False) -> None:
        super().__init__(message)
        self.away = away
        """The backend does not answer; else the job failed."""


Watch = Callable[[Progress], None]
"""Called several times a second while waiting; raises `Stopped` to end that, or `BackendFailure` if it is hopeless."""


class Courier:
    """One connection, for as long as a render lasts.

    Args:
        address: `tcp://host:port` or `ipc://path`.
        owner: see `link.folders.owner`.
        keys: for a backend off this machine.
        folder: where finished frames wait; removed by whoever made it.
        patience: seconds that the backend may be away.
    """

    def __init__(
        self, address: str, owner: str, keys: ClientKeys | None, folder: Path, patience: float = PATIENCE
    ) -> None:
        self.address, self.owner = address, owner
        self._folder, self._patience = folder, patience
        self._news = threading.Condition()
        self._methods: tuple[MethodDescription, ...] | None = None
        self._away_since: float | None = time.monotonic()
        self._absence = events.Disconnected("The backend has not answered", "Is it running?")
        self._progress: dict[str, Progress] = {}
        self._finished: dict[int, Path] = {}
        self._ended: dict[str, Problem | None] = {}
        """Jobs that have ended, and why if not well."""
        self._connection = Connection(address, owner=owner, keys=keys, on_event=self._hear)
        self._connection.start()

    def close(self, cancel: Collection[str] = ()) -> None:
        """Ends the connection.

        Args:
            cancel: jobs that nobody wants any more, if they have not ended.
        """
        running = [job for job in cancel if job not in self._ended]
        for job in running:
            self._connection.cancel(job)
        if self._away_since is None:
            end = time.monotonic() + _FAREWELL
            with self._news:
                while any(job not in self._ended for job in running) and time.monotonic() < end:
                    self._news.wait(0.1)
        self._connection.close()

    def methods(self, watch: Watch) -> tuple[MethodDescription, ...]:
        """What the backend can do; waits for the first answer.

        Raises:
            BackendFailure: there is none. What `watch` raises.
        """
        while self._methods is None:
            self._wait(watch, Progress())
        return self._methods

    def job_id(self, spec: JobSpec, inputs: Mapping[str, NDArray]) -> str:
        """The id that `submit` would give."""
        return with_inputs(spec, dict(inputs), self.owner).id

    def submit(self, spec: JobSpec, inputs: Mapping[str, NDArray], conditions: Mapping[int, str]) -> str:
        """Asks for a job and gives its id; see `Connection.submit`.

        Raises:
            ValueError: a setting does not travel.
        """
        return self._connection.submit(spec, inputs, conditions=conditions)

    def result(self, job: str, number: int, make: Callable[[int], Frame | None], watch: Watch) -> NDArray:
        """The picture (H, W, 4) of one frame of a job, as the method gave it; waits for it, and meanwhile pushes what
        the backend wants.

        Args:
            job: its id.
            number: of the frame.
            make: the conditions of a frame, or None while there are none.
            watch: see there.

        Raises:
            BackendFailure: the job has failed, or the backend is away for too long. What `watch` raises.
        """
        while number not in self._finished:
            if job in self._ended:
                raise BackendFailure(str(self._ended[job] or f"The backend has not made frame {number}: render again"))
            if not self._push(job, make):
                self._wait(watch, self._progress.get(job, Progress()), number)
        return np.load(self._finished[number], allow_pickle=False)

    def forget_before(self, number: int) -> None:
        """Lets go of finished frames that nobody will ask for any more."""
        for n in [n for n in self._finished if n < number]:
            self._finished.pop(n).unlink(missing_ok=True)

    def _push(self, job: str, make: Callable[[int], Frame | None]) -> bool:
        """Pushes one frame. Returns whether another may follow at once."""
        for number in self._connection.wanted(job):
            frame = make(number)
            if frame is not None:
                return self._connection.push(job, frame)
        return False

    def _wait(self, watch: Watch, progress: Progress, number: int | None = None) -> None:
        with self._news:
            if number is None or number not in self._finished:
                self._news.wait(0.1)
        watch(progress)
        since = self._away_since
        if since is not None and (self._absence.final or time.monotonic() - since > self._patience):
            raise BackendFailure(str(Problem("", self._absence.reason, self._absence.fix)), away=True)

    # -- the connection's thread

    def _hear(self, event: events.Event) -> None:
        problem: Problem | None = None
        if isinstance(event, events.ResultArrived):
            try:
                self._keep(event)
            except (OSError, ValueError) as error:
                problem = Problem("not_kept", f"A finished frame could not be kept in {self._folder} ({error})", "")
        with self._news:
            match event:
                case events.Connected(welcome=welcome):
                    self._methods, self._away_since = welcome.methods, None
                case events.Disconnected():
                    self._absence = event
                    self._away_since = self._away_since or time.monotonic()
                case events.Progressed(job=job, fraction=fraction, stage=stage):
                    self._progress[job] = Progress(fraction, stage)
                case events.JobDone(job=job):
                    self._ended[job] = None
                case events.JobCancelled(job=job):
                    self._ended[job] = Problem("cancelled", "The job was cancelled at the backend", "Render again.")
                case events.JobFailed(job=job, code=code, message=message, fix=fix):
                    self._ended[job] = Problem(code, message, fix)
                case events.ResultArrived(job=job) if problem is not None:
                    self._ended[job] = problem
            self._news.notify_all()

    def _keep(self, event: events.ResultArrived) -> None:
        if Channel.RGBA not in event.arrays:
            raise ValueError("it is no picture: choose a method that makes frames")
        path = self._folder / f"{event.index}.npy"
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.save(file, event.arrays[Channel.RGBA], allow_pickle=False)
        part.replace(path)
        self._finished[event.index] = path
