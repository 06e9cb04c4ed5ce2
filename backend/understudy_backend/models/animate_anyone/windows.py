"""Sliding windows: a clip of any length through a network that sees a few frames at a time."""

from __future__ import annotations

import math

import msgspec


class Windows(msgspec.Struct, frozen=True):
    """Which frames are denoised together; the defaults are the published ones."""

    frames: int = 24
    """Length of a window."""
    stride: int = 1
    """With more than 1, there are also windows that take every second frame, every fourth, ... up to 2^(stride - 1)."""
    overlap: int = 4
    """Frames that a window shares with the next."""
    closed: bool = True
    """Whether the last windows wrap round to the first frames."""

    def __post_init__(self) -> None:
        if not (self.frames >= 1 and self.stride >= 1 and 0 <= self.overlap < self.frames):
            raise ValueError("a window needs a length and a stride of at least 1, and an overlap below its length")


def windows_of(count: int, windows: Windows | None = None, step: int = 0) -> list[list[int]]:
    """The windows over a clip of `count` frames, each a list of frame indices.

    A clip no longer than a window is one window. The published pipelines ask for step 0 at every denoising step;
    another step shifts the windows.
    """
    w = windows or Windows()
    if count <= w.frames:
        return [list(range(count))]
    strides = min(w.stride, math.ceil(math.log2(count / w.frames)) + 1)
    phase = _halving(step)
    out = []
    for level in range(strides):
        apart = 2**level
        pad = round(count * phase)
        start, stop = int(phase * apart) + pad, count + pad - (0 if w.closed else w.overlap)
        out += [
            [index % count for index in range(first, first + w.frames * apart, apart)]
            for first in range(start, stop, w.frames * apart - w.overlap)
        ]
    return out


def coverage(windows: list[list[int]], count: int) -> list[int]:
    """How many windows see each frame."""
    seen = [0] * count
    for window in windows:
        for index in window:
            seen[index] += 1
    return seen


def _halving(step: int) -> float:
    """The 64 bits of a number, reversed, as a fraction: 0, 1/2, 1/4, 3/4, 1/8, ..."""
    return int(f"{step:064b}"[::-1], 2) / 2**64
