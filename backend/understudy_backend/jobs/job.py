"""One job as the server sees it: which frames are finished, which can be made, which still lack their conditions."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import msgspec
from understudy_shared.job import JobSpec, digest
from understudy_shared.protocol.description import MethodDescription

from .. import __version__

NO_CONDITIONS = ""
"""Stands for the digest of a frame that needs none."""


class JobState(StrEnum):
    """Where a job is in its life."""

    RECEIVING = "receiving"
    """Its inputs are not all here."""
    ACTIVE = "active"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing happens any more unless it is submitted again."""
        return self in (JobState.DONE, JobState.CANCELLED, JobState.FAILED)


class Failure(msgspec.Struct, frozen=True):
    """Why a job failed, for the artist."""

    code: str
    message: str
    fix: str = ""


@dataclass
class Job:
    """A job of one owner. Every frame is in exactly one of: finished, ready or given, waiting (the rest)."""

    owner: str
    """The owner's folder name (see `spool.owner_id`)."""
    spec: JobSpec
    method: MethodDescription
    state: JobState = JobState.RECEIVING
    failure: Failure | None = None
    finished: dict[int, str] = field(default_factory=dict)
    """Frame number to the key of its result."""
    ready: dict[int, str] = field(default_factory=dict)
    """Frame number to the digest of its conditions, which are in the spool; includes those given to the worker."""
    given: set[int] = field(default_factory=set)
    """Frames in the worker's hands."""
    deaths: Counter[int] = field(default_factory=Counter)
    """How often the worker died with this frame in its hands."""
    lost_starts: int = 0
    """How often in a row, without a frame between, the worker died with no frame of it in its hands."""
    ahead_bytes: int = 0
    """Conditions in the spool of frames that are not finished."""
    running_since: float | None = None
    done_when_started: float = 0.0
    """The fraction that was done at that moment."""

    @property
    def id(self) -> str:
        """The spec's."""
        return self.spec.id

    @property
    def needs_conditions(self) -> bool:
        """Whether its frames need anything from the client."""
        return any(need.per_frame for need in self.method.needs)

    @cached_property
    def maker(self) -> str:
        """The hash of what describes the method, its weights' identities included, but not whether they are on this
        disk: results of another maker are not this job's."""
        weights = [(weight.name, weight.sha256) for weight in self.method.weights]
        described = msgspec.to_builtins(msgspec.structs.replace(self.method, weights=()))
        return digest({"version": __version__, "method": described, "weights": weights})

    def wanted(self) -> list[int]:
        """Frames whose conditions are missing, in order."""
        if not self.needs_conditions:
            return []
        return [index for index in self.spec.frames.numbers() if index not in self.finished and index not in self.ready]

    def to_give(self) -> list[int]:
        """Frames that a worker may be given, in order; a frame under suspicion comes last (and alone)."""
        numbers = [index for index in sorted(self.ready) if index not in self.given]
        return sorted(numbers, key=lambda index: self.deaths[index] > 0)

    def complete(self) -> bool:
        """Whether every frame is finished."""
        return len(self.finished) == len(self.spec.frames.numbers())

    def key(self, index: int, conditions: str) -> str:
        """The hash of all that a frame depends on: the same in every job in which it is the same frame."""
        defaults = {param.name: param.default for param in self.method.params}
        depends = {
            "frame": index,
            "conditions": conditions,
            "method": self.spec.method,
            "maker": self.maker,
            "params": {**defaults, **self.spec.params},
            "seed": self.spec.seed,
            "size": self.spec.size,
            "inputs": self.spec.inputs,
            "job": "" if self.method.independent_frames else self.id,
        }
        return digest(depends)

    def seconds_left(self, fraction: float) -> float | None:
        """Reckoned from what this run has made so far; None while there is nothing to reckon from."""
        if self.running_since is None:
            return None
        elapsed = time.monotonic() - self.running_since
        done = fraction - self.done_when_started
        if done < 0.01:
            return None
        return elapsed / done * (1 - fraction)
