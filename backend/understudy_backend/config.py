"""What a server can be told. Every setting has its reason beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_ADDRESS = "tcp://127.0.0.1:7707"


@dataclass(frozen=True)
class ServerConfig:
    """Settings of `understudy serve`. Times in seconds."""

    data: Path
    """Folder of the spool, the worker's log and the server's lock. One server at a time."""
    address: str = DEFAULT_ADDRESS
    """`tcp://host:port` (`*` as port: any that is free) or `ipc://path`."""
    device: str = "cpu"
    """What the worker computes on, in torch's words: cpu, cuda, cuda:1, mps."""
    methods: tuple[str, ...] = field(default=())
    """Dotted names (`package.module:Class`) of methods besides those of the catalogue."""
    catalogue: bool = True
    """Whether the catalogue's methods are offered."""
    spool_bytes: int = 20 << 30
    """The spool's limit: beyond it, jobs that have ended and were not touched longest are dropped."""
    ahead_bytes: int = 1 << 30
    """A client may send conditions this far ahead of the frames that are made from them."""
    credit: int = 8
    """Frames that a client may have under way unanswered."""
    memory_bytes: int = 0
    """What loaded methods may occupy on the device before the least recently used leaves; 0: most of what it has."""
    patience: float = 3.0
    """How long a run is held open for conditions that have not come yet."""
    turn: int = 32
    """Frames that a job gets in a row while another waits."""
    stall: float = 1800.0
    """A worker that has said nothing for this long while working is replaced."""
    start_limit: float = 300.0
    """A worker that is not ready this long after its start is replaced. Importing torch takes seconds, minutes on a
    network disk."""
    cancel_grace: float = 10.0
    """A method that has not stopped this long after a cancel loses its worker."""
    receive_bytes: int = 2 << 30
    """Growth of the server's memory at which all connections are cut. Only a message without end gets
    there: ZeroMQ collects the parts of a message before it shows any of them, and has no limit for their number.
    Where the system does not tell (not Linux), there is no such guard."""
    silence: float = 30.0
    """A client that has said nothing for this long is forgotten; its jobs run on."""
