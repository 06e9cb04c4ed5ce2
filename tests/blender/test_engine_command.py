"""`blender --command understudy`: arguments and exit codes that need no backend."""

from __future__ import annotations

import argparse

import pytest

bpy = pytest.importorskip("bpy")


@pytest.fixture
def command(scene, addon):
    from blender_addon import commands

    return commands


@pytest.fixture
def blend(scene, addon, tmp_path):
    path = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    return path


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1-48", (1, 48, 1)), ("1-48/2", (1, 48, 2)), ("7", (7, 7, 1)), ("-5--2", (-5, -2, 1)), ("-5-3/4", (-5, 3, 4))],
)
def test_ranges_of_frames(command, text, numbers):
    assert command.frame_range(text) == numbers


@pytest.mark.parametrize("text", ["", "a", "5-1", "1-5/0", "1-5/x", "1-", "1..5"])
def test_what_is_no_range_is_said(command, text):
    with pytest.raises(argparse.ArgumentTypeError, match="write it as 1-48"):
        command.frame_range(text)


def test_settings_take_the_type_that_the_method_says(command):
    from understudy_shared.protocol.description import ParamDescription

    params = (
        ParamDescription("steps", "int", "", "", 10),
        ParamDescription("scale", "float", "", "", 1.0),
        ParamDescription("fast", "bool", "", "", False),
        ParamDescription("words", "text", "", "", ""),
        ParamDescription("kind", "choice", "", "", "a", choices=("a", "b")),
    )
    found = command.given(["steps=7", "scale=2", "fast=yes", "words=a=b 1", "kind=b"], params)
    assert found == {"steps": 7, "scale": 2.0, "fast": True, "words": "a=b 1", "kind": "b"}
    assert isinstance(found["scale"], float)
    for wrong in ("steps=1.5", "scale=x", "fast=maybe", "kind=c", "other=1", "steps"):
        with pytest.raises(ValueError, match="--set"):
            command.given([wrong], params)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "COMMAND"),
        (["fly"], "fly"),
        (["render"], "FILE.blend"),
        (["render", "FILE"], "--out"),
        (["render", "FILE", "--out", "OUT", "--frames", "9-1"], "write it as 1-48"),
        (["render", "FILE", "--out", "OUT", "--size", "big"], "write it as 512x640"),
        (["render", "nowhere.blend", "--out", "OUT"], "nowhere.blend is not there"),
        (["render", "FILE", "--out", "OUT", "--scene", "Nope"], 'no scene "Nope", but Scene'),
        (["render", "FILE", "--out", "OUT", "--backend", "ipc:///nowhere"], "There is no body"),
        (["fit", "FILE", "--save", "OUT", "--photo", "nowhere.jpg", "--wait", "0.2"], "nowhere.jpg"),
    ],
)
def test_what_is_wrong_is_one_line(command, blend, tmp_path, capfd, arguments, words):
    names = {"FILE": str(blend), "OUT": str(tmp_path / "out")}
    assert command.run([names.get(a, a) for a in arguments]) == command.WRONG
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("Understudy")]
    assert len(said) == 1 and words in said[0]


@pytest.mark.parametrize("arguments", [["--help"], ["render", "--help"], ["fit", "--help"], ["texture", "--help"]])
def test_help(command, capsys, arguments):
    assert command.run(arguments) == 0
    said = capsys.readouterr().out
    assert "130 interrupted" in " ".join(said.split())


def test_without_a_backend(command, blend, tmp_path, capfd):
    from blender_addon import api

    bpy.ops.wm.open_mainfile(filepath=str(blend))
    scene = bpy.context.scene
    api.create_body(scene)
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    bpy.ops.wm.save_mainfile()
    render = ["render", str(blend), "--out", str(tmp_path / "out")]
    assert command.run(render) == command.UNREACHABLE
    assert "preferences" in capfd.readouterr().err
    assert command.run([*render, "--backend", "ipc:///nowhere/s", "--wait", "0.5"]) == command.UNREACHABLE
    assert command.run([*render, "--backend", "tcp://192.0.2.1:7707"]) == command.UNREACHABLE
    assert "Allow Online Access" in capfd.readouterr().err
    (tmp_path / "file").touch()
    assert command.run(["render", str(blend), "--out", str(tmp_path / "file/out")]) == command.UNWRITABLE
