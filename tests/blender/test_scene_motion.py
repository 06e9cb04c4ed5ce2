"""Motion clips as keys, and back."""

from dataclasses import replace

import bpy
import numpy as np
import pytest
from mathutils import Quaternion
from understudy_shared.body import joint_transforms
from understudy_shared.motion import MotionClip
from understudy_shared.rotations import matrix_from_axis_angle

from blender_addon.scene import compat
from blender_addon.scene.body import create_body
from blender_addon.scene.body_parts import armature_of
from blender_addon.scene.motion import apply_motion, read_motion, set_pose


@pytest.fixture
def clip(wave):
    some = slice(0, 240, 4)
    return replace(
        wave, global_orient=wave.global_orient[some], body_pose=wave.body_pose[some], transl=wave.transl[some]
    )


def apart(a, b):
    """Largest angle between rotations given as axis-angle, radians."""
    turn = np.swapaxes(matrix_from_axis_angle(a), -1, -2) @ matrix_from_axis_angle(b)
    return np.arccos(np.clip((np.trace(turn, axis1=-2, axis2=-1) - 1) / 2, -1, 1)).max()


@pytest.mark.parametrize(("fps", "base"), [(24, 1.0), (30, 1.001), (60, 1.0)])
def test_every_sample_is_in_the_scene_at_its_own_time(scene, model, betas, clip, fps, base):
    scene.render.fps, scene.render.fps_base = fps, base
    obj = create_body(scene, model, betas)
    apply_motion(obj, clip, 10, fps / base)
    times = 10 + np.arange(len(clip)) / clip.fps * (fps / base)
    back = read_motion(obj, scene, times.tolist())
    # frames are single precision, and a fast joint turns by 20 radians a second
    assert apart(clip.global_orient, back.global_orient) < 2e-3
    assert apart(clip.body_pose, back.body_pose) < 2e-3
    np.testing.assert_allclose(back.transl, clip.transl, atol=1e-4)
    np.testing.assert_allclose(back.betas, betas, atol=1e-6)
    assert back.fps == pytest.approx(fps / base)


def test_keys_are_linear_and_sign_continuous(scene, model, betas, clip):
    spin = np.linspace(0, 4 * np.pi, len(clip))[:, None] * [[0, 0, 1]]
    turning = MotionClip(spin.astype(np.float32), clip.body_pose, clip.transl, betas, 24)
    armature = armature_of(create_body(scene, model, betas))
    apply_motion(armature, turning, 1, 24)
    curves = [c for c in compat.fcurves(armature) if c.data_path.startswith('pose.bones["pelvis"].rotation')]
    assert len(curves) == 4
    values = np.array([[k.co.y for k in c.keyframe_points] for c in sorted(curves, key=lambda c: c.array_index)]).T
    assert (np.sum(values[1:] * values[:-1], 1) > 0).all()
    assert {k.interpolation for c in curves for k in c.keyframe_points} == {"LINEAR"}


def test_the_artists_correction_comes_back(scene, model, betas, clip):
    obj = create_body(scene, model, betas)
    set_pose(obj, clip.global_orient[5], clip.body_pose[5], clip.transl[5])
    armature = armature_of(obj)
    before = read_motion(obj, scene, [1])
    bone = armature.pose.bones["left_elbow"]
    bone.rotation_quaternion = bone.rotation_quaternion @ Quaternion((0, 0, 1), 0.5)
    armature.location, armature.rotation_euler.z = (1, 0, 0), 0.3
    after = read_motion(obj, scene, [1])
    others = [j for j in range(23) if j != 17]  # left_elbow is joint 18
    assert apart(after.body_pose[:, others], before.body_pose[:, others]) < 1e-3
    assert apart(after.body_pose[:, 17], before.body_pose[:, 17]) == pytest.approx(0.5, abs=1e-3)
    assert apart(after.global_orient, before.global_orient) == pytest.approx(0.3, abs=1e-3)
    joints = joint_transforms(model, betas, after.global_orient, after.body_pose, after.transl)[0, :, :3, 3]
    bpy.context.view_layer.update()
    shown = [armature.matrix_world @ armature.pose.bones[n].head for n in ("head", "left_wrist", "right_foot")]
    np.testing.assert_allclose(joints[[15, 20, 11]], shown, atol=1e-4)


def test_constraints_are_read(scene, model, betas):
    obj = create_body(scene, model, betas)
    armature = armature_of(obj)
    target = bpy.data.objects.new("Target", None)
    target.location = (0.5, -0.6, 0.2)
    scene.collection.objects.link(target)
    track = armature.pose.bones["left_shoulder"].constraints.new("DAMPED_TRACK")
    track.target, track.track_axis = target, "TRACK_Y"
    read = read_motion(obj, scene, [1])
    joints = joint_transforms(model, betas, read.global_orient, read.body_pose, read.transl)[0, :, :3, 3]
    arm, wanted = joints[18] - joints[16], np.array(target.location) - joints[16]
    cosine = arm @ wanted / np.linalg.norm(arm) / np.linalg.norm(wanted)
    assert cosine > 0.99999
    assert np.linalg.norm(read.body_pose[0, 15]) > 0.5  # the arm did turn


def test_reading_leaves_the_scene_at_its_frame(scene, model, betas, clip):
    obj = create_body(scene, model, betas)
    apply_motion(obj, clip, 1, 24)
    scene.frame_set(7)
    bone = armature_of(obj).pose.bones["left_elbow"]
    before = tuple(bone.rotation_quaternion)
    read_motion(obj, scene, range(20, 30))
    assert scene.frame_current == 7
    assert tuple(bone.rotation_quaternion) == before
    assert len(bpy.data.scenes) == 1
