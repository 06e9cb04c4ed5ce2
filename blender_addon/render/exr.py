# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the multilayer EXR that Blender has just written: uncompressed, in one part or several.

Blender's Python has no EXR library, and its own image loader shows only the first layer. Format:
https://openexr.com/en/latest/OpenEXRFileLayout.html
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_MAGIC = 20000630
_MULTI_PART = 0x1000
_PIXELS = {0: np.dtype("<u4"), 1: np.dtype("<f2"), 2: np.dtype("<f4")}


@dataclass(frozen=True)
class _Part:
    channels: list[tuple[str, np.dtype]]
    window: tuple[int, int, int, int]
    """x and y of the first and of the last pixel that is stored."""
    display: tuple[int, int, int, int]
    chunks: int


def read_exr(path: Path) -> dict[str, NDArray[np.float32]]:
    """All channels of a file by full name ("ViewLayer.Depth.Z"), each (H, W) float32 with its origin at the top left.

    Pixels outside the data window are zero.

    Raises:
        ValueError: it is no EXR, is compressed or tiled, or ends early.
    """
    data = path.read_bytes()
    try:
        return _read(data)
    except (struct.error, KeyError, IndexError, ValueError) as error:
        raise ValueError(f"{path.name} is not an EXR file that Understudy can read: {error}") from error


def _read(data: bytes) -> dict[str, NDArray[np.float32]]:
    magic, version = struct.unpack_from("<II", data)
    if magic != _MAGIC:
        raise ValueError("it does not begin as one")
    many = bool(version & _MULTI_PART)
    parts, at = [], 8
    while True:
        part, at = _header(data, at)
        parts.append(part)
        if not many:
            break
        if data[at] == 0:  # an empty header ends the list
            at += 1
            break
    out: dict[str, NDArray[np.float32]] = {}
    for part in parts:
        offsets = np.frombuffer(data, "<u8", part.chunks, at)
        at += part.chunks * 8
        out.update(_pixels(data, part, offsets, head=12 if many else 8))
    return out


def _header(data: bytes, at: int) -> tuple[_Part, int]:
    attributes: dict[str, bytes] = {}
    while data[at] != 0:
        name, at = _text(data, at)
        _, at = _text(data, at)
        (size,) = struct.unpack_from("<I", data, at)
        attributes[name] = data[at + 4 : at + 4 + size]
        at += 4 + size
    at += 1
    if attributes["compression"][0] != 0:
        raise ValueError("it is compressed")
    if attributes.get("type", b"scanlineimage") != b"scanlineimage" or "tiles" in attributes:
        raise ValueError("it is tiled or deep")
    prefix = attributes["name"].decode() + "." if "name" in attributes else ""
    window = struct.unpack("<4i", attributes["dataWindow"])
    display = struct.unpack("<4i", attributes["displayWindow"])
    channels = [(prefix + name, dtype) for name, dtype in _channel_list(attributes["channels"])]
    return _Part(channels, window, display, window[3] - window[1] + 1), at


def _channel_list(data: bytes) -> list[tuple[str, np.dtype]]:
    out, at = [], 0
    while data[at] != 0:
        name, at = _text(data, at)
        (kind,) = struct.unpack_from("<i", data, at)
        out.append((name, _PIXELS[kind]))
        at += 16
    return out


def _pixels(data: bytes, part: _Part, offsets: NDArray, head: int) -> dict[str, NDArray[np.float32]]:
    x0, y0, x1, _ = part.window
    left, top, right, bottom = part.display
    width = x1 - x0 + 1
    line = np.dtype([(name, dtype, (width,)) for name, dtype in part.channels])
    start, step = int(offsets.min()), head + line.itemsize
    if start + step * part.chunks > len(data):
        raise ValueError("it ends early")
    # uncompressed lines all have one size; a part's own lie together in 4.5 and 5.x, else they are gathered one by one
    if np.array_equal(np.sort(offsets), start + step * np.arange(part.chunks)):
        block = np.frombuffer(data, np.dtype([("head", f"V{head}"), ("line", line)]), part.chunks, start)["line"]
        rows = block[(np.argsort(np.argsort(offsets)))]
    else:
        rows = np.stack([np.frombuffer(data, line, 1, int(o) + head)[0] for o in offsets])
    out = {}
    for name, _ in part.channels:
        image = np.zeros((bottom - top + 1, right - left + 1), np.float32)
        image[y0 - top : y0 - top + part.chunks, x0 - left : x1 - left + 1] = rows[name]
        out[name] = image
    return out


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    return data[at:end].decode(), end + 1
