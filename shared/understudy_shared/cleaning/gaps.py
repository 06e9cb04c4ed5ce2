"""Gaps: frames in which the source lost sight of the person, found and filled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from understudy_shared.motion import MotionClip
from understudy_shared.rotations import axis_angle_from_quaternion, quaternion_from_axis_angle, slerp

Doubles = NDArray[np.float64]


def find_gaps(clip: MotionClip) -> list[tuple[int, int]]:
    """First and last frame (both of them missing) of every gap, in order; filled ones too, for they were not seen."""
    edges = np.diff(np.concatenate([[True], clip.seen, [True]]).astype(np.int8))
    return [(int(a), int(b) - 1) for a, b in zip(np.flatnonzero(edges < 0), np.flatnonzero(edges > 0), strict=True)]


def fill_gaps(clip: MotionClip, longest: float = 1.0) -> MotionClip:
    """Bridges gaps between the frames on both sides: rotations along the shortest arc, the path along a cubic.

    The cubic (Hermite) keeps the speed that the body has on either side, so that somebody who walks behind a pillar
    walks on. A gap at the beginning or the end has only one side and stays as it is. `present` is not changed.

    Args:
        clip: any motion.
        longest: seconds; a longer gap is left, as nobody knows what went on in it.

    Raises:
        ValueError: `longest` is not a number of seconds.
    """
    if not longest >= 0:
        raise ValueError("the longest gap that is filled must be a number of seconds, 0 or more")
    pose: Doubles = clip.pose.astype(np.float64)
    transl: Doubles = clip.transl.astype(np.float64)
    quaternions = quaternion_from_axis_angle(pose)
    seen = clip.seen
    for first, last in find_gaps(clip):
        before, after = first - 1, last + 1
        if before < 0 or after >= len(clip) or last - first + 1 > longest * clip.fps + 1e-6:
            continue
        span = after - before
        t = np.arange(1, span) / span
        pose[first:after] = axis_angle_from_quaternion(
            slerp(quaternions[before][None], quaternions[after][None], np.broadcast_to(t[:, None], (span - 1, 24)))
        )
        speeds = _speed(clip.transl, seen, before, -1) * span, _speed(clip.transl, seen, after, 1) * span
        transl[first:after] = _hermite(transl[before], transl[after], *speeds, t[:, None])
    turned = pose.astype(np.float32)
    return replace(clip, global_orient=turned[:, 0], body_pose=turned[:, 1:], transl=transl.astype(np.float32))


def _speed(transl: NDArray[np.floating], seen: NDArray[np.bool_], at: int, away: int, over: int = 3) -> Doubles:
    """Metres per frame (3,) at the edge of a gap, over a few seen frames on the side `away` (-1 or 1) from it.

    Over a few, because the difference of two neighbours of a tracker is mostly noise.
    """
    other = at
    while other != at + over * away and 0 <= other + away < len(seen) and seen[other + away]:
        other += away
    if other == at:
        return np.zeros(3)
    return (transl[other].astype(np.float64) - transl[at]) / (other - at)


def _hermite(a: Doubles, b: Doubles, speed_a: Doubles, speed_b: Doubles, t: Doubles) -> Doubles:
    """The cubic from `a` to `b` (3,) at t (N, 1) in [0, 1], with speeds per unit of t at its ends."""
    t2, t3 = t * t, t * t * t
    return (2 * t3 - 3 * t2 + 1) * a + (t3 - 2 * t2 + t) * speed_a + (3 * t2 - 2 * t3) * b + (t3 - t2) * speed_b
