"""COLMAP's binary model: `cameras.bin`, `images.bin`, `points3D.bin` in a folder (see `colmap_model` for conventions).

All numbers are little-endian. `cameras.bin`: how many (u64), then for each its id and the number of its model (i32),
width, height (u64) and parameters (f64). `images.bin`: how many (u64), then for each its id (i32), quaternion and
translation (7 f64), camera's id (i32), name up to a zero byte, how many 2D points (u64) and 24 bytes for each of them.
`points3D.bin`: how many (u64), here none.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from understudy_shared.camera import CameraTrajectory
from understudy_shared.formats import camera_file, colmap_model
from understudy_shared.formats.colmap_model import MODELS, Image, Lens
from understudy_shared.formats.reading import FormatError

_COUNT = struct.Struct("<Q")
_CAMERA = struct.Struct("<iiQQ")
_IMAGE = struct.Struct("<i7di")
_POINT = 24
_LONGEST_NAME = 4096


def sniff(path: Path | str) -> bool:
    """Whether it is the folder, or a file, of a binary model."""
    folder = colmap_model.find(path, ".bin")
    if folder is None:
        return False
    try:
        next(_images(folder / "images.bin"), None)
    except FormatError:
        return False
    return True


def load(
    path: Path | str,
    *,
    size: tuple[int, int] | None = None,
    fov: float | None = None,
    k: object = None,
    fps: float | None = None,
    scale: float = 1.0,
    up: camera_file.Up = "Z",
    order: Literal["name", "file"] = "name",
    fill_gaps: bool = False,
) -> CameraTrajectory:
    """Reads a model.

    Args:
        path: its folder, one of its files, or a project's folder with the model in sparse/0.
        size: not needed: the model says.
        fov: not needed: the model says.
        k: not needed: the model says.
        fps: frames per second.
        scale: metres per unit of the model.
        up: which axis of the model's world is up.
        order: pictures by their names with numbers in their order, or as they stand in the file.
        fill_gaps: makes cameras for the pictures whose numbers are missing.

    Raises:
        FormatError: no such model, a lens with distortion, pictures of several sizes, or poses that are none.
    """
    folder = colmap_model.required(path, ".bin")
    lenses = _lenses(folder / "cameras.bin")
    images = list(_images(folder / "images.bin"))
    return colmap_model.build(
        folder / "images.bin", lenses, images, fps=fps, scale=scale, up=up, order=order, fill_gaps=fill_gaps
    )


def save(path: Path | str, camera: CameraTrajectory, *, scale: float = 1.0, up: camera_file.Up = "Z") -> None:
    """Writes a model of PINHOLE cameras without points; the frame rate has no place in it.

    Raises:
        FormatError: another model lies in the folder.
        OSError: a file cannot be written.
    """
    lenses, images = colmap_model.taken_apart(path, camera, up, scale)
    folder = colmap_model.folder_for(path, ".bin")
    pinhole = MODELS["PINHOLE"][0]
    cameras = [
        _CAMERA.pack(number, pinhole, *size) + struct.pack("<4d", k[0, 0], k[1, 1], k[0, 2], k[1, 2])
        for number, (k, size) in lenses.items()
    ]
    pictures = [
        _IMAGE.pack(number, *image.pose, image.camera) + image.name.encode() + b"\0" + _COUNT.pack(0)
        for number, image in enumerate(images, 1)
    ]
    camera_file.write(folder / "cameras.bin", _COUNT.pack(len(cameras)) + b"".join(cameras))
    camera_file.write(folder / "images.bin", _COUNT.pack(len(pictures)) + b"".join(pictures))
    camera_file.write(folder / "points3D.bin", _COUNT.pack(0))


def _lenses(path: Path) -> dict[int, Lens]:
    names = {number: (model, parameters) for model, (number, parameters) in MODELS.items()}
    out: dict[int, Lens] = {}
    with _Mapped(path) as data:
        total, at = _count(path, data, _CAMERA.size)
        for _ in range(total):
            number, kind, width, height = _unpack(path, data, _CAMERA, at)
            model, parameters = names.get(kind, (f"number {kind}", 0))
            values = struct.Struct(f"<{parameters}d")
            numbers = _unpack(path, data, values, at + _CAMERA.size)
            out[number] = colmap_model.lens(path, number, model, (width, height), numbers)
            at += _CAMERA.size + values.size
    return out


def _images(path: Path) -> Iterator[Image]:
    """The images of a file of any size; its points are stepped over."""
    with _Mapped(path) as data:
        total, at = _count(path, data, _IMAGE.size + 1 + _COUNT.size)
        if total > camera_file.MAX_FRAMES:
            camera_file.count(path, total)
        for _ in range(total):
            _, *pose, camera = _unpack(path, data, _IMAGE, at)
            at += _IMAGE.size
            end = data.find(b"\0", at, at + _LONGEST_NAME)
            if end < 0:
                raise FormatError(path, _DAMAGED)
            try:
                name = data[at:end].decode()
            except UnicodeDecodeError:
                raise FormatError(path, _DAMAGED) from None
            (points,) = _unpack(path, data, _COUNT, end + 1)
            at = end + 1 + _COUNT.size + points * _POINT
            if at > len(data):
                raise FormatError(path, _DAMAGED)
            yield Image(name, camera, tuple(pose))


class _Mapped:
    """A file as bytes that are read only where they are looked at."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> mmap.mmap:
        try:
            with self.path.open("rb") as file:
                self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # ValueError: of an empty file
            raise FormatError(self.path, "cannot be read or is empty; export the model again") from None
        return self.data

    def __exit__(self, *_: object) -> None:
        self.data.close()


_DAMAGED = "is damaged or cut off; export the model again"


def _count(path: Path, data: mmap.mmap, least: int) -> tuple[int, int]:
    """How many entries of at least that many bytes follow, and where."""
    (total,) = _unpack(path, data, _COUNT, 0)
    if total * least > len(data):
        raise FormatError(path, _DAMAGED)
    return total, _COUNT.size


def _unpack(path: Path, data: mmap.mmap, what: struct.Struct, at: int) -> tuple:
    try:
        return what.unpack_from(data, at)
    except struct.error:
        raise FormatError(path, _DAMAGED) from None
