# SPDX-License-Identifier: GPL-3.0-or-later
"""Everybody in a motion file of any kind, ours or Blender's.

What was read last is kept, so that changing an option after an import does not read the file again.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from understudy_shared.body import free_body
from understudy_shared.formats import detect
from understudy_shared.formats.reading import existing
from understudy_shared.motion import MotionClip

from . import foreign

EXTENSIONS = tuple(sorted({*foreign.EXTENSIONS, *(e for f in detect.MOTION_FORMATS for e in f.extensions)}))
"""Endings of the files that can be read, in lower case."""


def read_people(
    path: str | Path,
    betas: tuple[float, ...],
    scene_fps: float,
    fps: float | None = None,
    up: Literal["auto", "y", "z"] = "auto",
) -> tuple[MotionClip, ...]:
    """Everybody in a file, those who are seen longest first.

    Args:
        path: of the file.
        betas: shape of the body that wears the motion.
        scene_fps: of the scene, for files that do not say how their motion was sampled.
        fps: frames per second, where the file does not say or is wrong.
        up: the file's up axis, where the format does not define it.

    Raises:
        ValueError: not a motion, with what to do.
    """
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise ValueError("The frame rate of the file must be a positive number")
    path = existing(path)
    stat = path.stat()
    if path.suffix.lower() in foreign.EXTENSIONS:
        people = _foreign(path, stat.st_mtime_ns, stat.st_size, betas, scene_fps)
        return people if fps is None else tuple(replace(clip, fps=fps) for clip in people)
    return _ours(path, stat.st_mtime_ns, stat.st_size, fps, up)


@lru_cache(maxsize=2)
def _ours(path: Path, _: int, __: int, fps: float | None, up: str) -> tuple[MotionClip, ...]:
    return tuple(detect.load_tracks(path, free_body(), fps=fps, up=up))


@lru_cache(maxsize=2)
def _foreign(path: Path, _: int, __: int, betas: tuple[float, ...], scene_fps: float) -> tuple[MotionClip, ...]:
    return tuple(foreign.load_people(path, free_body(), np.array(betas, np.float32), scene_fps))
