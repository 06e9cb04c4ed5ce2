"""All sections drawn onto a layout that remembers: what is offered in each state, and that drawing touches nothing."""

from __future__ import annotations

import builtins
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from panel_stage import Layout, drawn, operators, texts

bpy = pytest.importorskip("bpy")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def addon(scene, addon):
    """In a fresh file."""
    return addon


def clay():
    from understudy_shared.protocol.description import MethodDescription, ParamDescription, WeightsDescription

    params = (
        ParamDescription("steps", "int", "Steps", "How often.", 7, 1, 100),
        ParamDescription("noise", "choice", "Noise", "Where from.", "a", choices=("a", "b")),
        ParamDescription("fire", "bool", "Fire", "Fired.", True),
    )
    weights = (WeightsDescription("hands of clay", "CC-BY-NC-4.0", "https://example.org/hands", False, 12.0),)
    return MethodDescription("clay", "Clay", "Models in clay.", "A paper", params, (), ("rgba",), weights)


def fake_job(state, **changes):
    """A job as the list keeps it, without a backend."""
    from understudy_shared.job import FrameRange, JobSpec

    from blender_addon.link.jobs import Job, Record
    from blender_addon.link.refs import ref

    scene = bpy.context.scene
    spec = JobSpec("threedhm", FrameRange(1, 8), (256, 256))
    record = Record(
        take=f"take{len(changes)}{state}",
        title=f"Scene {state}",
        spec=spec,
        role=changes.pop("role", "frames"),
        folder="/nowhere",
        scene=ref("scenes", scene),
        sequencer=ref("scenes", scene),
        state=state,
    )
    job = Job(record)
    for name, value in changes.items():
        setattr(job, name, value)
    return job


def test_the_first_start_is_a_welcome_and_nothing_else_is_in_the_way(addon):
    log = drawn()
    sections = [entry[1] for entry in log if entry[0] == "section"]
    assert "UNDERSTUDY_PT_welcome" in sections and "UNDERSTUDY_PT_backend" not in sections
    assert "understudy.find_backend" in operators(log)


def test_the_sections_follow_the_way_of_the_work(addon):
    from blender_addon.panels import places

    view = [cls for cls in places.CLASSES if cls.bl_space_type == "VIEW_3D"]
    assert [cls.bl_label for cls in sorted(view, key=lambda cls: cls.bl_order)] == [
        "Welcome",
        "Backend",
        "Actor",
        "Imitator",
        "Camera",
        "Method",
        "Render",
        "Jobs",
        "Compositing",
    ]
    assert {cls.bl_category for cls in places.CLASSES} == {"Understudy"}


def test_an_invented_method_is_drawn_with_all_that_it_says(addon):
    from blender_addon import api
    from blender_addon.link.session import current

    current().method_book.remember((clay(),))
    api.set_method(bpy.context.scene, "clay")
    log = drawn("UNDERSTUDY_PT_method")
    assert ("menu", "UNDERSTUDY_MT_method", "Clay") in log
    assert sum(entry[0] == "prop" and entry[1] == '["value"]' for entry in log) == 3
    said = texts(log)
    for word in ("Steps", "Noise", "Fire", "hands of clay", "12 MB", "CC-BY-NC-4.0", "A paper", "Models in clay"):
        assert word in said, word
    assert "wm.url_open" in operators(log)
    assert operators(log).count("understudy.reset_settings") == 1  # of all; none differs
    api.set_params(bpy.context.scene, "clay", {"steps": 8})
    assert operators(drawn("UNDERSTUDY_PT_method")).count("understudy.reset_settings") == 2


def test_the_menus_offer_methods_that_make_frames_and_presets(addon):
    import msgspec

    from blender_addon import api
    from blender_addon.link.session import current
    from blender_addon.panels.method import UNDERSTUDY_MT_method, UNDERSTUDY_MT_presets, UNDERSTUDY_MT_remove_preset

    texture = msgspec.structs.replace(clay(), name="skin", title="Skin", gives=("texture",))
    current().method_book.remember((clay(), texture))
    api.set_method(bpy.context.scene, "clay")
    api.save_preset("Mine", bpy.context.scene)
    for menu, wanted in (
        (UNDERSTUDY_MT_method, ["Clay"]),
        (UNDERSTUDY_MT_presets, ["Draft", "Final", "Mine", None]),
        (UNDERSTUDY_MT_remove_preset, ["Mine"]),
    ):
        log: list = []
        menu.draw(SimpleNamespace(layout=Layout(log)), bpy.context)
        assert [entry[2] for entry in log if entry[0] == "operator"] == wanted


