from dataclasses import replace

import numpy as np
import pytest
from understudy_shared.body import JOINT_NAMES, Y_UP_TO_Z_UP, free_body, joint_transforms
from understudy_shared.cleaning.feet import find_contacts, lock_feet
from understudy_shared.formats.detect import load_motion
from understudy_shared.motion import MotionClip
from understudy_shared.rotations import axis_angle_from_matrix

BODY = free_body()
FPS = 30.0
LEFT, RIGHT = (JOINT_NAMES.index(f"{side}_foot") for side in ("left", "right"))


def world(clip):
    return joint_transforms(BODY, clip.betas, clip.global_orient, clip.body_pose, clip.transl)


def places(clip):
    return world(clip)[..., :3, 3]


def standing(frames=90, slide=0.1):
    """A body with slightly bent knees that slides over the floor while it stands, and lifts its left leg in between."""
    t = np.arange(frames) / FPS
    pose = np.zeros((frames, 24, 3))
    pose[:, 0] = axis_angle_from_matrix(Y_UP_TO_Z_UP)
    lift = np.clip(np.sin(2 * np.pi * (t - 1)), 0, None) * ((t > 1) & (t < 1.5))
    for side, up in (("left", lift), ("right", 0 * lift)):
        hip, knee, ankle = (JOINT_NAMES.index(f"{side}_{n}") for n in ("hip", "knee", "ankle"))
        pose[:, hip, 0] = -0.25 - 0.8 * up
        pose[:, knee, 0] = 0.5 + 0.9 * up
        pose[:, ankle, 0] = -0.25
    transl = np.stack([slide * t, 0.3 * slide * np.sin(3 * t), 0 * t], -1)
    arrays = pose[:, 0], pose[:, 1:], transl, np.zeros(10)
    return MotionClip(*(a.astype("f4") for a in arrays), fps=FPS)


def test_contacts_are_where_the_feet_stand():
    contacts = find_contacts(standing(), BODY)
    assert contacts["right"] == [(0, 89)]
    (first, end), (start, last) = contacts["left"]
    assert (first, last) == (0, 89) and 28 <= end <= 34 and 42 <= start <= 47  # lifted from 1.0 to 1.5 s


def test_feet_in_contact_do_not_move():
    clip = standing()
    contacts = find_contacts(clip, BODY)
    before, after = places(clip), places(lock_feet(clip, BODY))
    for foot, side in ((LEFT, "left"), (RIGHT, "right")):
        for first, last in contacts[side]:
            span = slice(first, last + 1)
            assert np.ptp(before[span, foot, 0]) > 0.05
            assert np.ptp(after[span, foot], axis=0).max() < 2e-4


def test_only_legs_change_and_soles_keep_their_direction():
    clip = standing()
    locked = lock_feet(clip, BODY)
    assert np.array_equal(locked.transl, clip.transl) and np.array_equal(locked.global_orient, clip.global_orient)
    legs = [JOINT_NAMES.index(f"{s}_{n}") - 1 for s in ("left", "right") for n in ("hip", "knee", "ankle")]
    others = [j for j in range(23) if j not in legs]
    assert np.array_equal(locked.body_pose[:, others], clip.body_pose[:, others])
    ankles = [JOINT_NAMES.index(f"{s}_ankle") for s in ("left", "right")]
    assert np.abs(world(locked)[:, ankles, :3, :3] - world(clip)[:, ankles, :3, :3]).max() < 1e-4


def test_nothing_pops():
    """Around a contact the foot comes over within the blend, and no frame jumps more than it did by itself."""
    clip = standing(slide=0.2)
    before, after = places(clip), places(lock_feet(clip, BODY))
    jump_before = np.linalg.norm(np.diff(before[:, LEFT], axis=0), axis=-1)
    jump_after = np.linalg.norm(np.diff(after[:, LEFT], axis=0), axis=-1)
    assert jump_after.max() < 1.5 * jump_before.max() + 0.03
    middle = slice(36, 40)  # more than the blend from both contacts only where the foot is in the air
    lone = lock_feet(clip, BODY, contacts={"left": [(0, 20)], "right": []})
    assert np.abs(places(lone)[27:] - before[27:]).max() < 1e-5
    assert np.abs(after[middle, LEFT] - before[middle, LEFT]).max() < 0.2


def test_knees_bend_forwards():
    clip = standing()
    pose = clip.body_pose.copy()
    for side in ("left", "right"):
        for name in ("hip", "knee", "ankle"):
            pose[:, JOINT_NAMES.index(f"{side}_{name}") - 1] = 0  # straight legs
    straight = replace(clip, body_pose=pose)
    down = (np.arange(90) >= 60) & (np.arange(90) < 70)  # the hips come down, so that a foot that stays bends the knee
    dropped = replace(straight, transl=(straight.transl - [0, 0, 0.1] * down[:, None]).astype("f4"))
    locked = lock_feet(dropped, BODY, contacts={"left": [(40, 89)]})
    knee = JOINT_NAMES.index("left_knee")
    assert locked.body_pose[65, knee - 1, 0] > 0.2  # about +x, as SMPL's knee flexes
    p = places(locked)[65]
    assert p[knee, 1] < p[JOINT_NAMES.index("left_hip"), 1]  # it faces -Y, and the knee goes there


def test_real_walks_slide_less(samples):
    clip = load_motion(samples / "motions/cmu_13_26_wave_point.npz", BODY)
    drift = replace(clip, transl=clip.transl + (np.arange(len(clip))[:, None] / clip.fps * [0.1, 0, 0]).astype("f4"))
    locked = lock_feet(drift, BODY)
    contacts = find_contacts(drift, BODY)
    assert sum(last - first for spans in contacts.values() for first, last in spans) > len(clip) / 4
    for foot, side in ((LEFT, "left"), (RIGHT, "right")):
        for first, last in contacts[side]:
            slid = np.ptp(places(locked)[first : last + 1, foot], axis=0).max()
            assert slid < 0.3 * np.ptp(places(drift)[first : last + 1, foot], axis=0).max() + 1e-3


def test_given_contacts_and_wrong_blends():
    clip = standing()
    assert np.array_equal(lock_feet(clip, BODY, contacts={}).body_pose, clip.body_pose)
    with pytest.raises(ValueError, match="seconds"):
        lock_feet(clip, BODY, blend=-1)
    assert len(lock_feet(replace(clip, present=np.arange(90) < 80), BODY)) == 90
