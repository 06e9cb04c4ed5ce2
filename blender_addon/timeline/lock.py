# SPDX-License-Identifier: GPL-3.0-or-later
"""When the pump must keep its hands off the scene: while Blender renders or saves, or the artist drags or paints.

A render from a window runs in another thread, and reads the strips that a timer would edit.
"""

from __future__ import annotations

import bpy
from bpy.app.handlers import persistent

_RENDER_JOBS = ("RENDER", "COMPOSITE", "OBJECT_BAKE")
_DRAGS = ("TRANSFORM_OT_", "SEQUENCER_OT_", "PAINT_OT_", "SCULPT_OT_")


class SceneLock:
    """Knows whether scene data may be edited now. `attach` and `detach` its handlers in register and unregister."""

    def __init__(self) -> None:
        self._saving = False

        @persistent
        def save_begins(*_: object) -> None:
            self._saving = True

        @persistent
        def save_ends(*_: object) -> None:
            self._saving = False

        handlers = bpy.app.handlers
        self._handlers = (
            (handlers.save_pre, save_begins),
            (handlers.save_post, save_ends),
            (handlers.save_post_fail, save_ends),
        )

    @property
    def held(self) -> bool:
        return self._saving or any(bpy.app.is_job_running(job) for job in _RENDER_JOBS) or _dragging()

    def attach(self) -> None:
        for handlers, function in self._handlers:
            handlers.append(function)

    def detach(self) -> None:
        for handlers, function in self._handlers:
            if function in handlers:
                handlers.remove(function)


def _dragging() -> bool:
    """Whether the artist is moving or painting something just now: Blender keeps pointers to it meanwhile."""
    manager = bpy.context.window_manager
    return any(
        operator.bl_idname.startswith(_DRAGS)
        for window in (manager.windows if manager else ())
        for operator in window.modal_operators
    )
