"""A connection to a backend that never blocks its caller and survives breaks. Runs inside Blender as well as outside.

    connection = Connection("tcp://127.0.0.1:7707", owner="a long random text", on_event=queue.put)
    connection.start()
    job = connection.submit(JobSpec("3dhm", FrameRange(1, 48), (256, 256)), {"photo": photo, "texture": texture})
    ...
    for number in connection.wanted(job):
        if not connection.push(job, frame(number)):
            break                                  # no credit now: try again after the next CreditChanged
    ...
    connection.close()

All methods may be called from any thread and return at once. Events come in the connection's own thread: hand them
over rather than work there.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..frames import Frame
from ..job import JobSpec, with_inputs
from . import events, messages
from .link import Link
from .security import ClientKeys
from .session import Outgoing, Timing
from .wire import array_bytes, check_travels, portable

log = logging.getLogger(__name__)

CHUNK_BYTES = 4 << 20
"""Inputs travel in pieces of this size, so that heartbeats pass between them."""


@dataclass
class _Job:
    """What the connection knows of one job. Guarded by the connection's lock."""

    spec: JobSpec | None
    """None for a job that was only fetched from, never submitted here."""
    inputs: dict[str, NDArray] = field(default_factory=dict)
    """By digest, kept until the job ends: a backend may ask again after a break."""
    conditions: dict[int, str] = field(default_factory=dict)
    delivered: set[int] = field(default_factory=set)
    fetching: set[int] = field(default_factory=set)
    open: bool = True
    cancelling: bool = False
    accepted: bool = False
    """The backend has answered this submission: an end that it told before is that of an earlier one."""
    credit: int = 0
    want: dict[int, None] = field(default_factory=dict)
    """Frames still to push: a set that keeps its order."""

    def disconnected(self) -> None:
        self.credit, self.want, self.accepted = 0, {}, False

    def end(self) -> None:
        self.open = self.cancelling = False
        self.inputs = {}
        self.disconnected()


