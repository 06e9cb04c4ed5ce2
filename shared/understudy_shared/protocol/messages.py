"""Every message between a client and a backend, in the order in which a job meets them.

    client                       backend
    Hello                 ──▶
                          ◀──    Welcome
    Submit                ──▶
                          ◀──    NeedInputs     (only if it lacks some)
    InputChunk …          ──▶
                          ◀──    Accepted       (what it has, what it wants, how many frames it may be sent now)
    FrameData …           ──▶
                          ◀──    Credit, Progress, Preview, Result …
                          ◀──    Done, Failed or Cancelled

A client that comes back after a break says Hello and Submit again, and goes on where it was: nothing is kept in the
connection. Each message is a plain value; arrays travel beside it (see `wire`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..job import JobSpec
from .description import MethodDescription
from .shared_memory import MemoryAddress
from .wire import Codec

MAX_FRAMES = 100_000
"""Frames in one job."""


class Message(msgspec.Struct, frozen=True, tag_field="is", kw_only=True):
    """What all messages have in common: a tag that names the class."""


class Hello(Message, frozen=True, tag="hello"):
    """First message of a connection."""

    owner: str
    """Whose jobs these are. Without CURVE it should be long and random: who knows it, is it."""
    software: str
    memory: MemoryAddress | None = None
    """Memory that the client would share, if the backend is on its machine."""


class Submit(Message, frozen=True, tag="submit"):
    """Make this job, or go on with it."""

    spec: JobSpec
    have: tuple[int, ...] = ()
    """Results that the client has already and does not want sent."""
    conditions: dict[int, str] = {}
    """Frame number to `job.frame_digest` of what would be pushed for it, if the client knows it beforehand. Frames
    that exist with the same digest are then not asked for."""


class InputChunk(Message, frozen=True, tag="input"):
    """A piece of an input, beside it the bytes as the array `data` (uint8). Pieces come in order."""

    digest: str
    """`job.array_digest` of the whole array."""
    dtype: str
    shape: tuple[int, ...]
    offset: int
    """Of this piece in the array's bytes."""


class FrameData(Message, frozen=True, tag="frame"):
    """The conditions of one frame, beside it one array per channel, named by the channel. Costs one credit."""

    job: str
    index: int


class Fetch(Message, frozen=True, tag="fetch"):
    """Send these results (again)."""

    job: str
    indices: tuple[int, ...]


class Cancel(Message, frozen=True, tag="cancel"):
    """Stop working on a job. What is finished stays; submitting it again resumes it."""

    job: str


class StatusRequest(Message, frozen=True, tag="status?"):
    """How are you? The backend also looks whether weights have come or gone."""


class Ping(Message, frozen=True, tag="ping"):
    """I am here; are you?"""


class Bye(Message, frozen=True, tag="bye"):
    """The client goes. Its jobs run on."""


class Welcome(Message, frozen=True, tag="welcome"):
    """The answer to Hello, once the backend knows its methods. Comes again when these have changed."""

    software: str
    instance: str
    """Random, new with every start of the backend."""
    methods: tuple[MethodDescription, ...]
    device: str
    local: str = ""
    """Address of the same backend for clients on the same machine (faster); empty if there is none."""
    memory: bool = False
    """Whether the memory that the client offered is shared now: arrays may lie in it, both ways."""


class NeedInputs(Message, frozen=True, tag="need"):
    """Send these inputs; the job is accepted once they are here."""

    job: str
    digests: tuple[str, ...]


class Accepted(Message, frozen=True, tag="accepted"):
    """The job exists. Sent again after each Submit."""

    job: str
    have: tuple[int, ...]
    """Finished frames; those that the client lacks follow as Result."""
    want: tuple[int, ...]
    """Frames whose conditions should be pushed, in this order."""
    credit: int
    """How many may be pushed now."""


class Credit(Message, frozen=True, tag="credit"):
    """`n` more frames may be pushed."""

    job: str
    n: int


class Progress(Message, frozen=True, tag="progress"):
    """How far a job is."""

    job: str
    fraction: float
    stage: str
    eta: float | None = None
    """Seconds left, once there is something to reckon from."""


class Preview(Message, frozen=True, tag="preview"):
    """How a frame looks that is still being made, beside it the picture as the array `rgba` (H, W, 4) uint8. Nothing
    keeps it, and a slow reader misses some."""

    job: str
    index: int


class Result(Message, frozen=True, tag="result"):
    """One finished result, beside it its arrays. It is on the backend's disk already."""

    job: str
    index: int
    meta: dict[str, Any] = {}


class Done(Message, frozen=True, tag="done"):
    """All results of the job were sent."""

    job: str


class Cancelled(Message, frozen=True, tag="cancelled"):
    """The job has stopped; what is finished was sent."""

    job: str


class Failed(Message, frozen=True, tag="failed"):
    """The job has stopped on an error; what is finished was sent."""

    job: str
    code: str
    message: str
    """One sentence for the artist."""
    fix: str = ""
    """What to do about it."""


class JobStatus(msgspec.Struct, frozen=True):
    """A line of the status report."""

    job: str
    method: str
    state: str
    finished: int
    frames: int


class StatusReport(Message, frozen=True, tag="status"):
    """The answer to StatusRequest; jobs are the asking owner's only."""

    software: str
    device: str
    worker: str
    """starting, idle, busy, or what is wrong with it."""
    jobs: tuple[JobStatus, ...]
    spool_bytes: int
    spool_limit: int
    problems: tuple[str, ...] = ()
    """Methods that could not be loaded, and why."""


class Pong(Message, frozen=True, tag="pong"):
    """I am here."""


class ErrorReply(Message, frozen=True, tag="error"):
    """A message could not be acted upon."""

    code: str
    """`no_session`: say Hello first. `version`: this will never work. `malformed`, `unknown_job`, ..."""
    message: str
    fix: str = ""
    job: str = ""
    software: str = ""


ToServer = Hello | Submit | InputChunk | FrameData | Fetch | Cancel | StatusRequest | Ping | Bye
ToClient = (
    Welcome
    | NeedInputs
    | Accepted
    | Credit
    | Progress
    | Preview
    | Result
    | Done
    | Cancelled
    | Failed
    | StatusReport
    | Pong
    | ErrorReply
)

to_server: Codec[ToServer] = Codec(ToServer)
to_client: Codec[ToClient] = Codec(ToClient)
