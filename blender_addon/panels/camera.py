# SPDX-License-Identifier: GPL-3.0-or-later
"""The camera of the shot."""

from __future__ import annotations

import bpy

from .drawing import button, exists, field, primary
from .readiness import has_camera


def draw(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    scene = context.scene
    settings = scene.understudy
    column = layout.column()
    column.use_property_split, column.use_property_decorate = True, False
    column.prop(settings, "camera")
    camera = settings.camera or scene.camera
    if settings.camera is None and camera is not None:
        field(column, "In Use").label(text=camera.name, icon="CAMERA_DATA", translate=False)
    if not has_camera(scene):
        primary(layout, "understudy.add_camera_rig", "Add a Camera Orbit", "CON_FOLLOWPATH", kind="ORBIT")
    if exists("understudy.add_camera_rig"):
        layout.operator_menu_enum(
            "understudy.add_camera_rig", "kind", text="Add Camera Move", icon="OUTLINER_OB_CAMERA"
        )
    row = layout.row(align=True)
    button(row, "understudy.import_camera", "Import", "IMPORT")
    if camera is not None:
        button(row, "understudy.export_camera", "Export", "EXPORT")
