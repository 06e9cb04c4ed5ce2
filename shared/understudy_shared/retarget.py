"""Puts a performance on any human skeleton onto the 24 joints of the body.

Each joint of the body turns as the joint of the same meaning turns from the performer's rest pose, after the two rest
poses have been laid over each other: as a whole (which way they face and stand) and limb by limb (T-pose against
A-pose). Lengths stay the body's; the path is scaled by the length of the legs and anchored between the hips, so that
feet stay near the ground.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from understudy_shared.body import JOINT_NAMES, PARENTS, Y_UP_TO_Z_UP, BodyModel
from understudy_shared.motion import MotionClip
from understudy_shared.rotations import (
    axis_angle_from_matrix,
    matrix_from_quaternion,
    quaternion_from_matrix,
    rotation_between,
    slerp,
)

Doubles = NDArray[np.float64]


class RetargetError(ValueError):
    """The skeleton is not one that the body can follow; one line says what is missing."""

    def __init__(self, message: str, missing: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.missing = missing
        """Joints of the body that were not found."""


@dataclass(frozen=True, eq=False)
class Skeleton:
    """N named joints at rest, all their rotations being identity there."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    """Parent of each joint, before it in the list; -1 for the root."""
    rest: Doubles
    """(N, 3) positions, any unit."""


@dataclass(frozen=True, eq=False)
class Performance:
    """T frames of a skeleton, in its own world."""

    skeleton: Skeleton
    rotations: Doubles
    """(T, N, 3, 3) from rest, in the world."""
    positions: Doubles
    """(T, N, 3)."""


_SIDED: dict[str, tuple[str, ...]] = {
    "shoulder": ("arm", "uparm", "upperarm", "shldr", "shldrbend", "shoulder"),
    "elbow": ("elbow", "forearm", "lowerarm", "lowarm", "forearmbend"),
    "wrist": ("wrist", "hand"),
    "collar": ("collar", "clavicle", "collarbone", "shoulder"),
    "hand": ("hand", "palm"),
    "hip": ("upleg", "upperleg", "thigh", "thighbend", "hip"),
    "knee": ("knee", "leg", "lowleg", "lowerleg", "shin", "calf"),
    "ankle": ("ankle", "foot"),
    "foot": ("toebase", "toe", "toes", "ball", "foot"),
}
"""Our joint to what others call it, best first; a name taken by an earlier joint is not taken again: a `shoulder` is
the upper arm where there is no `arm` (SMPL), and the collar where there is one (CMU, Mixamo). Rigify numbers its spine
from the hips to the head."""
_MIDDLE: dict[str, tuple[str, ...]] = {
    "pelvis": ("hips", "hip", "pelvis", "spine"),
    "neck": ("neck", "neck1", "neck01", "necklower", "spine004"),
    "head": ("head", "spine006"),
}
_OPTIONAL = {"collar", "hand", "wrist", "foot"}
_PREFIXES = {
    "mixamorig", "bip", "biped", "def", "org", "character", "actor", "jt", "j", "b", "c", "cc", "base", "avg", "m", "f",
}  # fmt: skip
"""Words before a name that say nothing, numbered or not: "Bip01 Pelvis", "J_Bip_C_Hips" (VRM), "m_avg_Pelvis"."""
_SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}

_TOWARDS = {
    "hip": "knee", "knee": "ankle", "ankle": "foot", "shoulder": "elbow", "elbow": "wrist"
}  # fmt: skip
"""Joints whose bone is laid over the performer's at rest, and the joint at its other end."""


def find_joints(skeleton: Skeleton, names: Mapping[str, str] | None = None) -> dict[str, int]:
    """The body's joints (spine excepted) to indices of the skeleton's.

    Args:
        skeleton: whose joints they are.
        names: joints of the body to names of the skeleton's, which go before the tables.

    Raises:
        RetargetError: a joint is not found that the body cannot do without.
    """
    given = dict(names or {})
    unknown = [n for n in given if n not in JOINT_NAMES] + [n for n in given.values() if n not in skeleton.names]
    if unknown:
        raise RetargetError(f"the joint '{unknown[0]}' of the given names is not there")
    found = {ours: skeleton.names.index(theirs) for ours, theirs in given.items()}
    parts = [_parts(name) for name in skeleton.names]

    def find(ours: str, side: str, words: tuple[str, ...]) -> None:
        if ours not in found:
            taken = set(found.values())
            hits = (parts.index((side, word)) for word in words if (side, word) in parts)
            index = next((i for i in hits if i not in taken), None)
            if index is not None:
                found[ours] = index

    for ours, words in _MIDDLE.items():
        find(ours, "", words)
    for side in ("left", "right"):
        for ours, words in _SIDED.items():
            find(f"{side}_{ours}", side, words)
    needed = ["pelvis", *(f"{s}_{ours}" for s in ("left", "right") for ours in _SIDED if ours not in _OPTIONAL)]
    missing = [name for name in needed if name not in found]
    if missing:
        raise RetargetError(
            f"no joint is found for {', '.join(missing)}; say which they are with the option names", tuple(missing)
        )
    return found


