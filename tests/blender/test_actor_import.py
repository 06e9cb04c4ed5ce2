"""Motion files in the scene: true to the sample at every frame, in any frame rate; several people; gaps; options."""

import pickle
import time
from dataclasses import replace

import bpy
import numpy as np
import pytest
from mathutils import Quaternion
from understudy_shared.body import JOINT_NAMES, Y_UP_TO_Z_UP, joint_transforms
from understudy_shared.formats import amass
from understudy_shared.motion import MotionClip, resample
from understudy_shared.rotations import axis_angle_from_matrix, matrix_from_axis_angle

from blender_addon import api
from blender_addon.scene import compat
from blender_addon.scene.body import create_body
from blender_addon.scene.body_parts import armature_of, mesh_of
from blender_addon.scene.motion import apply_motion


def bones_only(mesh):
    """The armature; its mesh is hidden, so that frames are quick."""
    mesh.hide_viewport = True
    return armature_of(mesh)


def joints_shown(armature, scene, frame):
    """(24, 3) where Blender has the joints at a frame."""
    scene.frame_set(int(np.floor(frame)), subframe=float(frame - np.floor(frame)))
    return np.array([armature.matrix_world @ armature.pose.bones[n].head for n in JOINT_NAMES])


def joints_at(model, betas, clip, at):
    """(24, 3) by our skinning, at a place between two samples: rotations along the arc, by Blender's own slerp."""
    low = min(int(np.floor(at + 1e-9)), len(clip) - 1)
    high, fraction = min(low + 1, len(clip) - 1), max(at - low, 0.0)
    pose = clip.pose
    turned = []
    for a, b in zip(pose[low], pose[high], strict=True):
        p, q = (Quaternion(v / max(np.linalg.norm(v), 1e-12), float(np.linalg.norm(v))) for v in (a, b))
        axis, angle = p.slerp(q, fraction).to_axis_angle()
        turned.append(np.array(axis) * angle)
    turned = np.array(turned)[None]
    transl = clip.transl[low] * (1 - fraction) + clip.transl[high] * fraction
    return joint_transforms(model, betas, turned[:, 0], turned[:, 1:], transl[None])[0, :, :3, 3]


RATES = [(24, 24, 1.0), (25, 24, 1.0), (29.97, 30, 1.001), (29.97, 24, 1.0), (30, 24, 1.0), (30, 30, 1.001),
         (60, 25, 1.0), (120, 30, 1.001), (120, 24, 1.0), (12, 30, 1.0)]  # fmt: skip


@pytest.mark.parametrize(("fps", "scene_fps", "base"), RATES)
def test_joints_are_ours_at_every_frame_at_true_speed(scene, model, betas, wave, fps, scene_fps, base):
    scene.render.fps, scene.render.fps_base = scene_fps, base
    exact = 30000 / 1001 if fps == 29.97 else fps
    clip = replace(resample(wave, exact), fps=fps)
    armature = bones_only(create_body(scene, model, betas))
    apply_motion(armature, clip, 1, scene_fps / base)
    frames = int((len(clip) - 1) / exact * scene_fps / base)
    worst = 0.0
    for frame in range(1, 1 + min(frames, 90)):
        seconds = (frame - 1) * base / scene_fps
        wanted = joints_at(model, betas, clip, seconds * exact)
        worst = max(worst, float(np.linalg.norm(joints_shown(armature, scene, frame) - wanted, axis=1).max()))
    assert worst < 1e-4
    last = 1 + (len(clip) - 1) / exact * scene_fps / base
    assert armature.animation_data.action.frame_range[1] == pytest.approx(last, abs=1e-3)


def test_fast_turns_keep_to_the_arc_between_samples(scene, model, betas):
    turn = np.zeros((5, 23, 3), np.float32)
    turn[:, 15, 1] = np.arange(5) * 1.4  # the left shoulder, 80 degrees a sample
    clip = MotionClip(np.tile(np.float32([np.pi / 2, 0, 0]), (5, 1)), turn, np.zeros((5, 3), np.float32), betas, 6)
    armature = bones_only(create_body(scene, model, betas))
    apply_motion(armature, clip, 1, 24)
    for frame in np.arange(1, 17, 0.5):
        wanted = joints_at(model, betas, clip, (frame - 1) / 4)
        assert np.linalg.norm(joints_shown(armature, scene, frame) - wanted, axis=1).max() < 1e-4


