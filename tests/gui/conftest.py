"""A backend of its own, the extension's zip, and the program that opens a window, for the tests with real clicks.

Opt-in: UNDERSTUDY_GUI names a program that is called as `PROGRAM run SCRIPT ARG ...`, opens Blender's window on a
display with xdotool and ImageMagick's `import`, runs the script in it, and shows this folder as `/repo` inside.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = os.environ.get("UNDERSTUDY_GUI", "")
INSIDE = Path("/repo")
LIMIT = 2400
"""Seconds for one script, on a busy machine."""


@pytest.fixture
def backend(tmp_path):
    """Address of a backend that runs until the test ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "understudy_backend.cli", "serve", "--address", address]
    command += ["--data", str(tmp_path / "data"), "--with-parent"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)
    yield address
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    print((tmp_path / "log").read_text()[-2000:])


@pytest.fixture
def play(backend):
    """Runs a script in Blender's window, with the extension's zip, a project's folder and a backend. Returns what it
    found out, once it is checked that every step has its picture and that Blender has told of no exception."""
    if not (TOOL and shutil.which(TOOL)):
        pytest.skip("no window to test in: set UNDERSTUDY_GUI to a program that opens one")

    def run(script: str, project: Path) -> dict:
        built = [sys.executable, "packaging/build_extension.py", "--out", str(project)]
        subprocess.run(built, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        arguments = [str(INSIDE / path.relative_to(ROOT)) for path in (next(project.glob("*.zip")), project)]
        command = [TOOL, "run", "--timeout", str(LIMIT), f"tests/gui/{script}", *arguments, backend]
        done = subprocess.run(
            command, cwd=ROOT, check=True, timeout=LIMIT + 60, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said = done.stdout.decode(errors="replace")
        print(said[-4000:])
        result = json.loads((project / "result.json").read_text())
        assert result["error"] == "", result
        assert "Traceback" not in said
        pictures = [path.stem.split("_", 1)[1] for path in sorted(project.glob("[0-9]*_*.png"))]
        assert pictures == result["steps"]
        return result

    return run
