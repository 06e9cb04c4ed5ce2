"""Foot lock: a foot that stands stays where it stands.

The ball of the foot (SMPL's "foot" joint) is what a body stands and turns on, so it is what is pinned; the heel may
lift and land. Where the ball is low and slow it is in contact. There it is held in one place, and in the moments before
and after the correction fades, so that nothing pops. The leg follows by its two bones: the knee bends about its own
hinge until the hip is as far from the ankle as it must be, the hip turns the leg onto the place, and the ankle turns
back, so that the sole lies as it lay.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from understudy_shared.body import JOINT_NAMES, BodyModel, joint_transforms
from understudy_shared.motion import MotionClip
from understudy_shared.rotations import axis_angle_from_matrix, matrix_from_axis_angle, matrix_from_quaternion

Doubles = NDArray[np.float64]
Spans = list[tuple[int, int]]

SIDES = ("left", "right")
SHORTEST = 0.1
"""Seconds: a shorter contact is none, and a shorter break in one is no step."""


def find_contacts(
    clip: MotionClip,
    body: BodyModel,
    betas: NDArray[np.floating] | None = None,
    *,
    height: float = 0.06,
    speed: float = 0.35,
) -> dict[str, Spans]:
    """First and last frame of every contact of the "left" and the "right" foot with a level floor.

    Args:
        clip: any motion.
        body: who wears it.
        betas: (B,) shape of the wearer; the clip's by default.
        height: metres above its lowest that the ball of a foot may be; the lowest is taken without the lowest 2 % of
            frames, so that a few bad ones do not count.
        speed: metres per second, below which a foot stands.
    """
    places = _world(clip, body, betas)[..., :3, 3]
    balls = places[:, [JOINT_NAMES.index(f"{side}_foot") for side in SIDES]]
    floor = np.percentile(balls[..., 2], 2)
    out = {}
    for i, side in enumerate(SIDES):
        standing = (_speeds(balls[:, i], clip.fps) < speed) & (balls[:, i, 2] < floor + height)
        shortest = max(2, round(SHORTEST * clip.fps))
        out[side] = _long(_joined(_spans(standing), shortest), shortest)
    return out


def lock_feet(
    clip: MotionClip,
    body: BodyModel,
    betas: NDArray[np.floating] | None = None,
    *,
    contacts: dict[str, Spans] | None = None,
    blend: float = 0.15,
    height: float = 0.06,
    speed: float = 0.35,
) -> MotionClip:
    """The motion with feet that do not slide while they stand.

    Args:
        clip: any motion.
        body: who wears it.
        betas: (B,) shape of the wearer; the clip's by default.
        contacts: as `find_contacts` gives them, by default found with `height` and `speed`.
        blend: seconds over which a correction fades in and out.
        height: see `find_contacts`.
        speed: see `find_contacts`.

    Where a leg is too short to reach, it is straight and the foot comes as near as it can.

    Raises:
        ValueError: `blend` is negative.
    """
    if not blend >= 0:
        raise ValueError("the time over which a foot lock fades must be 0 seconds or more")
    if contacts is None:
        contacts = find_contacts(clip, body, betas, height=height, speed=speed)
    world = _world(clip, body, betas)
    pose = clip.pose.copy()
    for side, spans in contacts.items():
        ball = world[:, JOINT_NAMES.index(f"{side}_foot"), :3, 3]
        moved = _corrections(ball, spans, max(1, round(blend * clip.fps)))
        rows = np.flatnonzero(np.abs(moved).max(1) > 1e-7)
        if len(rows):
            _move_foot(pose, world, side, rows, moved[rows])
    return replace(clip, global_orient=pose[:, 0], body_pose=pose[:, 1:])


def _world(clip: MotionClip, body: BodyModel, betas: NDArray[np.floating] | None) -> Doubles:
    shape = clip.betas if betas is None else np.asarray(betas, np.float32)
    return joint_transforms(body, shape, clip.global_orient, clip.body_pose, clip.transl).astype(np.float64)


def _speeds(places: Doubles, fps: float) -> Doubles:
    """(T,) metres per second, over about a thirtieth of a second on both sides."""
    reach = max(1, round(fps / 30))
    frame = np.arange(len(places))
    before, after = np.maximum(frame - reach, 0), np.minimum(frame + reach, len(places) - 1)
    seconds = np.maximum(after - before, 1) / fps
    return np.linalg.norm(places[after] - places[before], axis=-1) / seconds


def _spans(yes: NDArray[np.bool_]) -> Spans:
    edges = np.diff(np.concatenate([[False], yes, [False]]).astype(np.int8))
    return [(int(a), int(b) - 1) for a, b in zip(np.flatnonzero(edges > 0), np.flatnonzero(edges < 0), strict=True)]


def _joined(spans: Spans, shortest: int) -> Spans:
    """Spans without the breaks between them that are shorter than `shortest` frames."""
    out: Spans = []
    for first, last in spans:
        if out and first - out[-1][1] - 1 < shortest // 2:
            out[-1] = (out[-1][0], last)
        else:
            out.append((first, last))
    return out


def _long(spans: Spans, shortest: int) -> Spans:
    return [(first, last) for first, last in spans if last - first + 1 >= shortest]


def _corrections(ball: Doubles, spans: Spans, blend: int) -> Doubles:
    """How far (T, 3) the foot is to be moved: to the middle of where it was in a contact, fading out around it."""
    out = np.zeros_like(ball)
    for i, (first, last) in enumerate(spans):
        anchor = np.median(ball[first : last + 1], axis=0)
        held = anchor - ball[first : last + 1]
        out[first : last + 1] = held
        room = first - (spans[i - 1][1] if i else -1 - blend)  # frames to the contact before
        for k in range(1, min(blend, room, first + 1)):
            out[first - k] += held[0] * _fade(k / min(blend, room))
        room = (spans[i + 1][0] if i + 1 < len(spans) else len(ball) + blend) - last
        for k in range(1, min(blend, room, len(ball) - last)):
            out[last + k] += held[-1] * _fade(k / min(blend, room))
    return out


def _fade(t: float) -> float:
    """1 at 0, 0 at 1, level at both ends."""
    return 1 - t * t * (3 - 2 * t)


def _move_foot(pose: NDArray[np.float32], world: Doubles, side: str, rows: NDArray[np.int64], moved: Doubles) -> None:
    """Moves one foot by `moved` (N, 3) metres in frames `rows` of `pose` (T, 24, 3), which is changed."""
    hip, knee, ankle = (JOINT_NAMES.index(f"{side}_{part}") for part in ("hip", "knee", "ankle"))
    place = world[rows][..., :3, 3]
    turn = world[rows][..., :3, :3]
    target = place[:, ankle] + moved
    thigh, shin = place[:, hip] - place[:, knee], place[:, ankle] - place[:, knee]  # both from the knee
    a, b = np.linalg.norm(thigh, axis=-1), np.linalg.norm(shin, axis=-1)
    reach = np.clip(np.linalg.norm(target - place[:, hip], axis=-1), np.abs(a - b) + 1e-4, a + b - 1e-6)

    hinge = -turn[:, knee, :, 0]  # SMPL's knee flexes about its own x; about the other way the angle opens
    across = np.cross(thigh, shin)
    size = np.linalg.norm(across, axis=-1)
    bent = size > 0.02 * a * b  # a straight leg has no plane, so its hinge is the joint's own
    axis = np.where(bent[:, None], across / np.maximum(size, 1e-12)[:, None], hinge)
    angle = np.arctan2(size, (thigh * shin).sum(-1))
    backwards = bent & ((axis * hinge).sum(-1) < 0)
    axis = np.where(backwards[:, None], -axis, axis)
    angle = np.where(backwards, 2 * np.pi - angle, angle)
    wanted = np.arccos(np.clip((a * a + b * b - reach * reach) / (2 * a * b), -1, 1))
    bend = matrix_from_axis_angle(axis * (wanted - angle)[:, None])

    leg = -thigh + _apply(bend, shin)  # hip to ankle, the knee bent and the hip not yet turned
    swing = _rotation_between(leg, target - place[:, hip])
    new_hip, new_knee = swing @ turn[:, hip], swing @ bend @ turn[:, knee]
    above = turn[:, 0]  # the hips' parent is the pelvis
    for joint, matrix in (
        (hip, _turned_back(above, new_hip)),
        (knee, _turned_back(new_hip, new_knee)),
        (ankle, _turned_back(new_knee, turn[:, ankle])),
    ):
        pose[rows, joint] = axis_angle_from_matrix(matrix).astype(np.float32)


def _apply(matrices: Doubles, vectors: Doubles) -> Doubles:
    return (matrices @ vectors[..., None])[..., 0]


def _turned_back(parent: Doubles, child: Doubles) -> Doubles:
    """The child's rotation relative to its parent's."""
    return np.swapaxes(parent, -1, -2) @ child


def _rotation_between(a: Doubles, b: Doubles) -> Doubles:
    """The smallest rotations (N, 3, 3) that take directions `a` (N, 3) to `b`, which are never opposite here."""
    u = a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), 1e-12)
    v = b / np.maximum(np.linalg.norm(b, axis=-1, keepdims=True), 1e-12)
    w = np.maximum(1 + (u * v).sum(-1, keepdims=True), 1e-9)
    return matrix_from_quaternion(np.concatenate([w, np.cross(u, v)], -1))
