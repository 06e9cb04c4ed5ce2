# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of a body as sliders, exact in mesh and bones; poses and motions stay as they are.

A slider moves one component of the body's shape space. Vertices and bones' heads move by what the component says;
bones keep their directions, so that every rotation keeps its meaning. What the artist sculpted on the mesh stays too.
"""

from __future__ import annotations

from dataclasses import dataclass

import bpy
import numpy as np
from bpy.types import Mesh, Object
from mathutils import Vector
from numpy.typing import NDArray
from understudy_shared.body import JOINT_NAMES, Y_UP_TO_Z_UP, BodyModel, free_body

from .body_parts import BETAS, VERTICES, armature_of, betas_of, mesh_of
from .modes import editing_bones


@dataclass(frozen=True)
class Slider:
    """One component of the free body's shape space, named after what it changes most."""

    component: int
    name: str
    description: str
    sign: int = 1
    """-1 where the component itself runs the other way."""


HEIGHT = Slider(0, "Height", "Taller or smaller as a whole; one step is 11 cm")
BUILD = Slider(1, "Build", "From wide hips and narrow shoulders to broad shoulders and narrow hips")
WEIGHT = Slider(4, "Weight", "Heavier or slimmer at the same height; one step is 5 to 6 kg", -1)
TRUNK = Slider(3, "Trunk", "A wider trunk, from the ribs to the hips")
WAIST = Slider(2, "Waist", "A slim waist and longer legs, or a full waist and shorter legs")
LEGS = Slider(5, "Legs", "Fuller or thinner legs")

SLIDERS = (HEIGHT, BUILD, WEIGHT, TRUNK, WAIST, LEGS)
"""In the order of the panel. Components after the sixth change less than 1 cm a step and have none."""


def set_shape(obj: Object, betas: NDArray[np.floating]) -> None:
    """Gives a body, and those that share its mesh, another shape.

    Args:
        obj: either of its two objects.
        betas: (B,).

    Raises:
        ValueError: the body's model is not the one that ships with Understudy.
    """
    mesh = mesh_of(obj)
    model = _model(mesh)
    new = np.zeros(model.num_betas, np.float32)
    new[: min(len(betas), len(new))] = np.asarray(betas, np.float32)[: len(new)]
    old = np.zeros_like(new)
    old[: min(len(betas_of(mesh)), len(new))] = betas_of(mesh)[: len(new)]
    _move_vertices(mesh.data, (model.shapedirs @ (new - old)) @ Y_UP_TO_Z_UP.T.astype(np.float32))
    for body in bodies_of(mesh.data):
        _set_bones(armature_of(body), model, new)
        body[BETAS] = [float(b) for b in new]


def bodies_of(mesh: Mesh) -> list[Object]:
    """The bodies that show a mesh."""
    return [obj for obj in bpy.data.objects if obj.data == mesh and VERTICES in obj]


def share_shape(body: Object, other: Object) -> None:
    """Lets `other` show the mesh of `body`: one shape and one texture, each in its own pose. Its own mesh goes.

    Bodies with pose correctives keep their mesh, because those belong to one armature; they get the shape alone.
    """
    body, other = mesh_of(body), mesh_of(other)
    if body.data == other.data:
        return
    set_shape(other, betas_of(body))
    if body.data.shape_keys is None and other.data.shape_keys is None:
        own = other.data
        other.data = body.data
        if own.users == 0:
            bpy.data.meshes.remove(own)


def get_slider(obj: Object, slider: Slider) -> float:
    """Where a slider stands; 0 on what is not a body."""
    betas = obj.get(BETAS)
    return slider.sign * betas[slider.component] if betas is not None and len(betas) > slider.component else 0.0


def set_slider(obj: Object, slider: Slider, value: float) -> None:
    """Moves a slider of a body; nothing on what is not a body, or one whose shape cannot be changed."""
    if not can_change(obj):
        return
    betas = betas_of(obj)
    if betas[slider.component] != slider.sign * value:
        betas[slider.component] = slider.sign * value
        set_shape(obj, betas)


def can_change(obj: Object) -> bool:
    """Whether an object is a body whose shape sliders work."""
    return (
        BETAS in obj and obj.get(VERTICES) == len(free_body().v_template) and len(obj[BETAS]) == free_body().num_betas
    )


def _model(mesh: Object) -> BodyModel:
    model = free_body()
    if mesh[VERTICES] != len(model.v_template) or len(mesh.data.vertices) != len(model.v_template):
        raise ValueError(f'The shape of "{mesh.name}" cannot be changed: its mesh is not as Understudy made it')
    return model


def _move_vertices(mesh: Mesh, offsets: NDArray[np.floating]) -> None:
    keys = mesh.shape_keys.key_blocks if mesh.shape_keys else ()
    for data in (mesh.vertices, *(key.data for key in keys)):
        positions = np.empty(offsets.size, np.float32)
        data.foreach_get("co", positions)
        data.foreach_set("co", positions + offsets.astype(np.float32).reshape(-1))
    mesh.update()


def _set_bones(armature: Object, model: BodyModel, betas: NDArray[np.float32]) -> None:
    heads = model.joints(betas) @ Y_UP_TO_Z_UP.T
    before = np.array([armature.data.bones[name].head_local for name in JOINT_NAMES])
    scale = float(np.linalg.norm(np.ptp(heads, axis=0)) / max(np.linalg.norm(np.ptp(before, axis=0)), 1e-6))
    with editing_bones(armature.data) as bones:
        for name, head in zip(JOINT_NAMES, heads, strict=True):
            bone = bones[name]
            along = (bone.tail - bone.head) * scale
            roll = bone.roll
            bone.head = Vector(head)
            bone.tail = bone.head + along
            bone.roll = roll
