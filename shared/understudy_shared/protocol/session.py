"""One session with a backend: a DEALER socket from its hello to its end, with heartbeats and deadlines.

A session over a Unix socket offers shared memory, too, since its other end is on the same machine.

Used by `link.Link`, in its thread.
"""

from __future__ import annotations

import contextlib
import socket as sockets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec
import zmq
from numpy.typing import NDArray
from zmq.utils.monitor import recv_monitor_message

from ..standstill import threads
from .events import Disconnected
from .messages import Bye, ErrorReply, Hello, Ping, Pong, ToClient, ToServer, Welcome, to_client, to_server
from .security import ClientKeys, secure_client
from .shared_memory import SharedMemory
from .wire import Part, VersionError, WireError, bound

MESSAGES_IN_FLIGHT = 8
"""High-water mark of the socket, each way."""

Outgoing = tuple[ToServer, Mapping[str, NDArray]]
"""A message and the arrays beside it, which must not change until it is sent."""

_REFUSED = zmq.Event.HANDSHAKE_FAILED_AUTH | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
_GONE = zmq.Event.DISCONNECTED


@dataclass(frozen=True)
class Timing:
    """Seconds."""

    ping: float = 1.0
    """A session says something this often."""
    deadline: float = 8.0
    """Nothing heard for this long: the backend is gone."""
    backoff: float = 0.1
    """First wait before connecting again; doubles up to `backoff_limit`."""
    backoff_limit: float = 3.0


class Listener(Protocol):
    """Who is told what a session brings; called in the link's thread."""

    def link_up(self, welcome: Welcome) -> None:
        """The backend answers."""
        ...

    def link_down(self, event: Disconnected) -> None:
        """It does no more."""
        ...

    def link_message(self, message: ToClient, arrays: dict[str, NDArray]) -> None:
        """It says something."""
        ...

    def link_outgoing(self) -> Outgoing | None:
        """The next message to send, or None; asked again once it is sent."""
        ...


class Lost(Exception):
    """The session is over, and why."""

    def __init__(self, event: Disconnected) -> None:
        super().__init__(event.reason)
        self.event = event