class Connection:
    """See the module's text.

    Args:
        address: `tcp://host:port` or `ipc://path`.
        owner: whose jobs these are; long and random, and the same in every session that should see them.
        keys: needed for a backend that is not on this machine's loopback.
        on_event: called with each `events.Event`, in the connection's thread, never twice at once.
    """

    def __init__(
        self,
        address: str,
        *,
        owner: str,
        on_event: Callable[[events.Event], object],
        keys: ClientKeys | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.address, self.owner = address, owner
        self._on_event = on_event
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._up = False
        self._control: deque[messages.ToServer] = deque()
        self._bulk: deque[Iterator[Outgoing]] = deque()
        hello = messages.Hello(owner=owner, software=__version__)
        self._link = Link(address, hello, self, keys=keys, timing=timing or Timing())

    def start(self) -> None:
        """Connects in the background; `Connected` or `Disconnected` follows."""
        self._link.start()

    def close(self, timeout: float = 2.0) -> None:
        """Ends the connection. Jobs run on; `cancel` them first if they should not."""
        self._link.close(timeout)

    def submit(
        self,
        spec: JobSpec,
        inputs: Mapping[str, NDArray] | None = None,
        *,
        have: Iterable[int] = (),
        conditions: Mapping[int, str] | None = None,
    ) -> str:
        """Asks for a job, or for the rest of it; returns its id, which is the same whenever it is asked for.

        Args:
            spec: its `owner` and the digests of `inputs` are filled in.
            inputs: arrays by name; must not change until the job has ended.
            have: results that need not be sent.
            conditions: frame number to `job.frame_digest`, where known beforehand: frames that exist are not wanted.

        Raises:
            ValueError: the spec holds a value that does not travel (infinity, say).
        """
        arrays = {name: portable(array) for name, array in (inputs or {}).items()}
        spec = with_inputs(spec, arrays, self.owner)
        try:
            travels = msgspec.json.decode(msgspec.json.encode(spec), type=JobSpec) == spec
        except msgspec.MsgspecError:
            travels = False
        if not travels:
            raise ValueError("the job's settings do not travel: they must be finite numbers, texts, yes or no")
        by_digest = {spec.inputs[name]: array for name, array in arrays.items()}
        job = _Job(spec, by_digest, dict(conditions or {}), set(have))
        with self._lock:
            self._jobs[spec.id] = job
            if self._up:
                self._control.append(_submit(spec, job))
        self._link.wake()
        return spec.id

    def wanted(self, job_id: str) -> list[int]:
        """Frame numbers that the backend still wants pushed, in its order; empty while disconnected."""
        with self._lock:
            job = self._jobs.get(job_id)
            return list(job.want) if job else []

    def push(self, job_id: str, frame: Frame) -> bool:
        """Sends the conditions of a frame; its arrays must not change afterwards.

        Returns:
            False if it was not taken because there is no credit now. A frame that nobody wants is taken and dropped.

        Raises:
            ValueError: a channel holds what does not travel (texts, say).
        """
        for array in frame.channels.values():
            check_travels(array)
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or not job.open:
                return True
            # What was delivered may be wanted all the same: a clip is made from the conditions of all its frames.
            if frame.index in job.delivered and frame.index not in job.want:
                return True
            if not self._up or job.credit < 1:
                return False
            if frame.index not in job.want:
                return True
            del job.want[frame.index]
            job.credit -= 1
            self._bulk.append(_frame(job_id, frame))
        self._link.wake()
        return True

    def cancel(self, job_id: str) -> None:
        """Stops a job, now or when the backend is back; `JobCancelled` follows. `submit` resumes it."""
        with self._lock:
            job = self._jobs.setdefault(job_id, _Job(None))
            job.cancelling, job.want = True, {}
            if self._up:
                self._control.append(messages.Cancel(job=job_id))
        self._link.wake()

    def fetch(self, job_id: str, indices: Iterable[int]) -> None:
        """Asks for finished results again; each arrives as `ResultArrived` once more."""
        wanted = set(indices)
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None:
                job = self._jobs[job_id] = _Job(None, open=False)
            job.fetching |= wanted
            if self._up:
                self._control.append(_fetch(job_id, wanted))
        self._link.wake()

    def status(self) -> None:
        """Asks how the backend is; `StatusArrived` follows. Dropped while disconnected."""
        with self._lock:
            if self._up:
                self._control.append(messages.StatusRequest())
        self._link.wake()

    # -- what the link calls, in its thread

    def link_up(self, welcome: messages.Welcome) -> None:
        """Takes up every open job where it was."""
        with self._lock:
            self._up = True
            for job_id, job in self._jobs.items():
                if job.cancelling:
                    self._control.append(messages.Cancel(job=job_id))
                elif job.open and job.spec is not None:
                    self._control.append(_submit(job.spec, job))
                if job.fetching:
                    self._control.append(_fetch(job_id, job.fetching))
        self._tell(events.Connected(welcome))

    def link_down(self, event: events.Disconnected) -> None:
        """Forgets what was under way: the backend will say anew what it wants."""
        with self._lock:
            self._up = False
            self._control.clear()
            self._bulk.clear()
            for job in self._jobs.values():
                job.disconnected()
        self._tell(event)

    def link_outgoing(self) -> Outgoing | None:
        """The next message: short ones first, then frames and inputs."""
        with self._lock:
            if self._control:
                return self._control.popleft(), {}
            source = self._bulk[0] if self._bulk else None
        while source is not None:
            outgoing = next(source, None)
            if outgoing is not None:
                return outgoing
            with self._lock:
                if self._bulk and self._bulk[0] is source:
                    self._bulk.popleft()
                source = self._bulk[0] if self._bulk else None
        return None

    def link_message(self, message: messages.ToClient, arrays: dict[str, NDArray]) -> None:
        """Takes a message in and tells what it means."""
        with self._lock:
            event = self._take_in(message, arrays)
        if event is not None:
            self._tell(event)

    def _take_in(self, message: messages.ToClient, arrays: dict[str, NDArray]) -> events.Event | None:
        if isinstance(message, messages.StatusReport):
            return events.StatusArrived(message)
        if isinstance(message, messages.Welcome):
            return events.MethodsChanged(message.methods)
        if isinstance(message, messages.Pong):
            return None
        job = self._jobs.get(message.job)
        if isinstance(message, messages.ErrorReply):
            return self._take_error(message, job)
        if job is None:
            return None
        if isinstance(message, messages.Result):
            return _take_result(message, arrays, job)
        if not job.open:
            return None
        match message:
            case messages.NeedInputs(digests=digests):
                return self._take_need(message.job, job, digests)
            case messages.Accepted():
                job.credit, job.accepted = message.credit, True
                job.want = {} if job.cancelling else dict.fromkeys(message.want)
                return events.Accepted(message.job, message.have)
            case messages.Credit(n=n):
                job.credit += n
                return events.CreditChanged(message.job, job.credit)
            case messages.Progress():
                return events.Progressed(message.job, message.fraction, message.stage, message.eta)
            case messages.Preview(index=index):
                rgba = arrays.get("rgba")
                if rgba is None or rgba.dtype != np.uint8 or rgba.ndim != 3 or rgba.shape[2] != 4:
                    return None
                return events.PreviewArrived(message.job, index, rgba)
            case messages.Done() | messages.Cancelled() if not (job.accepted or job.cancelling):
                return None
            case messages.Done():
                job.end()
                return events.JobDone(message.job)
            case messages.Cancelled():
                job.end()
                return events.JobCancelled(message.job)
            case messages.Failed():
                job.end()
                return events.JobFailed(message.job, message.code, message.message, message.fix)

    def _take_need(self, job_id: str, job: _Job, digests: tuple[str, ...]) -> events.Event | None:
        job.accepted = True
        missing = [digest for digest in digests if digest not in job.inputs]
        if not missing:
            self._bulk.extend(_input(digest, job.inputs[digest]) for digest in digests)
            return None
        names = [name for name, digest in job.spec.inputs.items() if digest in missing] if job.spec else []
        job.end()
        return events.JobFailed(
            job_id,
            "input_missing",
            f"the backend does not have the input {', '.join(names) or missing[0][:8]} of this job any more",
            "start the job anew from its photo",
        )

    def _take_error(self, message: messages.ErrorReply, job: _Job | None) -> events.Event | None:
        if job is None:
            return events.Complaint(message.code, message.message, message.fix)
        was_cancelling = job.cancelling
        job.end()
        job.fetching.clear()
        if was_cancelling and message.code == "unknown_job":
            return events.JobCancelled(message.job)
        return events.JobFailed(message.job, message.code, message.message, message.fix)

    def _tell(self, event: events.Event) -> None:
        try:
            self._on_event(event)
        except Exception:
            # The thread must outlive a mistake in somebody's handler; the log says where it is.
            log.exception("a handler of %s failed", type(event).__name__)


def _take_result(message: messages.Result, arrays: dict[str, NDArray], job: _Job) -> events.Event | None:
    if message.index in job.fetching:
        job.fetching.discard(message.index)
    elif not job.open or message.index in job.delivered:
        return None
    job.delivered.add(message.index)
    job.want.pop(message.index, None)
    return events.ResultArrived(message.job, message.index, arrays, message.meta)


def _submit(spec: JobSpec, job: _Job) -> messages.Submit:
    return messages.Submit(spec=spec, have=tuple(sorted(job.delivered)), conditions=job.conditions)


def _fetch(job_id: str, indices: set[int]) -> messages.Fetch:
    return messages.Fetch(job=job_id, indices=tuple(sorted(indices)))


def _frame(job_id: str, frame: Frame) -> Iterator[Outgoing]:
    arrays = {str(channel): array for channel, array in frame.channels.items()}
    yield messages.FrameData(job=job_id, index=frame.index), arrays


def _input(digest: str, array: NDArray) -> Iterator[Outgoing]:
    data = array_bytes(array)
    # An empty array still takes one (empty) piece.
    for offset in range(0, max(data.size, 1), CHUNK_BYTES):
        chunk = messages.InputChunk(digest=digest, dtype=array.dtype.name, shape=array.shape, offset=offset)
        yield chunk, {"data": data[offset : offset + CHUNK_BYTES]}
