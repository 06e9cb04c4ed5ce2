"""From a photo to a strip in a real Blender window, with real clicks; the backend runs outside of it.

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
SAMPLES = ROOT / "packaging/demo/samples"

pytestmark = pytest.mark.skipif(
    not (TOOL and shutil.which(TOOL)), reason="no window to test in: set UNDERSTUDY_GUI to a program that opens one"
)


@pytest.fixture
def project():
    """The artist's folder. It lies in the source tree, which is what the window's Blender sees."""
    folder = ROOT / "build/gui/first_strip"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(SAMPLES / "photos/openpeople_P001.jpg", folder / "photo.jpg")
    shutil.copy(SAMPLES / "motions/cmu_13_26_wave_point.npz", folder / "motion.npz")
    return folder


@pytest.fixture
def backend(tmp_path):
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


@pytest.mark.timeout(1500)
def test_from_photo_to_strip_with_the_mouse(project, backend):
    built = [sys.executable, "packaging/build_extension.py", "--out", str(project)]
    subprocess.run(built, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    zipped = next(project.glob("*.zip"))
    arguments = [str(INSIDE / path.relative_to(ROOT)) for path in (zipped, project)]
    subprocess.run(
        [TOOL, "run", "--timeout", "1200", "tests/gui/first_strip.py", *arguments, backend],
        cwd=ROOT,
        check=True,
        timeout=1400,
    )
    result = json.loads((project / "result.json").read_text())
    assert result["error"] == "", result
    assert result["strips"] == [8] and result["files"] == [True]
    pictures = [path.stem.split("_", 1)[1] for path in sorted(project.glob("[0-9]*_*.png"))]
    assert pictures == result["steps"] and len(pictures) >= 12
    frames = sorted((project / "understudy").rglob("0000*.png"))
    assert [int(path.stem) for path in frames] == list(range(1, 9))