def test_three_thousand_frames_within_limits(shot, wave, tmp_path):
    for count, limit in ((300, 1.0), (3000, 4.0)):
        rows = np.arange(count) % len(wave)
        long = replace(
            wave, global_orient=wave.global_orient[rows], body_pose=wave.body_pose[rows], transl=wave.transl[rows]
        )
        amass.save(tmp_path / f"{count}.npz", long)
        start = time.process_time()
        action = api.import_motion(tmp_path / f"{count}.npz")
        assert time.process_time() - start < limit
        first = compat.fcurves(armature_of(shot.understudy.body))[0]
        shot.understudy.body = None
        assert len(first.keyframe_points) >= count
        assert action.frame_range[0] == shot.frame_start


@pytest.fixture
def crowd(tmp_path, wave, model):
    """A file as WHAM writes it: "3" is there from frame 0 with two gaps, "7" comes in at frame 12."""
    pelvis = model.joints(np.zeros(model.num_betas, np.float32))
    orient = Y_UP_TO_Z_UP.T @ matrix_from_axis_angle(wave.global_orient)
    hips = pelvis[0] + wave.transl + matrix_from_axis_angle(wave.global_orient) @ (pelvis[1:3].mean(0) - pelvis[0])
    pose = np.concatenate([axis_angle_from_matrix(orient)[:, None], wave.body_pose], 1).reshape(len(wave), 72)
    ids = np.array([i for i in range(60) if not (20 <= i < 28 or 40 <= i < 43)])

    def person(frames):
        rows = frames * 4
        world = hips[rows] @ Y_UP_TO_Z_UP
        return {"pose_world": pose[rows], "trans_world": world, "betas": np.zeros((len(rows), 10)), "frame_ids": frames}

    path = tmp_path / "wham_output.pkl"
    path.write_bytes(pickle.dumps({3: person(ids), 7: person(np.arange(12, 32))}))
    return path


def test_people_of_a_file_are_listed_and_chosen(shot, crowd):
    found = {t.id: t for t in api.tracks(crowd)}
    assert (found["3"].frames, found["3"].missing) == (60, 11)
    assert found["7"].seconds == pytest.approx(20 / 30)
    action = api.import_motion(crowd, track="7", start=101)
    assert action.frame_range[0] == pytest.approx(101 + 12 * 24 / 30)
    assert api.import_motion(crowd, track="7", start=101, keep_time=False).frame_range[0] == pytest.approx(101)
    with pytest.raises(ValueError, match='no track "8"; it has "3", "7"'):
        api.import_motion(crowd, track="8")


def test_everybody_gets_a_body_at_their_own_time_and_place(shot, crowd, model, wave):
    bodies = api.import_people(crowd, start=1, ground="file", set_range=True)
    assert len(bodies) == 2
    assert shot.understudy.body == bodies[0]
    assert len({armature_of(b).name for b in bodies}) == 2
    zero = np.zeros(model.num_betas, np.float32)
    shot.render.fps = 30
    bodies = api.import_people(crowd, start=1, ground="file")
    for body, first in zip(bodies, (0, 12), strict=True):
        wanted = joints_at(model, zero, wave, (first + 3) * 4)
        np.testing.assert_allclose(joints_shown(armature_of(body), shot, 1 + first + 3), wanted, atol=1e-4)
    assert (shot.frame_start, shot.frame_end) == (1, 1 + int(59 * 24 / 30))


def unseen(armature):
    """Frames whose keys have a colour of their own, by type."""
    curve = next(c for c in compat.fcurves(armature) if c.data_path.endswith("location"))
    found = {}
    for key in curve.keyframe_points:
        found.setdefault(key.type, []).append(round(key.co.x))
    return found


def test_gaps_are_marked_held_and_filled_on_request(shot, crowd, model, wave):
    shot.render.fps = 30
    mine = shot.timeline_markers.new("mine", frame=21)
    api.import_motion(crowd, track="3", start=1, ground="file")
    armature = armature_of(shot.understudy.body)
    assert sorted((m.frame, m.name) for m in shot.timeline_markers if m != mine) == [
        (21, "no data 21-28 (3)"), (41, "no data 41-43 (3)")
    ]  # fmt: skip
    assert unseen(armature)["JITTER"] == [*range(21, 29), 41, 42, 43]
    held = joints_shown(armature, shot, 22)
    np.testing.assert_allclose(held, joints_shown(armature, shot, 20), atol=1e-5)

    api.import_motion(crowd, track="3", start=1, ground="file", fill_gaps=True, longest_gap=0.2)
    assert sorted(m.name for m in shot.timeline_markers) == ["filled 41-43 (3)", "mine", "no data 21-28 (3)"]
    assert unseen(armature) == {
        "KEYFRAME": [f for f in range(1, 61) if not (21 <= f < 29 or 41 <= f < 44)],
        "JITTER": list(range(21, 29)), "GENERATED": [41, 42, 43],
    }  # fmt: skip
    zero = np.zeros(model.num_betas, np.float32)
    seen = joints_at(model, zero, wave, 41 * 4)  # what was there, but not in the file
    assert np.linalg.norm(joints_shown(armature, shot, 42) - seen, axis=1)[0] < 0.03


