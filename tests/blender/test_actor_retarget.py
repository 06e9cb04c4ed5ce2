"""Other people's skeletons on the body: rigs by name, rest poses, units, FBX and glTF through Blender itself."""

import bpy
import numpy as np
import pytest
from mathutils import Euler, Matrix, Quaternion, Vector
from understudy_shared.body import JOINT_NAMES, joint_transforms
from understudy_shared.motion import resample, slice_frames

from blender_addon import api
from blender_addon.scene.body import create_body
from blender_addon.scene.body_parts import armature_of
from blender_addon.scene.motion import apply_motion

PLACES = {  # a performer in T-pose, metres, Z up, facing -Y; not our body's proportions
    "pelvis": ((0, 0, 0.95), None), "spine1": ((0, 0.02, 1.05), "pelvis"), "spine2": ((0, 0.03, 1.17), "spine1"),
    "spine3": ((0, 0.02, 1.3), "spine2"), "neck": ((0, 0, 1.48), "spine3"), "head": ((0, -0.02, 1.58), "neck"),
    "left_hip": ((0.1, 0, 0.9), "pelvis"), "left_knee": ((0.11, -0.01, 0.5), "left_hip"),
    "left_ankle": ((0.11, 0.03, 0.09), "left_knee"), "left_foot": ((0.12, -0.1, 0.02), "left_ankle"),
    "left_collar": ((0.03, 0, 1.42), "spine3"), "left_shoulder": ((0.17, 0, 1.43), "left_collar"),
    "left_elbow": ((0.44, 0.01, 1.43), "left_shoulder"), "left_wrist": ((0.7, 0, 1.43), "left_elbow"),
}  # fmt: skip
NAMES = {
    "mixamo": "mixamorig:Hips Spine Spine1 Spine2 Neck Head LeftUpLeg LeftLeg LeftFoot LeftToeBase LeftShoulder "
    "LeftArm LeftForeArm LeftHand",
    "unreal": "pelvis spine_01 spine_02 spine_03 neck_01 head thigh_l calf_l foot_l ball_l clavicle_l upperarm_l "
    "lowerarm_l hand_l",
    "metarig": "spine spine.001 spine.002 spine.003 spine.004 spine.006 thigh.L shin.L foot.L toe.L shoulder.L "
    "upper_arm.L forearm.L hand.L",
    "vrm": "J_Bip_C_Hips J_Bip_C_Spine J_Bip_C_Chest J_Bip_C_UpperChest J_Bip_C_Neck J_Bip_C_Head J_Bip_L_UpperLeg "
    "J_Bip_L_LowerLeg J_Bip_L_Foot J_Bip_L_ToeBase J_Bip_L_Shoulder J_Bip_L_UpperArm J_Bip_L_LowerArm J_Bip_L_Hand",
    "humanoid": "hips spine chest upperChest neck head leftUpperLeg leftLowerLeg leftFoot leftToes leftShoulder "
    "leftUpperArm leftLowerArm leftHand",
    "cmu": "Hips LowerBack Spine Spine1 Neck1 Head LeftUpLeg LeftLeg LeftFoot LeftToeBase LeftShoulder LeftArm "
    "LeftForeArm LeftHand",
    "smpl": "m_avg_Pelvis m_avg_Spine1 m_avg_Spine2 m_avg_Spine3 m_avg_Neck m_avg_Head m_avg_L_Hip m_avg_L_Knee "
    "m_avg_L_Ankle m_avg_L_Foot m_avg_L_Collar m_avg_L_Shoulder m_avg_L_Elbow m_avg_L_Wrist",
    "biped": "Bip01_Pelvis Bip01_Spine Bip01_Spine1 Bip01_Spine2 Bip01_Neck Bip01_Head Bip01_L_Thigh Bip01_L_Calf "
    "Bip01_L_Foot Bip01_L_Toe0 Bip01_L_Clavicle Bip01_L_UpperArm Bip01_L_Forearm Bip01_L_Hand",
}  # fmt: skip
LIMBS = [(f"{side}_{a}", f"{side}_{b}") for side in ("left", "right")
         for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))]  # fmt: skip
