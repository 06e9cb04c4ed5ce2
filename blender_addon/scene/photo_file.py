# SPDX-License-Identifier: GPL-3.0-or-later
"""A photo from a file, the right way up and of a size that can be worked with.

Blender shows a phone's photo as its sensor saw it, often lying on its side. The scene's photo is what the artist sees,
what is sent, and what the fitted camera looks at; so such a photo becomes an upright copy inside the .blend.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import bpy
import numpy as np
from bpy.types import Image
from numpy.typing import NDArray

from .exif import orientation, upright
from .pixels import image_rgba, new_image

LONGEST = 4096
"""Pixels of the longer side: twice what the largest texture can take from a photo. Larger ones are made smaller."""

SMALLEST = 64
"""Pixels of the shorter side below which no person can be found."""

NOTE = "understudy_note"
"""Custom property of a photo: what was done to it, in a sentence for the artist."""

_ORIGINAL = "understudy_original"
"""Custom property of a copy: the file that it was made from."""

_QUALITY = 95
"""Of the JPEG that a copy is kept as."""


def open_photo(path: Path) -> Image:
    """The photo of a file as an image that is upright; the same image if it is in the .blend already.

    Raises:
        ValueError: it is no picture that Blender can read, or too small.
    """
    path = path.resolve()
    before = set(bpy.data.images)
    image = _load(path)
    width, height = image.size
    turn = orientation(path)
    try:
        if min(width, height) < SMALLEST:
            raise ValueError(
                f"{path.name} has only {width} x {height} pixels: choose a photo whose person is 300 or more tall"
            )
        copied = turn != 1 or max(width, height) > LONGEST
        copy = _known_copy(path) or _copy(image, path, turn) if copied else image
    except Exception:
        if image not in before:
            bpy.data.images.remove(image)
        raise
    if copy != image and image not in before:
        bpy.data.images.remove(image)
    if copied:
        copy.name = path.name
    return copy


def _load(path: Path) -> Image:
    if not path.is_file():
        raise ValueError(f"{path.name} does not exist: choose a picture that does")
    known = set(bpy.data.images)
    try:
        image = bpy.data.images.load(str(path), check_existing=True)
    except RuntimeError as error:
        raise ValueError(f"{path.name} cannot be opened: choose a PNG or JPEG picture") from error
    if image in known and not image.is_dirty and not image.packed_file:
        image.reload()  # the file may be another one by now
    if image.source == "MOVIE":
        problem = f"{path.name} is a moving picture: choose a photo, or save one frame as PNG"
    elif 0 in image.size:
        problem = f"{path.name} is not a picture that Blender can read: save it as PNG or JPEG"
    else:
        return image
    if image not in known:
        bpy.data.images.remove(image)
    raise ValueError(problem)


def _known_copy(path: Path) -> Image | None:
    return next((image for image in bpy.data.images if image.get(_ORIGINAL) == _key(path)), None)


def _copy(image: Image, path: Path, turn: int) -> Image:
    """An upright copy of at most `LONGEST` pixels, packed into the .blend."""
    notes = ["was turned upright, as the camera noted"] if turn != 1 else []
    width, height = image.size
    scale = LONGEST / max(width, height)
    small = image
    if scale < 1:
        small = image.copy()  # before it is read: a large photo as numbers fills the memory of a small machine
        small.scale(max(1, round(width * scale)), max(1, round(height * scale)))
        notes.append(f"was made smaller, to {small.size[0]} x {small.size[1]} from {width} x {height} pixels")
    pixels = upright(image_rgba(small), turn)
    if small != image:
        bpy.data.images.remove(small)
    opaque = bool((pixels[..., 3] == 255).all())
    copy = _as_jpeg(path.stem, pixels) if opaque else new_image(path.name, pixels)
    copy[_ORIGINAL], copy[NOTE] = _key(path), f"{path.name} {' and '.join(notes)}"
    return copy


def _as_jpeg(stem: str, pixels: NDArray[np.uint8]) -> Image:
    """An opaque image kept as JPEG, because a packed PNG of a photo takes five times the room."""
    made = new_image(stem, pixels, pack=False)
    made.file_format = "JPEG"
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{stem}.jpg"
            made.save(filepath=str(file), quality=_QUALITY)
            image = bpy.data.images.load(str(file))
            image.pack()
    finally:
        bpy.data.images.remove(made)
    image.filepath_raw = ""  # what is packed counts; that file is gone
    return image


def _key(path: Path) -> str:
    """Which file, and which version of it."""
    about = path.stat()
    return f"{path}|{about.st_size}|{about.st_mtime_ns}"
