"""What a `Connection` tells its owner, one small value per thing that happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from .description import MethodDescription
from .messages import StatusReport, Welcome


@dataclass(frozen=True)
class Connected:
    """The backend answers; comes again after each break."""

    welcome: Welcome
    """Its version, device and methods."""


@dataclass(frozen=True)
class MethodsChanged:
    """The backend describes its methods anew: weights have come or gone."""

    methods: tuple[MethodDescription, ...]


@dataclass(frozen=True)
class Disconnected:
    """The backend does not answer. Once per break; the connection keeps trying unless `final`."""

    reason: str
    fix: str = ""
    code: str = "unreachable"
    """`unreachable`, `version`, `refused` (the backend does not know our key) or `closed`."""
    final: bool = False


@dataclass(frozen=True)
class Accepted:
    """The backend has the job; see `Connection.wanted` for what it wants."""

    job: str
    have: tuple[int, ...]
    """Frames that are finished there."""


@dataclass(frozen=True)
class CreditChanged:
    """`Connection.push` may succeed again."""

    job: str
    credit: int


@dataclass(frozen=True)
class Progressed:
    """How far a job is."""

    job: str
    fraction: float
    stage: str
    eta: float | None
    """Seconds left, or None while unknown."""


@dataclass(frozen=True, eq=False)
class PreviewArrived:
    """How a frame looks that is still being made."""

    job: str
    index: int
    rgba: NDArray
    """(H, W, 4) uint8 sRGB, straight alpha, read-only."""


@dataclass(frozen=True, eq=False)
class ResultArrived:
    """A finished result; once for each index and submit."""

    job: str
    index: int
    arrays: dict[str, NDArray]
    """Read-only; named by channel for frames."""
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobDone:
    """Every result has arrived."""

    job: str


@dataclass(frozen=True)
class JobCancelled:
    """The job has stopped; submit it again to resume."""

    job: str


@dataclass(frozen=True)
class JobFailed:
    """The job has stopped on an error; what was finished has arrived. Submit it again to resume."""

    job: str
    code: str
    message: str
    fix: str


@dataclass(frozen=True)
class StatusArrived:
    """The answer to `Connection.status`."""

    report: StatusReport


@dataclass(frozen=True)
class Complaint:
    """The backend could not act upon a message that belongs to no job."""

    code: str
    message: str
    fix: str


Event = (
    Connected
    | MethodsChanged
    | Disconnected
    | Accepted
    | CreditChanged
    | Progressed
    | PreviewArrived
    | ResultArrived
    | JobDone
    | JobCancelled
    | JobFailed
    | StatusArrived
    | Complaint
)
