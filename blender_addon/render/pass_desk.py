# SPDX-License-Identifier: GPL-3.0-or-later
"""Which passes are being saved now, and the timer that looks after it in a window."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import bpy

from . import passes_apart
from .pass_saving import PassSaving

INTERVAL = 0.05
"""Seconds that the window has to itself after each frame."""


class PassDesk:
    """See the module's text. What is saved goes in turn, the first asked for first.

    Args:
        ours: whether a saving is still of the file that is open.
        ended: called with each saving that has ended, well or badly.
    """

    def __init__(self, ours: Callable[[PassSaving], bool], ended: Callable[[PassSaving], object]) -> None:
        self._ours, self._ended = ours, ended
        self._savings: dict[str, PassSaving] = {}
        self._timer: Callable[[], float | None] | None = None

    def begin(self, saving: PassSaving) -> None:
        """Puts a saving in line; one of the same take that still runs is stopped: the new one goes on where it is."""
        earlier = self._savings.pop(saving.job.take, None)
        if earlier is not None:
            earlier.cancel()
        self._savings[saving.job.take] = saving
        if not bpy.app.background and self._timer is None:
            self._timer = self._tick
            bpy.app.timers.register(self._timer, first_interval=INTERVAL)

    def of(self, take: str) -> PassSaving | None:
        """The last saving of a take in this session."""
        return self._savings.get(take)

    def running(self) -> list[PassSaving]:
        """What is being saved, the first in line first."""
        return [saving for saving in self._savings.values() if saving.running]

    def stop(self) -> None:
        """Stops everything and the timer; what was written stays."""
        if self._timer is not None and bpy.app.timers.is_registered(self._timer):
            bpy.app.timers.unregister(self._timer)
        self._timer = None
        for saving in self._savings.values():
            saving.cancel()
        self._savings.clear()

    def ended(self, saving: PassSaving) -> None:
        """Says that a saving has ended."""
        tell(None if not self.running() else self.running()[0].words)
        self._ended(saving)

    def _tick(self) -> float | None:
        for take, saving in list(self._savings.items()):
            if not self._ours(saving):
                saving.cancel()
                del self._savings[take]
        waiting = self.running()
        if not waiting:
            self._timer = None
            return None
        try:
            if passes_apart.possible():
                waiting[0].step_apart(passes_apart.PassesApart)
            else:
                waiting[0].step()
        except Exception as error:  # or the timer would be gone, and nobody would know why
            traceback.print_exc()
            waiting[0].problem = f"{type(error).__name__}: {error}. Please report it"
        if waiting[0].running:
            tell(waiting[0].words)
        else:
            self.ended(waiting[0])
        return INTERVAL


def tell(words: str | None) -> None:
    """Shows a line in the status bar, or with None Blender's own again."""
    manager = bpy.context.window_manager
    for window in manager.windows if manager else ():
        window.workspace.status_text_set(words)
        for area in window.screen.areas:
            if area.type in ("SEQUENCE_EDITOR", "VIEW_3D", "NODE_EDITOR"):
                area.tag_redraw()
