from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_shared.cleaning.smoothing import WIDEST, smooth
from understudy_shared.motion import MotionClip

STAND = Rotation.from_euler("x", 90, degrees=True)


def clip_of(turns, transl, fps=30.0):
    pose = np.zeros((len(turns), 23, 3), np.float32)
    orient = Rotation.from_rotvec(turns) * STAND
    return MotionClip(orient.as_rotvec().astype("f4"), pose, np.asarray(transl, "f4"), np.zeros(10, "f4"), fps)


def even(frames=200, fps=30.0, rate=3.0):
    t = np.arange(frames)[:, None] / fps
    return clip_of(t * [0, 0, rate], t * [1.0, 0.3, 0], fps)


def off(a, b):
    return (Rotation.from_rotvec(a.global_orient) * Rotation.from_rotvec(b.global_orient).inv()).magnitude()


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_an_even_motion_is_not_touched(strength):
    """No lag and no pull at the ends, through many half turns at which axis-angle jumps."""
    clip = even()
    done = smooth(clip, strength)
    assert off(done, clip).max() < 2e-6 * 50
    assert np.abs(done.transl - clip.transl).max() < 1e-5


def test_zero_is_nothing():
    clip = even()
    assert smooth(clip, 0) is clip
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            smooth(clip, wrong)


def test_jitter_goes():
    rng = np.random.default_rng(0)
    clip = even(frames=600)
    jitter = Rotation.from_rotvec(rng.normal(scale=0.05, size=(600, 3)))
    noisy = replace(
        clip,
        global_orient=(jitter * Rotation.from_rotvec(clip.global_orient)).as_rotvec().astype("f4"),
        transl=clip.transl + rng.normal(scale=0.02, size=(600, 3)).astype("f4"),
    )
    done = smooth(noisy, 1.0)
    sigma = WIDEST * 30
    kept = np.sqrt(1 / (2 * np.sqrt(np.pi) * sigma))  # of white noise after a Gaussian
    inside = slice(30, -30)
    ratio = np.std((done.transl - clip.transl)[inside]) / np.std((noisy.transl - clip.transl)[inside])
    assert 0.7 * kept < ratio < 1.3 * kept
    assert 0.6 * kept < off(done, clip)[inside].mean() / off(noisy, clip)[inside].mean() < 1.4 * kept


@pytest.mark.parametrize("fps", [24.0, 30.0, 60.0, 120.0])
def test_the_width_is_a_time(fps):
    """A wave loses as much height at any frame rate, what a Gaussian of that time takes, and is not shifted."""
    t = np.arange(int(4 * fps)) / fps
    wave = np.sin(2 * np.pi * t)
    clip = clip_of(0.3 * wave[:, None] * [0, 0, 1], wave[:, None] * [1, 0, 0], fps)
    done = smooth(clip, 1.0)
    inside = (t > 1) & (t < 3)
    expected = np.exp(-0.5 * (2 * np.pi * WIDEST) ** 2)
    assert np.abs(done.transl[inside, 0] - expected * wave[inside]).max() < 0.01
    turned = (Rotation.from_rotvec(done.global_orient) * STAND.inv()).as_rotvec()[inside, 2]
    assert np.abs(turned - 0.3 * expected * wave[inside]).max() < 0.005


def test_a_step_does_not_overshoot():
    x = np.repeat([0.0, 1.0], 50)
    done = smooth(clip_of(np.zeros((100, 3)), x[:, None] * [1, 0, 0]), 1.0).transl[:, 0]
    assert done.min() > -1e-6 and done.max() < 1 + 1e-6 and (np.diff(done) > -1e-6).all()
    assert abs(done[49] + done[50] - 1) < 1e-5  # symmetric: nothing lags


def test_what_was_not_seen_counts_little():
    frames = 61
    transl = np.zeros((frames, 3))
    transl[30, 0] = 1.0
    clip = clip_of(np.zeros((frames, 3)), transl)
    present = np.ones(frames, bool)
    present[30] = False
    seen, unseen = smooth(clip, 0.7), smooth(replace(clip, present=present), 0.7)
    assert unseen.transl[29, 0] < 0.25 * seen.transl[29, 0]
    assert unseen.present is present


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_clips(frames):
    clip = even(frames)
    assert np.abs(smooth(clip, 1.0).transl - clip.transl).max() < 1e-6
