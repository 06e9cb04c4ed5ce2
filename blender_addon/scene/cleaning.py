# SPDX-License-Identifier: GPL-3.0-or-later
"""Repairs of a motion in the order in which they must be made, for import and for keys that are there already."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import BodyModel
from understudy_shared.cleaning.feet import lock_feet
from understudy_shared.cleaning.gaps import fill_gaps, find_gaps
from understudy_shared.cleaning.smoothing import smooth
from understudy_shared.motion import MotionClip


@dataclass(frozen=True)
class Repairs:
    """What is asked for."""

    fill_gaps: bool = False
    """Bridge frames in which the source did not see the person."""
    longest_gap: float = 1.0
    """Seconds; longer gaps stay."""
    smooth: float = 0.0
    """0 to 1."""
    foot_lock: bool = False
    """Feet that stand do not slide."""


def repair(
    clip: MotionClip, body: BodyModel, betas: NDArray[np.floating], repairs: Repairs
) -> tuple[MotionClip, NDArray[np.bool_]]:
    """The clip after the repairs, and which of its frames (T,) have been filled just now.

    Raises:
        ValueError: an amount is out of its range.
    """
    filled = np.zeros(len(clip), np.bool_)
    if repairs.fill_gaps:
        clip = fill_gaps(clip, repairs.longest_gap)
        for first, last in find_gaps(clip):
            inside = first > 0 and last < len(clip) - 1
            filled[first : last + 1] = inside and last - first + 1 <= repairs.longest_gap * clip.fps + 1e-6
    if repairs.smooth:
        clip = smooth(clip, repairs.smooth)
    if repairs.foot_lock:  # after smoothing, which would set the feet free again
        clip = lock_feet(clip, body, betas)
    return clip, filled
