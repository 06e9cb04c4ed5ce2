# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the Python that a local backend is installed in, and asks it which version: in a thread, without `bpy`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from understudy_shared.standstill import threads

_SECONDS = 30.0
"""How long a Python may take to answer: the first start from a slow disk is slow."""

_QUESTION = (
    "from importlib.metadata import version, PackageNotFoundError as N\n"
    "try: print('understudy', version('understudy-backend'))\n"
    "except N: print('none')\n"
)


@dataclass(frozen=True)
class Found:
    """What a checkup has found."""

    python: str
    """The interpreter; empty: none has the backend."""
    version: str
    """Of the backend; empty where it is not installed."""
    sentence: str
    """For the artist."""

    @property
    def good(self) -> bool:
        return bool(self.version)


class Checkup:
    """One question at a time, in the background; `found` is the last answer."""

    def __init__(self) -> None:
        self.found: Found | None = None
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[str] | None = None
        self._over = False

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, pythons: list[str]) -> None:
        """Asks these interpreters in turn until one has the backend; does nothing while it asks already."""
        if self.busy:
            return
        self.found = None
        self._thread = threading.Thread(target=self._ask_all, args=(pythons,), name="understudy-checkup", daemon=True)
        self._thread.start()

    def wait(self, seconds: float = _SECONDS) -> Found | None:
        """Waits for the answer; for scripts."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self.found

    def close(self) -> None:
        """Ends the question, for good."""
        self._over = True
        process = self._process
        if process is not None:
            process.kill()
        self.wait(5.0)

    @threads.work()
    def _ask_all(self, pythons: list[str]) -> None:
        answers = []
        for python in pythons:
            if self._over:
                return
            answers.append(self._ask(python))
            if answers[-1].good:
                break
        nothing = Found("", "", "No Python with the backend was found on this computer")
        self.found = answers[-1] if answers and (answers[-1].good or len(answers) == 1) else nothing

    def _ask(self, python: str) -> Found:
        program = shutil.which(str(Path(python).expanduser()))
        if program is None:
            return Found(python, "", "This is no program that can be started")
        try:
            self._process = subprocess.Popen(
                [program, "-P", "-c", _QUESTION],  # -P: nothing in the folder that we are in is taken for a module
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
                env={k: v for k, v in os.environ.items() if k not in ("PYTHONHOME", "PYTHONPATH")},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError:
            return Found(python, "", "This is no program that can be started")
        try:
            with threads.wait():
                answer = self._process.communicate(timeout=_SECONDS)[0]
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            answer = ""
        finally:
            self._process = None
        name, _, version = answer.strip().partition(" ")
        if name == "understudy" and version:
            return Found(python, version, "The backend is installed")
        if name == "none":
            return Found(python, "", "This Python lacks the backend")
        return Found(python, "", "This does not answer as a Python 3.11 or newer does")


def candidates(environment: Mapping[str, str] = os.environ, home: Path | None = None) -> list[str]:
    """Interpreters in which a backend may be installed, the likeliest first. They exist, and that is all."""
    home = home or Path.home()
    program = Path("Scripts/python.exe") if sys.platform == "win32" else Path("bin/python")
    places = [home / ".understudy" / name / program for name in ("venv", ".venv", "backend", "env")]
    named = [Path(environment[name]) for name in ("UNDERSTUDY_PYTHON",) if environment.get(name)]
    named += _beside_command(environment)
    if environment.get("VIRTUAL_ENV"):
        named.append(Path(environment["VIRTUAL_ENV"]) / program)
    return list(dict.fromkeys(str(path) for path in (*named, *places) if path.is_file()))


def _beside_command(environment: Mapping[str, str]) -> Iterator[Path]:
    """The Python of the `understudy` command on the search path: the one that its first line names."""
    command = shutil.which("understudy", path=environment.get("PATH", ""))
    if command is None:
        return
    if sys.platform == "win32":
        yield Path(command).parent / "python.exe"
        return
    with Path(command).open("rb") as script:
        first = script.readline(4096)
    if first.startswith(b"#!"):
        yield Path(first[2:].decode("utf-8", "replace").strip())
