"""A thread that keeps a session with a backend: it connects, comes back after a break, takes a shorter way if it can.

Knows sessions, not jobs; `client.Connection` knows jobs, not sockets.
"""

from __future__ import annotations

import contextlib
import select
import socket as sockets
import threading
from pathlib import Path

import zmq

from ..standstill import threads
from .events import Disconnected
from .messages import Hello, Welcome
from .security import ClientKeys
from .session import Listener, Lost, Session, Timing

LOCAL_DEADLINE = 2.0
"""Seconds in which the same machine's address has to answer, before the link stays with the one it was given."""


class Link:
    """`start` once, `close` once; `wake` at any time from any thread."""

    def __init__(
        self, address: str, hello: Hello, listener: Listener, *, keys: ClientKeys | None, timing: Timing
    ) -> None:
        self._address, self._hello, self._listener = address, hello, listener
        self._keys, self._timing = keys, timing
        self._closing = threading.Event()
        self._bell, self._bell_button = sockets.socketpair()
        self._bell.setblocking(False)
        self._bell_button.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="understudy-link", daemon=True)

    def start(self) -> None:
        """Connects in the background."""
        self._thread.start()

    def wake(self) -> None:
        """There is something to send. Never blocks."""
        with contextlib.suppress(OSError):  # full: it wakes up anyway; closed: nothing to wake
            self._bell_button.send(b"!")

    def close(self, timeout: float) -> None:
        """Says goodbye and waits for the thread, unless called from it."""
        self._closing.set()
        self.wake()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    @threads.work()
    def _run(self) -> None:
        context = zmq.Context()
        wait, told = self._timing.backoff, False
        try:
            while not self._closing.is_set():
                try:
                    session = self._connect(context)
                except Lost as lost:
                    # Once per break, not once per attempt.
                    if not told or lost.event.final:
                        self._listener.link_down(lost.event)
                    told = True
                    if lost.event.final:
                        return
                else:
                    wait, told = self._timing.backoff, True
                    self._keep(session)
                self._rest(wait)
                wait = min(2 * wait, self._timing.backoff_limit)
        finally:
            with threads.wait():
                context.destroy(linger=200)
            self._bell.close()
            self._bell_button.close()

    def _connect(self, context: zmq.Context) -> tuple[Session, Welcome] | None:
        """A session that was welcomed, by the shortest way there is; None if closing."""
        found = self._greet(context, self._address, self._keys, self._timing.deadline)
        # With keys the backend knows us by our key; the local address would not tell it.
        if found is None or self._keys is not None or not _is_here(found[1].local, self._address):
            return found
        # The socket file may be another backend's, or a dead one's: the instance tells.
        try:
            shorter = self._greet(context, found[1].local, None, LOCAL_DEADLINE)
        except Lost:
            return found
        if shorter is None or shorter[1].instance != found[1].instance:
            if shorter is not None:
                shorter[0].close()
            return found
        found[0].close()
        return shorter

    def _greet(
        self, context: zmq.Context, address: str, keys: ClientKeys | None, deadline: float
    ) -> tuple[Session, Welcome] | None:
        session = Session(context, address, keys, bell=self._bell, closing=self._closing, timing=self._timing)
        try:
            welcome = session.greet(self._hello, deadline)
        except Lost:
            session.close()
            raise
        if welcome is None:
            session.close()
            return None
        return session, welcome

    def _keep(self, found: tuple[Session, Welcome] | None) -> None:
        if found is None:
            return
        session, welcome = found
        try:
            self._listener.link_up(welcome)
            session.serve(self._listener)
        except Lost as lost:
            self._listener.link_down(lost.event)
            if lost.event.final:
                self._closing.set()
        else:
            self._listener.link_down(Disconnected("the connection was closed", code="closed", final=True))
        finally:
            session.close()

    def _rest(self, seconds: float) -> None:
        if not self._closing.wait(0):
            with threads.wait():
                select.select([self._bell], [], [], seconds)


def _is_here(local: str, address: str) -> bool:
    try:
        return local.startswith("ipc://") and local != address and Path(local.removeprefix("ipc://")).is_socket()
    except OSError:  # another user's
        return False