MIRROR = (("left", "right"), ("Left", "Right"), ("_l", "_r"), (".L", ".R"), ("_L_", "_R_"))


def bones_of(kind):
    """Our joints to the rig's bone names, and prefixes of Mixamo on all."""
    left = dict(zip(PLACES, NAMES[kind].split(), strict=True))
    if kind == "mixamo":
        left = {k: v if v.startswith("mixamorig") else f"mixamorig:{v}" for k, v in left.items()}
    both = dict(left)
    for ours, theirs in left.items():
        if ours.startswith("left_"):
            other = theirs
            for a, b in MIRROR:
                if a in other:
                    other = other.replace(a, b)
                    break
            assert other != theirs
            both[ours.replace("left", "right")] = other
    return both


def performer(scene, kind, *, apose=0.0, centimetres=False, seed=0):
    """An armature with another build than ours, any roll, moving at random; (object, our joints to its bones)."""
    names = bones_of(kind)
    rng = np.random.default_rng(seed)
    places = {ours: np.array(PLACES[ours][0]) for ours in PLACES}
    if apose:
        for joint in ("left_elbow", "left_wrist"):
            shoulder = places["left_shoulder"]
            places[joint] = shoulder + np.array(Matrix.Rotation(apose, 3, "Y")) @ (places[joint] - shoulder)
    for ours in list(places):
        if ours.startswith("left_"):
            places[ours.replace("left", "right")] = places[ours] * [-1, 1, 1]
    parents = {ours: PLACES[ours.replace("right", "left")][1] for ours in places}
    parents = {o: (p.replace("left", "right") if p and o.startswith("right") else p) for o, p in parents.items()}
    obj = bpy.data.objects.new("Performer", bpy.data.armatures.new("Performer"))
    scene.collection.objects.link(obj)
    turn, scale = (Matrix.Rotation(np.pi / 2, 3, "X"), 0.01) if centimetres else (Matrix.Identity(3), 1.0)
    bpy.context.view_layer.objects.active = obj
    bpy.ops.object.mode_set(mode="EDIT")
    for ours in sorted(places, key=lambda o: len(o) + 100 * (parents[o] is not None)) and _ordered(parents):
        bone = obj.data.edit_bones.new(names[ours])
        child = next((c for c, p in parents.items() if p == ours), None)
        head = np.array(places[ours])
        tail = places[child] if child else head + 0.5 * (head - places[parents[ours]])
        bone.head = turn.inverted() @ Vector(head / scale)
        bone.tail = turn.inverted() @ Vector(tail / scale)
        bone.roll = rng.uniform(-3, 3)
        if parents[ours]:
            bone.parent = obj.data.edit_bones[names[parents[ours]]]
    bpy.ops.object.mode_set(mode="OBJECT")
    obj.matrix_world = turn.to_4x4() @ Matrix.Scale(scale, 4)
    for ours, theirs in names.items():
        bone = obj.pose.bones[theirs]
        bone.rotation_mode = "QUATERNION"
        axis, swing = rng.normal(size=3), 0.15 if "spine" in ours or ours in ("neck", "head", "pelvis") else 0.7
        axis /= np.linalg.norm(axis)
        for frame in range(1, 26, 3):
            angle = swing * np.sin(frame / 6 + rng.uniform(0, 0.2))
            bone.rotation_quaternion = Quaternion(axis, angle)
            bone.keyframe_insert("rotation_quaternion", frame=frame)
            if ours == "pelvis":
                bone.location = np.array([0.02 * frame, 0.01 * frame, 0.03 * np.sin(frame)]) / scale
                bone.keyframe_insert("location", frame=frame)
    return obj, names


def _ordered(parents):
    """Parents before children."""
    done = []
    while len(done) < len(parents):
        done += [o for o, p in parents.items() if o not in done and (p is None or p in done)]
    return done


def heads(obj, names, scene, frame):
    scene.frame_set(frame)
    return {ours: np.array(obj.matrix_world @ obj.pose.bones[theirs].head) for ours, theirs in names.items()}


