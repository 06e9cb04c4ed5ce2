# SPDX-License-Identifier: GPL-3.0-or-later
"""The shot: how large, which frames, what is in the way, and the button."""

from __future__ import annotations

import bpy

from ..link.session import current
from .drawing import obstacles, primary
from .readiness import readiness


def draw(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    scene = context.scene
    settings = scene.understudy
    column = layout.column()
    column.use_property_split, column.use_property_decorate = True, False
    pair = column.column(align=True)
    pair.prop(settings, "width")
    pair.prop(settings, "height")
    pair = column.column(align=True)
    pair.prop(scene, "frame_start", text="First Frame")
    pair.prop(scene, "frame_end", text="Last")
    column.prop(settings, "seed")
    found = readiness(scene, current())
    obstacles(layout, context, found)
    row = layout.column()
    row.enabled = not any(obstacle.blocking for obstacle in found)
    primary(row, "understudy.render", icon="RENDER_ANIMATION")
