"""WHAM's results: written as its demo writes them (joblib, a defaultdict), against SMPL posed as it poses it."""

from collections import defaultdict

import joblib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_shared.body import Y_UP_TO_Z_UP, free_body, joint_transforms
from understudy_shared.formats import wham
from understudy_shared.formats.detect import load_motion, load_tracks, motion_format
from understudy_shared.formats.reading import FormatError

BODY = free_body()
ZERO = np.zeros(10, np.float32)


def subject(frames, seed):
    rng = np.random.default_rng(seed)
    count = len(frames)
    pose = rng.normal(scale=0.3, size=(count, 72)).astype(np.float32)
    pose_world = pose.copy()
    pose[:, :3] = (Rotation.from_rotvec(pose[:, :3]) * Rotation.from_euler("x", 180, degrees=True)).as_rotvec()
    return {
        "pose": pose,
        "trans": (rng.normal(size=(count, 3)) + np.array([0, 0, 6])).astype(np.float32),
        "pose_world": pose_world,
        "trans_world": rng.normal(size=(count, 3)).astype(np.float32),
        "betas": np.tile(rng.normal(size=10), (count, 1)).astype(np.float32),
        "verts": rng.normal(size=(count, 20, 3)).astype(np.float32),
        "frame_ids": np.asarray(frames),
    }


def result():
    """Subject 3 is seen first and longer; subject 1 comes in at frame 5 and is lost for two frames."""
    out = defaultdict(dict)
    for key, value in ((1, subject([5, 6, 7, 10, 11], 1)), (3, subject(range(8), 3))):
        for name, array in value.items():
            out[key][name] = array
    return out


def written(path, content, **options):
    joblib.dump(content, path, **options)
    return path


def joints(clip):
    return joint_transforms(BODY, clip.betas, clip.global_orient, clip.body_pose, clip.transl)[..., :3, 3]


def as_filed(found):
    """Joints in WHAM's world: the posed body moved so that the middle of its hips is at `trans_world`."""
    pose = found["pose_world"].reshape(-1, 24, 3)
    posed = joint_transforms(BODY, ZERO, pose[:, 0], pose[:, 1:], np.zeros((len(pose), 3)))[..., :3, 3]
    return posed - posed[:, [1, 2]].mean(1, keepdims=True) + found["trans_world"][:, None]


@pytest.mark.parametrize("compress", [0, 3])
def test_everybody_in_the_world(tmp_path, compress):
    content = result()
    path = written(tmp_path / "wham_output.pkl", content, compress=compress)
    assert wham.sniff(path) and motion_format(path).key == "wham"
    clips = load_tracks(path, BODY)
    assert [c.track_id for c in clips] == ["3", "1"] and [len(c) for c in clips] == [8, 7]
    for clip in clips:
        found = content[int(clip.track_id)]
        seen = joints(clip)[clip.seen]
        assert np.abs(seen - as_filed(found) @ Y_UP_TO_Z_UP.T).max() < 1e-4
        assert clip.fps == 30
    first = clips[1]
    assert first.present.tolist() == [True, True, True, False, False, True, True]
    assert first.start == pytest.approx(5 / 30)
    assert np.array_equal(first.transl[3], first.transl[2]) and np.array_equal(first.transl[4], first.transl[5])


def test_one_track(tmp_path):
    path = written(tmp_path / "wham_output.pkl", result())
    assert load_motion(path, BODY).track_id == "3"
    clip = load_motion(path, BODY, track="1", fps=24)
    assert clip.track_id == "1" and clip.fps == 24 and clip.start == pytest.approx(5 / 24)
    with pytest.raises(FormatError, match="no track '2'; it has '3', '1'"):
        load_motion(path, BODY, track="2")


def test_without_a_world_the_camera_is_it(tmp_path):
    content = {0: subject(range(4), 0)}
    for name in ("pose_world", "trans_world"):
        del content[0][name]
    clip = load_motion(written(tmp_path / "wham_output.pkl", content), BODY)
    pose = content[0]["pose"].reshape(-1, 24, 3)
    camera = joint_transforms(BODY, ZERO, pose[:, 0], pose[:, 1:], content[0]["trans"])[..., :3, 3]
    x, y, z = np.moveaxis(camera, -1, 0)
    assert np.abs(joints(clip) - np.stack([x, z, -y], -1)).max() < 1e-4


def test_the_files_shape(tmp_path):
    content = {0: subject(range(4), 0)}
    clip = load_motion(written(tmp_path / "wham_output.pkl", content), BODY, betas="file")
    assert np.allclose(clip.betas, content[0]["betas"][0], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("pose_world") is s.pop("pose"), "has no 'pose'"),
        (lambda s: s.update(pose_world=s["pose_world"][:, :60]), "another shape"),
        (lambda s: s.update(trans_world=s["trans_world"] * np.nan), "finite"),
        (lambda s: s.update(frame_ids=s["frame_ids"] * 10**7), "cut the video"),
        (lambda s: s.update(frame_ids=s["frame_ids"] - 5), "numbered from 0"),
        (lambda s: s.update(frame_ids=s["frame_ids"] + 0.5), "numbered from 0"),
        (lambda s: s.update(frame_ids=np.zeros(0, int)), "another shape"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path, change, says):
    content = {0: subject(range(4), 0)}
    change(content[0])
    with pytest.raises(FormatError, match=says) as caught:
        load_motion(written(tmp_path / "wham_output.pkl", content), BODY)
    assert "\n" not in str(caught.value)


def test_a_frame_rate_that_is_none(tmp_path):
    path = written(tmp_path / "wham_output.pkl", result())
    for fps in (0, -1, float("nan")):
        with pytest.raises(FormatError, match="frame rate"):
            load_motion(path, BODY, fps=fps)
