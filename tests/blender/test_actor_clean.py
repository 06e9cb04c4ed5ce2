"""Repairing the motion that is on the body: keys read back at their own times, cleaned, written again."""

from dataclasses import replace

import bpy
import numpy as np
import pytest
from mathutils import Euler
from understudy_shared.body import joint_transforms
from understudy_shared.cleaning.smoothing import smooth
from understudy_shared.motion import resample
from understudy_shared.rotations import matrix_from_axis_angle

from blender_addon import api
from blender_addon.scene import compat
from blender_addon.scene.body import create_body
from blender_addon.scene.body_parts import armature_of
from blender_addon.scene.key_reading import read_keys
from blender_addon.scene.motion import apply_motion


@pytest.fixture
def short(wave):
    return resample(wave, 30)


def worn(scene, model, betas, clip, start=5):
    obj = create_body(scene, model, betas)
    scene.understudy.body = obj
    obj.hide_viewport = True  # only bones are looked at
    apply_motion(obj, clip, start, scene.render.fps / scene.render.fps_base)
    return armature_of(obj)


def apart(a, b):
    turn = np.swapaxes(matrix_from_axis_angle(a), -1, -2) @ matrix_from_axis_angle(b)
    return np.arccos(np.clip((np.trace(turn, axis1=-2, axis2=-1) - 1) / 2, -1, 1))


@pytest.mark.parametrize(("fps", "base", "rate"), [(24, 1.0, 30), (30, 1.001, 29.97), (25, 1.0, 120)])
def test_keys_come_back_at_their_own_times(shot, model, betas, wave, fps, base, rate):
    shot.render.fps, shot.render.fps_base = fps, base
    exact = 30000 / 1001 if rate == 29.97 else rate
    clip = replace(resample(wave, exact), fps=rate)
    armature = worn(shot, model, betas, clip)
    back = read_keys(armature, fps / base)
    assert len(back.clip) == len(clip)
    assert back.clip.fps == pytest.approx(exact, rel=1e-5)
    assert back.times[0] == pytest.approx(5)
    assert apart(clip.pose, back.clip.pose).max() < 2e-3  # arccos near 0 sees single precision
    np.testing.assert_allclose(back.clip.transl, clip.transl, atol=1e-5)


def test_a_moved_stretched_and_edited_action_is_read_as_it_is(shot, model, betas, short):
    armature = worn(shot, model, betas, short, start=1)
    for curve in compat.fcurves(armature):
        points = np.empty(len(curve.keyframe_points) * 2, np.float32)
        curve.keyframe_points.foreach_get("co", points)
        points[::2] = 100 + (points[::2] - 1) * 2  # later, and at half the speed
        curve.keyframe_points.foreach_set("co", points)
        curve.update()
    back = read_keys(armature, 24)
    assert back.clip.fps == pytest.approx(15)
    assert back.times[0] == pytest.approx(100)
    assert apart(short.pose, back.clip.pose).max() < 2e-3
    curve = next(c for c in compat.fcurves(armature) if c.data_path.endswith("location"))
    for i in (10, 9, 8):
        curve.keyframe_points.remove(curve.keyframe_points[i])
    assert len(read_keys(armature, 24).clip) == len(short)


def test_motion_by_hand_is_read_frame_by_frame(shot, model, betas):
    obj = create_body(shot, model, betas)
    armature = armature_of(obj)
    elbow = armature.pose.bones["left_elbow"]
    elbow.rotation_mode = "XYZ"
    for frame, angle in ((1, 0.0), (11, 1.0), (14, 0.2), (31, 0.5)):
        elbow.rotation_euler = (0, angle, 0.3)
        elbow.keyframe_insert("rotation_euler", frame=frame)
    back = read_keys(armature, 24)
    assert (back.times[0], back.times[-1], len(back.clip)) == (1, 31, 31)
    angles = apart(back.clip.body_pose[:1, 17], back.clip.body_pose[[10, 30], 17])
    first, there = Euler((0, 0, 0.3)).to_quaternion(), [Euler((0, a, 0.3)).to_quaternion() for a in (1.0, 0.5)]
    np.testing.assert_allclose(angles, [first.rotation_difference(q).angle for q in there], atol=2e-3)
    shot.understudy.body = obj
    api.clean_motion(smooth=0.2, scene=shot)
    assert elbow.rotation_mode == "QUATERNION"
    assert not any(c.data_path.endswith("rotation_euler") for c in compat.fcurves(armature))


