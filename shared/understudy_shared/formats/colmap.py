"""COLMAP's text model: `cameras.txt`, `images.txt`, `points3D.txt` in a folder (see `colmap_model` for conventions).

`cameras.txt` has a line `CAMERA_ID MODEL WIDTH HEIGHT PARAMS...` for each lens, `images.txt` two lines for each of the
pictures: `IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME`, then its 2D points, which are skipped and may be an empty
line. Lines that begin with # are comments.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from understudy_shared.camera import CameraTrajectory
from understudy_shared.formats import camera_file, colmap_model
from understudy_shared.formats.colmap_model import Image, Lens
from understudy_shared.formats.reading import FormatError, read_text

_LONGEST_LINE = 1 << 26
"""Bytes; more than a million points in one picture."""
_LONGEST_IMAGE = 1 << 13
"""Bytes of the line of an image: eight numbers, an id and a file's name."""


def sniff(path: Path | str) -> bool:
    """Whether it is the folder, or a file, of a text model."""
    folder = colmap_model.find(path, ".txt")
    if folder is None:
        return False
    try:
        next(_images(folder / "images.txt"), None)
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
    folder = colmap_model.required(path, ".txt")
    lenses = _lenses(folder / "cameras.txt")
    images: list[Image] = []
    for image in _images(folder / "images.txt"):
        images.append(image)
        if len(images) > camera_file.MAX_FRAMES:
            break
    return colmap_model.build(
        folder / "images.txt", lenses, images, fps=fps, scale=scale, up=up, order=order, fill_gaps=fill_gaps
    )


def save(path: Path | str, camera: CameraTrajectory, *, scale: float = 1.0, up: camera_file.Up = "Z") -> None:
    """Writes a model of PINHOLE cameras without points; the frame rate has no place in it.

    Raises:
        FormatError: another model lies in the folder.
        OSError: a file cannot be written.
    """
    lenses, images = colmap_model.taken_apart(path, camera, up, scale)
    folder = colmap_model.folder_for(path, ".txt")
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