def follows(scene, obj, names, frames=(1, 6, 11, 16, 25), tolerance=2e-3):
    """Limbs point where the performer's do, and the path is theirs by the length of the legs."""
    body = armature_of(scene.understudy.body)
    ours = {n: n for n in JOINT_NAMES}
    rest = {n: np.array(body.data.bones[n].head_local) for n in JOINT_NAMES}
    theirs = {o: np.array((obj.matrix_world @ obj.data.bones[n].head_local.to_4d()).xyz) for o, n in names.items()}

    def legs(at):
        return sum(np.linalg.norm(at[b] - at[a]) for a, b in LIMBS if "hip" in a or "knee" in a)

    ratio = legs(rest) / legs(theirs)
    start = None
    for frame in frames:
        a, b = heads(body, ours, scene, frame), heads(obj, names, scene, frame)
        for p, q in LIMBS:
            u, v = (at[q] - at[p] for at in (a, b))
            angle = np.arccos(np.clip(u @ v / np.linalg.norm(u) / np.linalg.norm(v), -1, 1))
            assert angle < tolerance, (frame, p, np.degrees(angle))
        middle = [(at["left_hip"] + at["right_hip"]) / 2 for at in (a, b)]
        start = start or middle
        moved = [m - s for m, s in zip(middle, start, strict=True)]
        np.testing.assert_allclose(moved[0], ratio * moved[1], atol=1e-3)
    return start


@pytest.mark.parametrize("kind", list(NAMES))
def test_a_rig_is_known_by_its_names(shot, kind):
    obj, names = performer(shot, kind)
    action = api.retarget(obj)
    assert action.frame_range[:] == (1, 25)
    starts = follows(shot, obj, names)
    np.testing.assert_allclose(starts[0][:2], starts[1][:2], atol=1e-3)  # it begins where the performer does


@pytest.mark.parametrize("apose", [0.0, 0.8])
def test_rest_poses_units_and_axes_do_not_show(shot, apose):
    obj, names = performer(shot, "mixamo", apose=apose, centimetres=True)
    obj.location = (1, 2, 0)
    obj.keyframe_insert("location", frame=1)
    bpy.context.view_layer.update()
    api.retarget(obj)
    follows(shot, obj, names)


def test_the_same_dance_in_t_and_a_pose_is_the_same(shot):
    """Bones of the A-pose rig copy those of the T-pose rig in the world, so that both skeletons look the same."""
    t, names = performer(shot, "mixamo")
    a, _ = performer(shot, "mixamo", apose=0.8)
    a.animation_data_clear()
    for ours, name in names.items():
        bone = a.pose.bones[name]
        bone.matrix_basis.identity()
        copy = bone.constraints.new("COPY_ROTATION" if ours != "pelvis" else "COPY_TRANSFORMS")
        copy.target, copy.subtarget = t, name
    shot.frame_end = 25
    for name in names.values():  # same roll about the same directions, so that copying rotations copies the pose
        assert a.pose.bones[name].bone.length == pytest.approx(t.pose.bones[name].bone.length, rel=1e-4)
    poses = []
    for obj in (t, a):
        api.retarget(obj, frames=range(1, 26))
        poses.append(heads(armature_of(shot.understudy.body), {n: n for n in JOINT_NAMES}, shot, 13))
    for joint in ("left_wrist", "right_wrist", "left_elbow", "left_ankle", "head"):
        np.testing.assert_allclose(poses[0][joint], poses[1][joint], atol=2e-3)


@pytest.fixture
def rigify(shot):
    if bpy.app.version < (5, 0, 0):
        pytest.skip("generating a rig makes bpy 4.5 hang when Python ends")
    try:
        bpy.ops.preferences.addon_enable(module="rigify")
    except RuntimeError:
        pytest.skip("this Blender comes without Rigify")
    bpy.ops.object.armature_basic_human_metarig_add()
    metarig = bpy.context.object
    bpy.ops.pose.rigify_generate()
    yield next(o for o in bpy.data.objects if o.type == "ARMATURE" and o != metarig)
    bpy.ops.preferences.addon_disable(module="rigify")


