"""Passes that another Blender saves are those that this one saves, byte for byte; it ends well, badly, and on demand.

`bpy` in a Python of its own stands in for the other Blender.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import bpy
import numpy as np
import pytest
from compositing_stage import SIZE, Shot, the_shot  # noqa: F401 - a fixture

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = """
import sys; sys.path.insert(0, {root!r})
import bpy, blender_addon
blender_addon.register()
from blender_addon.render.passes_child import main
main({folder!r})
"""


@pytest.fixture(autouse=True)
def other(monkeypatch, tmp_path):
    from blender_addon.render import passes_apart

    monkeypatch.setenv("BLENDER_USER_RESOURCES", str(tmp_path / "resources"))
    monkeypatch.setattr(
        passes_apart,
        "command",
        lambda folder: [sys.executable, "-c", STAND_IN.format(root=str(ROOT), folder=str(folder))],
    )


def save_apart(job, passes=None, file_format="EXR", alone=False):
    from blender_addon.render.pass_files import PASSES
    from blender_addon.render.pass_saving import PassSaving
    from blender_addon.render.passes_apart import PassesApart

    saving = PassSaving(job, passes or PASSES, file_format)
    until = time.monotonic() + 120
    while saving.step_apart(PassesApart):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert saving._alone == alone
    return saving


def files(folder: Path) -> dict[str, bytes]:
    names = (*folder.glob("passes_*.exr"), *folder.glob("passes/*.png"))
    return {path.name: path.read_bytes() for path in names}


@pytest.mark.parametrize("file_format", ["EXR", "PNG"])
def test_the_files_are_the_same(shot, file_format, tmp_path):
    from blender_addon import api
    from blender_addon.scene.material import set_texture, texture_image

    set_texture(shot.body, np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    image = texture_image(shot.body)
    painted = np.empty(64 * 64 * 4, np.float32)
    image.pixels.foreach_get(painted)
    painted[::7] = 0.25
    image.pixels.foreach_set(painted)
    assert image.is_dirty  # as after painting: a .blend would not keep it
    lamp = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "POINT"))
    lamp.location = (1, -3, 1)
    shot.scene.collection.objects.link(lamp)
    shot.finish(1, 3)
    names, active = sorted(bpy.data.objects.keys()), bpy.context.scene.name
    there = save_apart(shot.job, file_format=file_format)
    assert (there.problem, there.missing, there.done) == ("", {2}, {1, 2, 3})
    assert "One" not in there.words and "1 of its frames is missing" in there.words
    assert sorted(bpy.data.objects.keys()) == names and bpy.context.scene.name == active and image.is_dirty
    apart = files(shot.job.folder)
    assert there.made == len(apart) > 0
    for path in (*shot.job.folder.glob("passes_*.exr"), *shot.job.folder.glob("passes/*.png")):
        path.unlink()
    here = api.save_passes(shot.job, file_format=file_format)
    here.wait()
    assert here.made == there.made and files(shot.job.folder) == apart


def test_what_is_there_is_not_made_again(shot):
    from blender_addon import api

    shot.finish()
    api.save_passes(shot.job, ["depth"]).wait()
    again = save_apart(shot.job, ("depth",))
    assert again.made == 0 and again.done == {1, 2, 3} and not again.problem


def test_a_body_that_was_deleted_is_one_sentence(shot):
    shot.finish()
    bpy.data.objects.remove(shot.body)
    assert "body of Shot take 1 was deleted" in save_apart(shot.job).problem


def test_stopped_it_leaves_nothing_behind(shot, monkeypatch, tmp_path):
    from blender_addon.render.pass_saving import PassSaving
    from blender_addon.render.passes_apart import PassesApart

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shot.finish()
    saving = PassSaving(shot.job)
    begun = time.monotonic()
    assert saving.step_apart(PassesApart)
    process = saving._apart._process
    assert time.monotonic() - begun < 5 and process.poll() is None
    (shot.job.folder / "passes_000001.exr.part").write_bytes(b"half")
    saving.cancel()
    assert process.poll() is not None and "stopped after 0 of 3" in saving.words
    assert not list(shot.job.folder.glob("*.part")) and not list(tmp_path.glob("understudy-passes-*"))


def test_one_that_dies_is_told_of_and_one_that_cannot_begin_is_done_without(shot, monkeypatch, capsys):
    from blender_addon.render import passes_apart

    shot.finish()
    dies = (
        "import sys, pathlib; pathlib.Path({f!r}, 'told.jsonl').write_text('{{\"begun\": true}}\\n'); sys.exit('ouch')"
    )
    monkeypatch.setattr(passes_apart, "command", lambda f: [sys.executable, "-c", dies.format(f=str(f))])
    assert "ouch" in save_apart(shot.job).problem
    for hopeless in ([sys.executable, "-c", "1/0"], ["/no/such/blender"]):
        monkeypatch.setattr(passes_apart, "command", lambda f, hopeless=hopeless: hopeless)
        saving = save_apart(shot.job, ("depth",), alone=True)
        assert not saving.problem and saving.done == {1, 2, 3}
    assert len(files(shot.job.folder)) == 3


def test_it_ends_with_the_window(shot):
    from blender_addon.render.passes_apart import PassesApart

    shot.finish()
    apart = PassesApart(shot.job, ("depth",), "EXR")
    apart._process.stdin.close()
    assert apart._process.wait(60) is not None
    assert not apart._folder.exists()
    apart.stop()
