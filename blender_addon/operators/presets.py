# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators for presets."""

from __future__ import annotations

import bpy
from bpy.props import StringProperty

from ..api import presets as api_presets
from ..api import settings as api_settings
from ..link.session import current
from .reporting import Reporting, not_now


class UNDERSTUDY_OT_save_preset(Reporting, bpy.types.Operator):
    bl_idname = "understudy.save_preset"
    bl_label = "Save Preset"
    bl_description = "Keep the method's settings under a name, for all files"

    name: StringProperty(name="Name", description="Of the preset", default="My Preset")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self, width=260, confirm_text="Save")

    def run(self, context: bpy.types.Context) -> str:
        preset = api_presets.save_preset(self.name, context.scene)
        return f'Saved as "{preset.name}"'


class UNDERSTUDY_OT_apply_preset(Reporting, bpy.types.Operator):
    bl_idname = "understudy.apply_preset"
    bl_label = "Apply Preset"
    bl_description = "Give the method the settings of this preset"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    name: StringProperty(name="Name", description="Of the preset")

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        shipped = {
            "Draft": "Small and quick, to judge motion and camera",
            "Final": "The size of the scene, with the method's own defaults",
        }
        return shipped.get(properties.name, cls.bl_description)

    def run(self, context: bpy.types.Context) -> None:
        api_presets.apply_preset(self.name, context.scene)


class UNDERSTUDY_OT_remove_preset(Reporting, bpy.types.Operator):
    bl_idname = "understudy.remove_preset"
    bl_label = "Remove Preset"
    bl_description = "Remove one of your presets"
    bl_options = {"INTERNAL"}

    name: StringProperty(name="Name", description="Of the preset")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        method = api_settings.chosen_method(context.scene)
        return not_now(cls, bool(current().presets.own(method)), "There is no preset of yours for this method")

    def run(self, context: bpy.types.Context) -> str:
        api_presets.remove_preset(self.name, context.scene)
        return f'Removed "{self.name}"'


CLASSES = (UNDERSTUDY_OT_save_preset, UNDERSTUDY_OT_apply_preset, UNDERSTUDY_OT_remove_preset)
