# SPDX-License-Identifier: GPL-3.0-or-later
"""The shot: how large, which frames, what is in the way, and the button."""

from __future__ import annotations

import bpy

from ..api import settings as choices
from ..api.takes import driven_by_strip
from ..link.driving import takes_clip
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
    pair.enabled = not driven_by_strip(scene)  # a strip brings its own
    pair.prop(scene, "frame_start", text="First Frame")
    pair.prop(scene, "frame_end", text="Last")
    column.prop(settings, "seed")
    if takes_clip(choices.described(choices.chosen_method(scene))):
        column.row().prop(settings, "driving", expand=True)
        if settings.driving == "STRIP":
            column.prop(settings, "driving_strip")
    found = readiness(scene, current())
    obstacles(layout, context, found)
    row = layout.column()
    row.enabled = not any(obstacle.blocking for obstacle in found)
    primary(row, "understudy.render", icon="RENDER_ANIMATION")
