"""Cameras: intrinsics, trajectories and every conversion between conventions, all here and nowhere else.

Ours: OpenCV axes (x right, y down, z forward), world-to-camera extrinsics, K in pixels, pixel centres at half-integers
(so the centre of an image is W/2, H/2), metres, world Z up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

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

    def __post_init__(self) -> None:
        t = len(self.extrinsics)
        if t == 0:
            raise ValueError("the camera has no frames")
        if self.extrinsics.shape != (t, 4, 4) or self.intrinsics.shape != (t, 3, 3):
            raise ValueError("camera needs extrinsics (T, 4, 4) and intrinsics (T, 3, 3) with the same T")
        if not (np.isfinite(self.extrinsics).all() and np.isfinite(self.intrinsics).all()):
            raise ValueError("the camera holds numbers that are not finite")
        if self.width < 1 or self.height < 1 or not self.fps > 0:
            raise ValueError("the camera needs a positive width, height and frame rate")

    def __len__(self) -> int:
        return len(self.extrinsics)

    @property
    def camera_to_world(self) -> Doubles:
        """(T, 4, 4) poses, OpenCV axes."""
        return np.linalg.inv(self.extrinsics).astype(np.float64)

    def framed(self, width: int, height: int) -> CameraTrajectory:
        """The same cameras for a picture of another size, with the same vertical field of view and the same shape of
        pixels: a wider picture shows more at its sides, a narrower one less, and nothing is squeezed."""
        scale = height / self.height
        k = self.intrinsics.copy()
        k[:, :2] *= scale
        k[:, 0, 2] += (width - self.width * scale) / 2
        return CameraTrajectory(self.extrinsics, k, width, height, self.fps)

    def resized(self, width: int, height: int) -> CameraTrajectory:
        """The same cameras for an image of another size (the aspect may change: pixels then become non-square)."""
        k = self.intrinsics.copy()
        k[:, 0] *= width / self.width
        k[:, 1] *= height / self.height
        return CameraTrajectory(self.extrinsics, k, width, height, self.fps)


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
