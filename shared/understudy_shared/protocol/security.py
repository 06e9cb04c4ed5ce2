"""CURVE keys: made here, kept in files that only their owner reads, and required off loopback.

A backend has a folder of keys:   server.key (secret), server.pub, authorized/*.pub (one client each)
A client has a folder of keys:    client.key (secret), client.pub, server.pub (the backend it trusts)

Each file holds one Z85 key of 40 characters. `server.pub` and `client.pub` are what the two sides give each other.
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import zmq
from zmq.utils import z85


class KeyFileError(ValueError):
    """A key file is missing, damaged or readable by others. One line, with what to do."""


@dataclass(frozen=True)
class ServerKeys:
    """What a backend needs to know."""

    public: bytes
    secret: bytes
    authorized: frozenset[bytes]
    """Public keys of the clients that may connect."""


@dataclass(frozen=True)
class ClientKeys:
    """What a client needs to know."""

    public: bytes
    secret: bytes
    server: bytes
    """Public key of the backend."""


def is_private(address: str) -> bool:
    """Whether only this machine can reach an address (`ipc`, `inproc`, or TCP on loopback)."""
    scheme, _, rest = address.partition("://")
    if scheme in ("ipc", "inproc"):
        return True
    host = rest.rpartition(":")[0].strip("[]")
    octets = host.split(".")
    loopback_v4 = len(octets) == 4 and octets[0] == "127" and all(part.isdigit() for part in octets)
    return scheme == "tcp" and (host in ("localhost", "::1") or loopback_v4)


def make_keys(folder: Path, role: Literal["server", "client"]) -> Path:
    """Makes a key pair; returns the path of its public half.

    Raises:
        KeyFileError: there is one already (keys are never overwritten).
    """
    folder.mkdir(parents=True, exist_ok=True)
    public, secret = zmq.curve_keypair()
    _write_new(folder / f"{role}.key", secret, 0o600)
    _write_new(folder / f"{role}.pub", public, 0o644)
    if role == "server":
        (folder / "authorized").mkdir(exist_ok=True)
    return folder / f"{role}.pub"


def load_server_keys(folder: Path) -> ServerKeys:
    """Raises KeyFileError if a file is missing or damaged, or the secret is readable by others."""
    authorized = frozenset(_read(path) for path in sorted((folder / "authorized").glob("*.pub")))
    return ServerKeys(_read(folder / "server.pub"), _read(folder / "server.key", secret=True), authorized)


def load_client_keys(folder: Path) -> ClientKeys:
    """Raises KeyFileError if a file is missing or damaged, or the secret is readable by others."""
    return ClientKeys(
        _read(folder / "client.pub"), _read(folder / "client.key", secret=True), _read(folder / "server.pub")
    )


def secure_server(socket: zmq.Socket, keys: ServerKeys) -> None:
    """Makes a socket accept encrypted connections only; a ZAP authenticator decides whose (see `ServerKeys`)."""
    socket.curve_server = True
    socket.curve_publickey, socket.curve_secretkey = keys.public, keys.secret


def secure_client(socket: zmq.Socket, keys: ClientKeys) -> None:
    """Makes a socket encrypt, and talk to the one backend that has the secret of `keys.server`."""
    socket.curve_publickey, socket.curve_secretkey = keys.public, keys.secret
    socket.curve_serverkey = keys.server


def _write_new(path: Path, key: bytes, mode: int) -> None:
    # Created with its final mode: there is no moment in which others could read it.
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise KeyFileError(f"{path} exists: keys are not overwritten; move it away first") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(key + b"\n")


def _read(path: Path, *, secret: bool = False) -> bytes:
    try:
        key = path.read_bytes().strip()
        mode = path.stat().st_mode
    except OSError as error:
        raise KeyFileError(f"no key in {path} ({error.strerror}): make keys with `understudy keys`") from None
    if secret and os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(f"{path} can be read by others: run `chmod 600 {path}`")
    if not _is_key(key):
        raise KeyFileError(f"{path} does not hold a key of 40 characters: copy it again or make new keys")
    return key


def _is_key(key: bytes) -> bool:
    if len(key) != 40:
        return False
    try:
        z85.decode(key)
    except (KeyError, ValueError, struct.error):  # not of its alphabet, or beyond its numbers
        return False
    return True
