"""The day after the first strip: retouching, new versions, another method, Blender's own render, compositing. Runs
inside Blender's window; see `test_second_day.py`.

Arguments: the extension's zip, a copy of the first day's folder, the backend's address.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
from driver import Driver, Steps, area_of

ZIP, PROJECT, ADDRESS = (argument for argument in sys.argv[-3:])
MOTION = "jump.npz"
FRAMES, LONG = 8, 400
"""Of the first day's take, and of one that is still being made when it is cancelled."""


def retouch(driver: Driver, view: bpy.types.Area) -> Steps:
    """The mask opens, is painted on, and closes; so does the texture."""
    areas = len(view.id_data.areas)
    yield from driver.press("understudy.paint_mask", view, 0.7)
    yield 2.0
    editor = area_of("IMAGE_EDITOR")
    mask = editor.spaces.active.image
    yield from driver.drag(driver.middle(editor, "WINDOW"), 60)
    driver.shot("mask_painted")
    driver.result["mask_painted"] = mask.is_dirty
    yield from driver.press("understudy.paint_mask", view, 0.7)
    yield 1.0
    driver.result["mask_closed"] = len(view.id_data.areas) == areas
    yield from driver.press("understudy.paint_texture", view, 0.2)
    yield 2.0
    driver.shot("texture_painted")
    driver.result["painting"] = bpy.context.mode
    yield from driver.press("understudy.paint_texture", view, 0.2)
    yield 1.0
    driver.result["painted"] = bpy.context.mode


def versions(driver: Driver, area: bpy.types.Area, idle) -> Steps:
    """Render again, choose the earlier take, cancel and resume, in the sequencer's sidebar."""
    from bl_ext.user_default.understudy.link.session import current

    def frames() -> list:
        return [job for job in current().jobs if job.record.role == "frames"]

    strip = bpy.context.scene.sequence_editor.strips[0]
    first = strip.directory
    yield from driver.press("what='RANGE'", area)
    yield 1.5
    driver.shot("again_range")
    yield from driver.key("Return")
    yield lambda: len(frames()) == 2
    yield idle
    driver.result["again"] = [job.record.title for job in frames()]
    driver.result["switched"] = strip.directory != first
    yield from driver.press("understudy.choose_take", area, 0.7)
    yield 1.5
    driver.shot("takes")
    x, y = driver.found
    yield from driver.pick(f'understudy.choose_take(take="{frames()[0].take}")', x, y, range(-60, 90, 12))
    yield 1.5
    driver.result["switched_back"] = strip.directory == first

    bpy.context.scene.frame_end = LONG
    yield from driver.press("understudy.render(", area)
    yield lambda: len(frames()) == 3
    yield from driver.press("understudy.cancel(", area, 0.85)
    yield 2.0
    driver.shot("cancelled")
    driver.result["cancelled"] = frames()[2].state.value
    yield from driver.press("understudy.resume(", area)
    yield 1.0
    driver.shot("resumed")
    driver.result["resumed"] = frames()[2].state.active
    bpy.ops.understudy.cancel_all()
    bpy.context.scene.sequence_editor.active_strip = strip
    bpy.context.scene.frame_end = FRAMES
    yield idle


def another_method(driver: Driver, area: bpy.types.Area) -> Steps:
    """Chooses a method whose weights are not there: the panel says what is missing."""
    yield from driver.find("understudy.redo_from_strip", area)
    x, y = driver.found
    yield from driver.click(x - 40, y + 34)  # the header of Method, the next section
    yield 1.5
    yield from driver.find("understudy.save_preset", area, 0.85)
    x, y = driver.found
    yield from driver.choose('understudy.choose_method(method="tpsmm")', x - 90, y - 23)
    yield 2.0
    driver.shot("method_without_weights")
    driver.result["method"] = bpy.context.scene.understudy.method
    bpy.context.scene.understudy.method = "threedhm"


def blenders_own_render(driver: Driver) -> Steps:
    """Render Image and Render Animation with the engine, and Esc in the middle of the second."""
    scene = bpy.context.scene
    scene.render.engine, scene.render.use_sequencer = "UNDERSTUDY", False
    scene.render.resolution_x = scene.render.resolution_y = 256
    scene.render.filepath = f"{PROJECT}/f12/"
    yield from driver.choose("render.render", 125, 14)
    yield lambda: bpy.app.is_job_running("RENDER")
    yield lambda: not bpy.app.is_job_running("RENDER")
    yield 2.0
    driver.shot("f12")
    yield from driver.key("Escape")
    yield 1.0
    yield from driver.choose("render.render(animation=True", 125, 14)
    yield lambda: Path(f"{PROJECT}/f12/0002.png").exists()
    yield from driver.key("Escape")
    yield lambda: not bpy.app.is_job_running("RENDER")
    yield 1.0
    driver.result["written"] = len(list(Path(f"{PROJECT}/f12").glob("*.png")))
    yield from driver.key("Escape")
    yield 1.0


def compositing(driver: Driver, area: bpy.types.Area) -> Steps:
    """One click in the compositor's sidebar."""
    from bl_ext.user_default.understudy import api

    bpy.context.scene.render.engine = "BLENDER_EEVEE"
    yield from driver.switch_editor(area, "c", "CompositorNodeTree")
    yield from driver.open_sidebar(area, "Understudy")
    yield from driver.press("understudy.build_compositor", area)
    yield lambda: api.composited(bpy.context.scene)
    yield lambda: not any(saving.running for job in api.jobs() if (saving := api.saved_passes(job)))
    yield from driver.frame_all(area)
    driver.shot("compositor")
    nodes = bpy.context.scene.compositing_node_group.nodes
    driver.result["nodes"] = sorted(node.bl_idname for node in nodes)


def steps(driver: Driver) -> Steps:
    bpy.ops.wm.open_mainfile(filepath=str(Path(PROJECT) / "shot.blend"))
    yield 3.0
    bpy.context.preferences.addons["bl_ext.user_default.understudy"].preferences.address = ADDRESS
    from bl_ext.user_default.understudy.link.session import current

    bpy.ops.understudy.connect()
    yield lambda: current().pump.online

    def idle() -> bool:
        bad = [str(job.problem) for job in current().jobs if job.problem]
        if bad:
            raise RuntimeError(bad[0])
        return not current().jobs.active()

    area = area_of("SEQUENCE_EDITOR")  # as it was saved
    yield from driver.switch_editor(area, "1", "VIEW_3D")
    yield from driver.open_sidebar(area, "Understudy")
    yield from driver.drop(Path(PROJECT) / MOTION, area)
    yield 2.0
    driver.shot("motion_dropped")
    driver.result["motion"] = bpy.context.scene.understudy.body.parent.animation_data.action.name
    yield from retouch(driver, area)
    yield from driver.switch_editor(area, "v", "SEQUENCE_EDITOR")
    yield from driver.open_sidebar(area, "Understudy")
    yield from versions(driver, area, idle)
    yield from another_method(driver, area)
    yield from blenders_own_render(driver)
    yield from compositing(driver, area)


bpy.ops.extensions.package_install_files(filepath=ZIP, repo="user_default", enable_on_install=True)
main = Driver(Path(PROJECT))
main.run(steps(main))
