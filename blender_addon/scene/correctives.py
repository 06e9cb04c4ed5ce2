# SPDX-License-Identifier: GPL-3.0-or-later
"""Pose correctives of bodies that have them (SMPL's `posedirs`): shape keys driven by the bones' rotations.

SMPL adds to the shaped body its `posedirs` times the entries of R - I of every joint but the pelvis. Those entries are
quadratic in the quaternion of the pose bone, and the turn between bone and joint is linear in them, so that one driver
of plain arithmetic per shape key is exact. It follows constraints and the artist's corrections too.
"""

from __future__ import annotations

import numpy as np
from bpy.types import FCurve, Object
from numpy.typing import NDArray
from understudy_shared.body import JOINT_NAMES, Y_UP_TO_Z_UP

_ENTRIES = (
    ("-2*(y*y+z*z)", "2*(x*y-w*z)", "2*(x*z+w*y)"),
    ("2*(x*y+w*z)", "-2*(x*x+z*z)", "2*(y*z-w*x)"),
    ("2*(x*z-w*y)", "2*(y*z+w*x)", "-2*(x*x+y*y)"),
)
"""R - I of a unit quaternion."""


def add(obj: Object, armature: Object, posedirs: NDArray[np.floating], axes: NDArray[np.floating]) -> None:
    """Adds one driven shape key per corrective to a mesh object.

    Args:
        obj: the body's mesh, in its rest pose.
        armature: whose pose bones drive.
        posedirs: (V, 3, 207) metres, in the rest frame.
        axes: (24, 3, 3) from `body.pose_axes`.
    """
    count = len(posedirs)
    dirs = np.asarray(posedirs, np.float64).reshape(count, 3, len(JOINT_NAMES) - 1, 3, 3)
    rest = np.empty(count * 3, np.float32)
    obj.data.vertices.foreach_get("co", rest)
    obj.shape_key_add(name="Basis", from_mix=False)
    for j, joint in enumerate(JOINT_NAMES[1:]):
        turned = np.einsum("veab,ca,db,fe->vfcd", dirs[:, :, j], axes[j + 1], axes[j + 1], Y_UP_TO_Z_UP)
        for row in range(3):
            for column in range(3):
                key = obj.shape_key_add(name=f"{joint} {row}{column}", from_mix=False)
                key.slider_min, key.slider_max = -2, 2
                key.data.foreach_set("co", rest + turned[..., row, column].astype(np.float32).reshape(-1))
                _drive(key.driver_add("value"), armature, joint, _ENTRIES[row][column])


def _drive(curve: FCurve, armature: Object, bone: str, expression: str) -> None:
    driver = curve.driver
    driver.type = "SCRIPTED"
    for part in "wxyz":
        if part in expression:
            variable = driver.variables.new()
            variable.name, variable.type = part, "TRANSFORMS"
            target = variable.targets[0]
            target.id, target.bone_target = armature, bone
            target.transform_space, target.rotation_mode = "LOCAL_SPACE", "QUATERNION"
            target.transform_type = f"ROT_{part.upper()}"
    driver.expression = expression