def test_a_generated_rigify_rig_is_followed_through_its_constraints(shot, rigify):
    rig, shot.frame_end = rigify, 25
    for frame in (1, 13, 25):
        for name, turn in (("upper_arm_fk.L", 0.9), ("forearm_fk.L", 0.6), ("hand_fk.L", 0.4)):
            rig.pose.bones[name].rotation_mode = "XYZ"
            rig.pose.bones[name].rotation_euler = Euler((turn * (frame - 1) / 24, 0.1, 0))
            rig.pose.bones[name].keyframe_insert("rotation_euler", frame=frame)
        rig.pose.bones["torso"].location = (0, 0.01 * frame, -0.004 * frame)
        rig.pose.bones["torso"].keyframe_insert("location", frame=frame)
    for side in "LR":
        rig.pose.bones[f"upper_arm_parent.{side}"]["IK_FK"] = 1.0
    names = {"left_hip": "ORG-thigh.L", "left_knee": "ORG-shin.L", "left_ankle": "ORG-foot.L",
             "left_shoulder": "ORG-upper_arm.L", "left_elbow": "ORG-forearm.L", "left_wrist": "ORG-hand.L"}  # fmt: skip
    names |= {k.replace("left", "right"): v.replace(".L", ".R") for k, v in names.items()}
    api.retarget(rig, frames=range(1, 26))
    before, after = (heads(rig, names, shot, f) for f in (1, 25))
    assert np.linalg.norm(after["left_wrist"] - before["left_wrist"]) > 0.2
    follows(shot, rig, names)


def test_bones_that_say_nothing_are_named_and_can_be_told(shot):
    obj, names = performer(shot, "mixamo")
    for joint, name in (("left_knee", "Bone.003"), ("right_wrist", "Thing")):
        bone = obj.data.bones[names[joint]]
        bone.name = name
        names[joint] = name
    with pytest.raises(ValueError, match=r'"Performer" has no bones .* for: left knee\. .*"understudy_joint"'):
        api.retarget(obj)
    assert shot.understudy.body is None
    api.retarget(obj, names={"left_knee": "Bone.003", "right_wrist": "Thing"})
    follows(shot, obj, names)
    obj.data.bones["Bone.003"]["understudy_joint"] = "left_knee"
    api.retarget(obj)
    obj.data.bones["Bone.003"]["understudy_joint"] = "knee"
    with pytest.raises(ValueError, match='says that it is "knee"'):
        api.retarget(obj)
    with pytest.raises(ValueError, match="is the body itself"):
        api.retarget(armature_of(shot.understudy.body))


def skin_of(obj):
    """A small mesh that hangs on every bone: glTF knows armatures only as skins."""
    mesh = bpy.data.meshes.new("Skin")
    heads = [obj.data.bones[b.name].head_local for b in obj.data.bones]
    corners = [p + d for p in heads for d in (Vector((0, 0, 0)), Vector((0, 0, 2)), Vector((2, 0, 0)))]
    mesh.from_pydata(corners, [], [(3 * i, 3 * i + 1, 3 * i + 2) for i in range(len(heads))])
    skin = bpy.data.objects.new("Skin", mesh)
    bpy.context.scene.collection.objects.link(skin)
    skin.parent = obj
    for i, bone in enumerate(obj.data.bones):
        skin.vertex_groups.new(name=bone.name).add([3 * i, 3 * i + 1, 3 * i + 2], 1.0, "REPLACE")
    skin.modifiers.new("Armature", "ARMATURE").object = obj
    return skin


def write(path, objects, moving=True):
    bpy.ops.object.select_all(action="DESELECT")
    for obj in objects:
        obj.select_set(True)
    if path.suffix == ".fbx":
        bpy.ops.export_scene.fbx(
            filepath=str(path), use_selection=True, add_leaf_bones=False, bake_anim_simplify_factor=0,
            bake_anim_use_all_actions=False, bake_anim_use_nla_strips=False, bake_anim=moving,
        )  # fmt: skip
    else:
        bpy.ops.export_scene.gltf(
            filepath=str(path), use_selection=True, export_animation_mode="ACTIVE_ACTIONS", export_force_sampling=True,
            export_optimize_animation_size=False, export_materials="NONE",
        )  # fmt: skip


