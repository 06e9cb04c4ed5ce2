"""Names with a number in them: their order, and which of them are missing."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from understudy_shared.camera import CameraTrajectory, Doubles
from understudy_shared.formats.camera_file import MAX_FRAMES
from understudy_shared.formats.reading import FormatError

_DIGITS = re.compile(r"([0-9]+)")


def natural(name: str) -> list[str]:
    """A sort key in which frame_10 comes after frame_9."""
    return [part.lstrip("0").zfill(24) if i % 2 else part for i, part in enumerate(_DIGITS.split(name))]


def unique(path: Path | str, names: Sequence[str]) -> None:
    """Refuses names that stand there twice.

    Raises:
        FormatError: one does.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise FormatError(path, f"'{name[-60:]}' stands there twice; remove one of the two")
        seen.add(name)


def positions(names: Sequence[str]) -> Doubles | None:
    """Where names (T,) that differ in one growing number stand in their sequence: (T,), whole, 0 for the first.

    Every tenth picture of a video is a sequence without gaps: the step is the largest that reaches all of them. None
    if they are no such names.
    """
    parts = [_DIGITS.split(name) for name in names]
    if len(names) < 2 or len({len(part) for part in parts}) > 1:
        return None
    differing = [i for i in range(len(parts[0])) if len({part[i] for part in parts}) > 1]
    if len(differing) != 1 or not differing[0] % 2:
        return None
    numbers = [int(part[differing[0]][-15:]) for part in parts]
    steps = np.diff(np.array(numbers, np.int64))
    if not (steps > 0).all():
        return None
    return (np.array(numbers, np.float64) - numbers[0]) / math.gcd(*steps.tolist())


def mend(camera: CameraTrajectory, at: Doubles | None, fill: bool) -> CameraTrajectory:
    """Adds a note if frames of a sequence have no camera, and with `fill` puts in what lies between their neighbours.

    Args:
        camera: T frames.
        at: (T,) whole numbers, growing from 0: where they stand in the sequence; None: nobody knows.
        fill: makes the frames that are missing.
    """
    if at is None or round(at[-1]) + 1 <= len(at):
        return camera
    total = round(at[-1]) + 1
    missing = total - len(at)
    if fill and total <= MAX_FRAMES:
        note = f"{missing} of {total} frames had no camera and were filled in between their neighbours"
        camera = camera.at(np.interp(np.arange(total), at, np.arange(len(at))))
    else:
        note = f"{missing} of {total} frames have no camera; they are left out, so the camera moves faster there"
    return replace(camera, notes=(*camera.notes, note))
