# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing multilayer EXR: scan lines in one part, ZIP compressed, as Blender, Nuke and the like read it.

Blender saves only its own renders as multilayer EXR. This writes any arrays, and needs no main thread. Format:
https://openexr.com/en/latest/OpenEXRFileLayout.html
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

LINES = 16
"""Scan lines that ZIP compresses together."""

_LEVEL = 2
"""Of zlib: half as fast as 1 and a tenth smaller for pictures; 6 takes three times as long for another twentieth."""

_PIXEL_TYPES = {"f2": 1, "f4": 2}


def exr_bytes(channels: Mapping[str, NDArray[np.floating]], notes: Mapping[str, str] | None = None) -> bytes:
    """A multilayer EXR file.

    Args:
        channels: (H, W) float16 or float32, top row first, by full name ("Layer.Pass.R"). All have one size.
        notes: text that is kept in the header under these names.

    Raises:
        ValueError: no channels, of several sizes, or of another type.
    """
    names = sorted(channels)  # the order that the format asks for
    shapes = {channels[name].shape for name in names}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 2 or 0 in shape:
        raise ValueError("an EXR needs channels of one size")
    planes = [np.ascontiguousarray(channels[name]) for name in names]
    kinds = [plane.dtype.newbyteorder("<").str[1:] for plane in planes]
    if unknown := [name for name, kind in zip(names, kinds, strict=True) if kind not in _PIXEL_TYPES]:
        raise ValueError(f"an EXR needs float16 or float32, which {unknown[0]} is not")
    height, width = shape
    head = _header(names, kinds, width, height, notes or {})
    rows = np.concatenate([plane.astype(plane.dtype.newbyteorder("<")).view(np.uint8) for plane in planes], axis=1)
    blocks = []
    for top in range(0, height, LINES):
        packed = compress(rows[top : top + LINES].tobytes())
        blocks.append(struct.pack("<iI", top, len(packed)) + packed)
    offset = len(head) + 8 * len(blocks)
    table = []
    for block in blocks:
        table.append(offset)
        offset += len(block)
    return b"".join([head, struct.pack(f"<{len(table)}Q", *table), *blocks])


def compress(raw: bytes) -> bytes:
    """EXR's ZIP: bytes of even and of odd places apart, each as its difference from the one before, deflated; as they
    are where that is not smaller."""
    data = np.frombuffer(raw, np.uint8)
    apart = np.concatenate([data[0::2], data[1::2]])
    steps = apart.copy()
    steps[1:] = apart[1:] - apart[:-1] + np.uint8(128)  # wraps, as it should
    packed = zlib.compress(steps.tobytes(), _LEVEL)
    return packed if len(packed) < len(raw) else raw


def expand(packed: bytes, size: int) -> bytes:
    """The reverse of `compress`.

    Args:
        packed: what it gave.
        size: bytes of the result.

    Raises:
        ValueError: it is damaged.
    """
    if len(packed) == size:
        return packed
    try:
        steps = np.frombuffer(zlib.decompress(packed), np.uint8)
    except zlib.error as error:
        raise ValueError("it is damaged") from error
    if len(steps) != size:
        raise ValueError("it is damaged")
    shifted = steps.copy()
    shifted[1:] -= np.uint8(128)
    apart = np.cumsum(shifted, dtype=np.uint8)
    out = np.empty(size, np.uint8)
    half = (size + 1) // 2
    out[0::2], out[1::2] = apart[:half], apart[half:]
    return out.tobytes()


def _header(names: list[str], kinds: list[str], width: int, height: int, notes: Mapping[str, str]) -> bytes:
    entries = b"".join(
        name.encode() + b"\0" + struct.pack("<iB3xii", _PIXEL_TYPES[kind], 0, 1, 1)
        for name, kind in zip(names, kinds, strict=True)
    )
    box = struct.pack("<4i", 0, 0, width - 1, height - 1)
    attributes: list[tuple[str, str, bytes]] = [
        ("channels", "chlist", entries + b"\0"),
        ("compression", "compression", b"\x03"),
        ("dataWindow", "box2i", box),
        ("displayWindow", "box2i", box),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)),
    ]
    attributes += [(name, "string", text.encode()) for name, text in notes.items()]
    long_names = 0x400 if any(len(name.encode()) > 31 for name in names) else 0
    out = struct.pack("<II", 20000630, 2 | long_names)
    for name, kind, value in attributes:
        out += name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<I", len(value)) + value
    return out + b"\0"