def retarget(
    performance: Performance,
    body: BodyModel,
    fps: float,
    *,
    up: Literal["auto", "y", "z"] = "auto",
    names: Mapping[str, str] | None = None,
    betas: NDArray[np.floating] | None = None,
) -> MotionClip:
    """The performance on `body`, in a world with Z up.

    Args:
        performance: at most one person.
        body: who wears it.
        fps: frames per second of the performance.
        up: its up axis; "auto" is Y, unless the performer stands along Z.
        names: as in `find_joints`.
        betas: (B,) shape of the wearer; the mean one by default.

    Raises:
        RetargetError: joints are missing, or legs have no length.
    """
    skeleton, found = performance.skeleton, find_joints(performance.skeleton, names)
    facing = _rest_frame(skeleton.rest, found)
    standing = performance.rotations[:, found["pelvis"]] @ facing[:, 1]
    if up == "auto":
        mean = standing.mean(0)
        up = "z" if mean[2] > 0.5 and mean[2] > mean[1] else "y"
    world = Y_UP_TO_Z_UP if up == "y" else np.eye(3)

    shape = np.zeros(body.num_betas, np.float32) if betas is None else np.asarray(betas, np.float32)
    rest = body.joints(shape).astype(np.float64)
    turns = world @ _joint_rotations(performance, found, rest, facing)
    local = turns.copy()
    local[:, 1:] = turns[:, list(PARENTS[1:])].transpose(0, 1, 3, 2) @ turns[:, 1:]
    pose = axis_angle_from_matrix(local).astype(np.float32)

    index = {name: i for i, name in enumerate(JOINT_NAMES)}
    ours = _leg_length(rest, index)
    theirs = _leg_length(skeleton.rest, found)
    if theirs < 1e-9:
        raise RetargetError("its legs have no length at rest, so that its unit is unknown")
    between_hips = performance.positions[:, [found["left_hip"], found["right_hip"]]].mean(1)
    below_pelvis = rest[[index["left_hip"], index["right_hip"]]].mean(0) - rest[0]
    transl = (ours / theirs) * between_hips @ world.T - turns[:, 0] @ below_pelvis - rest[0]
    return MotionClip(pose[:, 0], pose[:, 1:], transl.astype(np.float32), shape, fps)


