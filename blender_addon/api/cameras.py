# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras: files in."""

from __future__ import annotations

from pathlib import Path

import bpy
from understudy_shared.formats import detect

from ..scene.camera import import_camera as _import_camera


def import_camera(
    path: str | Path, scene: bpy.types.Scene | None = None, start: int | None = None, set_scene: bool = True
) -> bpy.types.Object:
    """A camera file (nerfstudio camera path or transforms.json) as a keyframed camera; it becomes the scene's.

    Args:
        path: of the file.
        scene: default: the current one.
        start: scene frame of the first sample; default: the scene's first frame.
        set_scene: also take over resolution, frame rate and range, so that the picture is the file's.

    Raises:
        ValueError: the file holds no camera path, with what to do.
    """
    scene = scene or bpy.context.scene
    trajectory = detect.load_camera(Path(path))
    first = scene.frame_start if start is None else start
    camera = _import_camera(scene, trajectory, first, Path(path).stem, set_scene=set_scene)
    scene.understudy.camera = camera
    return camera
