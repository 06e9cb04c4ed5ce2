# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding a body's two objects, its shape, and how its bones lie to SMPL's joints."""

from __future__ import annotations

import numpy as np
from bpy.types import Object
from numpy.typing import NDArray
from understudy_shared.body import JOINT_NAMES, Y_UP_TO_Z_UP

BETAS = "understudy_betas"
"""Custom property of the mesh object: the shape that it was made with."""
VERTICES = "understudy_vertices"
"""Custom property of the mesh object: how many vertices the body model has."""


def is_body(obj: Object) -> bool:
    """Whether the object is the armature or the mesh of a body."""
    try:
        armature_of(obj)
    except ValueError:
        return False
    return True


def armature_of(obj: Object) -> Object:
    """The armature of a body, given either of its two objects.

    Raises:
        ValueError: the object is not a body.
    """
    if obj.type == "ARMATURE" and all(n in obj.data.bones for n in JOINT_NAMES):
        return obj
    if obj.parent is not None and obj.parent.type == "ARMATURE" and VERTICES in obj:
        return obj.parent
    raise ValueError(f'"{obj.name}" is not a body: choose one that Understudy made')


def mesh_of(obj: Object) -> Object:
    """The mesh of a body, given either of its two objects.

    Raises:
        ValueError: the object is not a body.
    """
    if obj.type == "MESH" and VERTICES in obj:
        return obj
    for child in obj.children:
        if child.type == "MESH" and VERTICES in child:
            return child
    raise ValueError(f'"{obj.name}" is not a body: choose one that Understudy made')


def betas_of(obj: Object) -> NDArray[np.float32]:
    """The shape (B,) that a body was made with, given either of its two objects."""
    return np.array(mesh_of(obj)[BETAS], np.float32)


def pose_axes(armature: Object) -> NDArray[np.float64]:
    """(24, 3, 3) rotation of SMPL's axes (rest frame) into each bone's own: axis_bone = M[j] @ axis_smpl."""
    bones = armature.data.bones
    return np.stack([np.array(bones[n].matrix_local.to_3x3()).T @ Y_UP_TO_Z_UP for n in JOINT_NAMES])


def rest_pelvis(armature: Object) -> NDArray[np.float64]:
    """(3,) the pelvis of the shaped body in the rest frame (Y up), metres."""
    return Y_UP_TO_Z_UP.T @ np.array(armature.data.bones["pelvis"].head_local, np.float64)
