# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between Blender 4.5, 5.0 and 5.2. Nothing else in the extension asks for a version or a missing name."""

from __future__ import annotations

import bpy
from bpy.types import ID, Action, FCurve, ImageFormatSettings

INTERPOLATION = {"CONSTANT": 0, "LINEAR": 1, "BEZIER": 2}
"""Blender's numbers for the `interpolation` of a key, which `foreach_set` wants."""

PASS_NAMES: dict[str, tuple[str, ...]] = {
    "combined": ("Combined",),
    "depth": ("Depth", "Z"),
    "normal": ("Normal",),
    "uv": ("UV",),
}
"""Names of render passes, that of 5.0 and later first."""


def eevee_id() -> str:
    """The identifier of EEVEE: BLENDER_EEVEE_NEXT in 4.5, BLENDER_EEVEE later."""
    return "BLENDER_EEVEE" if bpy.app.version >= (5, 0, 0) else "BLENDER_EEVEE_NEXT"


def channels(owner: ID, action: Action):
    """The channel bag of `owner` in `action`, which becomes its action; layer, strip and slot are made as needed."""
    animation = owner.animation_data or owner.animation_data_create()
    animation.action = action
    slot = next((s for s in action.slots if s.target_id_type == owner.id_type and s.name_display == owner.name), None)
    slot = slot or action.slots.new(id_type=owner.id_type, name=owner.name)
    animation.action_slot = slot
    layer = action.layers[0] if action.layers else action.layers.new("Layer")
    strip = layer.strips[0] if layer.strips else layer.strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True)


def new_fcurve(bag, data_path: str, index: int = 0, group: str = "") -> FCurve:
    """An empty F-curve in a channel bag, within the named group (4.5 sets the group afterwards)."""
    if "group_name" in bag.fcurves.bl_rna.functions["new"].parameters:
        return bag.fcurves.new(data_path, index=index, group_name=group)
    curve = bag.fcurves.new(data_path, index=index)
    if group:
        curve.group = bag.groups.get(group) or bag.groups.new(group)
    return curve


def fcurves(owner: ID) -> list[FCurve]:
    """The F-curves that animate `owner` now, none where it has no action."""
    animation = owner.animation_data
    if animation is None or animation.action is None or animation.action_slot is None:
        return []
    found = []
    for layer in animation.action.layers:
        for strip in layer.strips:
            bag = strip.channelbag(animation.action_slot)
            found += list(bag.fcurves) if bag else []
    return found


def set_file_format(settings: ImageFormatSettings, file_format: str) -> None:
    """Sets `file_format`; from 5.0 on, Blender refuses one that is not of the media type chosen before."""
    if hasattr(settings, "media_type"):
        many, video = {"OPEN_EXR_MULTILAYER"}, {"FFMPEG"}
        settings.media_type = (
            "MULTI_LAYER_IMAGE" if file_format in many else "VIDEO" if file_format in video else "IMAGE"
        )
    settings.file_format = file_format


def set_float_layers(settings: ImageFormatSettings) -> None:
    """Chooses uncompressed multilayer EXR in single precision, in one part.

    From 5.0 on Blender would write several parts, and fails to as soon as pixels are not square.
    """
    set_file_format(settings, "OPEN_EXR_MULTILAYER")
    settings.color_depth, settings.exr_codec = "32", "NONE"
    if hasattr(settings, "use_exr_interleave"):
        settings.use_exr_interleave = True


def composites(scene: bpy.types.Scene) -> bool:
    """Whether renders of a scene go through its compositor."""
    tree = scene.compositing_node_group if hasattr(scene, "compositing_node_group") else scene.use_nodes
    return bool(scene.render.use_compositing and tree)
