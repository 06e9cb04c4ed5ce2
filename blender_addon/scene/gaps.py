# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames in which the source did not see the person, shown to the artist: a marker where each such gap begins.

The markers stand in every editor with a time line, the keys of a gap have colours of their own in the dope sheet. Only
markers that are still as we made them are taken away again: one that was moved or renamed is the artist's.
"""

from __future__ import annotations

import numpy as np
from bpy.types import Object, Scene
from numpy.typing import NDArray
from understudy_shared.cleaning.gaps import find_gaps
from understudy_shared.motion import MotionClip

MARKERS = "understudy_gap_markers"
"""Custom property of the armature object: name and frame of each of its markers."""
MOST = 50
"""Markers per body; of more gaps than that, the longest are marked."""


def show_gaps(
    scene: Scene, armature: Object, clip: MotionClip, times: NDArray[np.float64], filled: NDArray[np.bool_]
) -> int:
    """Marks the gaps of a body's motion, in place of the marks that it had.

    Args:
        scene: whose time line.
        armature: of the body.
        clip: its motion.
        times: (T,) scene frames of the samples.
        filled: (T,) which frames of gaps have got a pose of their own.

    Returns:
        How many gaps there are.
    """
    clear_gaps(scene, armature)
    gaps = find_gaps(clip)
    made = []
    for first, last in sorted(sorted(gaps, key=lambda gap: gap[0] - gap[1])[:MOST]):
        a, b = round(times[first]), round(times[last])
        what = "filled" if filled[first : last + 1].all() else "no data"
        whose = f" ({clip.track_id})" if clip.track_id else ""
        made.append(scene.timeline_markers.new(f"{what} {a}-{b}{whose}" if b > a else f"{what} {a}{whose}", frame=a))
    if made:
        armature[MARKERS] = [f"{marker.frame} {marker.name}" for marker in made]
    return len(gaps)


def clear_gaps(scene: Scene, armature: Object) -> None:
    """Takes a body's marks away."""
    ours = set(armature.get(MARKERS, ()))
    for marker in list(scene.timeline_markers):
        if f"{marker.frame} {marker.name}" in ours:
            scene.timeline_markers.remove(marker)
    if MARKERS in armature:
        del armature[MARKERS]
