# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of a camera: places, turns along the arc, and lenses, from arrays.

Orientation is keyed as sign-continuous quaternions with linear interpolation: no flips, and no Bezier overshoot.
Blender interpolates the four numbers, not the rotation; where two samples are so far apart that this would leave the
arc between them by more than `ARC_TOLERANCE`, keys on the arc are added in between.
"""

from __future__ import annotations

import bpy
import numpy as np
from bpy.types import Action, Camera, Object
from mathutils import Quaternion
from numpy.typing import NDArray
from understudy_shared.rotations import quaternion_from_matrix, sign_continuous

from . import compat
from .keys import along_arcs, write_keys

ARC_TOLERANCE = 5e-4
"""Radians; half of what we promise, so that Blender's single precision has room."""


def key_poses(
    camera: Object, action: Action, times: NDArray[np.float64], poses: NDArray[np.float64], *, stepped: bool = False
) -> None:
    """Places a camera at the first of its poses, and keys them if there are several.

    Args:
        camera: gets quaternion rotation.
        action: gets the curves.
        times: (T,) scene frames, rising, whole or not.
        poses: (T, 4, 4) camera to parent (or world), Blender's camera axes.
        stepped: each pose holds until the next, instead of moving there.
    """
    turns = sign_continuous(quaternion_from_matrix(poses[:, :3, :3]))
    camera.rotation_mode = "QUATERNION"
    camera.location, camera.rotation_quaternion = poses[0, :3, 3], Quaternion(turns[0])
    if len(times) < 2:
        return
    turn_times = times
    if not stepped:
        turn_times, turns, _ = along_arcs(times, turns, ARC_TOLERANCE)
    bag = compat.channels(camera, action)
    write_keys(bag, "location", times, poses[:, :3, 3], "Location")
    write_keys(bag, "rotation_quaternion", turn_times, turns, "Rotation")
    if stepped:
        constant = np.full(len(times), compat.INTERPOLATION["CONSTANT"], np.int32)
        for curve in bag.fcurves:
            curve.keyframe_points.foreach_set("interpolation", constant)
            curve.update()


def key_lens(data: Camera, action: Action, times: NDArray[np.float64], values: dict[str, NDArray[np.float64]]) -> None:
    """Sets properties of the camera's data to the first of their values (T,), and keys those that change."""
    for prop, numbers in values.items():
        setattr(data, prop, numbers[0])
        if np.ptp(numbers) > 1e-7 * max(1.0, float(np.abs(numbers).max())):
            write_keys(compat.channels(data, action), prop, times, numbers, "Lens")


def drop_if_empty(action: Action) -> None:
    """Removes an action in which nothing was keyed."""
    if not action.slots:
        bpy.data.actions.remove(action)
