# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's Blender side: an artist's clicks as calls of the extension, ending in a .blend with the finished strip.

Started by `demo.py` with the options as one JSON object; tells how it goes in lines that begin with `@`.
"""

import json
import sys
import time
from pathlib import Path

import bpy
import numpy as np

PATIENCE = 120
"""Seconds to wait for a backend that does not answer."""

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import blender_addon  # noqa: E402 - the extension, imported from the source tree
from blender_addon import api  # noqa: E402


def say(**what) -> None:
    """One line for `demo.py`."""
    print("@" + json.dumps(what), flush=True)


def follow(job, stage: str) -> None:
    """Moves a job until it ends, and tells its progress a few times a second."""
    from blender_addon.link.session import current

    told, heard = 0.0, time.monotonic()
    while job.state.active or job.stale:
        current().pump.tick()
        if current().pump.online:
            heard = time.monotonic()
        elif time.monotonic() - heard > PATIENCE:
            raise RuntimeError(f"the backend is gone: {api.status()}")
        if time.monotonic() - told > 0.3:
            told = time.monotonic()
            say(stage=stage, fraction=job.progress, text=job.stage, left=job.eta)
        time.sleep(0.002)
    api.wait(job, timeout=5)
    say(stage=stage, fraction=1.0, text="", left=0)


def main() -> None:
    """Photo, fit, texture, motion, camera, render, save."""
    options = json.loads(sys.argv[-1])
    out, size, frames = Path(options["out"]), options["size"], options["frames"]
    bpy.ops.wm.read_factory_settings(use_empty=True)
    blender_addon.register()
    scene = bpy.context.scene
    scene.name = "Understudy"
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "demo.blend"))
    api.connect(options["address"])

    api.load_photo(options["photo"])
    fit = api.fit_photo()
    follow(fit, "fit")
    texture = api.make_texture()
    follow(texture, "texture")

    api.import_camera(options["camera"])
    api.import_motion(options["motion"], start=scene.frame_start - options["skip"])
    # The camera file sets the range; the demo's length and size are the user's choice
    scene.frame_end = scene.frame_start + frames - 1
    scene.render.resolution_x, scene.render.resolution_y = size
    job = api.render(size=tuple(size), seed=options["seed"])
    follow(job, "render")

    write_intermediate(scene, out / "intermediate")
    bpy.ops.wm.save_mainfile()
    strips = scene.sequence_editor.strips
    say(
        done=True,
        folder=str(job.folder),
        strip=strips[0].name,
        length=len(strips[0].elements),
        fit=str(fit.folder),
        texture=str(texture.folder),
        report={k: v for k, v in fit.meta.items() if isinstance(v, (int, float))},
    )
    blender_addon.unregister()


def write_intermediate(scene: bpy.types.Scene, folder: Path) -> None:
    """The textured body as Blender renders it, frame by frame, through the extension's own passes."""
    from understudy_shared.frames import Channel

    from blender_addon.render.passes import render_passes

    folder.mkdir(exist_ok=True)
    settings = scene.understudy
    numbers = range(scene.frame_start, scene.frame_end + 1)
    size = (scene.render.resolution_x, scene.render.resolution_y)
    for done, number in enumerate(numbers, 1):
        frame = render_passes(scene, settings.body, settings.camera, number, size)
        np.save(folder / f"{number:04d}.npy", frame.channels[Channel.RGBA])
        say(stage="intermediate", fraction=done / len(numbers), text="", left=None)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, RuntimeError, OSError) as error:
        say(error=str(error))
        sys.exit(1)
