"""From a photo to a strip with the mouse alone. Runs inside Blender's window; see `test_first_strip.py`.

Arguments: the extension's zip, the project's folder (with photo, motion and pictures), the backend's address.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).parent))
from driver import Driver, Steps, area_of, region_of, screen
from installing import connect, install

ZIP, PROJECT, ADDRESS = (argument for argument in sys.argv[-3:])
PHOTO, MOTION = "photo.jpg", "motion.npz"
FRAMES = 8


def steps(driver: Driver) -> Steps:
    view = area_of("VIEW_3D")
    yield from install(driver, Path(ZIP))
    yield from driver.open_sidebar(view, "Understudy")
    yield 1.0
    driver.shot("welcome")
    yield from connect(driver, view, ADDRESS)

    from bl_ext.user_default.understudy.link.session import current

    scene = bpy.context.scene
    settings = scene.understudy
    jobs = current().jobs

    def idle() -> bool:
        bad = [str(job.problem) for job in jobs if job.problem]
        if bad:
            raise RuntimeError(bad[0])
        return not jobs.active()

    yield lambda: current().pump.online
    yield 1.0
    driver.shot("connected")

    yield from driver.press("understudy.load_photo", view)
    yield from driver.choose_file(PHOTO)
    yield lambda: settings.photo is not None
    yield 1.0
    driver.shot("photo_loaded")

    yield from driver.press("understudy.fit_photo", view)
    yield 1.5
    driver.shot("fitting")
    yield lambda: idle() and settings.photo_body is not None
    yield from driver.press("understudy.show_photo(", view, 0.2)
    yield 3.0
    driver.shot("fitted")
    yield from driver.press("understudy.show_photo(", view, 0.2)
    yield from driver.frame_all(view)

    yield from driver.press("understudy.make_texture", view)
    yield 1.5
    driver.shot("texturing")
    yield idle
    yield 1.0
    driver.shot("textured")

    yield from driver.press("understudy.import_motion", view)
    yield from driver.choose_file(MOTION)
    yield 2.0
    driver.shot("motion_imported")

    yield from driver.press("understudy.add_camera_rig", view)
    yield lambda: settings.camera is not None
    yield 1.0
    driver.shot("camera_added")

    yield from driver.press("understudy.render(", view)
    yield 2.0
    driver.shot("rendering")
    yield idle
    yield 2.0
    driver.shot("rendered")

    yield from driver.switch_editor(view, "v", "SEQUENCE_EDITOR")
    yield from driver.open_sidebar(view, "Understudy")
    yield from driver.frame_all(view)
    yield from driver.key("ctrl+s")
    yield lambda: not bpy.data.is_dirty
    header = region_of(view, "HEADER")
    kind = screen(header.x + 130, header.y + header.height // 2)  # strips, preview, or both
    yield from driver.next_entry(*kind, times=2)
    yield lambda: view.spaces.active.view_type == "SEQUENCER_PREVIEW"
    yield from driver.frame_all(view)
    driver.shot("strip")
    strips = scene.sequence_editor.strips
    driver.result["strips"] = [len(strip.elements) for strip in strips]
    driver.result["files"] = [Path(bpy.path.abspath(strip.directory)).is_relative_to(PROJECT) for strip in strips]


for thing in list(bpy.data.objects):
    bpy.data.objects.remove(thing)  # an empty stage, of the length that is wanted
bpy.context.scene.frame_end = FRAMES
bpy.ops.wm.save_as_mainfile(filepath=str(Path(PROJECT) / "shot.blend"))
main = Driver(Path(PROJECT))
main.run(steps(main))
