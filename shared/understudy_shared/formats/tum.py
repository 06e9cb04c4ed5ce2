"""Trajectories in TUM's format, as SLAM systems write them.

A text file with a line for each pose: `timestamp tx ty tz qx qy qz qw`, comments after #. The timestamp is in seconds,
the place in metres, the quaternion has its real part last. A pose is camera to world; a camera's axes are OpenCV's
(x right, y down, z forward). Which way is up in the world is not said: recordings with a motion capture stage have Z
up, most SLAM systems begin with the first camera's own axes, so that -Y is up. There is no lens and no picture size.

Timestamps that are not even are brought to even steps, orientation along the shortest arc, and gaps are filled that
way: a note says so.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from understudy_shared.camera import CameraTrajectory, rigid_inverse
from understudy_shared.formats import camera_file
from understudy_shared.formats.number_table import peek_table, read_table
from understudy_shared.formats.timing import at_even_steps
from understudy_shared.rotations import quaternion_from_matrix, sign_continuous

HEADER = "timestamp tx ty tz qx qy qz qw"


def sniff(path: Path | str) -> bool:
    """Whether the file begins with lines of eight numbers, the last four of them a rotation, or the first no frame."""
    table = peek_table(path)
    if table is None or table.shape[1] != 8:
        return False
    unit = np.abs(np.linalg.norm(table[:, 4:], axis=1) - 1) < 0.01
    return bool(unit.all() or (table[:, 0] != np.rint(table[:, 0])).any())


def load(
    path: Path | str,
    *,
    size: tuple[int, int] | None = None,
    fov: float | None = None,
    k: ArrayLike | None = None,
    fps: float | None = None,
    scale: float = 1.0,
    up: camera_file.Up = "Z",
) -> CameraTrajectory:
    """Reads a trajectory; its `start` is the first timestamp, in seconds.

    Args:
        path: the text file.
        size: (width, height) of the pictures in pixels.
        fov: vertical field of view in degrees.
        k: (3, 3) in pixels, in place of `fov`.
        fps: frames per second of the result; by default the timestamps' own.
        scale: metres per unit of the file.
        up: which axis of the file's world is up.

    Raises:
        FormatError: not such a file, or poses that are none.
    """
    table, notes = read_table(path, (8,), HEADER), list[str]()
    camera_file.count(path, len(table))
    table = table[np.argsort(table[:, 0], kind="stable")]
    poses = camera_file.rigid(path, camera_file.turns(path, table[:, [7, 4, 5, 6]]), table[:, 1:4])
    matrix, pixels = camera_file.lens(path, size, fov, k, notes)
    if len(table) == 1:
        camera_file.rate(fps, notes)
    rate = camera_file.DEFAULT_FPS if fps is None else fps
    camera = camera_file.trajectory(
        path, rigid_inverse(poses), matrix, pixels, fps=rate, up=up, scale=scale, notes=notes
    )  # fmt: skip
    return at_even_steps(path, camera, table[:, 0], fps)


def save(path: Path | str, camera: CameraTrajectory, *, scale: float = 1.0, up: camera_file.Up = "Z") -> None:
    """Writes poses and times, from the camera's `start` on; lens and picture size have no place in the file.

    Raises:
        OSError: the file cannot be written.
    """
    poses = rigid_inverse(camera_file.in_file(path, camera, up, scale))
    quaternions = sign_continuous(quaternion_from_matrix(poses[:, :3, :3]))
    times = camera.start + np.arange(len(camera)) / camera.fps
    table = np.concatenate([times[:, None], poses[:, :3, 3], quaternions[:, [1, 2, 3, 0]]], 1)
    camera_file.write(path, f"# {HEADER}\n{camera_file.rows(table)}")
