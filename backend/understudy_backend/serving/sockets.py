"""The server's ROUTER sockets: bound, encrypted where they must be, and who a message comes from."""

from __future__ import annotations

import re
import socket as sockets
import time
from collections.abc import Iterator
from pathlib import Path

import zmq
from understudy_shared.protocol.security import ServerKeys, is_private, secure_server
from understudy_shared.protocol.wire import Part, bound
from zmq.auth.thread import ThreadAuthenticator

MESSAGES_IN_FLIGHT = 8
"""High-water mark for each client, each way."""


class BindError(ValueError):
    """The server cannot listen where it should. One line, with what to do."""


Peer = tuple[int, bytes]
"""Which socket, and ZeroMQ's name for the connection."""


class _Authorized:
    """What the authenticator asks."""

    def __init__(self, keys: ServerKeys) -> None:
        self._keys = keys

    def callback(self, domain: str, key: bytes) -> bool:
        return key in self._keys.authorized


class ServerSockets:
    """The public address, and on Unix a second one that only this user's processes on this machine can reach.

    Raises:
        BindError: the address is in use, is none, or would be open to others without keys.
    """

    def __init__(self, context: zmq.Context, address: str, keys: ServerKeys | None, local: Path | None) -> None:
        if not _is_address(address):
            raise BindError(f"{address} is not an address: write it as tcp://127.0.0.1:7707 or ipc://path")
        if keys is None and not is_private(address):
            raise BindError(
                f"{address} can be reached by other machines and needs keys: make them with "
                "`understudy keys server DIR` and serve with `--keys DIR`"
            )
        self._context, self._keys = context, keys
        self._authenticator: ThreadAuthenticator | None = None
        self._sockets: list[zmq.Socket] = []
        if keys is not None:
            self._authenticator = ThreadAuthenticator(context)
            self._authenticator.start()
            self._authenticator.configure_curve_callback("*", credentials_provider=_Authorized(keys))
        try:
            self.address = self._bind(address, keys)
            self.local = self._bind(f"ipc://{local}", None) if local and not address.startswith("ipc") else ""
        except BindError:
            self.close()
            raise

    def all(self) -> list[zmq.Socket]:
        """To poll."""
        return self._sockets

    def receive(self, limit: int) -> Iterator[tuple[Peer, str, list[zmq.Frame]]]:
        """Up to `limit` messages of each socket: who, the key that CURVE has verified (or empty), the parts."""
        for number, socket in enumerate(self._sockets):
            for _ in range(limit):
                try:
                    name, *parts = socket.recv_multipart(zmq.NOBLOCK, copy=False)
                except zmq.Again:
                    break
                yield (number, name.bytes), _user(parts), parts

    def is_local(self, peer: Peer) -> bool:
        """Whether the client came by a Unix socket, so is on this machine."""
        return self._sockets[peer[0]].getsockopt_string(zmq.LAST_ENDPOINT).startswith("ipc://")

    def send(self, peer: Peer, parts: list[Part]) -> bool:
        """False if the client does not take it now.

        Raises:
            ConnectionError: the client is gone.
        """
        number, name = peer
        try:
            self._sockets[number].send_multipart([name, *parts], zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            raise ConnectionError(str(error)) from None
        return True

    def reopen(self) -> None:
        """Cuts all connections and listens anew at the same addresses.

        Raises:
            BindError: somebody else was faster.
        """
        for socket in self._sockets:
            socket.close(0)
        self._sockets = []
        until = time.monotonic() + 5.0
        for address, keys in ((self.address, self._keys), (self.local, None)):
            while address:
                try:
                    self._bind(address, keys)
                    break
                except BindError:
                    # ZeroMQ lets go of an address in a thread of its own.
                    self._sockets.pop().close(0)
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.02)

    def close(self) -> None:
        """Stops listening."""
        for socket in self._sockets:
            name = socket.getsockopt_string(zmq.LAST_ENDPOINT)
            socket.close(200)
            if name.startswith("ipc://"):
                Path(name.removeprefix("ipc://")).unlink(missing_ok=True)  # ZeroMQ leaves it behind
        if self._authenticator is not None:
            self._authenticator.stop()

    def _bind(self, address: str, keys: ServerKeys | None) -> str:
        socket = self._context.socket(zmq.ROUTER)
        self._sockets.append(socket)
        if address.startswith("ipc://") and _answers(Path(address.removeprefix("ipc://"))):
            raise BindError(f"{address} is in use: stop the other server or choose another --address")
        bound(socket, messages=MESSAGES_IN_FLIGHT)
        # Full or gone clients are an error to handle, not messages to lose silently.
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.HANDSHAKE_IVL, 5000)
        if keys is not None:
            secure_server(socket, keys)
        try:
            socket.bind(address)
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE:
                raise BindError(f"{address} is in use: stop the other server or choose another --address") from None
            raise BindError(f"cannot listen on {address} ({error}): write it as tcp://127.0.0.1:7707") from None
        return socket.getsockopt_string(zmq.LAST_ENDPOINT)


def _is_address(address: str) -> bool:
    if address.startswith("ipc://"):
        return len(address) > len("ipc://")
    # ZeroMQ takes a port beyond 65535 and silently makes another one of it.
    found = re.fullmatch(r"tcp://[^/]+:(\d{1,5}|\*)", address)
    return found is not None and (found[1] == "*" or int(found[1]) <= 0xFFFF)


def _user(parts: list[zmq.Frame]) -> str:
    # Without CURVE there is no such property.
    try:
        found = parts[0].get("User-Id") if parts else ""
    except zmq.ZMQError:
        return ""
    return str(found)


def _answers(path: Path) -> bool:
    """Whether a living process listens on a Unix socket (ZeroMQ would take its name from it without asking)."""
    if not path.is_socket():
        return False
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
