# SPDX-License-Identifier: GPL-3.0-or-later
"""A body's keys back as a clip at their own times, also after the artist has worked on them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from bpy.types import FCurve, Object
from mathutils import Euler, Quaternion
from numpy.typing import NDArray
from understudy_shared.body import JOINT_NAMES
from understudy_shared.motion import MotionClip, exact_rate

from . import compat
from .body_parts import armature_of
from .keys import KEY_TYPES
from .motion import TRACK, clip_from_bones

MAX_SAMPLES = 500_000
"""Over two hours of video; more are not keys of a motion, but a key that was dragged far away."""


@dataclass(frozen=True, eq=False)
class KeyedMotion:
    """What the keys of a body say."""

    clip: MotionClip
    """Relative to the armature object's own place."""
    times: NDArray[np.float64]
    """(T,) scene frames of its samples, evenly spaced."""
    filled: NDArray[np.bool_]
    """(T,) which of the frames that were not seen have a pose of their own."""


def read_keys(armature: Object, scene_fps: float) -> KeyedMotion:
    """The motion in the body's present action.

    Samples lie where its keys do, as long as these are evenly spaced, on whole frames or not; keys that were added
    between samples count as far as they shape the curves. Keys that are spaced unevenly, such as those of a motion made
    by hand, are read at every scene frame.

    Args:
        armature: the body, either of its two objects.
        scene_fps: frames per second of the scene.

    Raises:
        ValueError: the body has no keys.
    """
    armature = armature_of(armature)
    curves = {(c.data_path, c.array_index): c for c in compat.fcurves(armature) if len(c.keyframe_points)}
    prefixes = {name: armature.pose.bones[name].path_from_id() for name in JOINT_NAMES}
    ours = {key: c for key, c in curves.items() if key[0].startswith(tuple(f"{p}." for p in prefixes.values()))}
    if not ours:
        raise ValueError(f'"{armature.name}" has no keys: import a motion first')
    times = even_times(list(ours.values()))
    rotations = np.stack([_rotations(armature.pose.bones[n], prefixes[n], curves, times) for n in JOINT_NAMES], 1)
    pelvis = armature.pose.bones["pelvis"]
    path = f"{prefixes['pelvis']}.location"
    locations = np.stack([_values(curves, path, i, pelvis.location[i], times) for i in range(3)], 1)
    clip = clip_from_bones(armature, rotations, locations, rate_of(times, scene_fps))
    clip = replace(clip, track_id=str(armature.animation_data.action.get(TRACK, "")))
    types = _types(curves.get((path, 0)), times)
    filled, held = types == KEY_TYPES["GENERATED"], types == KEY_TYPES["JITTER"]
    present = ~(filled | held)
    return KeyedMotion(clip if present.all() or not present.any() else replace(clip, present=present), times, filled)


def rate_of(times: NDArray[np.float64], scene_fps: float) -> float:
    """Samples per second of evenly spaced times, single precision taken out; the scene's own rate for a single one."""
    rate = exact_rate(scene_fps) / (times[1] - times[0] if len(times) > 1 else 1.0)
    whole = round(rate)
    return float(whole) if abs(rate - whole) < 1e-4 * rate else exact_rate(rate)


def even_times(curves: list[FCurve]) -> NDArray[np.float64]:
    """(T,) from the first key to the last, spaced as most keys are, or by one frame where that cannot be told.

    Where keys lie more than a frame apart and are joined by curves, there are samples in between, for it is the curves
    that count.

    Raises:
        ValueError: there are no keys, or they reach too far.
    """
    keyed = [_keys(curve) for curve in curves]
    # keys on the arc between two samples are no samples
    times = np.unique(np.concatenate([np.empty(0), *(at[types != KEY_TYPES["BREAKDOWN"]] for at, types in keyed)]))
    if not len(times):
        raise ValueError("there are no keys")
    first, last = float(times[0]), float(times[-1])
    gaps = np.diff(times)
    step = float(np.median(gaps)) if len(gaps) else 1.0
    # keys are stored in single precision: the mean over all of them is what the spacing truly is
    rounds = max(1.0, np.rint((last - first) / step))
    even = (last - first) / rounds if len(gaps) else 1.0
    off = np.abs((times - first) / even - np.rint((times - first) / even)) * even
    if len(gaps) and np.mean(off < 1e-3 + 2e-7 * abs(last)) < 0.9:
        even, rounds = 1.0, np.floor(last - first)
    if len(gaps) and even > 1 and not all(_is_linear(curve) for curve in curves):
        parts = np.ceil(even - 1e-3)
        even, rounds = even / parts, rounds * parts
    count = int(rounds) + 1 if len(gaps) else 1
    if count > MAX_SAMPLES:
        raise ValueError(f"keys reach from frame {first:.0f} to {last:.0f}: delete those that lie far from the motion")
    return first + np.arange(count, dtype=np.float64) * even


def _keys(curve: FCurve) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    count = len(curve.keyframe_points)
    points, types = np.empty(count * 2, np.float32), np.empty(count, np.int32)
    curve.keyframe_points.foreach_get("co", points)
    curve.keyframe_points.foreach_get("type", types)
    return points[::2].astype(np.float64), types


def _is_linear(curve: FCurve) -> bool:
    kinds = np.empty(len(curve.keyframe_points), np.int32)
    curve.keyframe_points.foreach_get("interpolation", kinds)
    return bool((kinds == compat.INTERPOLATION["LINEAR"]).all())


def _types(curve: FCurve | None, times: NDArray[np.float64]) -> NDArray[np.int32]:
    """(T,) type of the key at, or last before, each time."""
    if curve is None:
        return np.zeros(len(times), np.int32)
    at, types = _keys(curve)
    return types[np.clip(np.searchsorted(at, times + 0.01, "right") - 1, 0, len(at) - 1)]


def _values(
    curves: dict[tuple[str, int], FCurve], path: str, index: int, still: float, times: NDArray[np.float64]
) -> NDArray[np.float64]:
    curve = curves.get((path, index))
    return np.full(len(times), still) if curve is None else np.array([curve.evaluate(t) for t in times])


def _rotations(
    bone, prefix: str, curves: dict[tuple[str, int], FCurve], times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(T, 4) unit quaternions of a pose bone, whichever way the artist has it rotate."""
    mode = bone.rotation_mode
    if mode == "QUATERNION":
        prop, still = "rotation_quaternion", bone.rotation_quaternion
    elif mode == "AXIS_ANGLE":
        prop, still = "rotation_axis_angle", bone.rotation_axis_angle
    else:
        prop, still = "rotation_euler", bone.rotation_euler
    path = f"{prefix}.{prop}"
    values = np.stack([_values(curves, path, i, still[i], times) for i in range(len(still))], 1)
    if mode == "AXIS_ANGLE":
        values = np.array([Quaternion(v[1:], v[0]) for v in values])
    elif mode != "QUATERNION":
        values = np.array([Euler(v, mode).to_quaternion() for v in values])
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.where(length > 1e-9, values / np.maximum(length, 1e-9), [1.0, 0, 0, 0])
