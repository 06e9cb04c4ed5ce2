"""Where a server keeps its lock, its sockets and what others need to find it."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

import msgspec

from ..atomic import write_atomically


class PlaceError(ValueError):
    """The data folder cannot be used. One line, with what to do."""


class Announcement(msgspec.Struct):
    """server.json: how to reach the server that uses this data folder."""

    address: str
    pid: int
    software: str


def lock_data(data: Path) -> BinaryIO:
    """Takes a data folder for this process, for as long as the returned file is open; a killed process lets go of it.

    Raises:
        PlaceError: another server uses it, or it cannot be written.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        file = (data / "lock").open("a+b")
    except OSError as error:
        raise PlaceError(f"{data} cannot be written ({error.strerror}): choose another folder with --data") from None
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise PlaceError(f"another server uses {data}: stop it, use it, or choose another folder with --data") from None
    return file


def announce(data: Path, address: str, software: str) -> None:
    """Writes server.json."""
    line = msgspec.json.encode(Announcement(address, os.getpid(), software))
    write_atomically(data / "server.json", lambda file: file.write(line), durable=False)


def read_announcement(data: Path) -> Announcement | None:
    """server.json, if there is one; it may be a dead server's."""
    try:
        return msgspec.json.decode((data / "server.json").read_bytes(), type=Announcement)
    except (OSError, msgspec.MsgspecError):
        return None


def socket_path(data: Path, name: str) -> Path | None:
    """A place for a Unix socket: short (its length is limited), ours alone, and the same for the same data folder, so
    that nothing piles up after crashes. None on Windows, or where no such place can be had."""
    if os.name == "nt":
        return None
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"understudy-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
    except OSError:
        return None
    if state.st_uid != os.getuid() or state.st_mode & 0o077 or folder.is_symlink():
        return None  # somebody else's
    path = folder / f"{hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:16]}-{name}"
    return path if len(str(path)) < 100 else None
