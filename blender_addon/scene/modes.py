# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's modes: making an object the active one in the mode that the artist is to work in, and editing bones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy
from bpy.types import Armature, ArmatureEditBones, Object, Scene, ViewLayer

from .overriding import overridden

_STAND_IN = ".understudy bones"


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


@contextmanager
def editing_bones(armature: Armature) -> Iterator[ArmatureEditBones]:
    """Edit Mode of an armature for a moment: bones can be made and moved in no other way.

    Whatever scene its objects are in, a stand-in is edited in the scene at hand. What the artist has selected, hidden,
    or is in the middle of posing or editing stays so.
    """
    scene, layer = bpy.context.scene, bpy.context.view_layer
    active, selected = layer.objects.active, list(layer.objects.selected)
    edited = active if active is not None and active.mode == "EDIT" else None
    if edited is not None:
        _set_mode(scene, layer, edited, "OBJECT")
    for obj in selected:  # those would be edited, too
        obj.select_set(False, view_layer=layer)
    stand_in = bpy.data.objects.new(_STAND_IN, armature)
    scene.collection.objects.link(stand_in)
    layer.objects.active = stand_in
    try:
        _set_mode(scene, layer, stand_in, "EDIT")
        yield armature.edit_bones
    finally:
        if stand_in.mode == "EDIT":
            _set_mode(scene, layer, stand_in, "OBJECT")
        bpy.data.objects.remove(stand_in)
        for obj in selected:
            obj.select_set(True, view_layer=layer)
        layer.objects.active = active
        if edited is not None:
            _set_mode(scene, layer, edited, "EDIT")


def _set_mode(scene: Scene, layer: ViewLayer, obj: Object, mode: str) -> None:
    """Changes the mode of a view layer's active object."""
    with overridden(scene=scene, view_layer=layer, active_object=obj, object=obj):
        bpy.ops.object.mode_set(mode=mode)
