# SPDX-License-Identifier: GPL-3.0-or-later
"""A backend on this machine, as a child process of Blender. Nothing here blocks, and nothing here touches `bpy`."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

STOP_SECONDS = 10.0
"""How long a backend may take to stop before it is killed."""


class BackendState(StrEnum):
    """Where the child stands."""

    STOPPED = "stopped"
    STARTING = "starting"
    """It runs; nobody has connected to it yet."""
    RUNNING = "running"
    STOPPING = "stopping"
    DIED = "died"
    """It ended by itself: `LocalBackend.tail` tells why."""


class BackendError(RuntimeError):
    """The backend cannot be started; the message says what to do."""


def find_python(python: str) -> str:
    """The interpreter of the backend's environment, as an absolute path.

    Raises:
        BackendError: none is set, or it cannot be started.
    """
    if not python:
        raise BackendError("No Python is set for the local backend: choose one in the extension's preferences")
    found = shutil.which(str(Path(python).expanduser()))
    if found is None:
        raise BackendError(f"{python} is no Python that can be started: correct it in the extension's preferences")
    return str(Path(found).absolute())


def start_understudy(program: str, arguments: Sequence[str], folder: Path, log_file: Path) -> subprocess.Popen[bytes]:
    """Starts the command `understudy` of a backend's environment. It ends with its standard input, which the system
    closes for us however Blender ends.

    Args:
        program: of `find_python`.
        arguments: of a command that knows `--with-parent`, which is added.
        folder: where it runs.
        log_file: what it prints, written anew.

    Raises:
        OSError: it cannot be started.
    """
    # -P: nothing in the folder where it runs is taken for a module.
    command = [program, "-P", "-m", "understudy_backend.cli", *arguments, "--with-parent"]
    # Blender's own settings for Python must not reach another Python.
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH")}
    environment["PYTHONUNBUFFERED"] = "1"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=os.name == "posix",  # Ctrl-C in Blender's terminal is not for the backend
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0)
            | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )


class LocalBackend:
    """One child process. Call `poll` now and then; it never waits.

    Args:
        log_file: what the backend prints, truncated at every start.
    """

    def __init__(self, log_file: Path) -> None:
        self.log_file = log_file
        self.address = ""
        self.python = ""
        """The interpreter that it was last started with."""
        self.state = BackendState.STOPPED
        self._process: subprocess.Popen[bytes] | None = None
        self._kill_at = 0.0
        self._socket_folder: Path | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, python: str, data_folder: Path, address: str = "", arguments: tuple[str, ...] = ()) -> str:
        """Starts it and returns the address that it will listen on; connecting to it is the test of its health.

        Args:
            python: interpreter of the environment that `understudy_backend` is installed in.
            data_folder: where it keeps jobs and frames.
            address: empty for a private one that this machine alone can reach.
            arguments: more of them for `understudy serve`.

        Raises:
            BackendError: one runs already, or the interpreter cannot be started.
        """
        if self.state in (BackendState.STARTING, BackendState.RUNNING, BackendState.STOPPING):
            raise BackendError("The local backend runs already: stop it first")
        program = find_python(python)
        data_folder = data_folder.absolute()  # it runs there: a path that is relative to ours would be another one
        self.address, self.python = address or self._private_address(), python
        serve = ["serve", "--address", self.address, "--data", str(data_folder), *arguments]
        try:
            data_folder.mkdir(parents=True, exist_ok=True)
            self._process = start_understudy(program, serve, data_folder, self.log_file)
        except OSError as error:
            self._clean()
            raise BackendError(f"The local backend cannot be started ({error}): look at the preferences") from error
        self.state = BackendState.STARTING
        return self.address

    def connected(self) -> None:
        """To be called when somebody has connected to it."""
        if self.state is BackendState.STARTING:
            self.state = BackendState.RUNNING

    def poll(self) -> BackendState:
        """Looks whether the child lives, and kills it when it has been asked to stop for too long."""
        process = self._process
        if process is None:
            return self.state
        if process.poll() is not None:
            self.state = BackendState.STOPPED if self.state is BackendState.STOPPING else BackendState.DIED
            self._clean()
        elif self.state is BackendState.STOPPING and time.monotonic() > self._kill_at:
            self._signal_group("SIGKILL")
        return self.state

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Asks it to stop; `poll` sees to it that it does."""
        if self._process is None or self.poll() not in (BackendState.STARTING, BackendState.RUNNING):
            return
        self.state = BackendState.STOPPING
        self._kill_at = time.monotonic() + seconds
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()  # understood on every system; signals are not
        self._signal_group("SIGTERM")

    def stop_and_wait(self, seconds: float = 3.0) -> None:
        """Stops it for good before it returns: for quitting and for unregistering."""
        self.stop(seconds)
        process = self._process
        if process is not None:
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._signal_group("SIGKILL")
                process.wait(5)
            self.poll()
        self.state = BackendState.STOPPED
        self._clean()

    def tail(self, lines: int = 20) -> list[str]:
        """The last lines that it printed."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 16_384))
                return log.read().decode("utf-8", "replace").splitlines()[-lines:]
        except OSError:
            return []

    def _signal_group(self, name: str) -> None:
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "posix":
                os.killpg(process.pid, getattr(signal, name))
            elif name == "SIGKILL":
                process.kill()
            else:
                process.send_signal(signal.CTRL_BREAK_EVENT)  # type: ignore[attr-defined]

    def _private_address(self) -> str:
        if sys.platform != "win32":
            # A folder that only this user can enter; the name is short because socket paths end at about 100 bytes.
            self._socket_folder = Path(tempfile.mkdtemp(prefix="understudy-"))
            if len(str(self._socket_folder)) < 80:
                return f"ipc://{self._socket_folder}/backend"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return f"tcp://127.0.0.1:{free.getsockname()[1]}"

    def _clean(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        self._process = None
        # The socket's folder stays where the backend died: it may come back at the same address.
        if self._socket_folder is not None and self.state is not BackendState.DIED:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder = None
