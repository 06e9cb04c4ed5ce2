from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_shared.motion import MotionClip, exact_rate, resample, slice_frames


def spin(frames, fps, rate=3.0):
    """A body that turns about Z and walks along X, both evenly."""
    seconds = np.arange(frames) / fps
    turns = (
        Rotation.from_rotvec(seconds[:, None] * [0, 0, rate]) * Rotation.from_euler("x", 90, degrees=True)
    ).as_rotvec()
    pose = np.zeros((frames, 23, 3), np.float32)
    pose[:, 3, 0] = 0.5 * seconds
    transl = seconds[:, None] * np.array([1.0, 0, 0])
    return MotionClip(turns.astype(np.float32), pose, transl.astype(np.float32), np.zeros(10, np.float32), fps)


@pytest.mark.parametrize("fps", [24.0, 30.0, 120.0, 23.976])
def test_an_even_motion_stays_even(fps):
    clip = resample(spin(61, 30.0), fps)
    expected = spin(len(clip), fps)
    assert clip.fps == fps
    assert (len(clip) - 1) / fps <= 2.0 + 1e-6 < len(clip) / fps
    turned = Rotation.from_rotvec(clip.global_orient) * Rotation.from_rotvec(expected.global_orient).inv()
    assert turned.magnitude().max() < 1e-5  # the spin passes pi, where axis-angle jumps
    assert np.abs(clip.body_pose - expected.body_pose).max() < 1e-5
    assert np.abs(clip.transl - expected.transl).max() < 1e-5


def test_same_rate_and_one_frame():
    clip = spin(7, 30.0)
    assert np.abs(resample(clip, 30.0).transl - clip.transl).max() < 1e-6
    assert len(resample(spin(1, 30.0), 24.0)) == 1


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_rates_that_are_none(fps):
    with pytest.raises(ValueError, match="frame rate"):
        resample(spin(3, 30.0), fps)


def test_slices():
    part = slice_frames(spin(10, 30.0), 2, 9, 3)
    assert len(part) == 3 and part.fps == 10
    assert np.allclose(part.transl[:, 0], np.array([2, 5, 8]) / 30)
    with pytest.raises(ValueError, match="no frames"):
        slice_frames(spin(10, 30.0), 5, 5)


NTSC = 30000 / 1001


@pytest.mark.parametrize("source", [24.0, 25.0, NTSC, 29.97, 30.0, 60.0, 120.0])
@pytest.mark.parametrize("fps", [24.0, 25.0, NTSC, 29.97, 30.0, 60.0, 120.0])
def test_nothing_drifts_over_3000_frames(source, fps):
    """A spin that is known at any time, a quarter turn a second: each new frame is where it is at that time."""
    true = {29.97: NTSC}
    clip = spin(3000, true.get(source, source), rate=np.pi / 2)
    new = resample(replace(clip, fps=source), fps)
    seconds = np.arange(len(new)) / true.get(fps, fps)
    end = 2999 / true.get(source, source)
    assert seconds[-1] <= end + 1e-9 < seconds[-1] + 1 / true.get(fps, fps) + 1e-9
    angle = Rotation.from_rotvec(new.global_orient) * Rotation.from_euler("x", -90, degrees=True)
    expected = Rotation.from_rotvec(seconds[:, None] * [0, 0, np.pi / 2])
    assert (angle * expected.inv()).magnitude().max() < 2e-6 * np.pi
    assert np.abs(new.transl[:, 0] - seconds).max() < 2e-5  # float32 at 125 m
    assert new.fps == fps


def test_there_and_back_is_the_same():
    clip = spin(3000, 30.0)
    back = resample(resample(clip, 120.0), 30.0)
    assert len(back) == 3000 and np.abs(back.transl - clip.transl).max() < 1e-5


def test_rounded_broadcast_rates_are_exact():
    assert exact_rate(29.97) == NTSC and exact_rate(23.976) == exact_rate(23.98) == 24000 / 1001
    assert exact_rate(59.94) == 60000 / 1001 and exact_rate(119.88) == 120000 / 1001
    assert [exact_rate(f) for f in (24, 25, 30, 50, 60, 120, 29.9, 12.5)] == [24, 25, 30, 50, 60, 120, 29.9, 12.5]


def missing(frames, fps, gone):
    present = np.ones(frames, bool)
    present[gone] = False
    return replace(spin(frames, fps), present=present)


def test_frames_that_were_not_seen_stay_so():
    clip = missing(10, 30.0, [3, 4, 5])
    assert clip.seen.tolist() == [True] * 3 + [False] * 3 + [True] * 4 and spin(4, 30.0).seen.all()
    assert slice_frames(clip, 2, 8, 2).present.tolist() == [True, False, True]
    assert slice_frames(clip, 2).start == pytest.approx(2 / 30)
    assert slice_frames(clip, -4).start == pytest.approx(6 / 30)
    fine = resample(clip, 60.0)
    assert np.flatnonzero(~fine.present).tolist() == [5, 6, 7, 8, 9, 10, 11]  # all between the last seen and the next
    coarse = resample(clip, 15.0)
    assert coarse.present.tolist() == [True, True, False, True, True]
    assert resample(clip, 30.0).present.tolist() == clip.present.tolist()
    glimpse = replace(clip, present=np.arange(10) == 3)
    assert np.flatnonzero(resample(glimpse, 15.0).present).tolist() in ([1], [2])


@pytest.mark.parametrize(
    "present", [np.ones(3, bool), np.ones(10, np.int64), np.zeros(10, bool)], ids=["short", "numbers", "nobody"]
)
def test_presence_that_is_none(present):
    with pytest.raises(ValueError, match="frame"):
        replace(spin(10, 30.0), present=present)
