# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetching weights, by the backend's own command as a child process. Nothing here blocks, or touches `bpy`."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from pathlib import Path

from .local_backend import BackendError, find_python, start_understudy

LOOK = 0.2
"""Seconds between two looks at what the command says."""
_TAIL = 4096


class WeightFetch:
    """One set at a time. Call `poll` now and then; it never waits.

    Args:
        log_file: what the command prints, written anew for every set.
    """

    def __init__(self, log_file: Path) -> None:
        self.name = ""
        """Of the set that is being fetched, or was last."""
        self.done = self.total = 0
        """Bytes that are here, and of the whole set; 0 while they are not known."""
        self.problem = ""
        """Why it ended without the set, in one sentence."""
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None
        self._looked = 0.0

    @property
    def running(self) -> bool:
        return self._process is not None

    @property
    def fraction(self) -> float:
        """From 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    def start(self, python: str, name: str) -> None:
        """Starts to fetch a set whose licence was accepted; what an earlier try has brought is kept.

        Args:
            python: interpreter of the environment that the backend is installed in.
            name: of the set.

        Raises:
            BackendError: one is being fetched, or the interpreter cannot be started.
        """
        if self._process is not None:
            raise BackendError(f"{self.name} is being fetched: wait for it, or cancel it")
        program = find_python(python)
        arguments = ["weights", "get", name, "--accept-licence", "--json"]
        self.name, self.problem, self.done, self.total = name, "", 0, 0
        try:
            self._process = start_understudy(program, arguments, self._log_file.parent, self._log_file)
        except OSError as error:
            raise BackendError(f"The backend's command cannot be started ({error}): look at the preferences") from error

    def poll(self) -> bool:
        """Looks how far it is. Returns True once, when the set is there."""
        process = self._process
        if process is None or time.monotonic() - self._looked < LOOK:
            return False
        self._looked = time.monotonic()
        code = process.poll()
        lines = self._last_lines()
        self._read_progress(lines)
        if code is None:
            return False
        self._let_go()
        if code:
            said = next((line for line in reversed(lines) if line.startswith("understudy: ")), "")
            self.problem = said.removeprefix("understudy: ") or f"the command has ended with {code}: {self._log_file}"
        return code == 0

    def cancel(self) -> None:
        """Ends it. What has arrived is kept for the next try."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(5)
            self._let_go()

    def _let_go(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()

    def _last_lines(self) -> list[str]:
        try:
            with self._log_file.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL))
                return log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return []

    def _read_progress(self, lines: list[str]) -> None:
        for line in reversed(lines):
            with contextlib.suppress(ValueError, KeyError, TypeError):
                told = json.loads(line)
                self.done, self.total = int(told["done"]), int(told["total"])
                return
