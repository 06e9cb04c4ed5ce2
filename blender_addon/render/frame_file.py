# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a finished frame back: quickly where it is as we wrote it, through Blender where an artist has changed it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray

from ..scene.pixels import image_rgba


def read_frame(path: Path) -> NDArray[np.uint8] | None:
    """A frame's file as (H, W, 4) sRGB, straight alpha, top row first; None where there is none. Main thread only.

    Raises:
        ValueError: Blender cannot read it either.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        plain = _plain(data)
    except (struct.error, zlib.error, ValueError, IndexError):
        plain = None
    if plain is not None:
        return plain
    image = bpy.data.images.load(str(path), check_existing=False)
    try:
        return image_rgba(image)
    finally:
        bpy.data.images.remove(image)


def _plain(data: bytes) -> NDArray[np.uint8] | None:
    """A PNG of 8-bit RGBA without filters, as `link.png` writes it; None for any other."""
    width, height, bits, kind, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if not data.startswith(b"\x89PNG") or (bits, kind, interlaced) != (8, 6, 0):
        return None
    packed, at = [], 8
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        if data[at + 4 : at + 8] == b"IDAT":
            packed.append(data[at + 8 : at + 8 + size])
        at += 12 + size
    rows = np.frombuffer(zlib.decompress(b"".join(packed)), np.uint8).reshape(height, 1 + 4 * width)
    return None if rows[:, 0].any() else rows[:, 1:].reshape(height, width, 4)
