# SPDX-License-Identifier: GPL-3.0-or-later
"""File names within the folder of a take."""

from __future__ import annotations


def frame_name(number: int) -> str:
    """A finished frame. Blender's frame numbers may be negative."""
    return f"{_digits(number)}.png"


def condition_name(number: int) -> str:
    """What is sent for a frame; removed once the take is complete."""
    return f"conditions/{_digits(number)}.npz"


def input_name(digest: str) -> str:
    """An input (photo, texture) by its digest, so that a take can be resumed without its sources."""
    return f"inputs/{digest[:32]}.npy"


def result_name() -> str:
    """The result of a job without frames."""
    return "result.npz"


def _digits(number: int) -> str:
    return f"{number:06d}" if number >= 0 else f"m{-number:06d}"
