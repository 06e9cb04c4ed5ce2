"""A method's settings in a scene: drawn, saved, undone, sent; of the method, nothing is known but its description."""

from __future__ import annotations

import sys

import pytest

bpy = pytest.importorskip("bpy")


@pytest.fixture
def addon(scene, addon):
    """In a fresh file."""
    return addon


def invented(steps_default=7, choices=("surface", "screen_space"), name="clay"):
    from understudy_shared.protocol.description import MethodDescription, ParamDescription, WeightsDescription

    return MethodDescription(
        name=name,
        title="Clay",
        help="Models the person in clay.",
        paper="none",
        params=(
            ParamDescription("steps", "int", "Steps", "How often it is kneaded.", steps_default, 0, 100),
            ParamDescription("warmth", "float", "Warmth", "Warmer is softer.", 0.5, 0.0, 1.0),
            ParamDescription("slope", "float", "Slope", "How steep.", 75.0, 30, 88, unit="°"),
            ParamDescription("noise", "choice", "Noise", "Where it comes from.", choices[-1], choices=choices),
            ParamDescription("fire", "bool", "Fire", "Fired at the end.", True),
            ParamDescription("sort", "text", "Sort", "Of clay.", "red"),
        ),
        needs=(),
        gives=("rgba",),
        weights=(WeightsDescription("hands", "CC0", "the maker", False),),
    )


def values(method="clay"):
    from blender_addon.scene import method_settings

    return {item.name: item[method_settings.VALUE] for item in method_settings.find(bpy.context.scene, method).settings}


def test_an_invented_method_gets_settings_with_range_default_and_tooltip(addon):
    from blender_addon.api import settings

    scene = bpy.context.scene
    settings.apply_description(scene, invented())
    group = scene.understudy.methods["clay"]
    assert [(item.name, item.label) for item in group.settings] == [
        ("steps", "Steps"),
        ("warmth", "Warmth"),
        ("slope", "Slope (°)"),
        ("noise", "Noise"),
        ("fire", "Fire"),
        ("sort", "Sort"),
    ]
    assert values() == {"steps": 7, "warmth": 0.5, "slope": 75.0, "noise": 1, "fire": True, "sort": "red"}
    shown = {item.name: item.id_properties_ui("value").as_dict() for item in group.settings}
    assert (shown["steps"]["min"], shown["steps"]["max"], shown["steps"]["default"]) == (0, 100, 7)
    assert shown["steps"]["description"] == "How often it is kneaded."
    assert (shown["slope"]["min"], shown["slope"]["max"]) == (30.0, 88.0)
    assert shown["warmth"]["subtype"] == "FACTOR"
    assert [item[1] for item in shown["noise"]["items"]] == ["Surface", "Screen space"]
    assert settings.params_of(scene, "clay") == {}


def test_only_what_differs_is_sent_and_the_types_are_the_methods(addon):
    from blender_addon.api import settings

    scene = bpy.context.scene
    settings.apply_description(scene, invented())
    settings.set_params(scene, "clay", {"steps": 9, "warmth": 1, "noise": "surface", "fire": False})
    params = settings.params_of(scene, "clay")
    assert params == {"steps": 9, "warmth": 1.0, "noise": "surface", "fire": False}
    assert {name: type(value) for name, value in params.items()} == {
        "steps": int,
        "warmth": float,
        "noise": str,
        "fire": bool,
    }
    settings.set_params(scene, "clay", {"sort": "white"})
    assert settings.params_of(scene, "clay") == {"sort": "white"}


@pytest.mark.parametrize(
    "params",
    [{"steps": 101}, {"steps": 1.5}, {"steps": True}, {"warmth": "hot"}, {"noise": "x"}, {"fire": 1}, {"glaze": 1}],
)
def test_what_does_not_fit_is_refused_whole(addon, params):
    from blender_addon.api import settings

    scene = bpy.context.scene
    settings.apply_description(scene, invented())
    with pytest.raises(ValueError, match=r"Steps|Warmth|Noise|Fire|glaze") as error:
        settings.set_params(scene, "clay", {"sort": "white", **params})
    assert "\n" not in str(error.value)
    assert settings.params_of(scene, "clay") == {}


