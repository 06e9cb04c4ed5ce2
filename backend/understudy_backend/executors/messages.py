"""What server and worker say to each other. Conditions and inputs are named by path: both are on one machine."""

from __future__ import annotations

from typing import Any

import msgspec
from understudy_shared.job import JobSpec
from understudy_shared.protocol.description import MethodDescription
from understudy_shared.protocol.wire import Codec


class Message(msgspec.Struct, frozen=True, tag_field="is", kw_only=True):
    """A tag names the class."""


class Ready(Message, frozen=True, tag="ready"):
    """The worker has started and knows its methods."""

    methods: tuple[MethodDescription, ...]
    problems: tuple[str, ...]
    """Methods that could not be loaded, and why."""


class Describe(Message, frozen=True, tag="describe"):
    """Say Ready once more: weights may have come, or gone."""


class Run(Message, frozen=True, tag="run"):
    """Make frames of a job; which ones follow as Give."""

    run: int
    spec: JobSpec
    inputs: dict[str, str]
    """Name to path of an .npy file."""
    folder: str = ""
    """Where the method may keep what is half done; empty: nowhere."""


class Want(Message, frozen=True, tag="want"):
    """The worker can take `n` more frames."""

    run: int
    n: int


class Give(Message, frozen=True, tag="give"):
    """A frame to make, and the container file of its conditions; empty if it needs none."""

    run: int
    index: int
    conditions: str


class NoMore(Message, frozen=True, tag="no more"):
    """This run gets no more frames."""

    run: int


class Stop(Message, frozen=True, tag="stop"):
    """The job was cancelled: leave the run."""

    run: int


class Progressed(Message, frozen=True, tag="progress"):
    """From the method."""

    run: int
    fraction: float
    stage: str


class Previewed(Message, frozen=True, tag="preview"):
    """How a frame looks so far, beside it the picture as the array `rgba`."""

    run: int
    index: int


class Made(Message, frozen=True, tag="made"):
    """A result, beside it its arrays."""

    run: int
    index: int
    meta: dict[str, Any]


class Finished(Message, frozen=True, tag="finished"):
    """The run is over."""

    run: int


class Stopped(Message, frozen=True, tag="stopped"):
    """The run was left."""

    run: int


class Again(Message, frozen=True, tag="again"):
    """Memory was short, other methods have left it: give this run's unfinished frames once more."""

    run: int


class Broke(Message, frozen=True, tag="broke"):
    """The method failed; the worker lives."""

    run: int
    code: str
    message: str
    fix: str


to_worker: Codec[Describe | Run | Give | NoMore | Stop] = Codec(Describe | Run | Give | NoMore | Stop)
FromWorker = Ready | Want | Progressed | Previewed | Made | Finished | Stopped | Again | Broke
from_worker: Codec[FromWorker] = Codec(FromWorker)
