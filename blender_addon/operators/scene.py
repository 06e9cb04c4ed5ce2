# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that bring things into the scene."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, StringProperty

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


class UNDERSTUDY_OT_load_photo(FileChoosing, bpy.types.Operator):
    bl_idname = "understudy.load_photo"
    bl_label = "Load Photo"
    bl_description = "Choose the photo of the person"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(subtype="FILE_PATH")
    filter_image: BoolProperty(default=True, options={"HIDDEN"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})

    def run(self, context: bpy.types.Context) -> None:
        api.load_photo(self.path(), context.scene)


CLASSES = (
    UNDERSTUDY_OT_create_body,
    UNDERSTUDY_OT_import_motion,
    UNDERSTUDY_OT_import_camera,
    UNDERSTUDY_OT_load_photo,
)