def test_values_survive_saving_and_reopening_without_a_backend(addon, tmp_path):
    from blender_addon.api import settings

    settings.apply_description(bpy.context.scene, invented())
    wanted = {"steps": 9, "noise": "surface", "sort": "white", "warmth": 0.25}
    settings.set_params(bpy.context.scene, "clay", wanted)
    bpy.context.scene.understudy.method = "clay"
    path = str(tmp_path / "a.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    assert settings.params_of(bpy.context.scene, "clay") == {}
    bpy.ops.wm.open_mainfile(filepath=path)
    assert settings.chosen_method(bpy.context.scene) == "clay"
    assert settings.params_of(bpy.context.scene, "clay") == wanted
    item = bpy.context.scene.understudy.methods["clay"].settings["steps"]
    assert item.id_properties_ui("value").as_dict()["max"] == 100


def test_values_survive_an_extension_that_was_switched_off(addon, tmp_path):
    from blender_addon.api import settings

    settings.apply_description(bpy.context.scene, invented())
    settings.set_params(bpy.context.scene, "clay", {"steps": 9})
    addon.unregister()
    path = str(tmp_path / "a.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    addon.register()
    bpy.ops.wm.open_mainfile(filepath=path)
    assert settings.params_of(bpy.context.scene, "clay") == {"steps": 9}


def test_undo_takes_a_setting_back(addon):
    from blender_addon.api import settings

    settings.apply_description(bpy.context.scene, invented())
    bpy.ops.ed.undo_push(message="before")
    bpy.context.scene.understudy.methods["clay"].settings["steps"]["value"] = 9
    bpy.ops.ed.undo_push(message="after")
    assert settings.params_of(bpy.context.scene, "clay") == {"steps": 9}
    bpy.ops.ed.undo()
    assert settings.params_of(bpy.context.scene, "clay") == {}


def test_a_newer_description_keeps_what_still_fits(addon):
    import msgspec

    from blender_addon.api import settings

    scene = bpy.context.scene
    settings.apply_description(scene, invented())
    settings.set_params(scene, "clay", {"steps": 90, "noise": "surface", "sort": "white", "fire": False})
    newer = invented(choices=("new", "surface", "screen_space"))
    params = list(newer.params[:5])
    params[0] = msgspec.structs.replace(params[0], maximum=50)
    newer = msgspec.structs.replace(newer, params=tuple(params))
    settings.apply_description(scene, newer)
    # steps: the nearest that is allowed; noise: by its name, though its number changed; sort: gone
    assert settings.params_of(scene, "clay") == {"steps": 50, "noise": "surface", "fire": False}


def test_settings_given_before_any_backend_are_kept_and_sent(addon):
    from blender_addon.api import settings

    scene = bpy.context.scene
    settings.set_params(scene, "clay", {"steps": 9, "sort": "red"})
    assert settings.params_of(scene, "clay") == {"steps": 9, "sort": "red"}
    settings.apply_description(scene, invented())
    assert settings.params_of(scene, "clay") == {"steps": 9}  # "red" turned out to be the default


def test_what_the_backend_said_outlives_it_and_reaches_every_scene(addon, tmp_path):
    from blender_addon.link.method_book import MethodBook

    book = MethodBook(tmp_path / "methods.json")
    assert book.methods == ()
    book.remember((invented(), invented(name="fit")))
    again = MethodBook(tmp_path / "methods.json")
    assert again.methods == book.methods
    other = bpy.data.scenes.new("Other")
    other.understudy.method = "clay"
    again.describe_scenes()
    assert set(other.understudy.methods.keys()) == {"clay", "fit"}
    assert set(bpy.context.scene.understudy.methods.keys()) == {"fit"}  # nothing that it has no use for
    (tmp_path / "methods.json").write_text("not json")
    assert MethodBook(tmp_path / "methods.json").methods == ()


def test_an_unknown_method_is_refused_by_name(addon):
    from blender_addon.api import settings
    from blender_addon.link.session import current

    current().method_book.remember((invented(),))
    with pytest.raises(ValueError, match="clay"):
        settings.set_method(bpy.context.scene, "marble")
    settings.set_method(bpy.context.scene, "clay")
    assert values()["steps"] == 7 and "torch" not in sys.modules
