# SPDX-License-Identifier: GPL-3.0-or-later
"""One picture of a scene that is not the artist's, rendered in this Blender."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.types import Scene


def render_still(aside: Scene, path: Path) -> None:
    """Renders a scene with its own settings into a file; whether one was written is for the caller to see, because the
    operator reports success whatever happened.

    Args:
        aside: the scene, at the frame that is wanted. A sequencer's pictures, though, are of the current scene's frame.
        path: the file, with the suffix that the scene's format has.
    """
    # No `temp_override`: while an operator runs, Python's lock is free, and up to Blender 5.0 every look into an
    # overridden context reads a dictionary without it. Threads at work meanwhile, as the link's are, end in a crash.
    number = aside.frame_current

    def own_frame(scene: Scene, *_: object) -> None:
        if scene == aside:  # the operator's `scene` argument takes the current scene's frame along
            aside.frame_current = number

    aside.render.filepath = str(path)
    bpy.app.handlers.render_pre.append(own_frame)
    try:
        bpy.ops.render.render(write_still=True, scene=aside.name)
    finally:
        bpy.app.handlers.render_pre.remove(own_frame)
