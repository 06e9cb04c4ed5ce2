"""What an artist does with a strip that is there, in a real Blender window: see `second_day.py`. It goes on from what
`test_first_strip.py` has left."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageOps

ROOT = Path(__file__).resolve().parents[2]
FIRST = ROOT / "build/gui/first_strip"


@pytest.fixture
def project():
    """A copy of the first day's folder."""
    if not (FIRST / "result.json").exists():
        pytest.skip("run test_first_strip.py first: this goes on from its .blend")
    folder = ROOT / "build/gui/second_day"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(FIRST, folder, ignore=shutil.ignore_patterns("[0-9][0-9]_*.png", "*.zip", "result.json"))
    with Image.open(folder / "photo.jpg") as photo:
        ImageOps.mirror(photo).save(folder / "side.jpg")  # stands in for another photo of the same person
    shutil.copy(ROOT / "packaging/demo/samples/motions/cmu_01_01_jump_turn.npz", folder / "jump.npz")
    return folder


@pytest.mark.timeout(2600)
def test_the_day_after(project, play):
    result = play("second_day.py", project)
    assert "jump" in result["motion"]
    assert result["mask_painted"] and result["mask_closed"]
    assert (result["painting"], result["painted"]) == ("PAINT_TEXTURE", "OBJECT")
    assert len(result["again"]) == 3 and result["switched"] and result["switched_back"]
    assert result["changed"] == [8]
    assert result["cancelled"] == "cancelled" and result["resumed"]
    assert result["photos"] == ["photo.jpg", "side.jpg"]
    assert result["driving"] == "STRIP"
    assert 2 <= result["written"] < 400  # Esc has stopped the rest
    assert "CompositorNodeGroup" in result["nodes"]
