"""What every camera file goes through: matrices that must be cameras, worlds that are turned, and what is left open.

Files say where a camera is in a world of their own. `up` names the axis of it that points up, `scale` says how many
metres its unit has. Our world has Z up and metres:

    up "Z":   as it is
    up "Y":   (x, y, z) becomes (x, -z, y)
    up "-Y":  (x, y, z) becomes (x, z, -y)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from understudy_shared.camera import CameraTrajectory, Doubles
from understudy_shared.formats.reading import FormatError
from understudy_shared.rotations import matrix_from_quaternion

MAX_FRAMES = 1 << 18
"""Most cameras that are read from one file: an hour at 60 frames per second, and some."""
ROUNDING = 1e-3
"""How far from a rotation a matrix or quaternion may be before it is refused: files are often rounded."""
DEFAULT_SIZE = (1920, 1080)
"""Pixels, where a file says nothing of its pictures."""
DEFAULT_FOV = 40.0
"""Vertical field of view in degrees, where a file says nothing of its lens."""
DEFAULT_FPS = 24.0
"""Frames per second, where a file says nothing of time."""

Up = Literal["Z", "Y", "-Y"]
"""Which axis of a file's world points up."""
WORLDS: dict[str, Doubles] = {
    "Z": np.eye(3),
    "Y": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "-Y": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
}
"""(3, 3): directions of the file's world to ours."""


def rigid(path: Path | str, rotation: ArrayLike, place: ArrayLike, what: str = "frame") -> Doubles:
    """Matrices (T, 4, 4) of rotations (T, 3, 3) and translations (T, 3); rounding is taken out of the rotations.

    Raises:
        FormatError: too many, not finite, or no rotations.
    """
    r, t = np.asarray(rotation, np.float64), np.asarray(place, np.float64)
    count(path, len(r))
    bad = ~(np.isfinite(r).all((1, 2)) & np.isfinite(t).all(1))
    if bad.any():
        raise FormatError(path, f"{what} {np.argmax(bad)} holds numbers that are not finite; take it out")
    if not (np.abs(t) < 1e12).all():
        raise FormatError(path, f"{what} {np.argmax(np.abs(t).max(1))} is too far away to be a camera's place")
    if not (np.abs(r) < 2).all():
        raise FormatError(path, _NO_ROTATION.format(what, np.argmax(np.abs(r).max((1, 2)))))
    off = np.abs(r @ r.transpose(0, 2, 1) - np.eye(3)).max((1, 2)) > 1e-12
    mirrored = np.linalg.det(r) < 0
    out = np.zeros((len(r), 4, 4))
    out[:, :3, :3], out[:, :3, 3], out[:, 3, 3] = r, t, 1
    if off.any():
        u, size, vt = np.linalg.svd(r[off])
        mirrored[off] |= np.abs(size - 1).max(1) > ROUNDING
        out[off, :3, :3] = u @ vt
    if mirrored.any():
        raise FormatError(path, _NO_ROTATION.format(what, np.argmax(mirrored)))
    return out


_NO_ROTATION = "the matrix of {} {} is not a rotation; remove scale, shear and mirroring"


def turns(path: Path | str, quaternions: ArrayLike, what: str = "frame") -> Doubles:
    """Rotations (T, 3, 3) of quaternions (T, 4), w first, of a length within `ROUNDING` of one.

    Raises:
        FormatError: one is not finite or not of unit length.
    """
    q = np.asarray(quaternions, np.float64)
    bad = ~(np.abs(np.linalg.norm(np.clip(q, -2, 2), axis=-1) - 1) <= ROUNDING)
    if bad.any():
        raise FormatError(path, f"the quaternion of {what} {np.argmax(bad)} is not of length 1, so it is no rotation")
    return matrix_from_quaternion(q)


def trajectory(
    path: Path | str,
    extrinsics: Doubles,
    k: Doubles,
    size: tuple[int, int],
    *,
    fps: float,
    up: str,
    scale: float,
    start: float = 0.0,
    notes: Sequence[str] = (),
) -> CameraTrajectory:
    """What a format found, in our world.

    Args:
        path: of the file, for messages.
        extrinsics: (T, 4, 4) world to camera, OpenCV axes, the file's world and unit.
        k: (T, 3, 3) or (3, 3) in pixels, our pixel centres.
        size: (width, height) in pixels.
        fps: frames per second.
        up: which axis of the file's world is up.
        scale: metres per unit of the file.
        start: seconds to the first frame.
        notes: for the user.

    Raises:
        FormatError: not usable as cameras.
    """
    count(path, len(extrinsics))
    out = extrinsics.copy()
    out[:, :3, :3] = extrinsics[:, :3, :3] @ _world(path, up, scale).T
    out[:, :3, 3] *= scale
    k = np.array(np.broadcast_to(k, (len(out), 3, 3)))
    _usable_lens(path, k)
    width, height = size
    if not (1 <= width <= 65536 and 1 <= height <= 65536):
        raise FormatError(path, f"pictures of {width} x {height} pixels cannot be used")
    try:
        return CameraTrajectory(out, k, width, height, positive(path, fps, "the frame rate"), start, tuple(notes))
    except ValueError as error:
        raise FormatError(path, str(error)) from None


def in_file(path: Path | str, camera: CameraTrajectory, up: str, scale: float) -> Doubles:
    """Extrinsics (T, 4, 4) in a file's world and unit: the inverse of what `trajectory` does."""
    out = camera.extrinsics.copy()
    out[:, :3, :3] = out[:, :3, :3] @ _world(path, up, scale)
    out[:, :3, 3] /= scale
    return out


