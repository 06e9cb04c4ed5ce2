"""The demo as a newcomer runs it, with fewer frames: photo to strip through a real backend and a real Blender."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
BLENDER = Path(os.environ.get("UNDERSTUDY_BLENDER_PYTHON", ROOT / ".venv-blender-5.0/bin/python"))
FRAMES = 5

pytestmark = [
    pytest.mark.skipif(not BLENDER.exists(), reason="no Python with bpy: `make test` makes one"),
    pytest.mark.timeout(900),
]


def demo(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "packaging/demo/demo.py"), "--blender-python", str(BLENDER)]
    return subprocess.run([*command, "--out", str(out), *options], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demo")
    done = demo(out, "--frames", str(FRAMES), "--size", "128x160")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "s left" in done.stdout or "Rendering the frames" in done.stdout
    return out


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGBA"))


def test_every_frame_is_there_once(made: Path) -> None:
    names = sorted(p.name for p in (made / "frames").iterdir())
    assert names == sorted(p.name for p in (made / "intermediate").iterdir())
    assert len(names) == FRAMES
    assert all(picture(made / "frames" / name).shape == (160, 128, 4) for name in names)


def test_the_person_is_where_the_body_is_and_wears_the_photo(made: Path) -> None:
    texture = picture(made / "texture_complete.png")[..., :3]
    partial = picture(made / "texture_partial.png")
    seen = partial[..., 3] > 127
    assert np.array_equal(texture[seen], partial[..., :3][seen])
    for path in sorted((made / "frames").iterdir()):
        frame, body = picture(path), picture(made / "intermediate" / path.name)
        a, b = frame[..., 3] > 127, body[..., 3] > 127
        assert (a & b).sum() / (a | b).sum() > 0.7, f"{path.name}: the person is not where the body is"
        both = a & b
        apart = np.abs(frame[both][:, :3].astype(float).mean(0) - body[both][:, :3].astype(float).mean(0))
        assert apart.max() < 40, f"{path.name}: colours are not those of the texture"


def test_the_frames_move(made: Path) -> None:
    first, last = (picture(sorted((made / "frames").iterdir())[i]).astype(float) for i in (0, -1))
    assert np.abs(first - last).mean() > 1


def test_the_blend_holds_the_strip(made: Path) -> None:
    code = f"""
import bpy, json
bpy.ops.wm.open_mainfile(filepath={str(made / "demo.blend")!r})
scene = next(s for s in bpy.data.scenes if s.sequence_editor and s.sequence_editor.strips)
strip = scene.sequence_editor.strips[0]
print("@" + json.dumps([strip.type, len(strip.elements), [e.filename for e in strip.elements],
                        bpy.path.abspath(strip.directory), scene.frame_start, int(strip.frame_final_start)]))
"""
    output = subprocess.run([str(BLENDER), "-c", code], capture_output=True, text=True, check=True).stdout
    kind, count, names, folder, start, strip_start = json.loads(output.split("@")[1])
    assert (kind, count, strip_start) == ("IMAGE", FRAMES, start)
    for name, kept in zip(names, sorted((made / "frames").iterdir()), strict=True):
        assert (Path(folder) / name).read_bytes() == kept.read_bytes()


def test_the_film_plays(made: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(made / "demo.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == FRAMES


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--photo", "nowhere.jpg"], "nowhere.jpg is not an image"),
        (["--motion", "README.md"], "README.md"),
        (["--camera", "pyproject.toml"], "pyproject.toml"),
        (["--size", "big"], "write it as 256x256"),
        (["--frames", "0"], "at least 1"),
        (["--frames", "100000"], "ask for no more"),
    ],
)
def test_wrong_input_is_one_line(tmp_path: Path, options: list[str], words: str) -> None:
    done = demo(tmp_path, *options)
    assert done.returncode == 2
    assert words in done.stderr and done.stderr.count("\n") == 1, done.stderr
