import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_shared.body import JOINT_NAMES, Y_UP_TO_Z_UP, free_body, joint_transforms
from understudy_shared.formats import bvh
from understudy_shared.formats.detect import load_motion
from understudy_shared.formats.reading import FormatError
from understudy_shared.motion import MotionClip, slice_frames
from understudy_shared.retarget import Performance, Skeleton, retarget

BODY = free_body()


def joints(clip):
    return joint_transforms(BODY, clip.betas, clip.global_orient, clip.body_pose, clip.transl)[..., :3, 3]


def random_clip(frames=6):
    rng = np.random.default_rng(0)
    stand = Rotation.from_matrix(Y_UP_TO_Z_UP)
    root = (Rotation.from_rotvec(rng.normal(scale=0.4, size=(frames, 3))) * stand).as_rotvec()
    pose = rng.normal(scale=0.6, size=(frames, 23, 3))
    return MotionClip(*(a.astype("f4") for a in (root, pose, rng.normal(size=(frames, 3)), np.zeros(10))), fps=24.0)


def test_saved_and_loaded(tmp_path):
    clip = random_clip()
    bvh.save(tmp_path / "m.bvh", clip, BODY)
    back = load_motion(tmp_path / "m.bvh", BODY)
    assert abs(back.fps - 24) < 1e-3
    assert np.abs(joints(back) - joints(clip)).max() < 1e-4


def test_sample_saved_and_loaded(tmp_path, samples):
    clip = slice_frames(load_motion(samples / "motions/cmu_01_01_jump_turn.npz", BODY), step=7)
    bvh.save(tmp_path / "m.bvh", clip, BODY)
    assert np.abs(joints(load_motion(tmp_path / "m.bvh", BODY)) - joints(clip)).max() < 1e-4


def test_gimbal_lock_is_written(tmp_path):
    clip = random_clip(1)
    pose = clip.body_pose.copy()
    pose[0, 0] = [np.pi / 2, 0, 0]
    pose[0, 1] = (Rotation.from_euler("y", 0.7) * Rotation.from_euler("x", -np.pi / 2)).as_rotvec()
    clip = MotionClip(clip.global_orient, pose, clip.transl, clip.betas, 24.0)
    bvh.save(tmp_path / "m.bvh", clip, BODY)
    assert np.abs(joints(load_motion(tmp_path / "m.bvh", BODY)) - joints(clip)).max() < 1e-4


