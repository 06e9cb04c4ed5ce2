# SPDX-License-Identifier: GPL-3.0-or-later
"""The actor: the body that moves, and its motion."""

from __future__ import annotations

from math import ceil, floor

import bpy

from ..scene.body_parts import armature_of
from .drawing import button, field, primary
from .readiness import moves


def draw(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    settings = context.scene.understudy
    column = layout.column()
    column.use_property_split, column.use_property_decorate = True, False
    column.prop(settings, "body")
    body = settings.body
    if body is None:
        primary(layout, "understudy.import_motion", icon="IMPORT")
        button(layout, "understudy.create_body")
        return
    if not moves(body):
        primary(layout, "understudy.import_motion", icon="IMPORT")
        button(layout, "understudy.retarget")
        return
    action = armature_of(body).animation_data.action
    field(column, "Motion").label(text=action.name, translate=False)
    first, last = ceil(action.frame_range[0] - 1e-3), floor(action.frame_range[1] + 1e-3)  # as the scene's
    field(column, "Frames").label(text=f"{first} – {last}", translate=False)
    button(layout, "understudy.import_motion", icon="IMPORT")
    row = layout.row(align=True)
    button(row, "understudy.clean_motion")
    button(row, "understudy.retarget")
