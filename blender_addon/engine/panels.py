# SPDX-License-Identifier: GPL-3.0-or-later
"""The Properties editor while the engine is Understudy: Blender's own panels that make sense, and two of ours."""

from __future__ import annotations

from typing import NamedTuple

import bpy

from ..api import settings as choices
from ..panels.drawing import field, prose
from .host import ENGINE

_OURS = {
    "output": None,
    "render": ("RENDER_PT_color_management",),
    "view_layer": ("VIEWLAYER_PT_layer", "VIEWLAYER_PT_context_layer"),
    "data": None,
    "object": None,
    "material": None,
    "texture": None,
}
"""Contexts whose panels are shown: those whose name begins so; None: all that Blender shows with every engine."""

_NOT = ("freestyle", "FREESTYLE", "stereoscopy", "custom_props", "EEVEE")
_MARK = "BLENDER_RENDER"
"""In the list of every panel that works with any engine."""


class _Engine:
    bl_space_type = "PROPERTIES"
    bl_region_type = "WINDOW"
    COMPAT_ENGINES = {ENGINE}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.engine in cls.COMPAT_ENGINES


class UNDERSTUDY_PT_engine(_Engine, bpy.types.Panel):
    bl_label = "Understudy"
    bl_context = "render"

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = self.layout, context.scene
        layout.use_property_split = True
        layout.use_property_decorate = False
        settings = scene.understudy
        layout.prop(settings, "body")
        described = choices.described(choices.chosen_method(scene))
        title = described.title if described else choices.chosen_method(scene)
        field(layout, "Method").label(text=title, translate=False)
        layout.prop(settings, "seed")
        for text, owner, name in hindrances(scene):
            box = layout.box()
            prose(box, context, text, "ERROR")
            box.prop(owner, name)
        prose(layout, context, "Motion blur and depth of field are not used")


class UNDERSTUDY_PT_engine_passes(_Engine, bpy.types.Panel):
    bl_label = "Passes"
    bl_context = "view_layer"

    def draw(self, context: bpy.types.Context) -> None:
        layout, layer = self.layout, context.view_layer
        layout.use_property_split = True
        layout.use_property_decorate = False
        column = layout.column(heading="Body")
        column.prop(layer, "use_pass_z", text="Depth")
        column.prop(layer, "use_pass_normal", text="Normal")
        column.prop(layer, "use_pass_uv", text="Texture Coordinates")
        column.prop(layer.understudy, "use_pass_mask")
        column.prop(layer.understudy, "use_pass_body", text="Textured Body")


class Hindrance(NamedTuple):
    """A sentence, and the setting at fault: its owner and its name."""

    sentence: str
    owner: bpy.types.bpy_struct
    name: str


def hindrances(scene: bpy.types.Scene) -> list[Hindrance]:
    """What in a scene keeps a saved picture from being the person's frame."""
    found = []
    editor = scene.sequence_editor
    if scene.render.use_sequencer and editor is not None and len(editor.strips):
        found.append(Hindrance("The sequencer is rendered in place of the scene", scene.render, "use_sequencer"))
    if scene.view_settings.view_transform not in ("Standard", "Raw"):
        found.append(Hindrance("This view changes the colours of the person", scene.view_settings, "view_transform"))
    if scene.render.image_settings.color_mode != "RGBA":
        found.append(Hindrance("Saved pictures have no transparency", scene.render.image_settings, "color_mode"))
    return found


def attach() -> None:
    """Lets Blender's panels appear with this engine, too."""
    for panel in _shown():
        panel.COMPAT_ENGINES.add(ENGINE)


def detach() -> None:
    """Takes that back, from all panels there are."""
    for panel in _all_panels():
        if not issubclass(panel, _Engine):
            panel.COMPAT_ENGINES.discard(ENGINE)


def _shown() -> list[type]:
    found = []
    for panel in _all_panels():
        context = getattr(panel, "bl_context", "")
        if _MARK not in panel.COMPAT_ENGINES or context not in _OURS or any(part in panel.__name__ for part in _NOT):
            continue
        names = _OURS[context]
        if names is None or panel.__name__.startswith(names):
            found.append(panel)
    return found


def _all_panels() -> list[type]:
    return [
        panel for panel in bpy.types.Panel.__subclasses__() if isinstance(getattr(panel, "COMPAT_ENGINES", None), set)
    ]


CLASSES = (UNDERSTUDY_PT_engine, UNDERSTUDY_PT_engine_passes)
