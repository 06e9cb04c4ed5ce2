# SPDX-License-Identifier: GPL-3.0-or-later
"""Stored PNG: lossless, and as fast as writing the pixels, because nothing is compressed (zlib level 0).

Blender's own encoder takes 80 to 330 ms for a frame and needs the main thread; this takes a few, in any thread.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from understudy_shared.frames import linear_to_srgb

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ALPHA = np.array([0, 0, 0, 255], np.uint8).view(np.uint32)[0]


def encode(rgba: NDArray[np.uint8], level: int = 0) -> bytes:
    """The PNG file of an image (H, W, 4) uint8: sRGB, straight alpha, top row first.

    Raises:
        ValueError: another shape or type.
    """
    if rgba.dtype != np.uint8 or rgba.ndim != 3 or rgba.shape[2] != 4 or 0 in rgba.shape:
        raise ValueError(f"a PNG needs (H, W, 4) uint8, not {rgba.shape} {rgba.dtype}")
    height, width = rgba.shape[:2]
    rows = np.empty((height, 1 + 4 * width), np.uint8)
    rows[:, 0] = 0  # filter "none" before every row
    rows[:, 1:] = rgba.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    # sRGB chunk: without it some programs guess another gamma
    return assemble(((b"IHDR", header), (b"sRGB", b"\0"), (b"IDAT", zlib.compress(rows, level)), (b"IEND", b"")))


def assemble(chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A PNG file of these chunks, each a name and its data."""
    parts = [_SIGNATURE]
    for name, data in chunks:
        parts += (struct.pack(">I", len(data)), name, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(name))))
    return b"".join(parts)


def write_atomically(path: Path, data: bytes) -> None:
    """Writes beside `path`, then renames: a reader sees the whole file or none.

    Raises:
        OSError: no space, no rights, no folder.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def to_bytes(rgba: NDArray) -> NDArray[np.uint8]:
    """Colour as the frame contract allows it (uint8 sRGB, or linear float) as (H, W, 4) uint8 sRGB, straight alpha.

    What is fully transparent has no colour: Blender's render result, which is multiplied by alpha, could not carry it.
    """
    if rgba.dtype == np.uint8:
        if rgba.shape[-1] != 4:
            return rgba  # `encode` says what is wrong
        pixels = np.ascontiguousarray(rgba).view(np.uint32)  # a pixel as one number: half a millisecond for 1024 x 1024
        return (pixels * ((pixels & _ALPHA) != 0)).view(np.uint8)
    out = np.empty(rgba.shape, np.float32)
    out[..., :3] = linear_to_srgb(rgba[..., :3].astype(np.float32))
    out[..., 3] = np.clip(rgba[..., 3].astype(np.float32), 0, 1)
    return to_bytes((out * 255 + 0.5).astype(np.uint8))
