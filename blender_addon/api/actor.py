# SPDX-License-Identifier: GPL-3.0-or-later
"""The actor: the body and its motion."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
from understudy_shared.body import free_body
from understudy_shared.formats import detect
from understudy_shared.staging import on_mark

from ..scene.body import create_body as _create_body
from ..scene.body_parts import armature_of, betas_of, mesh_of
from ..scene.motion import apply_motion


def create_body(scene: bpy.types.Scene | None = None) -> bpy.types.Object:
    """A body of mean shape in its rest pose; it becomes the scene's body."""
    scene = scene or bpy.context.scene
    body = free_body()
    obj = _create_body(scene, body, np.zeros(body.num_betas, np.float32))
    scene.understudy.body = obj
    return obj


def import_motion(
    path: str | Path,
    scene: bpy.types.Scene | None = None,
    body: bpy.types.Object | None = None,
    start: int | None = None,
    on_floor: bool = True,
) -> bpy.types.Action:
    """A motion file (AMASS-like npz, BVH) as an action of the body; one is made where the scene has none.

    Args:
        path: of the file.
        scene: default: the current one.
        body: default: the scene's body.
        start: scene frame of the first sample; default: the scene's first frame.
        on_floor: over the origin where the scene begins, with this body's feet on the floor; else as in the file.

    Raises:
        ValueError: the file is not a motion, with what to do.
    """
    scene = scene or bpy.context.scene
    clip = detect.load_motion(Path(path), free_body())
    body = body or scene.understudy.body or create_body(scene)
    first, fps = scene.frame_start if start is None else start, scene.render.fps / scene.render.fps_base
    if on_floor:
        shown = round((scene.frame_start - first) / fps * clip.fps)  # the sample that the scene begins with
        clip = on_mark(clip, free_body(), betas_of(mesh_of(body)), at=min(max(shown, 0), len(clip) - 1))
    return apply_motion(armature_of(body), clip, first, fps)
