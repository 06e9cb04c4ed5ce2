import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_shared.motion import MotionClip, resample, slice_frames


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
