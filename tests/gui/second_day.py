"""The day after the first strip: retouching, new versions, another method, Blender's own render, compositing. Runs
inside Blender's window; see `test_second_day.py`.

Arguments: the extension's zip, a copy of the first day's folder, the backend's address.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
from driver import Driver, Steps, area_of, region_of, screen

ZIP, PROJECT, ADDRESS = (argument for argument in sys.argv[-3:])
MOTION, PHOTO = "jump.npz", "side.jpg"
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


def another_photo(driver: Driver, view: bpy.types.Area, idle) -> Steps:
    """A further photo is dropped into the 3D view, fitted, and the texture is made again from both."""
    photos = bpy.context.scene.understudy.photos
    yield from driver.drop(Path(PROJECT) / PHOTO, view)
    yield 1.0
    driver.shot("photo_dropped")
    x, y = driver.middle(view, "WINDOW")
    yield from driver.pick("understudy.add_photo", x, y, range(-48, 60, 12))
    yield lambda: len(photos) == 1
    yield from driver.press("understudy.fit_photo", view)
    yield lambda: idle() and photos[0].photo_body is not None
    yield from driver.press("understudy.make_texture", view)
    yield 1.0
    yield idle
    yield from driver.scroll_to_top(view)
    driver.shot("two_photos")
    driver.result["photos"] = [bpy.context.scene.understudy.photo.name, photos[0].photo.name]


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
    driver.result["switched"] = strip.directory != first
    second = _pictures(strip)
    _move_at(FRAMES)
    yield from driver.press("what='CHANGED'", area)
    yield 0.5
    driver.shot("again_changed")
    yield lambda: len(frames()) == 3
    yield idle
    driver.result["again"] = [job.record.title for job in frames()]
    driver.result["changed"] = [n for n, (a, b) in enumerate(zip(second, _pictures(strip), strict=True), 1) if a != b]
    yield from driver.press("understudy.choose_take", area, 0.7)
    yield 1.5
    driver.shot("takes")
    x, y = driver.found
    yield from driver.pick(f'understudy.choose_take(take="{frames()[0].take}")', x, y, range(-60, 90, 12))
    yield 1.5
    driver.result["switched_back"] = strip.directory == first

    bpy.context.scene.frame_end = LONG
    yield from driver.press("understudy.render(", area)
    yield lambda: len(frames()) == 4
    yield from driver.press("understudy.cancel(", area, 0.85)
    yield 2.0
    driver.shot("cancelled")
    driver.result["cancelled"] = frames()[3].state.value
    yield from driver.press("understudy.resume(", area)
    yield 1.0
    driver.shot("resumed")
    driver.result["resumed"] = frames()[3].state.active
    bpy.ops.understudy.cancel_all()
    bpy.context.scene.sequence_editor.active_strip = strip
    bpy.context.scene.frame_end = FRAMES
    yield idle


def _pictures(strip: bpy.types.ImageStrip) -> list[bytes]:
    folder = Path(bpy.path.abspath(strip.directory))
    return [(folder / element.filename).read_bytes() for element in strip.elements]


def _move_at(frame: int) -> None:
    """Moves the key of the body's motion that is nearest to a frame."""
    animation = bpy.context.scene.understudy.body.parent.animation_data
    curve = animation.action.layers[0].strips[0].channelbag(animation.action_slot).fcurves[0]
    min(curve.keyframe_points, key=lambda key: abs(key.co.x - frame)).co.y += 0.1
    curve.update()


def another_method(driver: Driver, area: bpy.types.Area) -> Steps:
    """Chooses methods whose weights are not there: the panel says what is missing, and how to get it. The second of
    them can be driven by a strip."""
    settings = bpy.context.scene.understudy
    yield from _fold_method(driver, area)
    for method in ("animate_anyone", "tpsmm"):
        yield from driver.find("understudy.save_preset", area, 0.85)
        x, y = driver.found
        yield from driver.choose(f'understudy.choose_method(method="{method}")', x - 90, y - 23)
        yield lambda wanted=method: settings.method == wanted
        yield 2.0
        driver.shot(f"{method}_without_weights")
        yield from driver.press("understudy.get_weights", area)
        yield 1.5
        driver.shot(f"{method}_get_weights")
        yield from driver.key("Escape")
        yield 1.0
    yield from _fold_method(driver, area)
    yield from driver.find("understudy.redo_from_strip", area)
    x, y = driver.found
    side = region_of(area, "UI")
    yield from driver.click(screen(side.x + int(side.width * 0.77), 0)[0], y + 204)  # Strip, in the section Render
    yield 1.0
    driver.shot("driven_by_strip")
    driver.result["driving"] = settings.driving
    settings.method, settings.driving = "threedhm", "BODY"


def _fold_method(driver: Driver, area: bpy.types.Area) -> Steps:
    yield from driver.find("understudy.redo_from_strip", area)
    x, y = driver.found
    yield from driver.click(x - 40, y + 34)  # the header of Method, the next section
    yield 1.5


def blenders_own_render(driver: Driver) -> Steps:
    """Render Image and Render Animation with the engine, and Esc in the middle of the second."""
    scene = bpy.context.scene
    scene.render.engine, scene.render.use_sequencer = "UNDERSTUDY", False
    scene.render.resolution_x = scene.render.resolution_y = 256
    scene.render.filepath = f"{PROJECT}/f12/"
    yield from driver.choose("render.render", 125, 14)
    windows = bpy.context.window_manager.windows
    yield lambda: len(windows) > 1 and not bpy.app.is_job_running("RENDER")
    yield 2.0
    driver.shot("f12")
    yield from _escape(driver)
    yield lambda: len(windows) == 1
    yield 1.0
    scene.frame_end = LONG
    yield from driver.choose("render.render(animation=True", 125, 14)
    yield lambda: Path(f"{PROJECT}/f12/0002.png").exists()
    yield from _escape(driver)
    yield lambda: not bpy.app.is_job_running("RENDER")
    yield 1.0
    driver.result["written"] = len(list(Path(f"{PROJECT}/f12").glob("*.png")))
    yield from _escape(driver)
    yield lambda: len(windows) == 1
    yield 1.0
    scene.frame_end = FRAMES


def _escape(driver: Driver) -> Steps:
    """The Esc key, with the pointer over the window of the render."""
    window = bpy.context.window_manager.windows[-1]
    yield from driver.click(*screen(window.width // 2, window.height // 2, window))
    yield from driver.key("Escape")


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
    yield from another_photo(driver, area, idle)
    yield from driver.switch_editor(area, "v", "SEQUENCE_EDITOR")
    yield from driver.open_sidebar(area, "Understudy")
    yield from versions(driver, area, idle)
    yield from another_method(driver, area)
    yield from blenders_own_render(driver)
    yield from compositing(driver, area)


bpy.ops.extensions.package_install_files(filepath=ZIP, repo="user_default", enable_on_install=True)
main = Driver(Path(PROJECT))
main.run(steps(main))
