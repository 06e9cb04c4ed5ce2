"""From the zip and a photo to a strip in a real Blender window, with real clicks; the backend runs outside of it. See
`conftest.py` for what it needs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "packaging/demo/samples"


@pytest.fixture
def project():
    """The artist's folder. It lies in the source tree, which is what the window's Blender sees."""
    folder = ROOT / "build/gui/first_strip"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(SAMPLES / "photos/openpeople_P001.jpg", folder / "photo.jpg")
    shutil.copy(SAMPLES / "motions/cmu_13_26_wave_point.npz", folder / "motion.npz")
    return folder


@pytest.mark.timeout(2600)
def test_from_photo_to_strip_with_the_mouse(project, play):
    result = play("first_strip.py", project)
    assert result["strips"] == [8] and result["files"] == [True]
    assert len(result["steps"]) >= 12
    frames = sorted((project / "understudy").rglob("0000*.png"))
    assert [int(path.stem) for path in frames] == list(range(1, 9))
