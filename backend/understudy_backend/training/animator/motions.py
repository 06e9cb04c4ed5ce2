"""How made people move in the clips of training: a turntable, a walk, or a clip of captured motion."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from understudy_backend.training.people import poses

Floats = NDArray[np.floating]


def turntable(rng: np.random.Generator, frames: int) -> Floats:
    """Poses (T, 24, 3) of somebody who stands and is turned once around, Y up."""
    return turned(np.repeat(poses.standing(rng)[None], frames, 0), rng.uniform(-np.pi, np.pi), 2 * np.pi)


def walk(rng: np.random.Generator, frames: int) -> Floats:
    """Poses (T, 24, 3) of a walk on the spot, from some direction and slowly turning."""
    pose, first, stride = poses.standing(rng), rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.6)
    period = rng.uniform(16, 28)
    steps = np.stack([poses.stepping(pose, first + 2 * np.pi * t / period, stride) for t in range(frames)])
    return turned(steps, rng.uniform(-np.pi, np.pi), rng.uniform(-1.5, 1.5))


def captured(rng: np.random.Generator, clips: Sequence[Floats], frames: int) -> Floats:
    """Poses (T, 24, 3) of a part of one of the clips (T', 24, 3); a shorter one goes back and forth."""
    clip = clips[int(rng.integers(len(clips)))]
    there_and_back = np.concatenate([clip, clip[-2:0:-1]]) if len(clip) > 2 else clip
    first = int(rng.integers(max(1, len(clip) - frames + 1)))
    part = there_and_back[np.arange(first, first + frames) % len(there_and_back)]
    return turned(part, rng.uniform(-np.pi, np.pi), 0.0)


def turned(pose: Floats, start: float, angle: float) -> Floats:
    """Poses (T, 24, 3) turned about the vertical, from `start` on by `angle` in all (radians)."""
    out = np.array(pose, np.float32)
    for t, each in enumerate(out):
        yaw = np.array([0.0, start + angle * t / len(out), 0.0])
        turn = cv2.Rodrigues(yaw)[0] @ cv2.Rodrigues(each[0].astype(np.float64))[0]
        each[0] = cv2.Rodrigues(turn)[0][:, 0]
    return out
