"""COLMAP's text model: `cameras.txt`, `images.txt`, `points3D.txt` in a folder (see `colmap_model` for conventions).

`cameras.txt` has a line `CAMERA_ID MODEL WIDTH HEIGHT PARAMS...` for each lens, `images.txt` two lines for each of the
pictures: `IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME`, then its 2D points, which are skipped and may be an empty
line. Lines that begin with # are comments.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from understudy_shared.formats import camera_file, colmap_model
from understudy_shared.formats.colmap_model import Image, Layout, Lens
from understudy_shared.formats.reading import FormatError, read_text

_LONGEST_LINE = 1 << 26
"""Bytes; more than a million points in one picture."""
_LONGEST_IMAGE = 1 << 13
"""Bytes of the line of an image: eight numbers, an id and a file's name."""


def _write(folder: Path, lenses: dict[int, Lens], images: list[Image]) -> None:
    lines = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    for number, (k, (width, height)) in lenses.items():
        numbers = " ".join(repr(float(value)) for value in (k[0, 0], k[1, 1], k[0, 2], k[1, 2]))
        lines.append(f"{number} PINHOLE {width} {height} {numbers}")
    camera_file.write(folder / "cameras.txt", "\n".join(lines) + "\n")
    lines = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME", "# POINTS2D[] as (X, Y, POINT3D_ID)"]
    for number, image in enumerate(images, 1):
        lines += [f"{number} {' '.join(map(repr, image.pose))} {image.camera} {image.name}", ""]
    camera_file.write(folder / "images.txt", "\n".join(lines) + "\n")
    camera_file.write(folder / "points3D.txt", "# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[]\n")


def _lenses(path: Path) -> dict[int, Lens]:
    out: dict[int, Lens] = {}
    for line_number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            number, model, size = int(words[0]), words[1], (int(words[2]), int(words[3]))
            numbers = [float(word) for word in words[4:]]
        except (ValueError, IndexError):
            raise FormatError(path, f"line {line_number} is not CAMERA_ID MODEL WIDTH HEIGHT and numbers") from None
        if number in out:
            raise FormatError(path, f"camera {number} stands there twice; remove one of the two")
        out[number] = colmap_model.lens(path, number, model, size, numbers)
    return out


def _images(path: Path) -> Iterator[Image]:
    """The images of a file of any length; only one line of it is in memory."""
    try:
        with path.open("rb") as file:
            yield from _images_of(path, file)
    except OSError as error:
        raise FormatError(path, f"cannot be read ({error.strerror})") from None


def _images_of(path: Path, file: BinaryIO) -> Iterator[Image]:
    points_next = False
    line_number = 0
    while line := file.readline(_LONGEST_LINE + 1):
        line_number += 1
        if len(line) > _LONGEST_LINE:
            raise FormatError(path, f"line {line_number} is too long to be one of images.txt")
        # some programs leave out the line of points instead of leaving it empty; points come in threes, an image's
        # line has ten words
        if points_next and (len(line) > _LONGEST_IMAGE or len(line.split()) % 3 == 0):
            points_next = False
            continue
        text = line.removeprefix(b"\xef\xbb\xbf").strip()
        if not text or text.startswith(b"#"):
            continue
        words = text[:_LONGEST_IMAGE].split(maxsplit=9)
        try:
            image = Image(words[9].decode(), int(words[8]), tuple(float(word) for word in words[1:8]))
            int(words[0])
        except (ValueError, IndexError):
            raise FormatError(path, f"line {line_number} is not the ten values of an image, up to its NAME") from None
        yield image
        points_next = True


_LAYOUT = Layout(".txt", _lenses, _images, _write)
sniff, load, save = _LAYOUT.sniff, _LAYOUT.load, _LAYOUT.save