def lens(
    path: Path | str,
    size: tuple[int, int] | None,
    fov: float | None,
    k: ArrayLike | None,
    notes: list[str],
) -> tuple[Doubles, tuple[int, int]]:
    """K (3, 3) and (width, height) of a camera whose file says neither; what was not given is assumed.

    Raises:
        FormatError: what was given is no lens.
    """
    if k is not None:
        matrix = np.asarray(k, np.float64)
        if matrix.shape != (3, 3):
            raise FormatError(path, "the option k must be a matrix of 3 x 3 numbers")
        return matrix, size or size_of_centre(path, matrix, notes)
    width, height = size = size or assumed_size(notes)
    if fov is None:
        notes.append(f"The file says nothing of the lens: a vertical field of view of {DEFAULT_FOV:g} degrees was used")
    return from_fov(path, DEFAULT_FOV if fov is None else fov, width, height), size


def from_fov(path: Path | str, fov: float | Doubles, width: int, height: int) -> Doubles:
    """K (3, 3), or (T, 3, 3) of `fov` (T,): vertical, degrees; square pixels, centre in the middle.

    Raises:
        FormatError: angles that are not between 0 and 180 degrees.
    """
    angle = np.asarray(fov, np.float64)
    if not ((angle > 0) & (angle < 180)).all():
        raise FormatError(path, "has a field of view that is not between 0 and 180 degrees")
    k = np.zeros((*angle.shape, 3, 3))
    k[..., 0, 0] = k[..., 1, 1] = height / 2 / np.tan(np.radians(angle) / 2)
    k[..., 0, 2], k[..., 1, 2], k[..., 2, 2] = width / 2, height / 2, 1
    return k


def assumed_size(notes: list[str]) -> tuple[int, int]:
    """The size for files that leave it open and do not depend on it."""
    notes.append(f"The file does not say how large its pictures are: {DEFAULT_SIZE[0]} x {DEFAULT_SIZE[1]} was used")
    return DEFAULT_SIZE


def size_of_centre(path: Path | str, k: Doubles, notes: list[str]) -> tuple[int, int]:
    """The size of pictures with K in pixels: twice the way to the centre of the lens.

    Raises:
        FormatError: that centre is no hint either.
    """
    sides = 2 * np.asarray(k)[:2, 2]
    if not ((sides >= 2) & (sides <= 65536)).all():
        raise FormatError(path, "does not say how large its pictures are; give it as the option size")
    size = round(float(sides[0])), round(float(sides[1]))
    notes.append(f"The file does not say how large its pictures are: {size[0]} x {size[1]}, from the lens' centre")
    return size


def rate(fps: float | None, notes: list[str], default: float = DEFAULT_FPS) -> float:
    """The frame rate for files that have none."""
    if fps is not None:
        return fps
    notes.append(f"The file has no frame rate: {default:g} frames per second was used")
    return default


def count(path: Path | str, frames: int) -> None:
    """Checks that there are some cameras, and not too many.

    Raises:
        FormatError: there are none or more than `MAX_FRAMES`.
    """
    if frames < 1:
        raise FormatError(path, "has no cameras in it; export it again with at least one")
    if frames > MAX_FRAMES:
        raise FormatError(path, f"has more than {MAX_FRAMES} cameras; cut it into shorter pieces")


def positive(path: Path | str, value: float, what: str) -> float:
    """A positive, finite number.

    Raises:
        FormatError: it is not.
    """
    if not (math.isfinite(value) and value > 0):
        raise FormatError(path, f"{what} is not a positive number")
    return float(value)


def no_shift(path: Path | str, camera: CameraTrajectory) -> Doubles:
    """Vertical fields of view (T,) in degrees of cameras that are nothing but that.

    Raises:
        FormatError: a shifted lens or oblong pixels, which a format with one angle cannot hold.
    """
    k = camera.intrinsics
    middle = np.array([camera.width / 2, camera.height / 2])
    if np.abs(k[:, :2, 2] - middle).max() > 1e-6 or np.abs(k[:, 0, 0] / k[:, 1, 1] - 1).max() > 1e-9:
        raise FormatError(path, "this format holds no lens shift and no oblong pixels; save as transforms instead")
    return np.degrees(2 * np.arctan(camera.height / 2 / k[:, 1, 1]))


def write(path: Path | str, data: str | bytes) -> None:
    """Writes a file whole or not at all, text as UTF-8 with bare line feeds.

    Raises:
        OSError: no space, no rights, no folder.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data.encode() if isinstance(data, str) else data)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def rows(values: NDArray[np.float64], separator: str = " ") -> str:
    """Lines of numbers, each with as many digits as it takes to read the same number again."""
    return "".join(separator.join(map(repr, row)) + "\n" for row in values.tolist())


def _world(path: Path | str, up: str, scale: float) -> Doubles:
    if up not in WORLDS:
        raise FormatError(path, f"the option up must be one of {', '.join(WORLDS)}")
    positive(path, scale, "the option scale")
    return WORLDS[up]


def _usable_lens(path: Path | str, k: Doubles) -> None:
    if not (np.abs(k) < 1e12).all():
        raise FormatError(path, "its camera matrix holds numbers that are not finite or far too large")
    if not ((k[:, 0, 0] > 0) & (k[:, 1, 1] > 0)).all():
        raise FormatError(path, "has a focal length that is not a positive number")
    if (np.abs(k[:, 0, 1]) > 1e-6 * k[:, 0, 0]).any():
        raise FormatError(path, "its pixels are skewed; only cameras with upright pixels can be used")
    if np.abs(k[:, [1, 2, 2], [0, 0, 1]]).max() > 1e-9 or np.abs(k[:, 2, 2] - 1).max() > 1e-9:
        raise FormatError(path, "its camera matrix is not one of the form fx 0 cx, 0 fy cy, 0 0 1")
