"""Poses in the format of KITTI's odometry benchmark.

A text file with a line for each frame: the first three rows of the 4 x 4 matrix camera to world, row by row, 12
numbers, in metres. (KITTI-360 puts the number of the frame before them, or writes all 16; both are read as well.)
Axes are OpenCV's, x right, y down, z forward, of the camera and of the world, which is where the first camera was:
-Y is up there, and `up="-Y"` stands it upright.

The file says nothing of lens, picture size and time. A `calib.txt` beside it (or in `../sequences/NAME/`, as in the
benchmark) has lines `P0:` to `P3:` with the 3 x 4 projection of each camera, K [I | t]: these give K, and the way from
camera 0, whose poses the file holds, to the others. A `times.txt` beside that has the seconds of each frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from understudy_shared.camera import CameraTrajectory, Doubles, rigid_inverse
from understudy_shared.formats import camera_file, numbering
from understudy_shared.formats.number_table import peek_table, read_table
from understudy_shared.formats.reading import FormatError, existing, read_text
from understudy_shared.formats.timing import at_even_steps

DEFAULT_FPS = 10.0
"""Frames per second of KITTI's car."""
_COLUMNS = (12, 13, 16, 17)


def sniff(path: Path | str) -> bool:
    """Whether the file begins with lines of 12 or 16 numbers, or one more for the frame."""
    table = peek_table(path)
    return table is not None and table.shape[1] in _COLUMNS


def load(
    path: Path | str,
    *,
    size: tuple[int, int] | None = None,
    fov: float | None = None,
    k: ArrayLike | None = None,
    fps: float | None = None,
    scale: float = 1.0,
    up: camera_file.Up = "Z",
    calib: Path | str | None = None,
    camera: int = 0,
    centre: Literal["half", "integer"] = "half",
    fill_gaps: bool = False,
) -> CameraTrajectory:
    """Reads the poses, and the lens from `calib.txt` unless it is given.

    Args:
        path: the text file with the poses.
        size: (width, height) of the pictures in pixels; with a calib.txt by default from the centre of its lens.
        fov: vertical field of view in degrees.
        k: (3, 3) in pixels, in place of `fov`.
        fps: frames per second; by default from times.txt, or KITTI's ten.
        scale: metres per unit of the file.
        up: which axis of the file's world is up.
        calib: where the calib.txt is, if not in its usual place.
        camera: which of the cameras 0 to 3 of the calib.txt.
        centre: where the pixels of calib.txt or `k` have their centres: at halves as ours, or at whole numbers.
        fill_gaps: makes cameras for missing frames, where lines begin with their numbers.

    Raises:
        FormatError: not such a file, poses that are none, or no such camera.
    """
    table, notes = read_table(path, _COLUMNS, "a pose"), list[str]()
    camera_file.count(path, len(table))
    at = None
    if table.shape[1] % 2:
        table = table[np.argsort(table[:, 0], kind="stable")]
        at = _frame_numbers(path, table[:, 0])
        table = table[:, 1:]
    if table.shape[1] == 16 and np.abs(table[:, 12:] - [0, 0, 0, 1]).max() > 1e-6:
        raise FormatError(path, "the last row of one of its matrices is not 0 0 0 1")
    matrices = table.reshape(len(table), -1, 4)
    extrinsics = rigid_inverse(camera_file.rigid(path, matrices[:, :3, :3], matrices[:, :3, 3]))
    near = None if calib is None and (k is not None or fov is not None) else _calib(path, calib)
    if near is not None:
        k, aside, its_size = _projection(near, camera)
        size = size or its_size
        extrinsics[:, :3, 3] += aside
        notes.append(f"The lens is that of camera {camera} in {near.name}")
    matrix, pixels = camera_file.lens(path, size, fov, k, notes)
    if k is not None and centre == "integer":
        matrix = matrix + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    if up == "Z" and np.abs(matrices[0, :3] - np.eye(3, 4)).max() < 1e-6:
        notes.append("Its world is that of the first camera, which looks up in Blender: choose up -Y to stand it up")
    times = _times(near or Path(path), len(table))
    rate = camera_file.DEFAULT_FPS if times is not None else camera_file.rate(fps, notes, DEFAULT_FPS)
    out = camera_file.trajectory(path, extrinsics, matrix, pixels, fps=rate, up=up, scale=scale, notes=notes)
    return numbering.mend(out, at, fill_gaps) if times is None else at_even_steps(path, out, times, fps)


def save(
    path: Path | str,
    camera: CameraTrajectory,
    *,
    scale: float = 1.0,
    up: camera_file.Up = "Z",
    calib: Path | str | None = None,
) -> None:
    """Writes poses; the lens only where `calib` names a file for it, which then describes cameras 0 to 3 alike.

    Raises:
        FormatError: `calib` is wanted and the lens changes during the shot.
        OSError: a file cannot be written.
    """
    if calib is not None and np.ptp(camera.intrinsics, axis=0).max() > 1e-9 * camera.intrinsics.max():
        raise FormatError(calib, "cannot hold a lens that changes during the shot")
    poses = rigid_inverse(camera_file.in_file(path, camera, up, scale))
    camera_file.write(path, camera_file.rows(poses[:, :3].reshape(len(poses), 12)))
    if calib is not None:
        projection = np.pad(camera.intrinsics[0], ((0, 0), (0, 1))).reshape(1, 12)
        camera_file.write(calib, "".join(f"P{i}: {camera_file.rows(projection)}" for i in range(4)))


def _frame_numbers(path: Path | str, numbers: Doubles) -> Doubles:
    if (numbers != np.rint(numbers)).any():
        raise FormatError(path, "its lines have 13 numbers, but the first is not the number of a frame")
    again = np.flatnonzero(np.diff(numbers) == 0)
    if len(again):
        raise FormatError(path, f"frame {numbers[again[0]]:.0f} stands there twice; remove one of the two")
    return numbers - numbers[0]


def _calib(path: Path | str, given: Path | str | None) -> Path | None:
    if given is not None:
        return existing(given)
    path = Path(path)
    usual = path.parent / "calib.txt", path.parent.parent / "sequences" / path.stem / "calib.txt"
    return next((place for place in usual if place.is_file() and place != path), None)


def _projection(path: Path, camera: int) -> tuple[Doubles, Doubles, tuple[int, int] | None]:
    """K (3, 3), what its translation adds to camera 0's extrinsics (3,), and its picture's size if that is said."""
    lines = dict(line.split(":", 1) for line in read_text(path).splitlines() if ":" in line)
    text = next((lines[name] for name in (f"P{camera}", f"P_rect_{camera:02d}") if name in lines), None)
    if text is None:
        raise FormatError(path, f"has no line 'P{camera}:' of camera {camera}; choose another camera")
    try:
        p = np.array([float(word) for word in text.split()]).reshape(3, 4)
        k = p[:, :3] / p[2, 2]
        aside = np.linalg.solve(p[:, :3], p[:, 3])
        size = lines.get(f"S_rect_{camera:02d}")
        found = None if size is None else (round(float(size.split()[0])), round(float(size.split()[1])))
    except (ValueError, IndexError, OverflowError, ZeroDivisionError, np.linalg.LinAlgError):
        raise FormatError(path, f"the line of camera {camera} is not a projection of 12 numbers") from None
    return k, aside, found


def _times(beside: Path, frames: int) -> Doubles | None:
    """Seconds (T,) of the frames, from the times.txt in the folder of a file."""
    path = beside.parent / "times.txt"
    if not path.is_file():
        return None
    times = read_table(path, (1,), "a time in seconds")[:, 0]
    return times if len(times) == frames else None
