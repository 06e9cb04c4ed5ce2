"""Camera channels of Nuke: `.chan`, also written and read by Houdini, Blender's add-on, 3DEqualizer and Boujou.

A text file with a line for each frame, numbers between blanks or tabs: `frame tx ty tz rx ry rz vfov`; without the
last it is an axis and has no lens. Angles are degrees. The world has Y up (`up` says otherwise), the camera looks along
its own -z with y up, as OpenGL's.

The rotation order is not in the file; Nuke's own is ZXY. It names the axes from first applied to last: with ZXY the
matrix is Ry Rx Rz, the roll is innermost and the pan outermost.

`vfov` is the vertical field of view of the film back. Where the film back has not the shape of the picture, Nuke fits
its width to the picture's width: `aperture`, its width and height, then gives the true lens.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from understudy_shared.camera import OPENGL_TO_OPENCV, CameraTrajectory, Doubles, rigid_inverse
from understudy_shared.formats import camera_file
from understudy_shared.formats.number_table import peek_table, read_table
from understudy_shared.formats.reading import FormatError

HEADER = "frame tx ty tz rx ry rz vfov"
ROTATION_ORDERS = ("ZXY", "XYZ", "XZY", "YXZ", "YZX", "ZYX")
"""Axes from first applied to last; Nuke's usual one first."""


def sniff(path: Path | str) -> bool:
    """Whether the file begins with lines of seven or eight numbers, of which the first counts frames."""
    table = peek_table(path)
    if table is None or table.shape[1] not in (7, 8) or not np.isfinite(table).all():
        return False
    if (table[:, 0] != np.rint(table[:, 0])).any() and Path(path).suffix.lower() != ".chan":
        return False
    return bool(table.shape[1] == 7 or (np.abs(np.linalg.norm(table[:, 4:], axis=1) - 1) > 0.01).any())


def load(
    path: Path | str,
    *,
    size: tuple[int, int] | None = None,
    fov: float | None = None,
    k: ArrayLike | None = None,
    fps: float | None = None,
    scale: float = 1.0,
    up: camera_file.Up = "Y",
    rotation_order: str = "ZXY",
    aperture: tuple[float, float] | None = None,
) -> CameraTrajectory:
    """Reads a camera; its `start` is the first frame's number in seconds. Frames left out are filled in, as Nuke does.

    Args:
        path: the text file.
        size: (width, height) of the pictures in pixels.
        fov: vertical field of view in degrees, for files without.
        k: (3, 3) in pixels, in place of `fov`.
        fps: frames per second.
        scale: metres per unit of the file.
        up: which axis of the file's world is up.
        rotation_order: one of `ROTATION_ORDERS`.
        aperture: (width, height) of the film back, in any unit; by default of the picture's shape.

    Raises:
        FormatError: not such a file, or numbers that make no camera.
    """
    table, notes = read_table(path, (7, 8), HEADER), list[str]()
    camera_file.count(path, len(table))
    table = table[np.argsort(table[:, 0], kind="stable")]
    frames = table[:, 0]
    again = np.flatnonzero(np.diff(frames) == 0)
    if len(again):
        raise FormatError(path, f"frame {frames[again[0]]:g} stands there twice; remove one of the two")
    turns = _from_euler(path, np.radians(table[:, 4:7]), rotation_order)
    poses = camera_file.rigid(path, turns, table[:, 1:4]) @ OPENGL_TO_OPENCV
    if table.shape[1] == 7:
        lenses, pixels = camera_file.lens(path, size, fov, k, notes)
    else:
        pixels = size or camera_file.assumed_size(notes)
        angle = np.radians(table[:, 7])
        if aperture is not None:
            angle = 2 * np.arctan(np.tan(angle / 2) / _shape(path, aperture) * pixels[1] / pixels[0])
        lenses = camera_file.from_fov(path, np.degrees(angle), *pixels)
    rate = camera_file.positive(path, camera_file.rate(fps, notes), "the frame rate")
    total = frames[-1] - frames[0] + 1
    if total > camera_file.MAX_FRAMES:
        raise FormatError(
            path, f"its frame numbers go from {frames[0]:g} to {frames[-1]:g}; cut it into shorter pieces"
        )
    whole = frames[0] + np.arange(int(total))
    if len(whole) != len(frames) or (whole != frames).any():
        notes.append("Its frame numbers are not one apart; what lies between was filled in")
    camera = camera_file.trajectory(
        path, rigid_inverse(poses), lenses, pixels, fps=rate, up=up, scale=scale, start=frames[0] / rate, notes=notes
    )
    return camera.at(np.interp(whole, frames, np.arange(len(frames))))


