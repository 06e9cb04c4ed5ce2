"""Poses: clips of captured motion, and the stances of people who have their photograph taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
HELD_OUT = ("cmu_13_26_wave_point",)
"""Clips, by file name, that only the people of the evaluation move by."""


def read_clip(path: Path) -> Floats:
    """Poses (T, 24, 3) of an AMASS-like npz whose world is Y up or Z up: the pelvis is turned so that Y is up.

    Raises:
        ValueError: the file holds no poses of 24 joints.
    """
    with np.load(path, allow_pickle=False) as data:
        if "poses" not in data.files or data["poses"].ndim != 2 or data["poses"].shape[1] < 72:
            raise ValueError(f"{path.name} holds no array `poses` of at least 72 columns")
        return np.ascontiguousarray(data["poses"][:, :72], np.float32).reshape(-1, 24, 3)


def standing(rng: np.random.Generator) -> Floats:
    """A pose (24, 3) in radians as people stand for a photograph, facing +Z, Y up."""
    pose = np.zeros((24, 3))
    drop = np.radians(rng.uniform(64, 84) if rng.random() < 0.85 else rng.uniform(25, 55))
    for side, (collar, shoulder, elbow, wrist) in ((1, (13, 16, 18, 20)), (-1, (14, 17, 19, 21))):
        d = drop + rng.normal(0, 0.06)
        pose[collar] = [0, 0, -side * 0.1 * d]
        pose[shoulder] = [rng.normal(0, 0.08), -side * rng.normal(0, 0.12), -side * 0.92 * d]
        bend = abs(rng.normal(0.2, 0.15))
        if rng.random() < 0.1:  # a hand on the hip or in the pocket
            bend = rng.uniform(0.7, 1.5)
            pose[shoulder] = [0.0, side * 0.35, -side * d * 0.75]
        pose[elbow] = [0, -side * bend, 0]
        pose[wrist] = rng.normal(0, 0.12, 3)
    spread = rng.uniform(-0.03, 0.12)
    for side, (hip, knee, ankle) in ((1, (1, 4, 7)), (-1, (2, 5, 8))):
        forward = rng.normal(0, 0.07)
        bend = abs(rng.normal(0, 0.08))
        pose[hip] = [-forward - bend * 0.5, side * rng.normal(0.1, 0.1), side * (spread - 0.06)]
        pose[knee] = [bend, 0, 0]
        pose[ankle] = [forward - bend * 0.5, 0, -side * (spread - 0.06)]
    pose[[3, 6, 9]] = rng.normal(0, 0.03, (3, 3))
    pose[12], pose[15] = rng.normal(0, 0.06, 3), rng.normal(0, [0.08, 0.16, 0.05])
    return pose.astype(np.float32)


def walking(rng: np.random.Generator) -> Floats:
    """A pose (24, 3) in the middle of a step."""
    pose = standing(rng)
    return stepping(pose, rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.6))


def stepping(standing_pose: Floats, phase: float, stride: float) -> Floats:
    """A pose (24, 3) of a walk.

    Args:
        standing_pose: (24, 3) that the walk departs from.
        phase: radians; a whole turn is two steps.
        stride: radians that a leg swings forward and back.
    """
    pose = standing_pose.astype(np.float64)
    for side, hip, knee, shoulder in ((1, 1, 4, 16), (-1, 2, 5, 17)):
        swing = side * np.sin(phase)
        pose[hip][0] = -stride * swing
        pose[knee] = [stride * max(0.0, -side * np.cos(phase)) * 1.6 + 0.1, 0, 0]
        pose[shoulder][1] += stride * swing * 0.8
    return pose.astype(np.float32)


def wild(rng: np.random.Generator) -> Floats:
    """A pose (24, 3) with arms anywhere: T-like, raised, stretched."""
    pose = walking(rng).astype(np.float64) if rng.random() < 0.5 else standing(rng).astype(np.float64)
    for side, shoulder, elbow in ((1, 16, 18), (-1, 17, 19)):
        pose[shoulder] = [rng.normal(0, 0.3), -side * rng.uniform(-0.3, 1.2), side * np.radians(rng.uniform(-75, 60))]
        pose[elbow] = [0, -side * rng.uniform(0, 1.6), 0]
    pose[[3, 6, 9]] += rng.normal(0, 0.08, (3, 3))
    return pose.astype(np.float32)


def active(rng: np.random.Generator) -> Floats:
    """A pose (24, 3) of a dance or exercise: crouching, a leg raised, the trunk bent or turned."""
    pose = wild(rng).astype(np.float64)
    depth, lean = rng.uniform(0, 1.5) * (rng.random() < 0.6), rng.uniform(-0.15, 0.5)
    for side, hip, knee, ankle in ((1, 1, 4, 7), (-1, 2, 5, 8)):
        pose[hip] = [-0.75 * depth, side * rng.uniform(0, 0.3), side * rng.uniform(0.0, 0.35)]
        pose[knee] = [1.45 * depth + 0.05, 0, 0]
        pose[ankle] = [-0.5 * depth, 0, 0]
    if rng.random() < 0.5:
        side, hip, knee = ((1, 1, 4), (-1, 2, 5))[rng.integers(2)]
        pose[hip] = [-rng.uniform(-0.5, 1.5), side * rng.uniform(-0.2, 0.5), side * rng.uniform(0, 0.7)]
        pose[knee] = [rng.uniform(0, 1.8), 0, 0]
    twist, bow = rng.normal(0, 0.2), lean + 0.4 * depth
    pose[[3, 6, 9]] += np.array([bow / 3, twist, rng.normal(0, 0.08)])
    pose[0] = [rng.normal(0, 0.08), 0, rng.normal(0, 0.08)]
    return pose.astype(np.float32)


def random_pose(rng: np.random.Generator, clips: list[Floats]) -> Floats:
    """A pose (24, 3), Y up: mostly a frame of a clip, loosened by some degrees; else a procedural one."""
    kind = rng.random()
    if clips and kind < 0.6:
        clip = clips[rng.integers(len(clips))]
        pose = clip[rng.integers(len(clip))].astype(np.float64)
        pose[1:] += rng.normal(0, 0.06, (23, 3))
        return pose.astype(np.float32)
    if kind < 0.71:
        return standing(rng)
    if kind < 0.83:
        return walking(rng)
    return active(rng) if rng.random() < 0.6 else wild(rng)
