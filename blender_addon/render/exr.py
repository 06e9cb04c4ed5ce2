# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading multilayer EXR as Blender has just written it, uncompressed, in one part or several, and as we do.

Blender's Python has no EXR library, and its own image loader shows only the first layer. Format:
https://openexr.com/en/latest/OpenEXRFileLayout.html
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .exr_writing import LINES, expand

_MAGIC = 20000630
_MULTI_PART = 0x1000
_HEADER = 1 << 16
"""More bytes than our headers have."""
_NONE, _ZIP = 0, 3
_PIXELS = {0: np.dtype("<u4"), 1: np.dtype("<f2"), 2: np.dtype("<f4")}


@dataclass(frozen=True)
class _Part:
    channels: list[tuple[str, np.dtype]]
    window: tuple[int, int, int, int]
    """x and y of the first and of the last pixel that is stored."""
    display: tuple[int, int, int, int]
    lines: int
    """Scan lines in a chunk: 1 where nothing is compressed."""
    notes: dict[str, str]
    """Attributes that are text."""

    @property
    def height(self) -> int:
        return self.window[3] - self.window[1] + 1

    @property
    def chunks(self) -> int:
        return -(-self.height // self.lines)


def read_exr(path: Path) -> dict[str, NDArray[np.float32]]:
    """All channels of a file by full name ("ViewLayer.Depth.Z"), each (H, W) float32 with its origin at the top left.

    Pixels outside the data window are zero.

    Raises:
        ValueError: it is no EXR, is tiled or compressed in another way than ZIP, or ends early.
    """
    data = path.read_bytes()
    try:
        return _read(data)
    except (struct.error, KeyError, IndexError, ValueError) as error:
        raise _unreadable(path, error) from error


def read_notes(path: Path) -> dict[str, str]:
    """The text in the header of a file's first part, by name. Fast: the picture is not read.

    Raises:
        ValueError: as `read_exr`. OSError: there is no file.
    """
    with path.open("rb") as file:
        data = file.read(_HEADER)
    try:
        _begins(data)
        return _header(data, 8)[0].notes
    except (struct.error, KeyError, IndexError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path.name} is not an EXR file that Understudy can read: {error}")


def _begins(data: bytes) -> bool:
    """Whether the file has several parts."""
    magic, version = struct.unpack_from("<II", data)
    if magic != _MAGIC:
        raise ValueError("it does not begin as one")
    return bool(version & _MULTI_PART)


def _read(data: bytes) -> dict[str, NDArray[np.float32]]:
    many = _begins(data)
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
    notes: dict[str, str] = {}
    while data[at] != 0:
        name, at = _text(data, at)
        kind, at = _text(data, at)
        (size,) = struct.unpack_from("<I", data, at)
        attributes[name] = data[at + 4 : at + 4 + size]
        if kind == "string":
            notes[name] = attributes[name].decode("utf-8", "replace")
        at += 4 + size
    at += 1
    compression = attributes["compression"][0]
    if compression not in (_NONE, _ZIP):
        raise ValueError("it is compressed in another way than ZIP")
    if attributes.get("type", b"scanlineimage") != b"scanlineimage" or "tiles" in attributes:
        raise ValueError("it is tiled or deep")
    prefix = attributes["name"].decode() + "." if "name" in attributes else ""
    window = struct.unpack("<4i", attributes["dataWindow"])
    display = struct.unpack("<4i", attributes["displayWindow"])
    channels = [(prefix + name, dtype) for name, dtype in _channel_list(attributes["channels"])]
    return _Part(channels, window, display, LINES if compression == _ZIP else 1, notes), at


def _channel_list(data: bytes) -> list[tuple[str, np.dtype]]:
    out, at = [], 0
    while data[at] != 0:
        name, at = _text(data, at)
        (kind,) = struct.unpack_from("<i", data, at)
        out.append((name, _PIXELS[kind]))
        at += 16
    return out


def _pixels(data: bytes, part: _Part, offsets: NDArray, head: int) -> dict[str, NDArray[np.float32]]:
    width = part.window[2] - part.window[0] + 1
    line = np.dtype([(name, dtype, (width,)) for name, dtype in part.channels])
    if part.lines > 1:
        return _placed(part, np.concatenate([_chunk(data, part, line, int(o) + head) for o in np.sort(offsets)]))
    start, step = int(offsets.min()), head + line.itemsize
    if start + step * part.chunks > len(data):
        raise ValueError("it ends early")
    # uncompressed lines all have one size; a part's own lie together in 4.5 and 5.x, else they are gathered one by one
    if np.array_equal(np.sort(offsets), start + step * np.arange(part.chunks)):
        block = np.frombuffer(data, np.dtype([("head", f"V{head}"), ("line", line)]), part.chunks, start)["line"]
        rows = block[(np.argsort(np.argsort(offsets)))]
    else:
        rows = np.stack([np.frombuffer(data, line, 1, int(o) + head)[0] for o in offsets])
    return _placed(part, rows)


def _chunk(data: bytes, part: _Part, line: np.dtype, at: int) -> NDArray:
    """The scan lines of a compressed chunk, whose data begin at `at`, after their first line and their size."""
    first, size = struct.unpack_from("<iI", data, at - 8)
    count = min(part.lines, part.window[3] - first + 1)
    if count < 1 or at + size > len(data):
        raise ValueError("it ends early")
    return np.frombuffer(expand(data[at : at + size], count * line.itemsize), line)


def _placed(part: _Part, rows: NDArray) -> dict[str, NDArray[np.float32]]:
    """The stored pixels as whole pictures."""
    x0, y0, x1, _ = part.window
    left, top, right, bottom = part.display
    out = {}
    for name, _ in part.channels:
        image = np.zeros((bottom - top + 1, right - left + 1), np.float32)
        image[y0 - top : y0 - top + part.height, x0 - left : x1 - left + 1] = rows[name]
        out[name] = image
    return out


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    return data[at:end].decode(), end + 1
