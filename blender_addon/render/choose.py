# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way a body's frames are made: sent as geometry, or rendered by Blender. Decided here and nowhere else."""

from __future__ import annotations

from bpy.types import Object, Scene

from ..scene.body_parts import VERTICES, armature_of, mesh_of
from ..scene.material import texture_image

_VISIBLE = {"MESH", "CURVE", "CURVES", "SURFACE", "META", "FONT", "VOLUME", "POINTCLOUD", "GREASEPENCIL", "EMPTY"}


def reasons_to_render(scene: Scene, body_obj: Object) -> list[str]:
    """Why Blender must render this body, one short sentence each, for the artist; empty where geometry suffices."""
    mesh = mesh_of(body_obj)
    reasons = [f'"{m.name}" changes the body\'s mesh' for m in _foreign_modifiers(mesh)]
    if len(mesh.data.vertices) != mesh[VERTICES]:
        reasons.append("the body's mesh was edited")
    if texture_image(mesh) is None:
        reasons.append("the body's material is more than its texture")
    return reasons + [f'"{obj.name}" may hide the body' for obj in occluders(scene, body_obj)]


def occluders(scene: Scene, body_obj: Object) -> list[Object]:
    """Objects that a render of `scene` shows and that may stand before the body: those to give `render_passes`."""
    own = {mesh_of(body_obj), armature_of(body_obj)}
    return [obj for obj in _rendered(scene) if obj not in own and _solid(obj)]


def lights(scene: Scene) -> list[Object]:
    """The lights of a scene that are not switched off for rendering."""
    return [obj for obj in _rendered(scene) if obj.type == "LIGHT"]


def _rendered(scene: Scene) -> list[Object]:
    """Objects in collections that some view layer renders, save those hidden themselves."""
    found: dict[Object, None] = {}
    for layer in scene.view_layers:
        if layer.use:
            layer.update()  # a layer learns of new objects and collections only then
            waiting = [layer.layer_collection]
            while waiting:
                part = waiting.pop()
                if not part.exclude and not part.collection.hide_render:
                    found |= dict.fromkeys(obj for obj in part.collection.objects if not obj.hide_render)
                    waiting += part.children
    return list(found)


def _solid(obj: Object) -> bool:
    if obj.type not in _VISIBLE or VERTICES in obj:  # another body is rendered by its own job
        return False
    if obj.is_shadow_catcher:  # nobody sees it: it hides nothing
        return False
    return obj.type != "EMPTY" or obj.instance_type == "COLLECTION"


def _foreign_modifiers(mesh: Object) -> list:
    armature = armature_of(mesh)
    return [m for m in mesh.modifiers if m.show_render and not (m.type == "ARMATURE" and m.object == armature)]