ARM = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Yrotation Xrotation Zrotation
  JOINT Spine
  {
    OFFSET 0 10 0
    CHANNELS 3 Xrotation Zrotation Yrotation
    End Site
    {
      OFFSET 0 5 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.04
1 2 3 10 20 30 40 50 60
0 0 0 0 0 0 0 0 90
"""


def test_channels_in_any_order(tmp_path):
    (tmp_path / "arm.bvh").write_text(ARM)
    parsed = bvh.parse(tmp_path / "arm.bvh")
    assert parsed.names == ("Hips", "Spine") and parsed.parents == (-1, 0) and parsed.frame_time == 0.04
    performed = parsed.performance()
    hips = Rotation.from_euler("YXZ", [10, 20, 30], degrees=True)  # capitals: each about the axes turned before it
    spine = hips * Rotation.from_euler("XZY", [40, 50, 60], degrees=True)
    assert np.allclose(performed.positions[0, 0], [1, 2, 3])
    assert np.allclose(performed.positions[0, 1], np.add(hips.apply([0, 10, 0]), [1, 2, 3]))
    assert np.allclose(performed.rotations[0, 1], spine.as_matrix())


def retold(path, clip, *, names=str, unit=1.0, turn=None, arms=0.0):
    """Writes the clip as another program might: other names, unit, axes, and arms that hang at rest.

    `turn` (3, 3) takes the world and the rest pose to other axes. With `arms` in degrees, the rest pose has its arms
    lowered by so much, and the rotations are of that rest.
    """
    bvh.save(path, clip, BODY)
    parsed = bvh.parse(path)
    turn = np.eye(3) if turn is None else turn
    performed = parsed.performance()
    rotations, rest = performed.rotations, performed.skeleton.rest.copy()
    for side, sign in (("left", 1), ("right", -1)):
        lower = Rotation.from_euler("z", -sign * arms, degrees=True).as_matrix()
        shoulder = parsed.names.index(f"{side}_shoulder")
        for part in ("shoulder", "elbow", "wrist", "hand"):
            joint = parsed.names.index(f"{side}_{part}")
            rest[joint] = lower @ (rest[joint] - performed.skeleton.rest[shoulder]) + performed.skeleton.rest[shoulder]
            rotations[:, joint] = rotations[:, joint] @ lower.T
    rotations, rest = turn @ rotations @ turn.T, rest @ turn.T
    positions = performed.positions @ turn.T * unit
    lines = ["HIERARCHY"]

    def tell(joint, indent):
        parent = parsed.parents[joint]
        offset = (rest[joint] - (rest[parent] if parent >= 0 else rest[joint])) * unit
        channels = "Zrotation Yrotation Xrotation"
        channels = f"CHANNELS 6 Xposition Yposition Zposition {channels}" if parent < 0 else f"CHANNELS 3 {channels}"
        lines.extend([f"{'JOINT' if parent >= 0 else 'ROOT'} {names(parsed.names[joint])}", "{"])
        lines.extend([f"OFFSET {' '.join(f'{x:.8f}' for x in offset)}", channels])
        children = [j for j, p in enumerate(parsed.parents) if p == joint]
        for child in children:
            tell(child, indent + 1)
        if not children:
            lines.extend(["End Site", "{", "OFFSET 0 0 0", "}"])
        lines.append("}")

    tell(0, 0)
    lines += ["MOTION", f"Frames: {len(clip)}", f"Frame Time: {1 / clip.fps:.9f}"]
    for t in range(len(clip)):
        row = list(positions[t, 0])
        for joint, parent in enumerate(parsed.parents):
            local = rotations[t, joint] if parent < 0 else rotations[t, parent].T @ rotations[t, joint]
            row += list(Rotation.from_matrix(local).as_euler("ZYX", degrees=True))
        lines.append(" ".join(f"{x:.7f}" for x in row))
    path.write_text("\n".join(lines))
    return path


CMU = {
    "pelvis": "Hips", "spine1": "LowerBack", "spine2": "Spine", "spine3": "Spine1", "neck": "Neck", "head": "Head",
    "hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase", "collar": "Shoulder", "shoulder": "Arm",
    "elbow": "ForeArm", "wrist": "Hand", "hand": "FingerBase",
}  # fmt: skip
UNREAL = {
    "pelvis": "pelvis", "spine1": "spine_01", "spine2": "spine_02", "spine3": "spine_03", "neck": "neck_01",
    "head": "head", "hip": "thigh", "knee": "calf", "ankle": "foot", "foot": "ball", "collar": "clavicle",
    "shoulder": "upperarm", "elbow": "lowerarm", "wrist": "hand", "hand": "middle_01",
}  # fmt: skip
DAZ = {
    **CMU, "pelvis": "hip", "hip": "Thigh", "knee": "Shin", "collar": "Collar", "shoulder": "Shldr", "spine1": "abdomen"
}  # fmt: skip


def cmu(name):
    side, _, part = name.rpartition("_")
    return side.capitalize() + CMU[part]


def mixamo(name):
    return "mixamorig:" + cmu(name).replace("Spine1", "Spine2").replace("LowerBack", "Spine1")


def unreal(name):
    side, _, part = name.rpartition("_")
    return UNREAL[part] + (f"_{side[0]}" if side else "")


def daz(name):
    side, _, part = name.rpartition("_")
    return side[:1] + DAZ[part]


def biped(name):
    side, _, part = name.rpartition("_")
    words = {**CMU, "pelvis": "Pelvis", "hip": "Thigh", "knee": "Calf", "foot": "Toe0", "collar": "Clavicle"}
    words |= {"shoulder": "UpperArm", "elbow": "Forearm", "foot": "Toe", "spine1": "Spine", "spine2": "Spine1"}
    return f"Bip01_{side[:1].upper()}_{words[part]}" if side else f"Bip01_{words[part]}"


@pytest.mark.parametrize("names", [str, cmu, mixamo, unreal, daz, biped])
def test_names_of_other_programs(tmp_path, names):
    clip = random_clip(3)
    back = load_motion(retold(tmp_path / "m.bvh", clip, names=names), BODY)
    used = [j for j, name in enumerate(JOINT_NAMES) if not name.endswith("_hand")]
    assert np.abs(joints(back) - joints(clip))[:, used].max() < 1e-4


@pytest.mark.parametrize("unit", [100.0, 39.37, 5.6])
def test_any_unit(tmp_path, unit):
    clip = random_clip(2)
    assert np.abs(joints(load_motion(retold(tmp_path / "m.bvh", clip, unit=unit), BODY)) - joints(clip)).max() < 1e-4


def test_z_up(tmp_path):
    clip = random_clip(4)
    back = load_motion(retold(tmp_path / "m.bvh", clip, turn=Y_UP_TO_Z_UP), BODY)
    assert np.abs(joints(back) - joints(clip)).max() < 1e-4


def test_arms_that_hang_at_rest(tmp_path):
    clip = random_clip(4)
    back = load_motion(retold(tmp_path / "m.bvh", clip, arms=45), BODY)
    used = [j for j, name in enumerate(JOINT_NAMES) if not name.endswith("_hand")]
    assert np.abs(joints(back) - joints(clip))[:, used].max() < 1e-4


def test_a_spine_of_one_joint_is_spread():
    """A puppet of 14 joints bows by 60 degrees in its only spine joint, and raises its right arm."""
    names = ["Hips", "Chest", "Neck", "Head", "LeftArm", "LeftForeArm", "RightArm", "RightForeArm"]
    names += ["LeftUpLeg", "LeftLeg", "LeftFoot", "RightUpLeg", "RightLeg", "RightFoot"]
    parents = (-1, 0, 1, 2, 1, 4, 1, 6, 0, 8, 9, 0, 11, 12)
    rest = [[0, 0, 0], [0, 1, 0], [0, 3, 0], [0, 3.5, 0], [1, 3, 0], [2, 3, 0], [-1, 3, 0], [-2, 3, 0]]
    rest += [[s * 0.5, y, 0] for s in (1, -1) for y in (0, -2, -4)]
    bow = Rotation.from_euler("x", 60, degrees=True)
    turns = [bow if name not in ("Hips", *names[8:]) else Rotation.identity() for name in names]
    turns[6] = turns[7] = bow * Rotation.from_euler("z", -90, degrees=True)
    performed = Performance(
        Skeleton(tuple(names), parents, np.array(rest, float)),
        np.stack([turn.as_matrix() for turn in turns])[None],
        np.array([rest], float),
    )
    clip = retarget(performed, BODY, 30.0)
    # 20 degrees in each of the three spine joints, none between chest, neck and head
    for joint in (3, 6, 9):
        assert np.allclose(clip.body_pose[0, joint - 1], [np.radians(20), 0, 0], atol=1e-6)
    assert np.allclose(clip.body_pose[0, [11, 14]], 0, atol=1e-6)
    assert np.allclose(clip.body_pose[0, [12, 13]], 0, atol=1e-6)  # it has no collars
    found = joints(clip)[0]
    raised = found[JOINT_NAMES.index("right_elbow")] - found[JOINT_NAMES.index("right_shoulder")]
    up_of_chest = Y_UP_TO_Z_UP @ bow.apply([0, 1, 0])
    assert np.allclose(raised / np.linalg.norm(raised), up_of_chest, atol=1e-5)


def test_given_names(tmp_path):
    path = retold(tmp_path / "m.bvh", random_clip(2), names=lambda n: "Sitzbein" if n == "left_knee" else n)
    with pytest.raises(FormatError, match="left_knee"):
        load_motion(path, BODY)
    back = load_motion(path, BODY, names={"left_knee": "Sitzbein"})
    assert np.abs(joints(back) - joints(random_clip(2))).max() < 1e-4
    with pytest.raises(FormatError, match="'Nirgends'"):
        load_motion(path, BODY, names={"left_knee": "Nirgends"})


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("HIERARCHY", "HIER", "not a BVH"),
        ("MOTION", "", "no MOTION"),
        ("MOTION", "ROOT B\n{\nOFFSET 0 0 0\nCHANNELS 3 Xrotation Yrotation Zrotation\n}\nMOTION", "several roots"),
        ("Frames: 2", "Frames: 0", "no frames"),
        ("Frames: 2", "Frames: 3", "declares 3 frames"),
        ("Frames: 2", "Frames: 99999999999", "declares"),
        ("Frames: 2", "Frames: many", "MOTION part"),
        ("Time: 0.04", "Time: 0", "frame time"),
        ("Time: 0.04", "Time: nan", "frame time"),
        ("1 2 3", "1 nan 3", "finite"),
        ("1 2 3", "1 two 3", "numbers"),
        ("1 2 3", "1 2", "declares"),
        ("OFFSET 0 10 0", "OFFSET 0 ten 0", "hierarchy"),
        ("OFFSET 0 10 0", "OFFSET 0 inf 0", "finite"),
        ("CHANNELS 3 X", "CHANNELS 7 X", "hierarchy|channel"),
        ("CHANNELS 3 Xrot", "CHANNELS 3 Wrot", "unknown channel"),
        ("JOINT Spine", "JOIN Spine", "unknown word"),
        ("End Site", "End", "hierarchy"),
        ("  }\n}\nMOTION", "  }\nMOTION", "not complete"),
        ("  }\n}\nMOTION", "  }}}}\nMOTION", "hierarchy"),
        ("0 0 0 0 0 0 0 0 90", "0 0 0 0 0 0 0 0 90 5", "declares"),
        ("Spine", "Spine", "no joint is found for left_shoulder"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path, old, new, says):
    assert old in ARM
    (tmp_path / "m.bvh").write_text(ARM.replace(old, new, 1))
    with pytest.raises(FormatError, match=says) as caught:
        load_motion(tmp_path / "m.bvh", BODY)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("m.bvh: ")


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"\xff\xfeH", b"HIERARCHY", b"HIERARCHY\nMOTION\n", b"MOTION"])
def test_files_that_are_none(tmp_path, content):
    (tmp_path / "m.bvh").write_bytes(content)
    with pytest.raises(FormatError, match=r"^m\.bvh: [^\n]+$"):
        load_motion(tmp_path / "m.bvh", BODY)


@pytest.mark.parametrize(
    ("written", "fps"),
    [
        (0.0333, 30), (0.033333, 30), (0.0333333, 30), (0.0334, 30000 / 1001), (0.033367, 30000 / 1001),
        (0.008333, 120), (0.0083, 120), (0.0417, 24), (0.041667, 24), (0.041708, 24000 / 1001), (0.04, 25),
        (0.016667, 60), (0.01, 100), (0.05, 20), (0.1, 10), (0.0321, 1 / 0.0321),
    ],
)  # fmt: skip
def test_rounded_frame_times(written, fps):
    assert bvh.frame_rate(written) == pytest.approx(fps, rel=1e-12)
