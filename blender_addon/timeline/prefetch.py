# SPDX-License-Identifier: GPL-3.0-or-later
"""Prefetch stays off while a strip grows: with it on, Blender 5.2 crashes when strips change under the prefetch job.

What the artist had is kept in a custom property of the scene, so that it also comes back after a crash and a reload.
"""

from __future__ import annotations

import bpy

_KEPT = "understudy_prefetch"


def suspend(scene: bpy.types.Scene) -> None:
    """Switches prefetch off and remembers that it was on. Calling it twice is calling it once."""
    editor = scene.sequence_editor
    if editor is not None and editor.use_prefetch:
        scene[_KEPT] = True
        editor.use_prefetch = False


def restore(scene: bpy.types.Scene) -> None:
    """Puts back what `suspend` took away."""
    if scene.get(_KEPT) is None:
        return
    del scene[_KEPT]
    if scene.sequence_editor is not None:
        scene.sequence_editor.use_prefetch = True
