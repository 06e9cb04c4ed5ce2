# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators for the actor: body and motion."""

from __future__ import annotations

import bpy
from bpy.props import StringProperty

from .. import api
from .reporting import FileChoosing, Reporting, not_now


class UNDERSTUDY_OT_create_body(Reporting, bpy.types.Operator):
    bl_idname = "understudy.create_body"
    bl_label = "Add Body"
    bl_description = "Add the free body in its rest pose, as armature and mesh"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, context.mode == "OBJECT", "Leave Edit or Pose Mode first")

    def run(self, context: bpy.types.Context) -> None:
        api.create_body(context.scene)


class UNDERSTUDY_OT_import_motion(FileChoosing, bpy.types.Operator):
    bl_idname = "understudy.import_motion"
    bl_label = "Import Motion"
    bl_description = "Put a motion (AMASS-like .npz, .bvh) onto the scene's body; one is added if there is none"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(subtype="FILE_PATH")
    filter_glob: StringProperty(default="*.npz;*.bvh", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, context.mode == "OBJECT", "Leave Edit or Pose Mode first")

    def run(self, context: bpy.types.Context) -> None:
        api.import_motion(self.path(), context.scene)


CLASSES = (
    UNDERSTUDY_OT_create_body,
    UNDERSTUDY_OT_import_motion,
)
