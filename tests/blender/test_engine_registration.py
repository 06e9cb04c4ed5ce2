"""Enabling and disabling the engine: what it adds to Blender, and that all of it goes away again."""

from __future__ import annotations

import threading

import pytest

bpy = pytest.importorskip("bpy")

HANDLERS = ("render_init", "render_pre", "render_post", "render_complete", "render_cancel", "save_pre", "load_post")


def panels_with_us() -> set[str]:
    return {
        panel.__name__
        for panel in bpy.types.Panel.__subclasses__()
        if panel.is_registered and "UNDERSTUDY" in getattr(panel, "COMPAT_ENGINES", ())
    }


def state() -> tuple:
    handlers = {name: [f.__qualname__ for f in getattr(bpy.app.handlers, name)] for name in HANDLERS}
    return (
        handlers,
        panels_with_us(),
        {getattr(cls, "bl_idname", "") for cls in bpy.types.RenderEngine.__subclasses__() if cls.is_registered},
        hasattr(bpy.types.ViewLayer, "understudy"),
        threading.active_count(),
        sorted(name for name in dir(bpy.types) if "nderstudy" in name or "UNDERSTUDY" in name),
    )


@pytest.fixture
def registered(scene, tmp_path, monkeypatch):
    import blender_addon
    from blender_addon.link import folders

    def user_folder(path: str = ""):
        folder = tmp_path / path
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    monkeypatch.setattr(folders, "user_folder", user_folder)
    return blender_addon


def test_twenty_times_on_and_off_leaves_nothing(registered, monkeypatch):
    from blender_addon.engine import host

    commands: list[object] = []
    register = bpy.utils.register_cli_command
    monkeypatch.setattr(bpy.utils, "register_cli_command", lambda *given: commands.append(h := register(*given)) or h)
    unregister = bpy.utils.unregister_cli_command
    monkeypatch.setattr(bpy.utils, "unregister_cli_command", lambda h: commands.remove(h) or unregister(h))
    before = state()
    assert not before[1] and "UNDERSTUDY" not in before[2]
    for _ in range(20):
        registered.register()
        on = state()
        timer = host.current().main._timer
        assert bpy.app.timers.is_registered(timer) and len(commands) == 1
        registered.unregister()
        assert not bpy.app.timers.is_registered(timer) and not commands
    assert on[1] and "UNDERSTUDY" in on[2] and on[3]
    assert state() == before


def test_the_panels_that_make_sense_are_shown(registered, scene):
    registered.register()
    try:
        shown = panels_with_us()
        assert {"RENDER_PT_format", "RENDER_PT_output", "RENDER_PT_frame_range", "RENDER_PT_color_management"} <= shown
        assert {"DATA_PT_lens", "DATA_PT_camera", "DATA_PT_context_camera", "VIEWLAYER_PT_layer"} <= shown
        assert {"UNDERSTUDY_PT_engine", "UNDERSTUDY_PT_engine_passes"} <= shown
        assert not {name for name in shown if "freestyle" in name.lower() or "EEVEE" in name or "CYCLES" in name}
        scene.render.engine = "UNDERSTUDY"
        assert scene.render.engine == "UNDERSTUDY"
    finally:
        registered.unregister()


def test_passes_are_offered_as_the_view_layer_asks(registered, scene):
    registered.register()
    try:
        from blender_addon.engine.host import samples_for

        scene.render.engine = "UNDERSTUDY"
        layer = scene.view_layers[0]
        layer.use_pass_z = layer.use_pass_normal = layer.use_pass_uv = False
        assert samples_for(scene) == 0
        layer.use_pass_z = True
        assert samples_for(scene) == 1
        layer.understudy.use_pass_mask = True
        assert samples_for(scene) > 1
    finally:
        registered.unregister()


def test_what_spoils_a_saved_picture_is_named(registered, scene):
    registered.register()
    try:
        from blender_addon.engine.panels import hindrances

        scene.view_settings.view_transform = "Standard"
        scene.render.image_settings.color_mode = "RGBA"
        assert not hindrances(scene)
        scene.view_settings.view_transform = "AgX"
        scene.sequence_editor_create().strips.new_effect("C", "COLOR", 1, frame_start=1, **_length(bpy.app.version))
        scene.render.image_settings.color_mode = "RGB"
        assert [name for _, _, name in hindrances(scene)] == ["use_sequencer", "view_transform", "color_mode"]
    finally:
        registered.unregister()


def _length(version: tuple[int, int, int]) -> dict[str, int]:
    return {"length": 5} if version >= (5, 0, 0) else {"frame_end": 6}
