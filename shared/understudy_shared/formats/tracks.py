"""What programs that estimate people from video have in common: people come and go, and the world is the camera's.

Such a program gives every person an id and, for the frames in which it saw them, a pose. A track becomes one clip from
its first frame to its last; frames in between in which the person was not seen hold the nearest pose that was.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from understudy_shared.body import BodyModel
from understudy_shared.camera import CameraTrajectory
from understudy_shared.formats.reading import FormatError
from understudy_shared.motion import MotionClip
from understudy_shared.rotations import axis_angle_from_matrix

Doubles = NDArray[np.float64]

VIDEO_FPS = 30.0
"""Frames per second where a format does not say, and the caller neither: what these programs assume themselves."""
MAX_FRAMES = 500_000
"""Longest track, from its first frame to its last: over two hours of video."""
CAMERA_TO_WORLD: Doubles = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
"""Rotation (3, 3) of OpenCV's camera axes (x right, y down, z forward) into a world with Z up: a level camera that
looks along +Y."""


def track_clip(
    path: Path | str,
    body: BodyModel,
    *,
    frames: ArrayLike,
    root: Doubles,
    pose: Doubles,
    pelvis: Doubles,
    betas: NDArray[np.floating],
    fps: float | None,
    track_id: str,
) -> MotionClip:
    """One person's clip.

    Args:
        path: for the errors.
        body: who wears it; `betas` is their shape.
        frames: (N,) numbers of the frames, from 0, in any order; of two for one frame the first counts.
        root: (N, 3, 3) rest frame into the world, Z up.
        pose: (N, 23, 3) axis-angle of the other joints.
        pelvis: (N, 3) metres in the world: where the pelvis is.
        betas: (B,).
        fps: frames per second; None: `VIDEO_FPS`.
        track_id: theirs.

    Raises:
        FormatError: counts differ, numbers are not finite, no rotations, no frames, or too many.
    """
    numbers = np.asarray(frames).reshape(-1)
    count = len(numbers)
    fps = VIDEO_FPS if fps is None else fps
    if not (np.isfinite(fps) and fps > 0):
        raise FormatError(path, "the frame rate must be a positive number")
    if count == 0:
        raise FormatError(path, f"holds no frames of track '{track_id}'")
    if (root.shape, pose.shape, pelvis.shape) != ((count, 3, 3), (count, 23, 3), (count, 3)):
        raise FormatError(path, f"track '{track_id}' does not have a pose and a place for each of its {count} frames")
    if not all(np.isfinite(a).all() for a in (root, pose, pelvis)):
        raise FormatError(path, f"track '{track_id}' holds numbers that are not finite; make the file again")
    if numbers.dtype.kind not in "iu" or numbers.min() < 0:
        raise FormatError(path, f"track '{track_id}' has frames that are not numbered from 0")
    numbers, rows = np.unique(numbers.astype(np.int64), return_index=True)
    span = int(numbers[-1] - numbers[0]) + 1
    if span > MAX_FRAMES:
        raise FormatError(path, f"track '{track_id}' goes over {span} frames; cut the video into shorter pieces")
    wanted = np.arange(numbers[0], numbers[0] + span)
    after = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(wanted - numbers[before] <= np.abs(numbers[after] - wanted), before, after)
    nearest = np.where(numbers[after] == wanted, after, nearest)
    shown = rows[nearest]
    present = numbers[nearest] == wanted
    orient = axis_angle_from_matrix(root)
    try:
        return MotionClip(
            global_orient=orient[shown].astype(np.float32),
            body_pose=pose[shown].astype(np.float32),
            transl=(pelvis - body.joints(np.asarray(betas, np.float32))[0])[shown].astype(np.float32),
            betas=np.asarray(betas, np.float32),
            fps=float(fps),
            track_id=track_id,
            present=None if present.all() else present,
            start=float(numbers[0] / fps),
        )
    except ValueError as error:
        raise FormatError(path, str(error)) from None


def video_camera(
    path: Path | str, extrinsics: Doubles, k: Doubles, size: tuple[int, int] | None, fps: float | None
) -> CameraTrajectory:
    """The camera that a video was taken with.

    Args:
        path: for the errors.
        extrinsics: (T, 4, 4) world to camera, OpenCV axes.
        k: (T, 3, 3) in pixels.
        size: (width, height) in pixels; None: twice the way to the middle of the first picture.
        fps: frames per second; None: `VIDEO_FPS`.

    Raises:
        FormatError: not usable as cameras.
    """
    if not (k.size and np.isfinite(k).all()):
        raise FormatError(path, "has no camera matrix of finite numbers; make the file again")
    width, height = size or (round(2 * float(k[0, 0, 2])), round(2 * float(k[0, 1, 2])))
    try:
        return CameraTrajectory(extrinsics, k, width, height, VIDEO_FPS if fps is None else float(fps))
    except ValueError as error:
        raise FormatError(path, str(error)) from None


def rotations(path: Path | str, name: str, values: ArrayLike) -> Doubles:
    """(..., 3, 3) checked to be rotations, up to the rounding of half floats.

    Raises:
        FormatError: they are not.
    """
    m = np.asarray(values, np.float64)
    if m.shape[-2:] != (3, 3) or not np.isfinite(m).all():
        raise FormatError(path, f"'{name}' does not hold rotation matrices")
    off = np.abs(m @ np.swapaxes(m, -1, -2) - np.eye(3)).max(initial=0)
    if off > 0.02 or (np.linalg.det(m) < 0.5).any():
        raise FormatError(path, f"'{name}' holds matrices that are not rotations")
    return m


def mean_betas(path: Path | str, values: ArrayLike, body: BodyModel) -> NDArray[np.float32]:
    """The shape (B,) of a track that has one (10,) a frame, or only one, padded or cut to the body's number.

    Raises:
        FormatError: it holds no finite numbers.
    """
    found = np.atleast_2d(np.asarray(values, np.float64))
    found = found.reshape(-1, found.shape[-1])
    if found.size == 0 or not np.isfinite(found).all():
        raise FormatError(path, "its betas are not finite numbers; load it with betas 'zeros'")
    out = np.zeros(body.num_betas, np.float32)
    count = min(found.shape[1], body.num_betas)
    out[:count] = found.mean(0)[:count]
    return out