def test_an_import_again_replaces_the_action_and_keeps_the_body(shot, crowd):
    first = api.import_motion(crowd, track="3")
    body = shot.understudy.body
    second = api.import_motion(crowd, track="7")
    assert shot.understudy.body == body
    assert armature_of(body).animation_data.action == second
    assert (first.users, first.use_fake_user) == (0, False)
    assert not shot.timeline_markers  # those of the first are gone, the second has no gaps
    assert sum(o.type == "MESH" for o in bpy.data.objects) == 1


def test_a_deleted_body_is_not_used_again(shot, crowd):
    api.import_motion(crowd)
    old = shot.understudy.body
    for obj in (old, armature_of(old)):
        shot.collection.objects.unlink(obj)
    api.import_motion(crowd)
    assert shot.understudy.body != old
    assert shot.understudy.body.name in shot.objects


def test_range_and_rate_of_the_scene_become_the_files(shot, tmp_path, wave):
    amass.save(tmp_path / "a.npz", replace(resample(wave, 30000 / 1001), fps=29.97))
    api.import_motion(tmp_path / "a.npz", start=11, set_range=True, set_rate=True)
    assert shot.render.fps / shot.render.fps_base == pytest.approx(30000 / 1001, rel=1e-6)
    count = len(resample(wave, 30000 / 1001))
    assert (shot.frame_start, shot.frame_end) == (11, 11 + count - 1)


def test_on_its_mark_it_is_over_the_origin_and_on_the_floor(shot, tmp_path, wave):
    moved = replace(wave, transl=wave.transl + np.float32([3, -2, 5]))
    amass.save(tmp_path / "far.npz", moved)
    for ground in ("mark", "floor", "file"):
        api.import_motion(tmp_path / "far.npz", ground=ground)
        pelvis = joints_shown(armature_of(shot.understudy.body), shot, 1)[0]
        zero = np.zeros(moved.betas.shape, np.float32)
        x, y = (0, 0) if ground == "mark" else (moved.transl[0] + api.actor.free_body().joints(zero)[0])[:2]
        np.testing.assert_allclose(pelvis[:2], [x, y], atol=1e-4)
        mesh = mesh_of(shot.understudy.body)
        lows = []
        for frame in range(1, int(len(wave) * 24 / wave.fps), 17):
            shot.frame_set(frame)
            evaluated = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
            heights = np.empty(len(evaluated.vertices) * 3, np.float32)
            evaluated.vertices.foreach_get("co", heights)
            lows.append(heights[2::3].min())
        assert min(lows) == pytest.approx(5 if ground == "file" else 0, abs=0.15 if ground == "file" else 0.03)
        if ground != "file":
            assert min(lows) > -1e-4


def test_nothing_is_left_when_a_file_or_an_option_is_bad(shot, tmp_path, crowd):
    (tmp_path / "bad.npz").write_bytes(b"PK nonsense")
    for path, options in ((tmp_path / "bad.npz", {}), (crowd, {"smooth": 3.0}), (crowd, {"ground": "moon"})):
        with pytest.raises(ValueError) as error:
            api.import_motion(path, **options)
        assert "\n" not in str(error.value)
        assert not bpy.data.objects
        assert not bpy.data.actions


def test_the_import_is_one_step_of_undo(shot, crowd):
    from blender_addon.operators import actor

    for cls in actor.CLASSES:
        bpy.utils.register_class(cls)
    try:
        bpy.ops.ed.undo_push(message="before")
        assert bpy.ops.understudy.import_motion("EXEC_DEFAULT", True, filepath=str(crowd), everyone=True) == {
            "FINISHED"
        }
        assert len(bpy.data.armatures) == 2
        assert len(bpy.context.scene.timeline_markers) == 2
        bpy.ops.ed.undo()
        assert not bpy.data.armatures
        assert not bpy.data.actions
        assert not bpy.context.scene.timeline_markers
        assert bpy.context.scene.understudy.body is None
    finally:
        for cls in reversed(actor.CLASSES):
            bpy.utils.unregister_class(cls)
