"""Camera moves made from a few numbers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from understudy_shared.camera import CameraTrajectory, Doubles


def look_at(eye: ArrayLike, target: ArrayLike, up: ArrayLike = (0.0, 0.0, 1.0)) -> Doubles:
    """World-to-camera matrices (..., 4, 4), OpenCV axes, of cameras at `eye` (..., 3) that look at `target` (..., 3).

    Raises:
        ValueError: an eye lies on its target, or the view runs along `up`, which leaves the roll open.
    """
    eye, target, up = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (eye, target, up)))
    forward = target - eye
    right = np.cross(forward, up)
    lengths = np.linalg.norm(forward, axis=-1), np.linalg.norm(right, axis=-1)
    if min(np.min(lengths[0]), np.min(lengths[1])) < 1e-9:
        raise ValueError("a camera needs a target apart from itself, and not straight above or below it")
    forward, right = forward / lengths[0][..., None], right / lengths[1][..., None]
    rotation = np.stack([right, np.cross(forward, right), forward], -2)
    out = np.zeros((*eye.shape[:-1], 4, 4))
    out[..., :3, :3] = rotation
    out[..., :3, 3] = -(rotation @ eye[..., None])[..., 0]
    out[..., 3, 3] = 1
    return out


def orbit(
    center: ArrayLike = (0.0, 0.0, 0.9),
    radius: float = 3.2,
    height: float = 0.3,
    frames: int = 48,
    *,
    sway: float = 0.0,
    start: float = 0.0,
    degrees: float = 360.0,
    fov: float = 40.0,
    size: tuple[int, int] = (256, 256),
    fps: float = 24.0,
) -> CameraTrajectory:
    """A camera that circles a point, counter-clockwise from above, and looks at it all the time.

    A full circle leaves out its last frame, which would repeat the first: played in a loop, it turns evenly.

    Args:
        center: (3,) world point, metres.
        radius: horizontal distance, metres.
        height: mean height above `center`, metres.
        frames: how many.
        sway: the height goes up and down by this much, once in the whole move, metres.
        start: angle of the first frame, degrees; 0 is in front of a body in its rest pose (at -Y).
        degrees: angle of the whole move; negative turns the other way.
        fov: vertical field of view, degrees.
        size: (width, height) of the image, pixels.
        fps: frames per second.

    Raises:
        ValueError: no frames, or a radius or field of view that makes no camera.
    """
    if frames < 1 or radius <= 0 or not 0 < fov < 180:
        raise ValueError("an orbit needs at least one frame, a positive radius and a field of view in (0, 180) degrees")
    whole = math.isclose(abs(degrees) % 360, 0, abs_tol=1e-9)
    fraction = np.arange(frames) / max(frames if whole else frames - 1, 1)
    angle = np.radians(start + degrees * fraction - 90)
    offset = np.stack(
        [radius * np.cos(angle), radius * np.sin(angle), height + sway * np.sin(2 * np.pi * fraction)], -1
    )
    width, rows = size
    focal = rows / 2 / math.tan(math.radians(fov) / 2)
    k = np.array([[focal, 0, width / 2], [0, focal, rows / 2], [0, 0, 1]])
    center = np.asarray(center, np.float64)
    return CameraTrajectory(look_at(center + offset, center), np.tile(k, (frames, 1, 1)), width, rows, fps)
