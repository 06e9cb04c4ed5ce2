# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebars: drawn from the session, the scene and what the backend says of itself. Drawing touches no file."""

from __future__ import annotations

from . import method, places
from .redraw import Redraw

CLASSES = (*method.CLASSES, *places.CLASSES)

_redraw = Redraw()


def attach() -> None:
    """Starts to follow what happens; after the session is open."""
    _redraw.start()


def detach() -> None:
    """Ends it; before the session is closed."""
    _redraw.stop()
