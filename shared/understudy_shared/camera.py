"""Cameras: intrinsics, trajectories and every conversion between conventions, all here and nowhere else.

Ours: OpenCV axes (x right, y down, z forward), world-to-camera extrinsics, K in pixels, pixel centres at half-integers
(so the centre of an image is W/2, H/2), metres, world Z up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from understudy_shared.rotations import matrix_from_quaternion, quaternion_from_matrix, slerp

Doubles = NDArray[np.float64]

OPENGL_TO_OPENCV: Doubles = np.diag([1.0, -1.0, -1.0, 1.0])
"""Camera axes of Blender, OpenGL and nerfstudio (x right, y up, looking down -z) to ours; its own inverse."""


@dataclass(frozen=True, eq=False)
class CameraTrajectory:
    """A camera at T frames."""

    extrinsics: Doubles
    """(T, 4, 4) world to camera, OpenCV axes, metres."""
    intrinsics: Doubles
    """(T, 3, 3) K in pixels."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    fps: float = 24.0
    """Frames per second of the T frames."""
    start: float = 0.0
    """Seconds from the beginning of the source to the first frame, where the source says so."""
    notes: tuple[str, ...] = ()
    """What was assumed or left out when it was read from a file: sentences for the user, none if it was all there."""

    def __post_init__(self) -> None:
        t = len(self.extrinsics)
        if t == 0:
            raise ValueError("the camera has no frames")
        if self.extrinsics.shape != (t, 4, 4) or self.intrinsics.shape != (t, 3, 3):
            raise ValueError("camera needs extrinsics (T, 4, 4) and intrinsics (T, 3, 3) with the same T")
        if not (np.isfinite(self.extrinsics).all() and np.isfinite(self.intrinsics).all()):
            raise ValueError("the camera holds numbers that are not finite")
        if self.width < 1 or self.height < 1 or not (np.isfinite(self.fps) and self.fps > 0):
            raise ValueError("the camera needs a positive width, height and frame rate")
        if not np.isfinite(self.start):
            raise ValueError("the camera needs a start that is a number of seconds")

    def __len__(self) -> int:
        return len(self.extrinsics)

    @property
    def camera_to_world(self) -> Doubles:
        """(T, 4, 4) poses, OpenCV axes."""
        return np.linalg.inv(self.extrinsics).astype(np.float64)

    def at(self, frames: ArrayLike, fps: float | None = None) -> CameraTrajectory:
        """The cameras at any times: orientation along the shortest arc, place and lens along a line.

        Args:
            frames: (N,) times counted in this trajectory's frames, 0 being the first; whole or not, in any order.
                Before the first and after the last frame the camera stands still.
            fps: frame rate of the result; by default the same.

        Raises:
            ValueError: no times, or some that are not finite.
        """
        when = np.atleast_1d(np.asarray(frames, np.float64))
        if when.ndim != 1 or not len(when) or not np.isfinite(when).all():
            raise ValueError("a camera is asked for at one or more times (N,), all of them finite")
        inside = np.clip(when, 0, len(self) - 1)
        low = np.floor(inside).astype(np.int64)
        high, part = np.minimum(low + 1, len(self) - 1), inside - low
        poses, weight = self.camera_to_world, part[:, None, None]
        turns = quaternion_from_matrix(poses[:, :3, :3])
        out = (1 - weight) * poses[low] + weight * poses[high]
        between = part > 0  # a frame that is there stays as it is, to the last bit
        out[between, :3, :3] = matrix_from_quaternion(slerp(turns[low], turns[high], part))[between]
        extrinsics = np.where(weight > 0, rigid_inverse(out), self.extrinsics[low])
        k = (1 - weight) * self.intrinsics[low] + weight * self.intrinsics[high]
        start = self.start + when[0] / self.fps
        return replace(self, extrinsics=extrinsics, intrinsics=k, fps=self.fps if fps is None else fps, start=start)

    def framed(self, width: int, height: int) -> CameraTrajectory:
        """The same cameras for a picture of another size, with the same vertical field of view and the same shape of
        pixels: a wider picture shows more at its sides, a narrower one less, and nothing is squeezed."""
        scale = height / self.height
        k = self.intrinsics.copy()
        k[:, :2] *= scale
        k[:, 0, 2] += (width - self.width * scale) / 2
        return replace(self, intrinsics=k, width=width, height=height)

    def resized(self, width: int, height: int) -> CameraTrajectory:
        """The same cameras for an image of another size (the aspect may change: pixels then become non-square)."""
        k = self.intrinsics.copy()
        k[:, 0] *= width / self.width
        k[:, 1] *= height / self.height
        return replace(self, intrinsics=k, width=width, height=height)


