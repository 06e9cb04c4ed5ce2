# SPDX-License-Identifier: GPL-3.0-or-later
"""Which way up a camera held a photo: the orientation tag of JPEG, PNG, WebP and TIFF files, which Blender ignores.

A phone saves what its sensor saw and notes in this tag how the picture is to be turned. Only the tag is read here;
whatever is odd about a file counts as "as it is".
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ORIENTATION = 0x0112
"""Number of the tag, in EXIF 2.3 (and TIFF 6.0)."""

_HEAD = 1 << 20
"""Bytes looked at: JPEG's tag is in its first 64 KiB, the others' may come late, but seldom behind a megabyte."""


def orientation(path: Path) -> int:
    """The tag's value, 1 to 8; 1, as it is, where there is none.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(_HEAD)
        if data[:4] == b"RIFF" or data[:8] == b"\x89PNG\r\n\x1a\n":  # the tag may stand behind the picture
            data += file.read()
    try:
        value = _tag(_tiff(data))
    except (struct.error, IndexError):
        return 1
    return value if 1 <= value <= 8 else 1


def upright(pixels: NDArray, value: int) -> NDArray:
    """Turns an image (H, W, C), origin at the top left, as the tag's value asks: (H, W, C) or (W, H, C)."""
    if value in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if value in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if value in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _tiff(data: bytes) -> bytes:
    """The TIFF structure that holds the tags; empty where there is none."""
    if data[:2] == b"\xff\xd8":
        return _in_jpeg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _in_chunks(data, 8, ">", b"eXIf", name_first=False, padded=False)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        found = _in_chunks(data, 12, "<", b"EXIF", name_first=True, padded=True)
        return found.removeprefix(b"Exif\0\0")
    return data if data[:4] in (b"II*\0", b"MM\0*") else b""


def _in_jpeg(data: bytes) -> bytes:
    place = 2
    while data[place] == 0xFF and data[place + 1] != 0xDA:  # until the picture itself begins
        kind, (size,) = data[place + 1], struct.unpack_from(">H", data, place + 2)
        body = data[place + 4 : place + 2 + size]
        if kind == 0xE1 and body[:6] == b"Exif\0\0":
            return body[6:]
        place += 2 + size
    return b""


def _in_chunks(data: bytes, place: int, order: str, wanted: bytes, *, name_first: bool, padded: bool) -> bytes:
    while place + 8 <= len(data):
        name, size = data[place : place + 4], data[place + 4 : place + 8]
        if not name_first:
            name, size = size, name
        (length,) = struct.unpack(f"{order}I", size)
        if name == wanted:
            return data[place + 8 : place + 8 + length]
        place += 8 + length + (length % 2 if padded else 4)  # PNG's chunks end with a checksum
    return b""


def _tag(tiff: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    (place,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, place)
    for i in range(count):
        tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, place + 2 + 12 * i)
        if tag == ORIENTATION and kind == 3:
            return value
    return 1
