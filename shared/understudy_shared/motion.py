"""Motion of one body: what every motion format loads into."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from understudy_shared.rotations import axis_angle_from_quaternion, quaternion_from_axis_angle, slerp

Floats = NDArray[np.float32]

BROADCAST_RATES = (24, 30, 48, 60, 120)
"""Frames per second whose 1000/1001 is in use as well: 23.976, 29.97, 47.952, 59.94, 119.88."""


@dataclass(frozen=True, eq=False)
class MotionClip:
    """T frames of SMPL pose in the world: Z up, metres, radians."""

    global_orient: Floats
    """(T, 3) axis-angle of the pelvis; it carries the turn from the rest frame (Y up) into the world (Z up)."""
    body_pose: Floats
    """(T, 23, 3) axis-angle of the other joints, relative to their parents."""
    transl: Floats
    """(T, 3) metres, added to the rest pelvis as smplx does."""
    betas: Floats
    """(B,) shape, in the components of the body that wears the motion; zeros if the file's are of another body."""
    fps: float
    """Frames per second."""
    track_id: str = ""
    """Who it is, where a file holds several people."""
    present: NDArray[np.bool_] | None = None
    """(T,) whether the source saw the person in the frame; None: in all of them. A frame that is False has a pose all
    the same, held from its neighbours or filled in, and stays False after that: it says what was seen, not what is
    there."""
    start: float = 0.0
    """Seconds from the beginning of the source to the first frame: people of one video come in at different times."""

    def __post_init__(self) -> None:
        t = len(self.global_orient)
        if t == 0:
            raise ValueError("the motion has no frames")
        if (self.global_orient.shape, self.body_pose.shape, self.transl.shape) != ((t, 3), (t, 23, 3), (t, 3)):
            raise ValueError("motion needs global_orient (T, 3), body_pose (T, 23, 3) and transl (T, 3)")
        if not all(np.isfinite(a).all() for a in (self.global_orient, self.body_pose, self.transl, self.betas)):
            raise ValueError("the motion holds numbers that are not finite")
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise ValueError("the motion needs a positive frame rate")
        if self.present is not None:
            if self.present.shape != (t,) or self.present.dtype != np.bool_:
                raise ValueError("which frames are present needs one yes or no a frame (T,)")
            if not self.present.any():
                raise ValueError("the person is in no frame of the motion")
        if not np.isfinite(self.start):
            raise ValueError("the motion needs a start that is a number of seconds")

    def __len__(self) -> int:
        return len(self.global_orient)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(T,) `present`, written out."""
        return np.ones(len(self), np.bool_) if self.present is None else self.present

    @property
    def pose(self) -> Floats:
        """(T, 24, 3) axis-angle of all joints, the pelvis first."""
        return np.concatenate([self.global_orient[:, None], self.body_pose], 1)


def slice_frames(clip: MotionClip, start: int = 0, stop: int | None = None, step: int = 1) -> MotionClip:
    """Frames `start` to `stop` (excluded), every `step`, as Python slices them; the frame rate falls with the step.

    Raises:
        ValueError: nothing is left, the person is in none of it, or the step is below 1.
    """
    if step < 1:
        raise ValueError("the step between frames must be at least 1")
    part = slice(start, stop, step)
    return replace(
        clip,
        global_orient=clip.global_orient[part],
        body_pose=clip.body_pose[part],
        transl=clip.transl[part],
        fps=clip.fps / step,
        present=None if clip.present is None else clip.present[part],
        start=clip.start + part.indices(len(clip))[0] / exact_rate(clip.fps),
    )


def exact_rate(fps: float) -> float:
    """The frame rate that a rounded one stands for: 29.97 is 30000/1001, 23.976 (or 23.98) is 24000/1001.

    The difference is a frame in nine hours at 29.97, but one in four minutes where 23.98 was written. A rate that is
    none of these comes back as it is.
    """
    for whole in BROADCAST_RATES:
        true = whole * 1000 / 1001
        if abs(fps - true) < 0.005:  # two digits behind the point
            return true
    return float(fps)


def resample(clip: MotionClip, fps: float) -> MotionClip:
    """The same motion at another frame rate: rotations along the shortest arc, translation along a line.

    The first frame stays; the last is the latest whole step that the clip still covers. Frame k shows the time
    k / `exact_rate(fps)`, computed from k and not from the frame before it, so that nothing adds up. A frame between
    two others is present where both of them are.

    Raises:
        ValueError: `fps` is not a positive number.
    """
    if not (np.isfinite(fps) and fps > 0):
        raise ValueError("the new frame rate must be a positive number")
    step = exact_rate(clip.fps) / exact_rate(fps)
    last = len(clip) - 1
    at = np.arange(int(np.floor(last / step + 1e-6)) + 1) * step
    near = np.rint(at)
    at = np.where(np.abs(at - near) < 1e-6, near, at)  # a frame of the clip itself, but for rounding
    low = np.minimum(np.floor(at).astype(np.int64), last)
    high = np.minimum(low + 1, last)
    fraction = np.clip(at - low, 0, 1)
    pose = quaternion_from_axis_angle(clip.pose)
    turned = axis_angle_from_quaternion(slerp(pose[low], pose[high], fraction[:, None])).astype(np.float32)
    weight = fraction[:, None]
    transl = (clip.transl[low] * (1 - weight) + clip.transl[high] * weight).astype(np.float32)
    present = clip.present
    if present is not None:
        present = present[low] & (present[high] | (fraction == 0))
        if not present.any():  # seen so briefly that no new frame falls into it: the nearest stands for it
            seconds_off = np.abs(at[:, None] - np.flatnonzero(clip.seen)).min(1)
            present[np.argmin(seconds_off)] = True
    return replace(
        clip, global_orient=turned[:, 0], body_pose=turned[:, 1:], transl=transl, fps=float(fps), present=present
    )
