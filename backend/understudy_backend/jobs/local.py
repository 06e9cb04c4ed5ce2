"""A backend of one's own: a server as a child process, started, awaited, and ended with its parent."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from numpy.typing import NDArray
from understudy_shared.frames import Frame
from understudy_shared.job import JobSpec
from understudy_shared.protocol.blocking import JobError, ask_status, run_job
from understudy_shared.protocol.events import Progressed, ResultArrived

from .places import PlaceError, lock_data, read_announcement


def default_data() -> Path:
    """Where a server keeps its spool unless told otherwise."""
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "understudy"
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "understudy"


def own_name(data: Path) -> str:
    """The owner's name for jobs of this user: random, made once, kept in a file that others cannot read."""
    path = data / "owner"
    data.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    name = secrets.token_hex(16)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(name)
    except OSError:
        path.unlink(missing_ok=True)  # an empty one would be a name that everybody knows
        raise
    return name


class LocalBackend:
    """A context manager: inside it there is a backend at `address`.

    If another server already uses the data folder, that one is used, and left running.

    Args:
        data: see `config.ServerConfig.data`.
        options: further options of `understudy serve`.
        patience: seconds until the server must answer, its worker included.

    Raises:
        JobError: on entering, if it does not start; with the last lines of its log.
    """

    def __init__(
        self, data: Path, *, device: str = "cpu", options: Sequence[str] = (), patience: float = 120.0
    ) -> None:
        self.data, self.owner = data, own_name(data)
        self._device, self._options, self._patience = device, options, patience
        self._child: subprocess.Popen[bytes] | None = None
        self.address = ""

    def __enter__(self) -> Self:
        running = self._find_running()
        if running:
            self.address = running
            return self
        try:
            self.address = self._start()
            ask_status(self.address, owner=self.owner, patience=self._patience)
        except JobError as error:
            self.stop()
            raise JobError(f"{error} {self._log_tail()}".strip(), code=error.code, fix=error.fix) from None
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Of the child; None if the server is somebody else's."""
        return self._child.pid if self._child else None

    def render_job(
        self,
        spec: JobSpec,
        inputs: Mapping[str, NDArray],
        frames: Callable[[int], Frame] | Mapping[int, Frame] | None,
        on_result: Callable[[ResultArrived], object],
        on_progress: Callable[[Progressed], object] = lambda event: None,
    ) -> str:
        """`blocking.run_job` on this backend."""
        return run_job(
            self.address, spec, inputs, frames, on_result, owner=self.owner, on_progress=on_progress, patience=60.0
        )

    def stop(self) -> None:
        """Ends the child, kindly first."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.stdin is not None:
            child.stdin.close()
        try:
            child.wait(5.0)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _find_running(self) -> str:
        try:
            lock_data(self.data).close()
        except PlaceError:
            found = read_announcement(self.data)
            if found is None:
                raise JobError(
                    f"{self.data} is in use by a server that is starting", code="busy", fix="try again"
                ) from None
            return found.address
        return ""

    def _start(self) -> str:
        command = [sys.executable, "-P", "-m", "understudy_backend.cli", "serve", "--data", str(self.data)]
        command += ["--device", self._device, "--address", "tcp://127.0.0.1:*", "--with-parent", *self._options]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        stale = read_announcement(self.data)
        with (self.data / "server.log").open("wb") as log:
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=environment
            )
        until = time.monotonic() + self._patience
        while time.monotonic() < until:
            found = read_announcement(self.data)
            # Not by its process id: on Windows a virtual environment's Python is the parent of the one that serves.
            if found is not None and found != stale:
                return found.address
            if self._child.poll() is not None:
                raise JobError("the local backend did not start:", code="not_started", fix="see server.log")
            time.sleep(0.05)
        raise JobError(f"the local backend did not start within {self._patience:g} s:", code="not_started")

    def _log_tail(self) -> str:
        try:
            lines = (self.data / "server.log").read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""
