# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators for the imitator: photo, fit and texture."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, StringProperty

from .. import api
from .reporting import FileChoosing, Reporting, not_now, online


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


class UNDERSTUDY_OT_fit_photo(Reporting, bpy.types.Operator):
    bl_idname = "understudy.fit_photo"
    bl_label = "Fit Photo"
    bl_description = "Find the person in the photo, and put a body of their shape and pose before it"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, context.scene.understudy.photo is not None, "Load a photo first") and online(cls)

    def run(self, context: bpy.types.Context) -> None:
        api.fit_photo(context.scene)


class UNDERSTUDY_OT_refit(Reporting, bpy.types.Operator):
    bl_idname = "understudy.refit"
    bl_label = "Fit Again"
    bl_description = "Fit again from the pose and the camera as you have corrected them"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, context.scene.understudy.photo_body is not None, "Fit the photo first") and online(cls)

    def run(self, context: bpy.types.Context) -> None:
        api.refit(context.scene)


class UNDERSTUDY_OT_make_texture(Reporting, bpy.types.Operator):
    bl_idname = "understudy.make_texture"
    bl_label = "Make Texture"
    bl_description = "Take the person's texture from the photo, and complete what the photo does not show"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, context.scene.understudy.photo_body is not None, "Fit the photo first") and online(cls)

    def run(self, context: bpy.types.Context) -> None:
        api.make_texture(context.scene)


CLASSES = (
    UNDERSTUDY_OT_load_photo,
    UNDERSTUDY_OT_fit_photo,
    UNDERSTUDY_OT_refit,
    UNDERSTUDY_OT_make_texture,
)
