from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp
from understudy_shared.cleaning.gaps import fill_gaps, find_gaps
from understudy_shared.motion import MotionClip

FPS = 30.0


def clip_with(gone, frames=40):
    """A path by a cubic and rotations by an even turn, which are lost in some frames and hold the pose before."""
    t = np.arange(frames) / FPS
    transl = np.stack([t, 0.5 * t, 1 + 0.2 * t], -1)
    pose = np.zeros((frames, 24, 3))
    pose[:, 0] = (
        Rotation.from_rotvec(t[:, None] * [0, 0, 4.0]) * Rotation.from_euler("x", 90, degrees=True)
    ).as_rotvec()
    pose[:, 5, 0] = t
    present = np.ones(frames, bool)
    present[gone] = False
    full = MotionClip(*(a.astype("f4") for a in (pose[:, 0], pose[:, 1:], transl, np.zeros(10))), fps=FPS, track_id="7")
    held = np.maximum.accumulate(np.where(present, np.arange(frames), -1))
    held = np.where(held < 0, np.flatnonzero(present)[0], held)
    broken = replace(
        full, global_orient=full.global_orient[held], body_pose=full.body_pose[held], transl=full.transl[held]
    )
    return full, replace(broken, present=present)


def test_gaps_are_found():
    _, broken = clip_with([0, 1, 9, 20, 21, 22, 39])
    assert find_gaps(broken) == [(0, 1), (9, 9), (20, 22), (39, 39)]
    assert find_gaps(clip_with([])[0]) == []


def test_an_even_motion_is_restored():
    """Speed goes on through the gap, so that an even walk and an even turn come back as they were."""
    full, broken = clip_with([10, 11, 12, 13, 14, 25])
    filled = fill_gaps(broken)
    assert np.abs(broken.transl - full.transl).max() > 0.05  # or this test would show nothing
    assert np.abs(filled.transl - full.transl).max() < 1e-5
    off = Rotation.from_rotvec(filled.global_orient) * Rotation.from_rotvec(full.global_orient).inv()
    assert off.magnitude().max() < 1e-5
    assert np.abs(filled.body_pose - full.body_pose).max() < 1e-5
    assert filled.present.tolist() == broken.present.tolist() and find_gaps(filled) == [(10, 14), (25, 25)]


def test_rotations_are_scipys_slerp():
    rng = np.random.default_rng(0)
    _, broken = clip_with([10, 11, 12])
    pose = broken.body_pose.copy()
    pose[:] = Rotation.random(pose.shape[0] * 23, rng).as_rotvec().reshape(pose.shape)
    filled = fill_gaps(replace(broken, body_pose=pose))
    for joint in range(23):
        ends = Rotation.from_rotvec(pose[[9, 13], joint])
        expected = Slerp([9, 13], ends)([10, 11, 12])
        assert (Rotation.from_rotvec(filled.body_pose[10:13, joint]) * expected.inv()).magnitude().max() < 1e-5


def test_the_path_is_smooth_at_both_ends():
    """The speed into the gap is that before it: no corner, as a straight line would make one."""
    _, broken = clip_with(list(range(10, 16)))
    bent = broken.transl.copy()
    bent[16:, 0] += 0.5  # so that a straight line would leave at another speed
    filled = fill_gaps(replace(broken, transl=bent)).transl[:, 0]
    before, after = filled[9] - filled[8], filled[10] - filled[9]
    straight = (bent[16, 0] - bent[9, 0]) / 7
    assert abs(after - before) < 0.5 * abs(straight - before)


def test_long_gaps_and_open_ends_stay():
    full, broken = clip_with([0, 1, *range(10, 25), 39])
    filled = fill_gaps(broken, longest=0.4)
    for name in ("transl", "global_orient", "body_pose"):
        assert np.array_equal(getattr(filled, name), getattr(broken, name))
    wide = fill_gaps(broken, longest=0.5)  # 15 frames at 30 per second
    assert np.abs(wide.transl[10:25] - full.transl[10:25]).max() < 1e-5
    assert np.array_equal(wide.transl[[0, 1, 39]], broken.transl[[0, 1, 39]])
    with pytest.raises(ValueError, match="seconds"):
        fill_gaps(broken, longest=-1)