class Session:
    """Raises `Lost` from `greet` and `serve` when the session is over; both return early when `closing` is set.

    Args:
        bell: a socket that becomes readable when there is something to send.
    """

    def __init__(
        self,
        context: zmq.Context,
        address: str,
        keys: ClientKeys | None,
        *,
        bell: sockets.socket,
        closing: threading.Event,
        timing: Timing,
    ) -> None:
        self.address, self._bell, self._closing, self._timing = address, bell, closing, timing
        self._socket = context.socket(zmq.DEALER)
        bound(self._socket, messages=MESSAGES_IN_FLIGHT)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)  # nothing queues up for a backend that is not there
        if keys is not None:
            secure_client(self._socket, keys)
        self._monitor = self._socket.get_monitor_socket(_REFUSED | _GONE)
        self._poller = zmq.Poller()
        self._poller.register(self._monitor, zmq.POLLIN)
        self._poller.register(self._bell, zmq.POLLIN)
        self._heard = self._said = time.monotonic()
        self._received: list[tuple[ToClient, dict[str, NDArray]]] = []
        self._memory: SharedMemory | None = None
        try:
            self._socket.connect(address)
        except zmq.ZMQError as error:
            self.close()
            reason = f"{address} is not an address to connect to ({error})"
            raise Lost(Disconnected(reason, "write it as tcp://host:port", code="address", final=True)) from None

    def greet(self, hello: Hello, deadline: float) -> Welcome | None:
        """Says hello and waits for the welcome; None if closing.

        A backend that has just started may need a minute to learn its methods: it is waited for as long as it answers
        pings, each within `deadline` seconds.
        """
        offered = SharedMemory.create() if self.address.startswith("ipc://") else None
        try:
            if offered is not None:
                hello = msgspec.structs.replace(hello, memory=offered[1])
            welcome = self._greet(hello, deadline)
        finally:
            if offered is not None:
                SharedMemory.forget(offered[1])
        if welcome is not None and welcome.memory and offered is not None:
            self._memory = offered[0]
        return welcome

    def _greet(self, hello: Hello, deadline: float) -> Welcome | None:
        sent = False
        while not self._closing.is_set():
            writable = self._step(want_to_send=not sent)
            if writable and not sent:
                sent = self._send(to_server.encode(hello))
            for message, _ in self._take():
                if isinstance(message, Welcome):
                    return message
                # Answers to what an earlier session sent are no answers to this hello.
                if isinstance(message, ErrorReply) and message.code != "no_session":
                    self._refuse(message)
            self._beat(deadline, silent=not sent)
        return None

    def serve(self, listener: Listener) -> None:
        """Moves messages both ways until the session is lost or closing is set; then sends what is left to send."""
        pending: list[Part] | None = None
        while not self._closing.is_set():
            pending = pending or self._next(listener)
            writable = self._step(want_to_send=pending is not None)
            if writable and pending and self._send(pending):
                pending = None
            for message, arrays in self._take():
                if isinstance(message, ErrorReply) and message.code == "no_session":
                    raise Lost(Disconnected("the backend has started anew"))
                if isinstance(message, ErrorReply) and message.code == "version":
                    self._refuse(message)
                if not isinstance(message, Pong):
                    listener.link_message(message, arrays)
                    self._heard = time.monotonic()  # our own slowness is not the backend's silence
            self._beat(self._timing.deadline)
        self._farewell(listener, pending)

    def _next(self, listener: Listener) -> list[Part] | None:
        outgoing = listener.link_outgoing()
        return to_server.encode(*outgoing, self._memory) if outgoing is not None else None

    def close(self) -> None:
        """Ends the socket; what is not sent is dropped."""
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close()

    def _step(self, *, want_to_send: bool) -> bool:
        """Waits for something to do; returns whether the socket takes a message."""
        self._poller.register(self._socket, zmq.POLLIN | (zmq.POLLOUT if want_to_send else 0))
        with threads.wait():
            events = self._poller.poll(int(self._timing.ping * 500))
        ready = dict(events)
        with contextlib.suppress(BlockingIOError):
            while self._bell.fileno() in ready and self._bell.recv(4096):
                pass
        state = ready.get(self._socket, 0)
        if state & zmq.POLLIN:
            self._receive()
        if self._monitor in ready and not self._received:
            self._read_monitor()
        return bool(state & zmq.POLLOUT)

    def _receive(self) -> None:
        # A few at a time, so that what has to go out is not kept waiting by what comes in.
        for _ in range(MESSAGES_IN_FLIGHT):
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            self._heard = time.monotonic()
            try:
                self._received.append(to_client.decode([part.buffer for part in parts], self._memory))
            except VersionError as error:
                raise Lost(
                    Disconnected(str(error), "install the same version on both sides", code="version", final=True)
                ) from None
            except WireError as error:
                raise Lost(Disconnected(f"the backend sent what cannot be read: {error}")) from None

    def _take(self) -> list[tuple[ToClient, dict[str, NDArray]]]:
        taken, self._received = self._received, []
        return taken

    def _send(self, parts: list[Part]) -> bool:
        try:
            self._socket.send_multipart(parts, zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        self._said = time.monotonic()
        return True

    def _beat(self, deadline: float, *, silent: bool = False) -> None:
        now = time.monotonic()
        if not silent and now - self._said > self._timing.ping:
            self._send(to_server.encode(Ping()))
            self._said = now
        if now - self._heard > deadline:
            fix = "check the address, and that `understudy serve` runs there"
            raise Lost(Disconnected(f"{self.address} has not answered for {deadline:g} s", fix))

    def _read_monitor(self) -> None:
        event = recv_monitor_message(self._monitor)["event"]
        if event & _REFUSED:
            raise Lost(
                Disconnected(
                    f"{self.address} refused the connection: the keys do not fit",
                    "put this client's client.pub into the backend's `authorized` folder and the backend's server.pub "
                    "beside client.key",
                    code="refused",
                )
            )
        raise Lost(Disconnected(f"{self.address} closed the connection"))

    def _refuse(self, reply: ErrorReply) -> None:
        raise Lost(Disconnected(reply.message, reply.fix, code=reply.code, final=reply.code == "version"))

    def _farewell(self, listener: Listener, pending: list[Part] | None) -> None:
        # Half a second for the last words (a cancel, say): frames that are still queued are wanted again later.
        until = time.monotonic() + 0.5
        last: list[list[Part]] = [pending] if pending else []
        while time.monotonic() < until and (parts := last.pop() if last else self._next(listener)):
            with threads.wait():
                writable = self._socket.poll(100, zmq.POLLOUT)
            if not writable or not self._send(parts):
                return
        self._send(to_server.encode(Bye()))
        self._socket.setsockopt(zmq.LINGER, 200)
