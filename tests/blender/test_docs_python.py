"""The examples of docs/python.md, run in order as one script, against a real backend; and what docs/formats.md says of
the files that go through Blender."""

from __future__ import annotations

import itertools
import re
import shutil
import sys
import types
from pathlib import Path

import bpy
import pytest
from backend_stage import PYTHON, in_one_blender, needs_backend

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "packaging/demo/samples"
FILES = {
    "person.jpg": "photos/openpeople_P001.jpg",
    "walk.npz": "motions/cmu_13_26_wave_point.npz",
    "orbit.json": "cameras/orbit.json",
}


def blocks(page: str) -> list[tuple[int, str]]:
    """Line and text of each Python example of a page."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    found = re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [(text.count("\n", 0, match.start(1)), match[1]) for match in found]


@pytest.fixture
def installed(addon, monkeypatch):
    """The extension under the name that it has where it is installed."""
    from blender_addon import api

    package = types.ModuleType("bl_ext.user_default.understudy")
    package.api = api
    for name in ("bl_ext", "bl_ext.user_default"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, package.__name__, package)
    return api


@in_one_blender
@needs_backend
@pytest.mark.timeout(600)
def test_the_examples_run(scene, installed, tmp_path, monkeypatch, capsys):
    from blender_addon.link.session import current

    for name, sample in FILES.items():
        shutil.copy(SAMPLES / sample, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNDERSTUDY_PYTHON", PYTHON)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    names: dict[str, object] = {"__name__": "__main__"}
    for line, code in blocks("python.md"):
        exec(compile("\n" * line + code, "docs/python.md", "exec"), names)  # errors name the page's own line
    said = capsys.readouterr().out
    assert re.search(r"\d+% of the body lie on the person", said)
    assert int(re.search(r"(\d+)% of the body", said)[1]) > 60
    first, second, third = names["first"], names["second"], names["third"]
    assert [len(take.finished) for take in (first, second, third)] == [2, 2, 2]
    pictures = [[take.file_of(n).read_bytes() for n in (1, 2)] for take in (first, second, third)]
    same = [[a == b for a, b in zip(*pair, strict=True)] for pair in itertools.pairwise(pictures)]
    assert same == [[True, False], [False, True]]
    assert names["made"] == 1 and [p.name for p in Path("frames").iterdir()] == ["000001.png"]
    assert (first.folder / "passes_000002.exr").is_file() and Path("shot.json").is_file()
    assert "person.jpg is not a known motion" in said or "person.jpg" in said.splitlines()[-1]
    assert current().backend.pid is None or current().backend.state == "stopping"


def test_formats_through_blender_are_listed():
    from blender_addon.scene import foreign
    from blender_addon.scene.camera_files import SCENE_FORMATS

    motion, camera = (ROOT / "docs/formats.md").read_text("utf-8").split("## Cameras")
    assert all(f"`{ending}`" in motion for ending in foreign.EXTENSIONS)
    for known in SCENE_FORMATS:
        assert known.label in camera and all(f"`{ending}`" in camera for ending in known.extensions)


def test_every_function_of_the_library_is_public_and_described():
    from blender_addon import api

    undocumented = [name for name in api.__all__ if not (getattr(api, name).__doc__ or "").strip()]
    assert not undocumented
    page = (ROOT / "docs/python.md").read_text("utf-8")
    used = set(re.findall(r"\bapi\.(\w+)", page))
    assert used <= set(api.__all__), used - set(api.__all__)


def test_the_page_for_farms_names_every_option_and_exit_code():
    from blender_addon import commands

    page = (ROOT / "docs/farm.md").read_text("utf-8")
    parser = commands._parser()
    (actions,) = [action for action in parser._actions if action.choices]
    for name, command in actions.choices.items():
        assert f"--command understudy {name} " in page
        for action in command._actions:
            for option in action.option_strings:
                assert option in page or option in ("-h", "--help"), f"{name} {option}"
    codes = {commands.DONE, commands.WRONG, commands.UNREACHABLE, commands.FAILED, commands.UNWRITABLE, 130, 143}
    rows = re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE)
    assert {int(code) for row in rows for code in row.split(",")} == codes


def test_keys_of_the_scene_settings_are_right(scene, addon):
    page = (ROOT / "docs/python.md").read_text("utf-8")
    listed = re.search(r"`scene\.understudy`: (.+?)\. Functions", page, re.DOTALL)[1]
    for name in re.findall(r"`(\w+)`", listed):
        assert name in bpy.context.scene.understudy.bl_rna.properties
