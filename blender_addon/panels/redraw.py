# SPDX-License-Identifier: GPL-3.0-or-later
"""Sidebars show what happens beside the mouse: one timer looks a few times a second whether anything is new."""

from __future__ import annotations

from collections.abc import Callable

import bpy

from .. import preferences
from ..api import backend as api_backend
from ..api import compositing as api_compositing
from ..link.checkup import candidates
from ..link.session import current

INTERVAL = 0.25
_EDITORS = ("VIEW_3D", "SEQUENCE_EDITOR", "NODE_EDITOR", "PREFERENCES")


class Redraw:
    """A timer that redraws when what panels show has changed; `stop` takes it away."""

    def __init__(self) -> None:
        self._shown: tuple = ()
        self._looked = bpy.app.background
        self._timer: Callable[[], float] | None = None

    def start(self) -> None:
        def timer() -> float:
            self.look()
            return INTERVAL

        self._timer = timer
        bpy.app.timers.register(timer, first_interval=INTERVAL, persistent=True)

    def stop(self) -> None:
        if self._timer is not None and bpy.app.timers.is_registered(self._timer):
            bpy.app.timers.unregister(self._timer)
        self._timer = None

    def look(self) -> None:
        """Redraws if there is something new. At the first start, also looks for a backend on this computer."""
        if not self._looked:
            self._looked = True
            if not preferences.known().anything and candidates():
                api_backend.find_backend(wait=False)
        api_backend.adopt_found()
        stored = preferences.stored()
        if stored is not None and not stored.welcomed and current().pump.online:
            stored.welcomed = True
            bpy.context.preferences.is_dirty = True
        now = _shown()
        if now != self._shown:
            self._shown = now
            _tag()


def _shown() -> tuple:
    session = current()
    jobs = [
        (job.take, job.state, job.stage, round(job.progress, 3), job.problem, round(job.seconds_left or 0))
        for job in session.jobs
    ]
    passes = [(saving.words, saving.running) for job in session.jobs if (saving := api_compositing.saved_passes(job))]
    link = session.status, session.pump.online, session.backend.state
    weights = session.weights.running, round(session.weights.fraction, 3), session.weights.problem
    return link, session.checkup.busy, session.checkup.found, jobs, passes, weights, session.method_book.methods


def _tag() -> None:
    manager = bpy.context.window_manager
    for window in manager.windows if manager else ():
        for area in window.screen.areas:
            if area.type in _EDITORS:
                for region in area.regions:
                    if region.type in ("UI", "WINDOW") and (region.type == "UI" or area.type == "PREFERENCES"):
                        region.tag_redraw()
