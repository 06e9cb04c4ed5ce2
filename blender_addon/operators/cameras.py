# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators for cameras."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, StringProperty

from .. import api
from .reporting import FileChoosing


class UNDERSTUDY_OT_import_camera(FileChoosing, bpy.types.Operator):
    bl_idname = "understudy.import_camera"
    bl_label = "Import Camera"
    bl_description = "Add a keyframed camera from a nerfstudio camera path or transforms.json"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(subtype="FILE_PATH")
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})
    set_scene: BoolProperty(
        name="Set Up Scene",
        description="Also take over resolution, pixel aspect, frame rate and range: the picture is then the file's",
        default=True,
    )

    def run(self, context: bpy.types.Context) -> None:
        api.import_camera(self.path(), context.scene, set_scene=self.set_scene)


CLASSES = (UNDERSTUDY_OT_import_camera,)
