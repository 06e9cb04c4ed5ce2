"""What poses a standing person's joints are likely to take, as plain quadratic costs."""

from __future__ import annotations

import torch
from torch import Tensor
from understudy_shared.body import JOINT_NAMES

STIFFNESS: dict[str, float] = {
    "hip": 0.05, "knee": 0.05, "ankle": 1.0, "foot": 20.0, "spine": 3.0, "neck": 1.0, "head": 1.0, "collar": 4.0,
    "shoulder": 0.05, "elbow": 0.05, "wrist": 2.0, "hand": 20.0,
}  # fmt: skip
"""Cost of a squared radian by kind of joint: the trunk bends little, fingers and toes are not seen."""

HINGES: dict[str, tuple[int, float, float]] = {
    "knee": (0, 3.0, 30.0),
    "elbow": (1, 0.5, 30.0),
}
"""Joints that turn about one axis: that axis, the cost of a squared radian about the others, and of bending past
straight. A knee bends about +x; an elbow about y, the left one towards -y and the right one towards +y."""

ARMS_DOWN = 1.15
"""Radians that the rest pose's (T) arms are lowered in the mean pose."""


def mean_pose() -> Tensor:
    """(24, 3) axis-angle of the pose that costs nothing: standing, arms beside the body."""
    pose = torch.zeros(24, 3)
    pose[JOINT_NAMES.index("left_shoulder"), 2] = -ARMS_DOWN
    pose[JOINT_NAMES.index("right_shoulder"), 2] = ARMS_DOWN
    return pose


class PosePrior:
    """The cost of a pose (24, 3), its root not counted, about `centre`."""

    def __init__(self, centre: Tensor) -> None:
        self.centre = centre
        stiffness = torch.zeros(24, 3)
        self._bend_sign = torch.zeros(24, 3)
        self._bend_cost = torch.zeros(24, 3)
        for j, name in enumerate(JOINT_NAMES[1:], 1):
            kind = name.split("_")[-1].rstrip("123")
            stiffness[j] = STIFFNESS[kind]
            if kind in HINGES:
                axis, sideways, backwards = HINGES[kind]
                free = stiffness[j, axis].clone()
                stiffness[j] = sideways
                stiffness[j, axis] = free
                sign = -1.0 if name == "left_elbow" else 1.0
                self._bend_sign[j, axis] = sign
                self._bend_cost[j, axis] = backwards
        self.stiffness = stiffness

    def __call__(self, pose: Tensor) -> Tensor:
        """The cost, a scalar."""
        away = (self.stiffness * (pose - self.centre) ** 2).sum()
        past_straight = (-pose * self._bend_sign).clamp(min=0)
        return away + (self._bend_cost * past_straight**2).sum()
