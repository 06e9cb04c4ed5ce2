"""What the server knows of each client: who it is, which jobs it follows, what it is still to be sent."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from understudy_shared.protocol.shared_memory import SharedMemory
from understudy_shared.protocol.wire import Part

from ..jobs.job import Job
from ..jobs.uploads import Upload
from .sockets import Peer, ServerSockets

OUTBOX = 1000
"""Short messages that may wait for a client that does not read; beyond it, it is dropped."""


@dataclass
class Following:
    """A job that a client has submitted."""

    job: Job
    to_send: deque[int] = field(default_factory=deque)
    """Results it is still to be sent. Numbers only: pixels stay on disk until the client takes them."""
    have: frozenset[int] = frozenset()
    """Results that it has already."""
    spared: frozenset[int] = frozenset()
    """Those of them that are not here (any more): they are not made again for it."""
    missing: set[str] = field(default_factory=set)
    """Inputs it was asked for; the job is accepted when none is missing."""
    conditions: dict[int, str] = field(default_factory=dict)
    """Digests that came with the submit."""
    owed: int = 0
    """Credit held back."""

    def has_all(self) -> bool:
        """Whether all that is not finished here is spared."""
        if not self.spared:
            return False
        finished = self.job.finished
        return len(finished) + len(self.spared - finished.keys()) == len(self.job.spec.frames.numbers())


@dataclass
class Session:
    """One client, from its hello on."""

    peer: Peer
    name: str
    """The owner as the client gave it."""
    owner: str
    """The owner's folder (see `spool.owner_id`)."""
    welcomed: bool = False
    heard: float = field(default_factory=time.monotonic)
    following: dict[str, Following] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    fetched: dict[tuple[str, int], str] = field(default_factory=dict)
    """Job and frame to the key of a result that it wants once more."""
    outbox: deque[list[Part]] = field(default_factory=deque)
    gone: bool = False
    memory: SharedMemory | None = None
    """Shared with it, if it is on this machine and has offered some."""

    def post(self, parts: list[Part], sockets: ServerSockets, *, droppable: bool = False) -> bool:
        """Sends a message now or, unless it is droppable, later; marks the session as gone when it cannot be."""
        if self.gone:
            return False
        try:
            if not self.outbox and sockets.send(self.peer, parts):
                return True
        except ConnectionError:
            self.gone = True
            return False
        if not droppable:
            self.outbox.append(parts)
            self.gone = len(self.outbox) > OUTBOX
        return False

    def flush(self, sockets: ServerSockets) -> bool:
        """Sends what waits; returns whether nothing waits any more."""
        try:
            while self.outbox and sockets.send(self.peer, self.outbox[0]):
                self.outbox.popleft()
        except ConnectionError:
            self.gone = True
        return not self.outbox and not self.gone

    def waits(self) -> bool:
        """Whether there is something to send to it."""
        return bool(self.outbox or self.fetched or any(following.to_send for following in self.following.values()))

    def give_up(self, digest: str) -> None:
        """Removes a half upload."""
        upload = self.uploads.pop(digest, None)
        if upload is not None:
            upload.abandon()

    def close(self) -> None:
        """Removes half uploads."""
        for digest in list(self.uploads):
            self.give_up(digest)