def rigid_inverse(matrices: NDArray[np.floating]) -> Doubles:
    """The inverse of matrices (..., 4, 4) that only turn and move, exact to rounding."""
    m = np.asarray(matrices, np.float64)
    out = np.zeros_like(m)
    out[..., :3, :3] = np.swapaxes(m[..., :3, :3], -1, -2)
    out[..., :3, 3] = -(out[..., :3, :3] @ m[..., :3, 3:])[..., 0]
    out[..., 3, 3] = 1
    return out


def project(
    points: NDArray[np.floating], extrinsics: NDArray[np.floating], k: NDArray[np.floating]
) -> tuple[Doubles, Doubles]:
    """Projects world points (N, 3) by one camera (4, 4), (3, 3): pixels (N, 2) and depth along its axis (N,) in m."""
    camera = points @ np.asarray(extrinsics, np.float64)[:3, :3].T + extrinsics[:3, 3]
    depth = camera[:, 2]
    image = camera @ np.asarray(k, np.float64).T
    return image[:, :2] / depth[:, None], depth


class BlenderLens(NamedTuple):
    """What Blender's camera and render settings say where we say K."""

    lens: float
    """Focal length in mm."""
    shift_x: float
    """`Camera.shift_x`, a fraction of the side that the sensor is fitted to."""
    shift_y: float
    """`Camera.shift_y`, a fraction of that same side."""
    pixel_aspect: tuple[float, float]
    """`RenderSettings.pixel_aspect_x` and `_y`; Blender takes nothing below 1, so the smaller of the two is 1."""


SensorFit = Literal["AUTO", "HORIZONTAL", "VERTICAL"]


def blender_lens(
    k: NDArray[np.floating],
    width: int,
    height: int,
    sensor_fit: SensorFit = "AUTO",
    *,
    sensor_width: float = 36.0,
    sensor_height: float = 24.0,
) -> BlenderLens:
    """Blender's camera settings for K (3, 3) in pixels of an image of `width` x `height`.

    The sensor sizes (mm) are free: lens and sensor scale together. With AUTO, Blender uses `sensor_width` for the
    longer side of the picture, as seen after the pixel aspect.

    Raises:
        ValueError: K is skewed or has no positive focal lengths, which no Blender camera can show.
    """
    k = np.asarray(k, np.float64)
    fx, fy, cx, cy = k[0, 0], k[1, 1], k[0, 2], k[1, 2]
    if not (fx > 0 and fy > 0):
        raise ValueError("a camera needs positive focal lengths")
    if abs(k[0, 1]) > 1e-6 * fx:
        raise ValueError("the camera's pixels are skewed, which Blender cannot show")
    ratio = fx / fy  # height of a pixel over its width
    sensor, side = _fitted_side(width, height * ratio, sensor_fit, (sensor_width, sensor_height))
    return BlenderLens(
        lens=float(fx * sensor / side),
        shift_x=float((width / 2 - cx) / side),
        shift_y=float((cy - height / 2) * ratio / side),
        pixel_aspect=(max(1.0, float(1 / ratio)), max(1.0, float(ratio))),
    )


def intrinsics_from_blender(
    lens: float,
    width: int,
    height: int,
    sensor_fit: SensorFit = "AUTO",
    *,
    sensor_width: float = 36.0,
    sensor_height: float = 24.0,
    shift_x: float = 0.0,
    shift_y: float = 0.0,
    pixel_aspect: tuple[float, float] = (1.0, 1.0),
) -> Doubles:
    """K (3, 3) in pixels of a perspective Blender camera that renders `width` x `height`; inverse of `blender_lens`.

    `width` and `height` are those of the picture that is made: resolution times its percentage, as an integer.
    """
    ratio = pixel_aspect[1] / pixel_aspect[0]
    sensor, side = _fitted_side(width, height * ratio, sensor_fit, (sensor_width, sensor_height))
    focal = lens * side / sensor
    return np.array(
        [
            [focal, 0, width / 2 - shift_x * side],
            [0, focal / ratio, height / 2 + shift_y * side / ratio],
            [0, 0, 1],
        ]
    )


def _fitted_side(width: float, tall: float, sensor_fit: SensorFit, sensor: tuple[float, float]) -> tuple[float, float]:
    """The sensor's size in mm, and the side of the picture that it spans; all sides in widths of a pixel."""
    horizontal = sensor_fit == "HORIZONTAL" or (sensor_fit == "AUTO" and width >= tall)
    return (sensor[1] if sensor_fit == "VERTICAL" else sensor[0]), (width if horizontal else tall)
