# SPDX-License-Identifier: GPL-3.0-or-later
"""Making an object the active one, in the mode that the artist is to work in."""

from __future__ import annotations

import bpy
from bpy.types import Object, Scene


def enter(scene: Scene, obj: Object, mode: str) -> None:
    """Selects an object alone, and enters a mode of Blender's (OBJECT, POSE, TEXTURE_PAINT) on it.

    Raises:
        RuntimeError: it is hidden, or not in the scene's view layer.
    """
    layer = bpy.context.view_layer if bpy.context.scene == scene else scene.view_layers[0]
    if layer.objects.get(obj.name) != obj or obj.hide_viewport:
        raise RuntimeError(f'"{obj.name}" is hidden or in another scene: show it first')
    active = layer.objects.active
    if active is not None and active.mode != "OBJECT":
        _set_mode(scene, layer, active, "OBJECT")
    for other in list(layer.objects.selected):
        other.select_set(False, view_layer=layer)
    obj.hide_set(False, view_layer=layer)
    obj.select_set(True, view_layer=layer)
    layer.objects.active = obj
    if obj.mode != mode:
        _set_mode(scene, layer, obj, mode)


def _set_mode(scene: Scene, layer: bpy.types.ViewLayer, obj: Object, mode: str) -> None:
    with bpy.context.temp_override(scene=scene, view_layer=layer, active_object=obj, object=obj):
        bpy.ops.object.mode_set(mode=mode)
