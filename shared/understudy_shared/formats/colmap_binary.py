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

from understudy_shared.formats import camera_file, colmap_model
from understudy_shared.formats.colmap_model import MODELS, Image, Layout, Lens
from understudy_shared.formats.reading import FormatError

_COUNT = struct.Struct("<Q")
_CAMERA = struct.Struct("<iiQQ")
_IMAGE = struct.Struct("<i7di")
_POINT = 24
_LONGEST_NAME = 4096


def _write(folder: Path, lenses: dict[int, Lens], images: list[Image]) -> None:
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


_LAYOUT = Layout(".bin", _lenses, _images, _write)
sniff, load, save = _LAYOUT.sniff, _LAYOUT.load, _LAYOUT.save
