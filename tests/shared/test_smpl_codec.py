"""Meshcapade's .smpl, written and read by their own library where it is installed."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_shared.body import Y_UP_TO_Z_UP, free_body, joint_transforms
from understudy_shared.formats import smpl_codec
from understudy_shared.formats.detect import load_motion, motion_format
from understudy_shared.formats.reading import FormatError

BODY = free_body()
FRAMES = 5


def entries(version=2):
    """As their library writes them: int32 and float32 only, Y up."""
    rng = np.random.default_rng(version)
    joints = 24 if version == 0 else 22
    return {
        "codecVersion": np.int32(2),
        "smplVersion": np.int32(version),
        "gender": np.int32(1),
        "shapeParameters": rng.normal(size=10).astype("f4"),
        "frameCount": np.int32(FRAMES),
        "frameRate": np.float32(60),
        "bodyTranslation": rng.normal(size=(FRAMES, 3)).astype("f4"),
        "bodyPose": rng.normal(scale=0.3, size=(FRAMES, joints, 3)).astype("f4"),
        "leftHandPose": rng.normal(size=(FRAMES, 15, 3)).astype("f4"),
    }


def written(path, data):
    with path.open("wb") as file:
        np.savez_compressed(file, **data)
    return path


def joints(clip):
    return joint_transforms(BODY, clip.betas, clip.global_orient, clip.body_pose, clip.transl)[..., :3, 3]


def as_filed(data):
    pose = np.zeros((FRAMES, 24, 3))
    pose[:, : data["bodyPose"].shape[1]] = data["bodyPose"]
    return joint_transforms(BODY, np.zeros(10), pose[:, 0], pose[:, 1:], data["bodyTranslation"])[..., :3, 3]


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_every_version(tmp_path, version):
    data = entries(version)
    path = written(tmp_path / "m.smpl", data)
    assert smpl_codec.sniff(path) and motion_format(path).key == "smpl_codec"
    clip = load_motion(path, BODY)
    assert clip.fps == 60 and np.abs(joints(clip) - as_filed(data) @ Y_UP_TO_Z_UP.T).max() < 1e-4
    assert np.allclose(load_motion(path, BODY, betas="file").betas, data["shapeParameters"])


def test_their_library_writes_it(tmp_path):
    theirs = pytest.importorskip("smplcodec")
    data = entries(2)
    theirs.SMPLCodec(
        smpl_version=theirs.SMPLVersion.SMPLX,
        gender=theirs.SMPLGender.FEMALE,
        shape_parameters=data["shapeParameters"],
        frame_count=FRAMES,
        frame_rate=60.0,
        body_translation=data["bodyTranslation"],
        body_pose=data["bodyPose"],
        head_pose=np.zeros((FRAMES, 3, 3)),
    ).write(tmp_path / "theirs.smpl")
    clip = load_motion(tmp_path / "theirs.smpl", BODY)
    assert clip.fps == 60 and np.abs(joints(clip) - as_filed(data) @ Y_UP_TO_Z_UP.T).max() < 1e-4


def test_their_library_reads_ours(tmp_path):
    theirs = pytest.importorskip("smplcodec")
    data = entries(0)
    clip = load_motion(written(tmp_path / "m.smpl", data), BODY, betas="file")
    smpl_codec.save(tmp_path / "ours.smpl", clip, BODY)
    read = theirs.SMPLCodec.from_file(tmp_path / "ours.smpl")
    assert read.smpl_version == theirs.SMPLVersion.SMPL and read.frame_count == FRAMES and read.frame_rate == 60
    turned = Rotation.from_rotvec(read.body_pose.reshape(-1, 3)) * Rotation.from_rotvec(
        data["bodyPose"].reshape(-1, 3)
    ).inv()  # fmt: skip
    assert turned.magnitude().max() < 1e-5
    assert np.abs(read.body_translation - data["bodyTranslation"]).max() < 1e-5
    assert np.abs(read.shape_parameters - data["shapeParameters"]).max() < 1e-6


def test_lying_bodies_are_y_up(tmp_path):
    data = entries(0)
    data["bodyPose"][:, 0] = Rotation.from_euler("z", 90, degrees=True).as_rotvec()
    clip = load_motion(written(tmp_path / "m.smpl", data), BODY)
    assert np.abs(joints(clip) - as_filed(data) @ Y_UP_TO_Z_UP.T).max() < 1e-4


def drop(*names):
    return lambda d: [d.pop(n) for n in names]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (drop("bodyPose", "bodyTranslation"), "no motion"),
        (drop("frameRate"), "frame rate"),
        (lambda d: d.update(smplVersion=np.int32(5)), "other joints"),
        (lambda d: d.update(frameCount=np.int32(7)), "declares 7 frames, but holds 5"),
        (lambda d: d.update(bodyPose=d["bodyPose"][:, :20]), "shape"),
        (lambda d: d.update(bodyPose=d["bodyPose"] * np.nan), "finite"),
        (lambda d: d.update(bodyTranslation=np.array([None])), "pickled"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path, change, says):
    data = entries(2)
    change(data)
    with pytest.raises(FormatError, match=says) as caught:
        load_motion(written(tmp_path / "m.smpl", data), BODY)
    assert "\n" not in str(caught.value)


def test_a_pose_or_a_way_alone(tmp_path):
    data = entries(2)
    del data["bodyTranslation"]
    assert not load_motion(written(tmp_path / "p.smpl", data), BODY, up="z").transl.any()
    data = entries(2)
    del data["bodyPose"]
    assert load_motion(written(tmp_path / "t.smpl", data), BODY).body_pose.shape == (FRAMES, 23, 3)
