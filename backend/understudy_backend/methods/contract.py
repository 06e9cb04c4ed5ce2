"""What a method is. The rest of the backend, and the panel in Blender, know methods only through this file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
from numpy.typing import NDArray
from understudy_shared.frames import Frame
from understudy_shared.job import JobSpec
from understudy_shared.protocol.description import MethodDescription


class MethodError(Exception):
    """What went wrong, in one sentence for the artist, with what to do about it."""

    def __init__(self, message: str, *, code: str = "method_failed", fix: str = "") -> None:
        super().__init__(message)
        self.code, self.fix = code, fix


@dataclass(frozen=True)
class Task:
    """One call of a method: the job, its inputs as arrays, and the frames that are still to be made."""

    spec: JobSpec
    params: msgspec.Struct
    """The method's own parameter struct, validated, defaults filled in."""
    inputs: Mapping[str, NDArray]
    """Decoded inputs by name: images (H, W, 4) uint8 sRGB with straight alpha, other arrays as they were sent."""
    device: str = "cpu"
    folder: Path | None = None
    """The job's own, for what is half done: it is there again when the job goes on. Only for methods whose frames are
    not independent; these get all missing frames in one call."""
    progress: Callable[[float, str], None] = field(default=lambda fraction, stage: None)
    """Call with a fraction in [0, 1] and a short text; raises `Cancelled` when the artist has cancelled."""

    preview: Callable[[int, NDArray], None] = field(default=lambda index, rgba: None)
    """Call with a frame's number and how it looks so far, (H, W, 4) uint8: shown to the artist, kept by nobody. For
    methods that make all frames together."""


class Cancelled(Exception):
    """The artist has cancelled the job."""


@dataclass(frozen=True)
class Result:
    """One thing that a method gives."""

    index: int
    """Frame number; 0 for what is not a frame."""
    arrays: dict[str, NDArray]
    """By name: a `Channel` value for frames; `texture`, `visibility`, `betas`, ... for others."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Plain values (a report, warnings), JSON-able."""


class Method(Protocol):
    """Made once per worker and kept; `load` is called before the first `run`, `unload` under memory pressure."""

    description: MethodDescription
    params_type: type[msgspec.Struct]

    def load(self, device: str) -> None:
        """Brings weights into memory.

        Raises:
            MethodError: weights are missing; it names them, their source and licence.
        """
        ...

    def unload(self) -> None:
        """Frees what `load` and `run` brought into memory."""
        ...

    def run(self, task: Task, frames: Iterable[Frame]) -> Iterator[Result]:
        """Yields each result as soon as it exists. A result depends on job and frame alone, never on its neighbours
        in a batch."""
        ...
