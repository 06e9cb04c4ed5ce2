# SPDX-License-Identifier: GPL-3.0-or-later
"""The method and its settings, drawn from what the backend says of itself: nothing here knows any method."""

from __future__ import annotations

import bpy

from ..api import settings as api_settings
from ..link.session import current
from ..scene import method_settings
from . import weights
from .drawing import button, field, prose


class UNDERSTUDY_MT_method(bpy.types.Menu):
    bl_idname = "UNDERSTUDY_MT_method"
    bl_label = "Method"
    bl_description = "What makes the frames"

    def draw(self, context: bpy.types.Context) -> None:
        chosen = api_settings.chosen_method(context.scene)
        for description in api_settings.methods():
            if api_settings.makes_frames(description):
                icon = "RADIOBUT_ON" if description.name == chosen else "RADIOBUT_OFF"
                button(self.layout, "understudy.choose_method", description.title, icon, method=description.name)


class UNDERSTUDY_MT_presets(bpy.types.Menu):
    bl_idname = "UNDERSTUDY_MT_presets"
    bl_label = "Presets"
    bl_description = "Settings of the method under a name"

    def draw(self, context: bpy.types.Context) -> None:
        layout, shelf = self.layout, current().presets
        chosen = api_settings.chosen_method(context.scene)
        for preset in shelf.of(chosen):
            button(layout, "understudy.apply_preset", preset.name, name=preset.name)
        layout.separator()
        button(layout, "understudy.save_preset", icon="ADD")
        if shelf.own(chosen):
            layout.menu(UNDERSTUDY_MT_remove_preset.bl_idname, icon="REMOVE")


class UNDERSTUDY_MT_remove_preset(bpy.types.Menu):
    bl_idname = "UNDERSTUDY_MT_remove_preset"
    bl_label = "Remove Preset"
    bl_description = "Remove one of your presets"

    def draw(self, context: bpy.types.Context) -> None:
        for preset in current().presets.own(api_settings.chosen_method(context.scene)):
            button(self.layout, "understudy.remove_preset", preset.name, name=preset.name)


def draw(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    chosen = api_settings.chosen_method(context.scene)
    description = api_settings.described(chosen)
    row = field(layout, "Method")
    row.menu(UNDERSTUDY_MT_method.bl_idname, text=description.title if description else chosen)
    row = field(layout, "Preset")
    row.menu(UNDERSTUDY_MT_presets.bl_idname, text="Choose")
    button(row, "understudy.save_preset", "", "ADD")
    if description is None:
        unknown = bool(api_settings.methods())
        prose(
            layout,
            context,
            "The backend lacks this method" if unknown else "Its settings show once a backend answers",
            "INFO",
        )
    else:
        weights.draw(layout, context, description)
    draw_settings(layout, context, chosen, default_closed=False)
    if description is not None:
        header, body = layout.panel("understudy_method_about", default_closed=True)
        header.label(text="About")
        if body:
            prose(body, context, description.help)
            prose(body, context, description.paper)
            for each in description.weights:
                prose(body, context, f"{each.name}: {each.licence}", "CHECKMARK" if each.available else "X")


def draw_settings(
    layout: bpy.types.UILayout, context: bpy.types.Context, method: str, default_closed: bool = True
) -> None:
    """The settings of any method in a part that folds; nothing while there are none."""
    group = method_settings.find(context.scene, method)
    if group is None or not group.settings:
        return
    header, body = layout.panel(f"understudy_settings_{method}", default_closed=default_closed)
    header.label(text="Settings")
    if body is None:
        return
    button(header, "understudy.reset_settings", "", "LOOP_BACK", method=method)
    for item in group.settings:
        row = field(body, item.label)
        row.prop(item, method_settings.PATH, text="", slider=True)
        if item.described and not method_settings.is_default(item):
            button(row, "understudy.reset_settings", "", "LOOP_BACK", method=method, setting=item.name)


CLASSES = (UNDERSTUDY_MT_method, UNDERSTUDY_MT_presets, UNDERSTUDY_MT_remove_preset)
