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
from understudy_shared.rotations import quaternion_from_matrix, sign_continuous, slerp

from . import compat
from .keys import write_keys

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
    turn_times, turns = (times, turns) if stepped else _along_arcs(times, turns)
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


def _along_arcs(
    times: NDArray[np.float64], turns: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Adds keys on the arcs between sign-continuous quaternions (T, 4) that a straight line would leave too far."""
    halves = np.arccos(np.clip(np.abs((turns[1:] * turns[:-1]).sum(-1)), 0, 1))
    pieces = np.maximum(1, np.ceil(halves / _LONGEST).astype(int))
    if (pieces == 1).all():
        return times, turns
    out_times, out_turns = [times[:1]], [turns[:1]]
    for i, count in enumerate(pieces):
        fractions = np.arange(1, count + 1) / count
        out_times.append(times[i] + fractions * (times[i + 1] - times[i]))
        out_turns.append(slerp(turns[i], turns[i + 1], fractions))
    return np.concatenate(out_times), sign_continuous(np.concatenate(out_turns))


_LONGEST = (ARC_TOLERANCE * 18 * np.sqrt(3)) ** (1 / 3)
"""Half the rotation between two keys at which a straight line stays within `ARC_TOLERANCE` of the arc.

A straight line between quaternions an angle w apart (half the rotation's) leaves the arc by at most w^3 / (18 sqrt 3)
in rotation to leading order: it runs ahead in one half and behind in the other.
"""