def save(
    path: Path | str,
    camera: CameraTrajectory,
    *,
    scale: float = 1.0,
    up: camera_file.Up = "Y",
    rotation_order: str = "ZXY",
    aperture: tuple[float, float] | None = None,
    first_frame: int | None = None,
) -> None:
    """Writes a camera; angles go on beyond 180 degrees rather than jump, so that Nuke's curves stay smooth.

    Args:
        path: the text file.
        camera: with its lens in the middle of the picture, and square pixels.
        scale: metres per unit of the file.
        up: which axis of the file's world is up.
        rotation_order: one of `ROTATION_ORDERS`.
        aperture: (width, height) of the film back, in any unit; by default of the picture's shape.
        first_frame: number of the first frame; by default from the camera's `start`.

    Raises:
        FormatError: the file cannot hold such a lens.
        OSError: the file cannot be written.
    """
    fov = camera_file.no_shift(path, camera)
    if aperture is not None:
        half = np.tan(np.radians(fov) / 2) * _shape(path, aperture) * camera.width / camera.height
        fov = np.degrees(2 * np.arctan(half))
    poses = rigid_inverse(camera_file.in_file(path, camera, up, scale)) @ OPENGL_TO_OPENCV
    angles = np.degrees(np.unwrap(_to_euler(path, poses[:, :3, :3], rotation_order), axis=0))
    numbers = camera_file.rows(np.concatenate([poses[:, :3, 3], angles, fov[:, None]], 1), "\t").splitlines()
    first = round(camera.start * camera.fps) if first_frame is None else first_frame
    camera_file.write(path, "".join(f"{frame}\t{line}\n" for frame, line in enumerate(numbers, first)))


def _shape(path: Path | str, aperture: tuple[float, float]) -> float:
    """Height over width."""
    width, height = (camera_file.positive(path, side, "the option aperture") for side in aperture)
    return height / width


def _axes(path: Path | str, order: str) -> tuple[list[int], int]:
    """Axes from first applied to last, and +1 if they follow each other as X, Y, Z do, or -1."""
    if order.upper() not in ROTATION_ORDERS:
        raise FormatError(path, f"the option rotation_order must be one of {', '.join(ROTATION_ORDERS)}")
    axes = ["XYZ".index(axis) for axis in order.upper()]
    return axes, 1 if (axes[1] - axes[0]) % 3 == 1 else -1


def _about(axis: int, angle: Doubles) -> Doubles:
    """Rotations (T, 3, 3) by angles (T,) in radians about a coordinate axis."""
    y, z = (axis + 1) % 3, (axis + 2) % 3
    out = np.zeros((len(angle), 3, 3))
    out[:, axis, axis] = 1
    out[:, y, y] = out[:, z, z] = np.cos(angle)
    out[:, z, y] = np.sin(angle)
    out[:, y, z] = -out[:, z, y]
    return out


def _from_euler(path: Path | str, angles: Doubles, order: str) -> Doubles:
    """Rotations (T, 3, 3) of angles (T, 3) about x, y and z in radians."""
    (first, second, third), _ = _axes(path, order)
    return _about(third, angles[:, third]) @ _about(second, angles[:, second]) @ _about(first, angles[:, first])


def _to_euler(path: Path | str, turns: Doubles, order: str) -> Doubles:
    """Angles (T, 3) about x, y and z in radians of rotations (T, 3, 3); the second one lies within a right angle."""
    (first, second, third), sign = _axes(path, order)
    out = np.empty((len(turns), 3))
    out[:, third] = np.arctan2(sign * turns[:, second, first], turns[:, first, first])
    cosine = np.hypot(turns[:, first, first], turns[:, second, first])
    out[:, second] = np.arctan2(-sign * turns[:, third, first], cosine)
    # the first angle from what is left of the rotation: exact even where the first and the third axis coincide
    left = _about(third, -out[:, third]) @ turns
    out[:, first] = np.arctan2(-sign * left[:, second, third], left[:, second, second])
    return out
