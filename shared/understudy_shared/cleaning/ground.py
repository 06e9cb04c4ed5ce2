"""Puts a motion on the floor, z = 0, by the lowest point of the body's skin: soles, not joints, stand on floors."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from understudy_shared.body import BodyModel, skin
from understudy_shared.motion import MotionClip

How = Literal["lowest", "first", "typical"]
DIRECTIONS = 96
"""Ways down that are tried on every limb."""
POSED_WHOLE = 8
"""Frames that are posed with all of the skin, of those that are lowest without."""


def snap_to_ground(
    clip: MotionClip, body: BodyModel, betas: NDArray[np.floating] | None = None, how: How = "lowest"
) -> MotionClip:
    """The motion moved up or down as a whole, so that the body touches the floor.

    Args:
        clip: any motion.
        body: who wears it.
        betas: (B,) shape of the wearer; the clip's by default.
        how: what comes to z = 0: "lowest" is the lowest point of all frames, so that nothing goes below the floor;
            "first" is that of the first frame; "typical" is the median over frames of the lowest points, which a few
            bad frames cannot lift.

    Raises:
        ValueError: `how` is none of these.
    """
    shape = clip.betas if betas is None else np.asarray(betas, np.float32)
    if how == "first":
        floor = _whole(clip, body, shape, 0)
    elif how == "typical":
        floor = float(np.median(lowest_points(clip, body, shape)))
    elif how == "lowest":
        near = np.argsort(lowest_points(clip, body, shape), kind="stable")[:POSED_WHOLE]
        floor = min(_whole(clip, body, shape, int(row)) for row in near)
    else:
        raise ValueError("the body is put on the floor by its 'lowest', 'first' or 'typical' point")
    transl = clip.transl.copy()
    transl[:, 2] -= floor
    return replace(clip, transl=transl)


def lowest_points(clip: MotionClip, body: BodyModel, betas: NDArray[np.floating]) -> NDArray[np.float64]:
    """Height (T,) in metres of the skin's lowest point in every frame, to about a millimetre.

    Only the outermost vertices of every limb are posed, those that can be lowest whichever way it is turned.
    """
    outer = _outermost(body, betas)
    part = replace(
        body,
        v_template=body.v_template[outer],
        shapedirs=body.shapedirs[outer],
        posedirs=None if body.posedirs is None else body.posedirs[outer],
        weights=body.weights[outer],
    )
    out = np.empty(len(clip))
    for start in range(0, len(clip), 256):  # a few at a time: memory does not grow with the clip
        rows = slice(start, start + 256)
        posed = skin(part, betas, clip.global_orient[rows], clip.body_pose[rows], clip.transl[rows])
        out[rows] = posed[..., 2].min(1)
    return out


def _whole(clip: MotionClip, body: BodyModel, betas: NDArray[np.floating], row: int) -> float:
    """Height of the lowest point of all the skin in one frame."""
    frame = slice(row, row + 1)
    posed = skin(body, betas, clip.global_orient[frame], clip.body_pose[frame], clip.transl[frame])
    return float(posed[..., 2].min())


def _outermost(body: BodyModel, betas: NDArray[np.floating]) -> NDArray[np.int64]:
    """Vertices that are furthest out in one of `DIRECTIONS` among those that a joint moves most."""
    k = np.arange(DIRECTIONS) + 0.5
    up, turn = 1 - 2 * k / DIRECTIONS, np.pi * (1 + np.sqrt(5)) * k  # points evenly over a sphere
    ring = np.sqrt(1 - up * up)
    directions = np.stack([ring * np.cos(turn), up, ring * np.sin(turn)])
    rest, owner = body.shaped(betas), body.weights.argmax(1)
    found = []
    for joint in np.unique(owner):
        members = np.flatnonzero(owner == joint)
        found.append(members[(rest[members] @ directions).argmax(0)])
    return np.unique(np.concatenate(found))
