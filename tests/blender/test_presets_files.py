"""Presets: kept as files for all .blends, applied to the method that a scene has."""

from __future__ import annotations

import json

import pytest

bpy = pytest.importorskip("bpy")


@pytest.fixture
def clay(tmp_path, monkeypatch, scene):
    """A registered extension, and a method that nobody knows chosen in the scene."""
    from understudy_shared.protocol.description import MethodDescription, ParamDescription

    import blender_addon
    from blender_addon import api
    from blender_addon.link import folders
    from blender_addon.link.session import current

    def user_folder(path: str = ""):
        folder = tmp_path / "user" / path
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    monkeypatch.setattr(folders, "user_folder", user_folder)
    blender_addon.register()
    params = (
        ParamDescription("steps", "int", "Steps", "", 7, 1, 100),
        ParamDescription("noise", "choice", "Noise", "", "a", choices=("a", "b")),
    )
    description = MethodDescription("clay", "Clay", "", "", params, (), ("rgba",), size_multiple=16)
    current().method_book.remember((description,))
    api.set_method(bpy.context.scene, "clay")
    yield tmp_path / "user/presets"
    blender_addon.unregister()


def test_a_preset_comes_back_in_another_file_and_session(clay):
    import blender_addon
    from blender_addon import api

    scene = bpy.context.scene
    api.set_params(scene, "clay", {"steps": 9, "noise": "b"})
    assert bpy.ops.understudy.save_preset(name=" Böse/Name ") == {"FINISHED"}
    (path,) = clay.glob("*.json")
    assert json.loads(path.read_text())["params"] == {"steps": 9, "noise": "b"}
    blender_addon.unregister()
    blender_addon.register()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    api.set_method(scene, "clay")
    assert api.params_of(scene, "clay") == {}
    assert bpy.ops.understudy.apply_preset(name="Böse/Name") == {"FINISHED"}
    assert api.params_of(scene, "clay") == {"steps": 9, "noise": "b"}
    assert bpy.ops.understudy.remove_preset(name="Böse/Name") == {"FINISHED"}
    assert not list(clay.glob("*.json")) and not bpy.ops.understudy.remove_preset.poll()


def test_saving_again_replaces_and_shipped_names_are_kept(clay):
    from blender_addon import api

    scene = bpy.context.scene
    api.save_preset("Mine", scene)
    api.set_params(scene, "clay", {"steps": 3})
    api.save_preset("Mine", scene)
    assert len(list(clay.glob("*.json"))) == 1
    api.set_params(scene, "clay", {})
    api.apply_preset("Mine", scene)
    assert api.params_of(scene, "clay") == {"steps": 3}
    for name in ("", "  ", "Draft"):
        with pytest.raises(ValueError, match=r"name|Draft"):
            api.save_preset(name, scene)
    with pytest.raises(ValueError, match="Draft, Final, Mine"):
        api.apply_preset("Yours", scene)
    with pytest.raises(ValueError, match="yours"):
        api.remove_preset("Draft", scene)


def test_draft_and_final_fit_any_method_and_the_scenes_proportions(clay):
    from blender_addon import api

    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = 1920, 1080
    api.set_params(scene, "clay", {"noise": "b"})
    api.apply_preset("Draft", scene)
    assert api.params_of(scene, "clay") == {"steps": 1}
    assert (scene.understudy.width, scene.understudy.height) == (256, 144)
    api.apply_preset("Final", scene)
    assert api.params_of(scene, "clay") == {}
    assert (scene.understudy.width, scene.understudy.height) == (1920, 1088)  # in sixteens


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b'{"name": 3, "method": "clay"}',
        b'{"name": "x", "method": "clay", "params": {"a": [1]}}',
    ],
)
def test_a_file_that_is_no_preset_is_left_alone(clay, content):
    from blender_addon.link.session import current
    from blender_addon.presets import PresetShelf

    clay.mkdir(parents=True, exist_ok=True)
    (clay / "other.json").write_bytes(content)
    assert PresetShelf(clay).own("clay") == []
    assert (clay / "other.json").read_bytes() == content
    assert current().presets.own("clay") == []


def test_a_preset_from_a_newer_method_keeps_what_still_exists(clay):
    from blender_addon import api
    from blender_addon.link.session import current
    from blender_addon.presets import Preset

    current().presets.keep(Preset("Old", "clay", {"steps": 5, "gone": True}))
    api.apply_preset("Old", bpy.context.scene)
    assert api.params_of(bpy.context.scene, "clay") == {"steps": 5}
    current().presets.keep(Preset("Wild", "clay", {"steps": 5000}))
    with pytest.raises(ValueError, match="Steps"):
        api.apply_preset("Wild", bpy.context.scene)
