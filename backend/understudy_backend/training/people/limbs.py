"""How far trunk, legs and arms reach from an axis of their own, in every direction: what cloth hangs around.

All of it for the rest pose of the mean body, from tables made once; metres and radians.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, map_coordinates

from understudy_backend.training.people.surface import TORSO_DEPTH, vertex_surface

Floats = NDArray[np.floating]
Limb = Literal["trunk", "leg", "arm"]
COLUMNS = 96
ARM_AXIS = (0.144, 0.07)
"""y and z of the arms' axis."""


@dataclass(frozen=True, eq=False)
class Reach:
    """Distances from an axis."""

    along: Floats
    """(R,) metres, rising: y of trunk and leg, |x| of an arm."""
    radius: Floats
    """(R, COLUMNS) at angles from -pi to pi."""

    def at(self, along: Floats, theta: Floats) -> Floats:
        """Metres (M, N) at `along` (M,) and angles (N,)."""
        row = (np.asarray(along) - self.along[0]) / (self.along[-1] - self.along[0]) * (len(self.along) - 1)
        column = ((np.asarray(theta) + np.pi) / (2 * np.pi) % 1.0) * (COLUMNS - 1)
        return map_coordinates(self.radius, np.broadcast_arrays(row[:, None], column[None]), order=1, mode="nearest")


def leg_axis(y: Floats) -> tuple[Floats, Floats]:
    """|x| and z of a leg's axis at heights `y`."""
    return np.interp(-y, [0.4, 0.72, 1.12], [0.105, 0.132, 0.128]), np.interp(-y, [0.4, 0.72, 1.12], [0.05, 0.05, 0.03])


def place(limb: Limb, side: int, along: Floats, theta: Floats, radius: Floats) -> Floats:
    """Points (M, N, 3) at `radius` (M, N) around a limb; `side` is 1 for the body's left, -1 for its right."""
    sin, cos = np.sin(theta)[None], np.cos(theta)[None]
    if limb == "arm":
        y, z = ARM_AXIS[0] + radius * sin, ARM_AXIS[1] + radius * cos
        return np.stack([np.broadcast_to(side * along[:, None], radius.shape), y, z], -1)
    x, z = leg_axis(along) if limb == "leg" else (np.zeros_like(along), np.full_like(along, TORSO_DEPTH))
    y = np.broadcast_to(along[:, None], radius.shape)
    return np.stack([side * x[:, None] + radius * sin, y, z[:, None] + radius * cos], -1)


@cache
def reach(limb: Limb) -> Reach:
    """The table of a limb: its convex hull at most heights, less where the body is hollow."""
    s = vertex_surface()
    x, y, z = s.position.T
    if limb == "arm":
        keep = (s.arm > -0.1) & (x > 0) & (s.hand < 0.5)
        along, across, ahead, knots = x, y - ARM_AXIS[0], z - ARM_AXIS[1], np.linspace(0.17, 0.68, 40)
    elif limb == "leg":
        keep = (x > 0.005) & (s.hand < 0.05) & (y < -0.3) & (s.arm < -0.02)
        axis_x, axis_z = leg_axis(y)
        along, across, ahead, knots = y, x - axis_x, z - axis_z, np.linspace(-1.2, -0.3, 64)
        keep &= ~((y < -1.1) & (z > 0.1))  # the foot is no part of the leg
    else:
        keep = (s.arm < -0.02) & (s.hand < 0.05)
        along, across, ahead, knots = y, x, z - TORSO_DEPTH, np.linspace(-1.2, 0.15, 96)
    along, across, ahead = along[keep], across[keep], ahead[keep]
    angle, r = np.arctan2(across, ahead), np.hypot(across, ahead)
    theta = np.linspace(-np.pi, np.pi, COLUMNS)
    out = np.zeros((len(knots), COLUMNS))
    for i, knot in enumerate(knots):
        near = np.abs(along - knot) < 0.025
        gap = np.cos(theta[:, None] - angle[near][None])
        support = np.max(r[near][None] * gap, axis=1)  # the farthest point that supports the hull
        direct = np.max(np.where(gap > 0.96, r[near][None], 0), axis=1, initial=0.0)
        out[i] = np.maximum(0.5 * support + 0.5 * direct, 0.9 * support)
    out[:, :-1] = convolve1d(out[:, :-1], np.ones(7) / 7, axis=1, mode="wrap")
    out[:, -1] = out[:, 0]
    return Reach(knots, out)