def _parts(name: str) -> tuple[str, str]:
    """("left", "upleg") of "mixamorig:LeftUpLeg", "upleg_l", "Bip01 L UpLeg"; the side is "" in the middle."""
    last = re.split(r"[:|]", name)[-1]
    words = [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", last)]
    while len(words) > 1 and words[0] in _PREFIXES:
        words = words[1:]
        if words[0].isdigit() and len(words) > 1:  # the number of Bip01
            words = words[1:]
    side = next((_SIDES[w] for w in words if w in _SIDES), "")
    word = "".join(w for w in words if w not in _SIDES)
    for prefix in ("left", "right"):  # written in one: "leftarm"
        if not side and word.startswith(prefix) and word != prefix:
            return prefix, word.removeprefix(prefix)
    return side, word


def _path_up(skeleton: Skeleton, joint: int) -> list[int]:
    """The joint and those above it, up to the root."""
    out = []
    while joint >= 0:
        out.append(joint)
        joint = skeleton.parents[joint]
    return out


def _chest(skeleton: Skeleton, found: dict[str, int]) -> int:
    """The joint from which the two arms part."""
    right = set(_path_up(skeleton, found["right_shoulder"]))
    chest = next((j for j in _path_up(skeleton, found["left_shoulder"]) if j in right), None)
    if chest is None:
        raise RetargetError("its arms do not grow from one spine")
    return chest


def _rest_frame(rest: Doubles, found: dict[str, int]) -> Doubles:
    """Rotation (3, 3) of our rest frame (left +X, up +Y, facing +Z) into the skeleton's, by right angles only.

    Right angles, because a pelvis that leans at rest is the performer's build, not the way the file lies in its world.
    """
    hips, arms = (rest[[found[f"left_{n}"], found[f"right_{n}"]]] for n in ("hip", "shoulder"))
    left = hips[0] - hips[1]
    upwards = arms.mean(0) - hips.mean(0)
    x: Doubles = np.zeros(3)
    x[np.argmax(np.abs(left))] = np.sign(left[np.argmax(np.abs(left))])
    upwards = np.where(x != 0, 0, upwards)
    y: Doubles = np.zeros(3)
    y[np.argmax(np.abs(upwards))] = np.sign(upwards[np.argmax(np.abs(upwards))])
    if not (x.any() and y.any()):
        raise RetargetError("its hips or shoulders lie in one point at rest, so that its front is unknown")
    return np.stack([x, y, np.cross(x, y)], -1).astype(np.float64)


def _leg_length(rest: Doubles, joints: Mapping[str, int]) -> float:
    chain = [rest[[joints[f"{side}_{n}"] for side in ("left", "right")]] for n in ("hip", "knee", "ankle")]
    return float(np.mean([np.linalg.norm(b - a, axis=-1).mean() for a, b in pairwise(chain)]) * 2)


def _joint_rotations(performance: Performance, found: dict[str, int], rest: Doubles, facing: Doubles) -> Doubles:
    """World rotations (T, 24, 3, 3) from our rest, in the performer's world."""
    skeleton, turned = performance.skeleton, performance.rotations
    out = np.zeros((len(turned), 24, 3, 3))
    lay: dict[str, Doubles] = {}  # what lays our bone over theirs at rest, handed down the limb
    spine = _spine(performance, found)
    for j, name in enumerate(JOINT_NAMES):
        if name in spine:
            out[:, j] = spine[name] @ facing
            continue
        side, _, part = name.rpartition("_")
        above = JOINT_NAMES[PARENTS[j]]
        lay[name] = lay.get(above, np.eye(3))
        end = f"{side}_{_TOWARDS[part]}" if part in _TOWARDS else ""
        if end in found and name in found:
            ours = facing @ (rest[JOINT_NAMES.index(end)] - rest[j])
            theirs = skeleton.rest[found[end]] - skeleton.rest[found[name]]
            if part == "ankle":  # only where toes point counts: how high an ankle sits is the build of the foot
                ours, theirs = (d - facing[:, 1] * (facing[:, 1] @ d) for d in (ours, theirs))
            if np.linalg.norm(theirs) > 1e-9 * (1 + np.abs(skeleton.rest).max()):
                lay[name] = rotation_between(ours, theirs)
        out[:, j] = turned[:, found[name]] @ lay[name] @ facing if name in found else out[:, PARENTS[j]]
    return out


def _spine(performance: Performance, found: dict[str, int]) -> dict[str, Doubles]:
    """World rotations (T, 3, 3) of pelvis, three spine joints, neck and head, spread over however many theirs has."""
    skeleton = performance.skeleton
    chest = _chest(skeleton, found)
    path = _path_up(skeleton, chest)
    pelvis = found["pelvis"]
    chain = path[: path.index(pelvis) + 1][::-1] if pelvis in path else [pelvis, chest]
    quaternions = quaternion_from_matrix(performance.rotations[:, chain])
    out = {"pelvis": performance.rotations[:, pelvis]}
    for k in (1, 2, 3):
        at = k / 3 * (len(chain) - 1)
        low = min(int(at + 1e-9), len(chain) - 1)
        high = min(low + 1, len(chain) - 1)
        share = np.full(len(quaternions), max(at - low, 0.0))
        out[f"spine{k}"] = matrix_from_quaternion(slerp(quaternions[:, low], quaternions[:, high], share))
    head = performance.rotations[:, found.get("head", found.get("neck", chest))]
    out["head"] = head
    if "neck" in found:
        out["neck"] = performance.rotations[:, found["neck"]]
    else:
        middle = np.full(len(head), 0.5)
        ends = quaternion_from_matrix(performance.rotations[:, chest]), quaternion_from_matrix(head)
        out["neck"] = matrix_from_quaternion(slerp(*ends, middle))
    return out
