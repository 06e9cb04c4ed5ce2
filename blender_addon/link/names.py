# SPDX-License-Identifier: GPL-3.0-or-later
"""File names within the folder of a take."""

from __future__ import annotations

import re

_PLACEHOLDER = re.compile(r"placeholders/([a-z]+)(?:_(m?)(\d+))?\.png")


def frame_name(number: int) -> str:
    """A finished frame. Blender's frame numbers may be negative."""
    return f"{_digits(number)}.png"


def condition_name(number: int) -> str:
    """What is sent for a frame; removed once the take is complete."""
    return f"conditions/{_digits(number)}.npz"


def placeholder_name(kind: str, number: int | None = None) -> str:
    """What the strip shows in place of a frame that is not there. In a folder of its own, where nobody who picks up
    the frames for another program takes it for one."""
    return f"placeholders/{kind}.png" if number is None else f"placeholders/{kind}_{_digits(number)}.png"


def preview_name(number: int) -> str:
    """How a frame looks that is still being made: shown in its place, and as little a frame as a placeholder."""
    return placeholder_name("preview", number)


def placeholder_of(name: str) -> tuple[str, int | None] | None:
    """What `placeholder_name` was given for this name, None for the name of anything else."""
    found = _PLACEHOLDER.fullmatch(name)
    if found is None:
        return None
    kind, minus, digits = found.groups()
    return kind, int(digits) * (-1 if minus else 1) if digits else None


def keys_name() -> str:
    """What each frame of a take was made from."""
    return "frames.json"


def log_name() -> str:
    """What happened to a job, for people."""
    return "log.txt"


def input_name(digest: str) -> str:
    """An input (photo, texture) by its digest, so that a take can be resumed without its sources."""
    return f"inputs/{digest[:32]}.npy"


def result_name() -> str:
    """The result of a job without frames."""
    return "result.npz"


def _digits(number: int) -> str:
    return f"{number:06d}" if number >= 0 else f"m{-number:06d}"