def test_each_state_of_a_job_shows_what_can_be_done_about_it(addon):
    from blender_addon.link.jobs import Problem, State
    from blender_addon.link.session import current

    session = current()
    assert "No jobs yet" in texts(drawn("UNDERSTUDY_PT_jobs"))
    offers = {}
    for state in State:
        job = fake_job(state, finished={1, 2, 3} if state is not State.DONE else set(range(1, 9)))
        if state is State.FAILED:
            job.record.problem = Problem("x", "The disk is full", "Make room, then resume")
        session.jobs.clear()
        session.jobs.add(job)
        log = drawn("UNDERSTUDY_PT_jobs")
        offers[state] = set(operators(log))
        assert job.record.title in texts(log)
        if state is State.FAILED:
            assert "The disk is full" in texts(log) and "Make room" in texts(log) and "4-8" in texts(log)
        if state.active:
            assert any(entry[0] == "progress" and entry[1] == 3 / 8 and "3 / 8" in entry[2] for entry in log)
    session.jobs.clear()
    for state in State:
        assert "understudy.show_log" in offers[state] and "understudy.reveal_frames" in offers[state]
        assert ("understudy.cancel" in offers[state]) == state.active
        assert ("understudy.remove_job" in offers[state]) != state.active
        assert ("understudy.resume" in offers[state]) == (state in (State.PAUSED, State.CANCELLED, State.FAILED))


def test_the_imitators_steps_appear_one_after_the_other(addon):
    from blender_addon import api
    from blender_addon.link.jobs import State
    from blender_addon.link.session import current
    from blender_addon.scene.material import set_texture

    settings = bpy.context.scene.understudy
    assert "understudy.fit_photo" not in operators(drawn("UNDERSTUDY_PT_imitator"))
    settings.photo = bpy.data.images.new("photo", 4, 4)
    assert "understudy.fit_photo" in operators(drawn("UNDERSTUDY_PT_imitator"))
    job = fake_job(State.RUNNING, role="fit", fraction=0.5, stage="Looking")
    current().jobs.add(job)
    log = drawn("UNDERSTUDY_PT_imitator")
    assert ("progress", 0.5, "Looking") in log and "understudy.cancel" in operators(log)
    current().jobs.clear()
    settings.photo_body = settings.body = api.create_body(bpy.context.scene)
    offered = operators(drawn("UNDERSTUDY_PT_imitator"))
    assert {"understudy.refit", "understudy.make_texture"} <= set(offered) and "understudy.fit_photo" not in offered
    set_texture(settings.photo_body, np.full((16, 16, 3), 9, np.uint8))
    assert "understudy.make_texture" in operators(drawn("UNDERSTUDY_PT_imitator"))


def test_drawing_touches_no_file_and_changes_nothing(addon, monkeypatch):
    from blender_addon import api
    from blender_addon.link.jobs import State
    from blender_addon.link.session import current

    settings = bpy.context.scene.understudy
    settings.photo = bpy.data.images.new("photo", 4, 4)
    settings.photo_body = api.create_body(bpy.context.scene)
    current().jobs.add(fake_job(State.RUNNING, finished={1}))
    current().jobs.add(fake_job(State.FAILED))
    drawn()  # imports what is imported at the first use
    before = len(bpy.data.objects), len(bpy.data.images), len(bpy.data.texts), len(settings.methods)

    def refuse(*arguments, **_):
        raise AssertionError(f"a file is touched: {arguments}")

    for module, name in ((builtins, "open"), (Path, "open"), (Path, "is_file"), (Path, "is_dir"), (Path, "stat")):
        monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr("os.scandir", refuse)
    monkeypatch.setattr("subprocess.Popen", refuse)
    drawn()
    monkeypatch.undo()
    assert before == (len(bpy.data.objects), len(bpy.data.images), len(bpy.data.texts), len(settings.methods))
    current().jobs.clear()


def test_no_button_is_dead(addon):
    """Every operator that the panels name is registered."""
    sources = "\n".join(path.read_text("utf-8") for path in (ROOT / "blender_addon/panels").glob("*.py"))
    named = set(re.findall(r'"understudy\.(\w+)"', sources))
    assert len(named) > 20
    missing = [name for name in sorted(named) if not hasattr(bpy.types, f"UNDERSTUDY_OT_{name}")]
    assert not missing, missing


def test_everything_that_can_be_clicked_or_set_has_a_tooltip(addon):
    from blender_addon import operators as all_operators
    from blender_addon import preferences, properties

    for cls in all_operators.CLASSES:
        if issubclass(cls, bpy.types.Operator):
            assert cls.bl_description or hasattr(cls, "description"), cls.__name__
    owners = [cls.bl_rna for cls in (*preferences.CLASSES, *properties.CLASSES)]
    owners += [
        getattr(bpy.ops.understudy, cls.bl_idname.split(".")[1]).get_rna_type()
        for cls in all_operators.CLASSES
        if issubclass(cls, bpy.types.Operator)
    ]
    missing = []
    for owner in owners:
        for prop in owner.properties:
            hidden = prop.is_hidden or prop.is_readonly or prop.type in ("COLLECTION", "POINTER")
            if not (hidden or prop.identifier in ("name", "bl_idname", "filepath", "directory") or prop.description):
                missing.append(f"{owner.identifier}.{prop.identifier}")
    assert not missing


def test_nothing_is_left_after_switching_off(addon):
    from blender_addon.panels import _redraw

    timer = _redraw._timer
    for _ in range(5):
        addon.unregister()
        assert not [name for name in dir(bpy.types) if name.startswith(("UNDERSTUDY_", "Understudy"))]
        assert not hasattr(bpy.types.Scene, "understudy") and not bpy.app.timers.is_registered(timer)
        addon.register()
        timer = _redraw._timer
        assert bpy.app.timers.is_registered(timer)
