# SPDX-License-Identifier: GPL-3.0-or-later
"""A place for Blender's own importers to work in, of which nothing stays behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy
from bpy.types import Scene

from .evaluation import NAME


@contextmanager
def import_scene(fps: float) -> Iterator[Scene]:
    """An empty scene of our own with a frame rate; removed on leaving."""
    aside = bpy.data.scenes.new(NAME)
    try:
        aside.render.fps = max(1, round(fps))
        aside.render.fps_base = aside.render.fps / fps
        yield aside
    finally:
        bpy.data.scenes.remove(aside)


@contextmanager
def for_now_only() -> Iterator[None]:
    """Removes every datablock that was made inside. To be entered before the scene, which removes itself."""
    before = {block.session_uid for block in _blocks()}
    try:
        yield
    finally:
        bpy.data.batch_remove([b for b in _blocks() if b.session_uid not in before])


def _blocks() -> list[bpy.types.ID]:
    lists = [getattr(bpy.data, p.identifier) for p in bpy.data.bl_rna.properties if p.type == "COLLECTION"]
    blocks = (block for each in lists for block in each if isinstance(block, bpy.types.ID))
    return list({block.session_uid: block for block in blocks}.values())  # 5.2 also lists all of them together
