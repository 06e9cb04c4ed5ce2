"""Smoothing: takes the jitter of a tracker out of a motion without delaying it.

A Gaussian over time, on rotations as on places. It looks as far ahead as back, so that nothing lags, and its weights
are all positive, so that nothing overshoots as a Savitzky-Golay filter does after a jump; a one-euro filter, run both
ways, would keep quick moves sharper but needs two numbers tuned to the noise. Its width is a time, not a number of
frames: 60 frames per second are smoothed as much as 24.

Rotations are averaged as unit quaternions whose signs follow on from frame to frame, and brought back to unit length:
the mean by chords. Axis-angle's jump at a half turn plays no part in that, an even turn stays what it is, and within
the few degrees of jitter it is the mean along arcs to far below what can be seen.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from understudy_shared.motion import MotionClip
from understudy_shared.rotations import axis_angle_from_quaternion, quaternion_from_axis_angle, sign_continuous

Doubles = NDArray[np.float64]

WIDEST = 0.15
"""Seconds: standard deviation of the Gaussian at strength 1. A wave of 1 Hz keeps 64 % of its height, one of 0.3 Hz
96 %; at strength 0.5, a quarter of the width, they keep 97 % and 99.8 %."""


def smooth(clip: MotionClip, strength: float = 0.5) -> MotionClip:
    """The motion without its jitter; the first and last frame are averaged with what there is on their one side.

    Args:
        clip: any motion. Frames in which the person was not seen count as little as their held or filled pose is worth:
            one tenth of a seen one.
        strength: 0 leaves it as it is, 1 is the widest filter; the width grows with its square, for in the beginning
            a little does much.

    Raises:
        ValueError: `strength` is outside [0, 1].
    """
    if not 0 <= strength <= 1:
        raise ValueError("the strength of smoothing must be between 0 and 1")
    kernel = _kernel(WIDEST * strength**2 * clip.fps)
    if len(kernel) == 1 or len(clip) == 1:
        return clip
    trust = np.where(clip.seen, 1.0, 0.1)
    transl = _mean(clip.transl.astype(np.float64), kernel, trust)
    quaternions = sign_continuous(quaternion_from_axis_angle(clip.pose)).reshape(len(clip), -1)
    mean = _mean(quaternions, kernel, trust).reshape(len(clip), 24, 4)
    pose = axis_angle_from_quaternion(mean).astype(np.float32)
    return replace(clip, global_orient=pose[:, 0], body_pose=pose[:, 1:], transl=transl.astype(np.float32))


def _kernel(sigma: float) -> Doubles:
    """Weights (2 N + 1,) of a Gaussian of `sigma` frames, cut at three of them."""
    reach = int(np.ceil(3 * sigma)) if sigma > 0.1 else 0
    at = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (at / max(sigma, 1e-9)) ** 2) if reach else np.ones(1)
    return weights / weights.sum()


def _neighbours(frames: int, kernel: Doubles) -> list[tuple[NDArray[np.int64], Doubles]]:
    """For each place in the kernel: the frame there for every frame (T,), and its weight (T,).

    Near an end the kernel is narrowed on both sides alike: one side alone would pull the ends of an even walk inwards.
    """
    reach = len(kernel) // 2
    frame = np.arange(frames)
    room = np.minimum(np.minimum(frame, frames - 1 - frame), reach)
    return [
        (np.clip(frame + d, 0, frames - 1), np.where(np.abs(d) <= room, kernel[d + reach], 0.0))
        for d in range(-reach, reach + 1)
    ]


def _mean(values: Doubles, kernel: Doubles, trust: Doubles) -> Doubles:
    total, weight = np.zeros_like(values), np.zeros(len(values))
    for at, share in _neighbours(len(values), kernel):
        w = share * trust[at]
        total += w[:, None] * values[at]
        weight += w
    return total / weight[:, None]
