# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding the editor that a button means, or making room for one."""

from __future__ import annotations

import bpy
from bpy.types import Area, Context, Window

from .overriding import overridden


def largest(window: Window, kind: str) -> Area | None:
    """The largest area of a kind in a window."""
    areas = [area for area in window.screen.areas if area.type == kind]
    return max(areas, key=lambda area: area.width * area.height, default=None)


def nearest(context: Context, kind: str) -> tuple[Window, Area] | None:
    """The area of a kind that a button means: the one that it is in, else the largest of its window, else of any."""
    own = getattr(context, "area", None)
    if context.window is not None and own is not None and own.type == kind:
        return context.window, own
    manager = context.window_manager
    windows = list(manager.windows) if manager else []
    windows.sort(key=lambda window: window != context.window)
    return next(((w, area) for w in windows if (area := largest(w, kind)) is not None), None)


def open_editor(context: Context, kind: str) -> tuple[Window, Area] | None:
    """An area of a kind: one that is there, else the right half of the largest 3D view. None without a window."""
    found = nearest(context, kind)
    if found is not None or context.window_manager is None:
        return found
    place = nearest(context, "VIEW_3D")
    if place is None:
        return None
    window, area = place
    before = {each.as_pointer() for each in window.screen.areas}
    with overridden(window=window, area=area, region=area.regions[-1]):
        bpy.ops.screen.area_split(direction="VERTICAL", factor=0.5)
    new = next((each for each in window.screen.areas if each.as_pointer() not in before), None)
    if new is None:
        return None
    new.type = kind
    return window, new
