# SPDX-License-Identifier: GPL-3.0-or-later
"""The body in a scene that the person is laid over: not seen itself, but it throws the person's shadow.

On what there is under the feet; where that is nothing (a photo or a film behind), on a ground that only takes shadows.
Cycles has shadow catchers; EEVEE has none: there the ground's material is transparent where it is lit and black where
it is not, made from its brightness (measured once, see `set_brightness`). It takes the shadows of lights, not that of
a world's light.
"""

from __future__ import annotations

import bpy
import numpy as np
from bpy.types import Material, Object, Scene
from numpy.typing import NDArray

from .body_parts import mesh_of

GROUND = "understudy_ground"
"""Custom property of a ground that takes the shadow of a body: the key of the shot."""

_BEFORE = "understudy_before"
_FLAGS = ("hide_render", "visible_camera", "visible_diffuse", "visible_volume_scatter", "visible_shadow")
_LIT = "Understudy Brightness"
"""Name of the node that makes the ground's brightness 1 where there is no shadow."""
_REACH = 0.25
"""Metres below the feet within which there is a floor."""


def hide(body: Object, *, shadow: bool) -> None:
    """Hides the body from the camera.

    Args:
        body: either of its two objects.
        shadow: it throws one, and mirrors show it; else it is not rendered at all.
    """
    mesh = mesh_of(body)
    if _BEFORE not in mesh:
        mesh[_BEFORE] = [bool(getattr(mesh, flag)) for flag in _FLAGS]
    mesh.hide_render = not shadow
    mesh.visible_camera = False
    # The plain material shines, so that its texture is seen as it is: it must not light the scene.
    mesh.visible_diffuse = mesh.visible_volume_scatter = False
    mesh.visible_shadow = shadow


def show(body: Object) -> None:
    """Gives a body that was hidden its visibility back."""
    mesh = mesh_of(body)
    for flag, value in zip(_FLAGS, mesh.get(_BEFORE, ()), strict=False):
        setattr(mesh, flag, bool(value))
    if _BEFORE in mesh:
        del mesh[_BEFORE]


def stands_on_something(scene: Scene, feet: NDArray[np.floating], solid: set[str]) -> bool:
    """Whether something is below a point, within 25 cm.

    Args:
        scene: as it is at its current frame.
        feet: (3,) the lowest point of the body, world, metres.
        solid: names of the objects that count.
    """
    layer = scene.view_layers[0]
    layer.update()
    origin, left = np.add(feet, (0, 0, 0.05)), _REACH + 0.05
    for _ in range(8):  # other things, such as the body itself, may lie between
        hit, place, _, _, obj, _ = scene.ray_cast(layer.depsgraph, origin.tolist(), (0, 0, -1), distance=left)
        if not hit:
            return False
        if obj.name in solid:
            return True
        left -= origin[2] - place.z + 1e-4
        origin = np.array([*place]) - (0, 0, 1e-4)
    return False


def ground_of(scene: Scene, shot: str) -> Object | None:
    """The ground of a shot, None where there is none."""
    return next((obj for obj in scene.objects if obj.get(GROUND) == shot), None)


def ensure_ground(scene: Scene, shot: str, low: NDArray[np.floating], high: NDArray[np.floating]) -> Object:
    """A ground under a body, where there is none yet; one that is there stays where the artist has put it.

    Args:
        scene: where it is linked.
        shot: the key of the shot.
        low: (3,) the lowest corner of where the body is during the shot, world, metres.
        high: (3,) the highest.
    """
    found = ground_of(scene, shot)
    if found is not None:
        return found
    margin = max(3.0, 2 * float(high[2] - low[2]))  # a low sun throws a long shadow
    (x0, y0), (x1, y1) = low[:2] - margin, high[:2] + margin
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    corners = [(x - centre[0], y - centre[1], 0) for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
    mesh = bpy.data.meshes.new("Shadow Ground")
    mesh.from_pydata([tuple(map(float, corner)) for corner in corners], [], [(0, 1, 2, 3)])
    mesh.materials.append(_material())
    ground = bpy.data.objects.new("Shadow Ground", mesh)
    ground.location = (*centre.tolist(), float(low[2]))
    ground[GROUND] = shot
    ground.is_shadow_catcher = True
    ground.display_type = "WIRE"
    scene.collection.objects.link(ground)
    return ground


def set_brightness(ground: Object, brightness: float) -> None:
    """Tells the material for EEVEE how bright a ground is where there is no shadow; nothing of it is seen there."""
    material = ground.data.materials[0] if ground.data.materials else None
    node = material.node_tree.nodes.get(_LIT) if material is not None and material.node_tree else None
    if node is not None:
        # a little more, or a faint edge of the ground would be seen
        node.inputs[1].default_value = 1.05 / brightness


def remove_ground(scene: Scene, shot: str) -> None:
    """Takes the ground of a shot away, with its mesh and material."""
    ground = ground_of(scene, shot)
    if ground is None:
        return
    mesh, materials = ground.data, list(ground.data.materials)
    bpy.data.objects.remove(ground)
    if mesh.users == 0:
        bpy.data.meshes.remove(mesh)
    for material in materials:
        if material is not None and material.users == 0:
            bpy.data.materials.remove(material)


def _material() -> Material:
    """White for Cycles, which makes the shadow itself; for EEVEE see the module's text."""
    material = bpy.data.materials.new("Shadow Ground")
    if material.node_tree is None:
        material.use_nodes = True
    material.surface_render_method = "BLENDED"
    tree = material.node_tree
    assert tree is not None
    tree.nodes.clear()

    def node(kind: str, x: float, y: float):
        made = tree.nodes.new(kind)
        made.location = (x, y)
        return made

    white = node("ShaderNodeBsdfDiffuse", 0, 300)
    white.inputs["Color"].default_value = (1, 1, 1, 1)
    cycles = node("ShaderNodeOutputMaterial", 900, 300)
    cycles.target = "CYCLES"
    tree.links.new(white.outputs[0], cycles.inputs["Surface"])
    bright, scale = node("ShaderNodeShaderToRGB", 220, 0), node("ShaderNodeMath", 440, 0)
    scale.operation, scale.use_clamp, scale.name = "MULTIPLY", True, _LIT
    scale.label = "1 without Shadow"
    scale.inputs[1].default_value = 1.0
    clear, dark = node("ShaderNodeBsdfTransparent", 440, -200), node("ShaderNodeEmission", 440, -340)
    dark.inputs["Color"].default_value = (0, 0, 0, 1)
    mix, eevee = node("ShaderNodeMixShader", 680, -100), node("ShaderNodeOutputMaterial", 900, -100)
    eevee.target = "EEVEE"
    for source, target in (
        (white.outputs[0], bright.inputs[0]),
        (bright.outputs["Color"], scale.inputs[0]),
        (scale.outputs[0], mix.inputs[0]),
        (dark.outputs[0], mix.inputs[1]),
        (clear.outputs[0], mix.inputs[2]),
        (mix.outputs[0], eevee.inputs["Surface"]),
    ):
        tree.links.new(source, target)
    return material