def contents():
    lists = {p.identifier for p in bpy.data.bl_rna.properties if p.type == "COLLECTION"} - {"all_ids"}
    return {name: sorted(b.name for b in getattr(bpy.data, name) if isinstance(b, bpy.types.ID)) for name in lists}


@pytest.mark.parametrize("suffix", [".fbx", ".glb"])
def test_a_mixamo_file_moves_as_the_armature_in_the_scene_did(shot, tmp_path, suffix):
    shot.render.fps, shot.frame_start, shot.frame_end = 30, 1, 25
    obj, names = performer(shot, "mixamo", centimetres=True)
    skin = skin_of(obj)
    write(tmp_path / f"dance{suffix}", [obj, skin])
    shot.render.fps = 24  # the file's 30 are not the scene's
    shot.frame_set(3)
    before = contents()
    found = api.tracks(tmp_path / f"dance{suffix}")
    assert contents() == before
    assert [(t.frames, t.missing) for t in found] == [(25, 0)]
    assert found[0].seconds == pytest.approx(25 / 30, rel=1e-4)
    api.import_motion(tmp_path / f"dance{suffix}", start=1, ground="file", set_rate=True)
    assert (shot.frame_current, shot.frame_end) == (3, 25)
    assert obj.select_get()
    follows(shot, obj, names, tolerance=5e-3)
    new = {k: [n for n in v if n not in before[k]] for k, v in contents().items()}
    assert {k: v for k, v in new.items() if v} == {
        "actions": ["dance"], "armatures": ["Body Armature"], "materials": new["materials"], "meshes": ["Body"],
        "objects": ["Body", "Body Armature"], **({"images": new["images"]} if new["images"] else {}),
        **({"node_groups": new["node_groups"]} if new["node_groups"] else {}),
    }  # fmt: skip


@pytest.mark.parametrize("suffix", [".fbx", ".glb"])
def test_our_own_body_out_and_in_again_is_the_same(shot, tmp_path, model, wave, suffix):
    zero = np.zeros(model.num_betas, np.float32)
    clip = slice_frames(resample(wave, 24), 0, 40)
    obj = create_body(shot, model, zero)
    apply_motion(obj, clip, 1, 24)
    armature = armature_of(obj)
    shot.frame_end = 40
    bpy.data.objects.remove(obj)
    write(tmp_path / f"body{suffix}", [armature, skin_of(armature)])
    api.import_motion(tmp_path / f"body{suffix}", start=1, ground="file")
    wanted = joint_transforms(model, zero, clip.global_orient, clip.body_pose, clip.transl)[:, :, :3, 3]
    ours = {n: n for n in JOINT_NAMES}
    for frame in (1, 14, 27, 40):
        shown = heads(armature_of(shot.understudy.body), ours, shot, frame)
        worst = max(np.linalg.norm(shown[n] - wanted[frame - 1, j]) for j, n in enumerate(JOINT_NAMES))
        assert worst < 1e-3, (frame, worst)


def test_files_without_what_is_needed_say_so(shot, tmp_path):
    cube = bpy.data.objects.new("Cube", bpy.data.meshes.new("Cube"))
    cube.data.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    shot.collection.objects.link(cube)
    write(tmp_path / "cube.glb", [cube])
    (tmp_path / "broken.fbx").write_bytes(b"Kaydara FBX Binary  \x00 and no more")
    obj, _ = performer(shot, "mixamo")
    obj.animation_data_clear()
    write(tmp_path / "still.fbx", [obj], moving=False)
    before = contents()
    for name, words in (
        ("cube.glb", "holds no armature"), ("broken.fbx", "cannot import broken.fbx"), ("still.fbx", "holds no motion"),
        ("none.fbx", "none.fbx"),
    ):  # fmt: skip
        with pytest.raises((ValueError, OSError)) as error:
            api.import_motion(tmp_path / name)
        assert words in str(error.value)
        assert "\n" not in str(error.value)
        assert contents() == before