def test_smoothing_takes_jitter_out_of_edited_keys_and_leaves_the_rest(shot, model, betas, short):
    rng = np.random.default_rng(4)
    noisy = replace(short, body_pose=(short.body_pose + rng.normal(0, 0.03, short.body_pose.shape)).astype(np.float32))
    armature = worn(shot, model, betas, noisy)
    armature["mine"] = 1.0
    armature.keyframe_insert('["mine"]', frame=7)
    action = api.clean_motion(smooth=0.4)
    assert armature.animation_data.action == action
    assert len(bpy.data.actions) == 1
    assert any(c.data_path == '["mine"]' for c in compat.fcurves(armature))
    wanted = smooth(noisy, 0.4)
    back = read_keys(armature, 24)
    assert apart(back.clip.pose, wanted.pose).max() < 3e-3
    assert apart(back.clip.pose, short.pose).mean() < 0.75 * apart(noisy.pose, short.pose).mean()


def test_locked_feet_and_the_floor_in_blender_itself(shot, model, betas, short):
    drift = np.linspace(0, 0.5, len(short), dtype=np.float32)  # half a metre, while the person mostly stands
    slides = replace(short, transl=short.transl + np.stack([drift, 0 * drift, 0 * drift + 0.4], 1))
    armature = worn(shot, model, betas, slides)

    def feet():
        shown = []
        for frame in range(5, 5 + int(len(short) * 0.8) - 1):
            shot.frame_set(frame)
            shown.append(armature.pose.bones["left_foot"].head)
            shown[-1] = (armature.matrix_world @ shown[-1])[:]
        return np.array(shown)

    before = feet()
    api.clean_motion(foot_lock=True, on_floor=True)
    after = feet()
    still = np.sort(np.linalg.norm(np.diff(after, axis=0)[:, :2], axis=1))
    was = np.sort(np.linalg.norm(np.diff(before, axis=0)[:, :2], axis=1))
    assert still[len(still) // 2] < 0.2 * was[len(was) // 2]
    assert before[:, 2].min() > 0.35
    assert 0 < after[:, 2].min() < 0.08


def test_an_action_of_several_is_copied_before_it_is_cleaned(shot, model, betas, short):
    armature = worn(shot, model, betas, short)
    mine = armature.animation_data.action
    other = bpy.data.objects.new("Other", None)
    other.animation_data_create().action = mine
    count = len(compat.fcurves(armature))
    cleaned = api.clean_motion(smooth=0.5)
    assert cleaned != mine
    assert armature.animation_data.action == cleaned
    assert other.animation_data.action == mine
    assert len(compat.fcurves(armature)) == count


def test_held_gaps_are_filled_afterwards_and_stay_known(shot, model, betas, short):
    present = np.ones(len(short), bool)
    present[20:26] = False
    held = replace(short, present=present)
    for array in (held.global_orient, held.body_pose, held.transl):
        array[20:26] = array[19]
    armature = worn(shot, model, betas, replace(held, track_id="7"))
    assert (~read_keys(armature, 24).clip.seen).sum() == 6
    api.clean_motion(fill_gaps=True)
    back = read_keys(armature, 24)
    assert back.filled.sum() == 6
    middle = joint_transforms(model, betas, back.clip.global_orient, back.clip.body_pose, back.clip.transl)[:, :, :3, 3]
    steps = np.linalg.norm(np.diff(middle[18:28], axis=0), axis=-1).max(1)
    assert steps[1:7].max() < 2 * steps[1:7].mean() + 0.01  # it moves on, and does not jump at the end
    assert [m.name for m in shot.timeline_markers] == ["filled 21-25 (7)"]
    api.clean_motion(smooth=0.3)
    assert read_keys(armature, 24).filled.sum() == 6


def test_cleaning_says_what_is_missing(shot, model, betas):
    with pytest.raises(ValueError, match="There is no body"):
        api.clean_motion()
    shot.understudy.body = create_body(shot, model, betas)
    with pytest.raises(ValueError, match="has no keys: import a motion first"):
        api.clean_motion(smooth=0.5)
