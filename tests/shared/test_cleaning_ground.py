from dataclasses import replace

import numpy as np
import pytest
from understudy_shared.body import free_body, skin
from understudy_shared.cleaning.ground import lowest_points, snap_to_ground
from understudy_shared.formats.detect import load_motion
from understudy_shared.motion import slice_frames

BODY = free_body()


@pytest.fixture(scope="module")
def clip(samples):
    whole = slice_frames(load_motion(samples / "motions/cmu_01_01_jump_turn.npz", BODY), step=9)
    return replace(whole, transl=whole.transl + np.float32([0, 0, 0.37]))


def heights(clip, betas):
    return skin(BODY, betas, clip.global_orient, clip.body_pose, clip.transl)[..., 2].min(1)


@pytest.mark.parametrize("betas", [np.zeros(10, "f4"), np.linspace(-1.5, 1.5, 10).astype("f4")], ids=["mean", "shaped"])
def test_what_comes_to_the_floor(clip, betas):
    whole = heights(clip, betas)
    for how, floor in (("lowest", whole.min()), ("first", whole[0]), ("typical", np.median(whole))):
        moved = snap_to_ground(clip, BODY, betas, how)
        shift = moved.transl - clip.transl
        assert np.abs(shift[:, :2]).max() == 0 and np.ptp(shift[:, 2]) < 1e-6
        assert abs(shift[0, 2] + floor) < (2e-3 if how == "typical" else 1e-5)
    assert abs(heights(snap_to_ground(clip, BODY, betas), betas).min()) < 1e-5


def test_few_vertices_tell_the_lowest(clip):
    assert np.abs(lowest_points(clip, BODY, clip.betas) - heights(clip, clip.betas)).max() < 2e-3


def test_the_clips_own_shape_is_worn(clip):
    tall = replace(clip, betas=np.float32([2, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
    assert abs(heights(snap_to_ground(tall, BODY), tall.betas).min()) < 1e-5


def test_other_ways_are_refused(clip):
    with pytest.raises(ValueError, match="lowest"):
        snap_to_ground(clip, BODY, None, "highest")
