# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators for the method and its settings."""

from __future__ import annotations

import bpy
from bpy.props import StringProperty

from ..api import presets as api_presets
from ..api import settings as api_settings
from ..scene import method_settings
from .reporting import Reporting, not_now


class UNDERSTUDY_OT_choose_method(Reporting, bpy.types.Operator):
    bl_idname = "understudy.choose_method"
    bl_label = "Choose Method"
    bl_description = "Make the frames with this method"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    method: StringProperty(name="Method", description="Its name")

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        known = api_settings.described(properties.method)
        return known.help if known is not None else ""

    def run(self, context: bpy.types.Context) -> None:
        api_settings.set_method(context.scene, self.method)


class UNDERSTUDY_OT_reset_settings(Reporting, bpy.types.Operator):
    bl_idname = "understudy.reset_settings"
    bl_label = "Reset to Defaults"
    bl_description = "Give the method's settings their defaults"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    method: StringProperty(name="Method", description="Whose settings; empty: the chosen method's")
    setting: StringProperty(name="Setting", description="Which; empty: all of them")

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        return "Give this setting its default" if properties.setting else cls.bl_description

    def run(self, context: bpy.types.Context) -> None:
        found = method_settings.find(context.scene, self.method or api_settings.chosen_method(context.scene))
        for item in found.settings if found is not None else ():
            if not self.setting or item.name == self.setting:
                method_settings.reset(item)


class UNDERSTUDY_OT_round_size(Reporting, bpy.types.Operator):
    bl_idname = "understudy.round_size"
    bl_label = "Round Size"
    bl_description = "Set width and height to the nearest that the method takes"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    def run(self, context: bpy.types.Context) -> None:
        settings = context.scene.understudy
        known = api_settings.described(api_settings.chosen_method(context.scene))
        multiple = known.size_multiple if known is not None else 8
        settings.width, settings.height = api_presets.rounded((settings.width, settings.height), multiple)


class UNDERSTUDY_OT_show_in_sequencer(Reporting, bpy.types.Operator):
    bl_idname = "understudy.show_in_sequencer"
    bl_label = "Show This Scene"
    bl_description = "Let the sequencers of this workspace show this scene's strips"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(
            cls, hasattr(context.workspace, "sequencer_scene"), "This Blender's sequencer always shows the scene"
        )

    def run(self, context: bpy.types.Context) -> None:
        context.workspace.sequencer_scene = context.scene


CLASSES = (
    UNDERSTUDY_OT_choose_method,
    UNDERSTUDY_OT_reset_settings,
    UNDERSTUDY_OT_round_size,
    UNDERSTUDY_OT_show_in_sequencer,
)
