"""A job from start to end in one call, for scripts. Panels and operators use `client.Connection`."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping

from numpy.typing import NDArray

from ..frames import Frame
from ..job import JobSpec
from . import events
from .client import Connection
from .messages import StatusReport, Welcome
from .security import ClientKeys

MakeFrame = Callable[[int], Frame]


class JobError(Exception):
    """The job failed, or the backend cannot be reached. One line; `fix` says what to do."""

    def __init__(self, message: str, *, code: str, fix: str = "") -> None:
        super().__init__(message)
        self.code, self.fix = code, fix


class _Inbox:
    """Events on their way from the connection's thread to the caller's. Bounded: a slow caller slows the backend."""

    def __init__(self) -> None:
        self._queue: queue.Queue[events.Event] = queue.Queue(maxsize=16)
        self._closed = threading.Event()

    def put(self, event: events.Event) -> None:
        while not self._closed.is_set():
            try:
                self._queue.put(event, timeout=0.1)
                return
            except queue.Full:
                continue

    def get(self, timeout: float) -> events.Event | None:
        try:
            return self._queue.get(timeout=timeout) if timeout else self._queue.get_nowait()
        except queue.Empty:
            return None

    def close(self) -> None:
        self._closed.set()


def run_job(
    address: str,
    spec: JobSpec,
    inputs: Mapping[str, NDArray],
    frames: MakeFrame | Mapping[int, Frame] | None,
    on_result: Callable[[events.ResultArrived], object],
    *,
    owner: str,
    keys: ClientKeys | None = None,
    on_progress: Callable[[events.Progressed], object] = lambda event: None,
    patience: float = 60.0,
) -> str:
    """Submits a job, pushes what it wants, hands over each result; returns the job's id when all have come.

    Args:
        frames: makes the conditions of a frame when they are wanted; None for a method that needs none.
        on_result: called in this thread.
        patience: seconds that the backend may be unreachable before this gives up. The job is not lost then.

    Raises:
        JobError: see there.
        ValueError: the job or a frame holds what does not travel.
    """
    make: MakeFrame | None = frames.__getitem__ if isinstance(frames, Mapping) else frames
    inbox = _Inbox()
    connection = Connection(address, owner=owner, keys=keys, on_event=inbox.put)
    connection.start()
    try:
        job = connection.submit(spec, inputs)
        watch = _Unreachable(patience)
        held: Frame | None = None
        while True:
            held, pushed = _push_one(connection, job, make, held)
            event = inbox.get(0 if pushed else 0.2)
            watch.look(event)
            match event:
                case events.ResultArrived():
                    on_result(event)
                case events.Progressed():
                    on_progress(event)
                case events.JobDone():
                    return job
                case events.JobFailed() | events.Complaint():
                    raise JobError(event.message, code=event.code, fix=event.fix)
                case events.JobCancelled():
                    raise JobError("the job was cancelled", code="cancelled", fix="submit it again to resume")
    finally:
        inbox.close()
        connection.close()


def ask_status(
    address: str, *, owner: str, keys: ClientKeys | None = None, patience: float = 10.0
) -> tuple[Welcome, StatusReport]:
    """How a backend is.

    Raises:
        JobError: it cannot be reached.
    """
    inbox = _Inbox()
    connection = Connection(address, owner=owner, keys=keys, on_event=inbox.put)
    connection.start()
    try:
        welcome: Welcome | None = None
        watch = _Unreachable(patience)
        while True:
            event = inbox.get(0.2)
            watch.look(event)
            if isinstance(event, events.Connected):
                welcome = event.welcome
                connection.status()
            if isinstance(event, events.StatusArrived) and welcome is not None:
                return welcome, event.report
    finally:
        inbox.close()
        connection.close()


class _Unreachable:
    """Raises when the backend has been away for too long, or for good."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._since: float | None = time.monotonic()
        self._event = events.Disconnected("the backend has not answered", "is `understudy serve` running there?")

    def look(self, event: events.Event | None) -> None:
        if isinstance(event, events.Connected):
            self._since = None
        if isinstance(event, events.Disconnected):
            self._event = event
            self._since = self._since or time.monotonic()
        late = self._since is not None and time.monotonic() - self._since > self._patience
        # A worker that has failed to start several times will hardly start now.
        hopeless = isinstance(event, events.Disconnected) and (event.final or event.code == "worker_failed")
        if late or hopeless:
            raise JobError(self._event.reason, code=self._event.code, fix=self._event.fix)


def _push_one(
    connection: Connection, job: str, make: MakeFrame | None, held: Frame | None
) -> tuple[Frame | None, bool]:
    """Pushes one frame if one is wanted; returns the frame that was made but not taken, and whether one was.

    Raises:
        JobError: one is wanted, and there is nobody to make it.
    """
    wanted = connection.wanted(job)
    if not wanted:
        return None, False
    if make is None:
        fix = "give what each frame is made from (`understudy render --conditions FOLDER`)"
        raise JobError(f"the method wants the conditions of frame {wanted[0]}", code="missing_conditions", fix=fix)
    if held is None or held.index not in wanted:
        held = make(wanted[0])
    return (None, True) if connection.push(job, held) else (held, False)
