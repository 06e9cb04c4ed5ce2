"""The server's hold on one worker process: started, listened to, replaced when it dies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import zmq
from numpy.typing import NDArray
from understudy_shared.protocol.wire import bound

from .messages import FromWorker, from_worker

LOG_LIMIT = 4 << 20
"""Bytes after which a new worker starts a new log."""


class WorkerProcess:
    """One process and one socket, both new with each start: nothing of a dead worker reaches its successor.

    Args:
        socket_path: where to put the socket; None where there are none (Windows: TCP on loopback then).

    Raises:
        OSError, zmq.ZMQError: it cannot be started now.
    """

    def __init__(
        self,
        context: zmq.Context,
        socket_path: Path | None,
        log: Path,
        device: str,
        memory_bytes: int,
        methods: Sequence[str],
    ) -> None:
        self.socket = context.socket(zmq.PAIR)
        bound(self.socket, messages=64)
        self.socket.bind(f"ipc://{socket_path}" if socket_path else "tcp://127.0.0.1:*")
        address = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._log, self._socket_path = log, socket_path
        # -P: nothing in the folder we happen to run in is taken for a module.
        command = [sys.executable, "-P", "-m", f"{__package__}.worker", "--connect", address, "--device", device]
        command += ["--memory-bytes", str(memory_bytes)]
        command += [part for name in methods for part in ("--method", name)]
        try:
            if log.exists() and log.stat().st_size > LOG_LIMIT:
                log.unlink()
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=_environment()
                )
        except OSError:
            self.socket.close(0)
            raise

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it lives; negative for the signal that killed it."""
        return self._process.poll()

    def say(self, message: msgspec.Struct) -> bool:
        """False if it cannot be sent now: the worker hangs, or is dead."""
        try:
            self.socket.send_multipart(from_worker.encode(message), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def hear(self) -> tuple[FromWorker, dict[str, NDArray]] | None:
        """The next message, if one is here.

        Raises:
            WireError: it makes no sense; the worker is beyond repair.
        """
        try:
            parts = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return None
        return from_worker.decode([part.buffer for part in parts])

    def kill(self) -> None:
        """At once; it is then found dead like any other."""
        self._process.kill()

    def end(self, grace: float = 0.0) -> None:
        """Closes its standard input, which ends it; kills it if it does not go within `grace` seconds."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.socket.close(0)
        if self._socket_path is not None:
            self._socket_path.unlink(missing_ok=True)  # ZeroMQ leaves it behind

    def log_tail(self, lines: int = 3) -> str:
        """The last lines that it wrote, as one."""
        try:
            text = self._log.read_text(errors="replace")[-4000:]
        except OSError:
            return ""
        return " | ".join(line.strip() for line in text.splitlines()[-lines:])


def _environment() -> dict[str, str]:
    # The worker must find the same packages as the server, however the server found them.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONUNBUFFERED": "1"}
