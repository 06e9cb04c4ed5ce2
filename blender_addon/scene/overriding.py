# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that need another context than the one at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy
from understudy_shared.standstill import threads

_SAFE = (5, 2, 0)
"""From this Blender on, Python's lock is held for every look into an overridden context."""


@contextmanager
def overridden(**members: object) -> Iterator[None]:
    """`bpy.context.temp_override`, if the context at hand is another one; where Blender crashes otherwise, our threads
    stand still meanwhile. Other extensions' threads cannot be held."""
    if all(getattr(bpy.context, name, None) == member for name, member in members.items()):
        yield
    elif bpy.app.version >= _SAFE:
        with bpy.context.temp_override(**members):
            yield
    else:
        with threads.hold(), bpy.context.temp_override(**members):
            yield
