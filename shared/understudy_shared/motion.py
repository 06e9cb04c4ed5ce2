"""Motion of one body: what every motion format loads into."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from understudy_shared.rotations import axis_angle_from_quaternion, quaternion_from_axis_angle, slerp

Floats = NDArray[np.float32]


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

    def __post_init__(self) -> None:
        t = len(self.global_orient)
        if t == 0:
            raise ValueError("the motion has no frames")
        if (self.global_orient.shape, self.body_pose.shape, self.transl.shape) != ((t, 3), (t, 23, 3), (t, 3)):
            raise ValueError("motion needs global_orient (T, 3), body_pose (T, 23, 3) and transl (T, 3)")
        if not all(np.isfinite(a).all() for a in (self.global_orient, self.body_pose, self.transl, self.betas)):
            raise ValueError("the motion holds numbers that are not finite")
        if not self.fps > 0:
            raise ValueError("the motion needs a positive frame rate")

    def __len__(self) -> int:
        return len(self.global_orient)


def slice_frames(clip: MotionClip, start: int = 0, stop: int | None = None, step: int = 1) -> MotionClip:
    """Frames `start` to `stop` (excluded), every `step`, as Python slices them; the frame rate falls with the step.

    Raises:
        ValueError: nothing is left, or the step is below 1.
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
    )


def resample(clip: MotionClip, fps: float) -> MotionClip:
    """The same motion at another frame rate: rotations along the shortest arc, translation along a line.

    The first frame stays; the last is the latest whole step that the clip still covers.

    Raises:
        ValueError: `fps` is not a positive number.
    """
    if not (np.isfinite(fps) and fps > 0):
        raise ValueError("the new frame rate must be a positive number")
    last = len(clip) - 1
    at = np.arange(int(np.floor(last / clip.fps * fps + 1e-6)) + 1) * (clip.fps / fps)
    low = np.minimum(np.floor(at + 1e-9).astype(np.int64), last)
    high = np.minimum(low + 1, last)
    fraction = np.clip(at - low, 0, 1)
    pose = quaternion_from_axis_angle(np.concatenate([clip.global_orient[:, None], clip.body_pose], 1))
    turned = axis_angle_from_quaternion(slerp(pose[low], pose[high], fraction[:, None])).astype(np.float32)
    weight = fraction[:, None]
    transl = (clip.transl[low] * (1 - weight) + clip.transl[high] * weight).astype(np.float32)
    return replace(clip, global_orient=turned[:, 0], body_pose=turned[:, 1:], transl=transl, fps=float(fps))
