# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture in place of a frame that is not there: dark, with a magenta cross if it is missing, three dots if it is
still to come, and the frame's number where few are missing. Nobody takes it for a frame, and nobody overlooks it.

A file name without a file would show as magenta too in Blender 4.5 and 5.0, but crashes 5.2 as soon as the sequencer is
rendered.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..link.names import placeholder_name, placeholder_of
from ..link.png import assemble, write_atomically

PALETTE = ((26, 26, 28), (255, 0, 255), (150, 150, 155))
"""Ground, cross and number, sRGB."""

# Five rows of three dots for each character, top row first.
_DIGITS = {
    "0": ("111", "101", "101", "101", "111"),
    "1": ("010", "110", "010", "010", "111"),
    "2": ("111", "001", "111", "100", "111"),
    "3": ("111", "001", "011", "001", "111"),
    "4": ("101", "101", "111", "001", "001"),
    "5": ("111", "100", "111", "001", "111"),
    "6": ("111", "100", "111", "101", "111"),
    "7": ("111", "001", "010", "010", "010"),
    "8": ("111", "101", "111", "101", "111"),
    "9": ("111", "101", "111", "001", "111"),
    "-": ("000", "000", "111", "000", "000"),
    ".": ("000", "000", "010", "000", "000"),
    " ": ("0", "0", "0", "0", "0"),
}


PENDING = placeholder_name("pending")
"""Name within a take's folder of the picture for frames that are still to come."""


def missing(number: int | None) -> str:
    """Name within a take's folder of the picture for a missing frame; without a number it serves for any."""
    return placeholder_name("missing", number)


def ensure(folder: Path, size: tuple[int, int], names: Iterable[str]) -> None:
    """Makes the placeholders among these names of pictures, where they are not there yet.

    Args:
        folder: the take's.
        size: (width, height) in pixels of the take's frames.
        names: of the strip's pictures.

    Raises:
        OSError: one cannot be written.
    """
    for name in dict.fromkeys(names):
        found = placeholder_of(name)
        if found is not None and not (folder / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / name, _encode(draw(found[0], size, found[1])))


def draw(kind: str, size: tuple[int, int], number: int | None = None) -> NDArray[np.uint8]:
    """The picture as indices into `PALETTE`, (H, W) uint8.

    Args:
        kind: "missing" (it was not made, or is gone) or "pending" (it is being made).
        size: (width, height) in pixels.
        number: of the frame, if it is to be shown.
    """
    width, height = size
    image = np.zeros((height, width), np.uint8)
    if kind == "missing":
        x = np.linspace(0, 1, width, dtype=np.float32) if width > 1 else np.zeros(1, np.float32)
        y = np.linspace(0, 1, height, dtype=np.float32)[:, None] if height > 1 else np.zeros((1, 1), np.float32)
        image[np.minimum(abs(x - y), abs(x + y - 1)) * min(width, height) <= max(min(width, height) / 100, 0.5)] = 1
    text = "..." if kind == "pending" else "" if number is None else str(number)
    if not text:
        return image
    dots = np.hstack([np.array([list(row) for row in _DIGITS[c]], np.uint8) for c in _spaced(text)])
    dots = np.pad(dots, 1)  # a rim, so that the cross does not run into it
    scale = min(height // 4 // dots.shape[0], width // 2 // dots.shape[1])
    if scale >= 1:
        sign = np.where(np.kron(dots, np.ones((scale, scale), np.uint8)), np.uint8(2), np.uint8(0))
        top, left = (height - sign.shape[0]) // 2, (width - sign.shape[1]) // 2
        image[top : top + sign.shape[0], left : left + sign.shape[1]] = sign
    return image


def _spaced(text: str) -> list[str]:
    """The characters with gaps between them."""
    return [part for character in text for part in (character, " ")][:-1]


def _encode(image: NDArray[np.uint8]) -> bytes:
    """A PNG of four colours: a few kilobytes in a millisecond, whatever the size."""
    height, width = image.shape
    padded = np.zeros((height, -(-width // 4) * 4), np.uint8)
    padded[:, :width] = image
    rows = np.zeros((height, 1 + padded.shape[1] // 4), np.uint8)
    rows[:, 1:] = padded[:, 0::4] << 6 | padded[:, 1::4] << 4 | padded[:, 2::4] << 2 | padded[:, 3::4]
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 2, 3, 0, 0, 0)),
        (b"sRGB", b"\0"),
        (b"PLTE", bytes(value for colour in PALETTE for value in colour)),
        (b"IDAT", zlib.compress(rows, 1)),
        (b"IEND", b""),
    )
    return assemble(chunks)
