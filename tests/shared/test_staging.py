"""A motion on its mark: the floor and the start, for bodies of several shapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from understudy_shared.body import free_body, joint_transforms, skin
from understudy_shared.formats.amass import load
from understudy_shared.motion import MotionClip, slice_frames
from understudy_shared.staging import FLOOR_SAMPLES, on_mark


@pytest.fixture(scope="module")
def clip(samples) -> MotionClip:
    """Few enough frames that each of them is looked at."""
    whole = load(samples / "motions/cmu_01_01_jump_turn.npz", free_body())
    part = slice_frames(whole, step=max(1, len(whole) // 12))
    away = np.array([3.0, -2.0, 0.7], np.float32)
    return replace(part, transl=part.transl + away)


def shape(seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=free_body().num_betas) * 0.8).astype(np.float32)


def posed(clip: MotionClip) -> np.ndarray:
    return skin(free_body(), clip.betas, clip.global_orient, clip.body_pose, clip.transl)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_lowest_point_touches_the_floor(clip, seed):
    assert len(clip) <= FLOOR_SAMPLES
    worn = on_mark(clip, free_body(), shape(seed))
    assert posed(worn)[..., 2].min() == pytest.approx(0, abs=1e-5)
    # Another shape is another body, so the height it needs is its own.
    assert worn.transl[0, 2] != pytest.approx(on_mark(clip, free_body(), shape(seed + 5)).transl[0, 2], abs=1e-4)


def test_the_pelvis_starts_over_the_origin(clip):
    worn = on_mark(clip, free_body(), shape(2))
    transforms = joint_transforms(free_body(), worn.betas, worn.global_orient, worn.body_pose, worn.transl)
    np.testing.assert_allclose(transforms[0, 0, :2, 3], 0, atol=1e-5)


def test_only_the_place_changes(clip):
    betas = shape(3)
    worn = on_mark(clip, free_body(), betas)
    np.testing.assert_array_equal(worn.betas, betas)
    np.testing.assert_array_equal(worn.global_orient, clip.global_orient)
    np.testing.assert_array_equal(worn.body_pose, clip.body_pose)
    assert worn.fps == clip.fps
    shift = worn.transl - clip.transl
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-5)


def test_any_frame_can_be_the_one_over_the_origin(clip):
    worn = on_mark(clip, free_body(), shape(4), at=3)
    transforms = joint_transforms(free_body(), worn.betas, worn.global_orient, worn.body_pose, worn.transl)
    np.testing.assert_allclose(transforms[3, 0, :2, 3], 0, atol=1e-5)
    assert posed(worn)[..., 2].min() == pytest.approx(0, abs=1e-5)


def test_standing_on_the_mark_changes_nothing(clip):
    once = on_mark(clip, free_body(), shape(1))
    np.testing.assert_allclose(on_mark(once, free_body(), shape(1)).transl, once.transl, atol=1e-5)
