import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_shared.body import Y_UP_TO_Z_UP, free_body, skin
from understudy_shared.formats import smpl_params
from understudy_shared.formats.detect import load_motion
from understudy_shared.formats.reading import FormatError

BODY = free_body()
FRAMES = 6


def motion(seed=0):
    """Rotations (T, 24) and places (T, 3) of a standing person, Y up."""
    rng = np.random.default_rng(seed)
    turns = Rotation.from_rotvec(rng.normal(scale=0.3, size=(FRAMES * 24, 3)))
    return turns, rng.normal(size=(FRAMES, 3))


def vertices(clip):
    return skin(BODY, clip.betas, clip.global_orient, clip.body_pose, clip.transl)[:, ::97]


def expected(turns, place):
    pose = turns.as_rotvec().reshape(FRAMES, 24, 3)
    return (skin(BODY, np.zeros(10), pose[:, 0], pose[:, 1:], place) @ Y_UP_TO_Z_UP.T)[:, ::97]


def layouts(turns):
    vec, m = turns.as_rotvec().reshape(FRAMES, 24, 3), turns.as_matrix().reshape(FRAMES, 24, 3, 3)
    rows, columns = m[..., :2, :].reshape(FRAMES, 24, 6), m[..., :, :2].reshape(FRAMES, 24, 6)
    return {
        "axis-angle": {"poses": vec.reshape(FRAMES, 72)},
        "axis-angle by joint": {"poses": vec},
        "matrices": {"poses": m},
        "flat matrices": {"poses": m.reshape(FRAMES, 216)},
        "rows": {"poses": rows},
        "flat rows": {"poses": rows.reshape(FRAMES, 144)},
        "columns": {"poses": columns},
        "split": {"global_orient": vec[:, 0], "body_pose": vec[:, 1:].reshape(FRAMES, 69)},
        "split matrices": {"global_orient": m[:, :1], "body_pose": m[:, 1:]},
        "split, the root alone": {"global_orient": m[:, 0], "body_pose": m[:, 1:]},
        "split rows": {"global_orient": rows[:, 0], "body_pose": rows[:, 1:]},
    }


@pytest.mark.parametrize("name", layouts(motion()[0]))
@pytest.mark.parametrize("suffix", [".npz", ".json", ".pkl"])
def test_every_way_to_write_rotations(tmp_path, name, suffix):
    turns, place = motion()
    data = {**layouts(turns)[name], "trans": place, "fps": 25}
    path = tmp_path / f"m{suffix}"
    if suffix == ".npz":
        np.savez(path, **data)
    elif suffix == ".json":
        path.write_text(json.dumps({k: np.asarray(v).tolist() for k, v in data.items()}))
    else:
        path.write_bytes(pickle.dumps(data))
    clip = load_motion(path, BODY)
    assert clip.fps == 25 and np.abs(vertices(clip) - expected(turns, place)).max() < 1e-5


def test_an_array_alone_stays_in_its_place(tmp_path):
    turns, _ = motion()
    np.save(tmp_path / "m.npy", turns.as_rotvec().reshape(FRAMES, 72).astype("f4"))
    clip = load_motion(tmp_path / "m.npy", BODY)
    assert clip.fps == 30 and np.abs(vertices(clip) - expected(turns, np.zeros((FRAMES, 3)))).max() < 1e-5


def test_aist(tmp_path):
    """A pickle with centimetres that `smpl_scaling` divides, 60 frames per second, Y up."""
    turns, place = motion()
    scale = np.array([93.7])
    content = {
        "smpl_loss": 0.1,
        "smpl_poses": turns.as_rotvec().reshape(FRAMES, 72),
        "smpl_scaling": scale,
        "smpl_trans": place * scale,
    }
    (tmp_path / "gBR.pkl").write_bytes(pickle.dumps(content))
    clip = load_motion(tmp_path / "gBR.pkl", BODY)
    assert clip.fps == 60 and np.abs(vertices(clip) - expected(turns, place)).max() < 1e-5


@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_our_own_files_keep_everything(tmp_path, suffix):
    turns, place = motion()
    np.savez(tmp_path / "m.npz", poses=turns.as_rotvec().reshape(FRAMES, 72), trans=place, fps=30000 / 1001)
    clip = replace(
        load_motion(tmp_path / "m.npz", BODY),
        betas=np.linspace(-1, 1, 10).astype("f4"),
        present=np.arange(FRAMES) != 2,
        track_id="17",
        start=1.25,
    )
    path = tmp_path / f"own{suffix}"
    smpl_params.save(path, clip)
    back = load_motion(path, BODY, betas="file")
    for name in ("global_orient", "body_pose", "transl", "betas", "present"):
        assert np.array_equal(getattr(back, name), getattr(clip, name)), name
    assert (back.fps, back.track_id, back.start) == (clip.fps, "17", 1.25)
    smpl_params.save(path, replace(clip, present=None))
    assert load_motion(path, BODY).present is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"poses": np.ones((3, 24, 3, 3))}, "not rotations"),
        ({"poses": -np.tile(np.eye(3), (3, 24, 1, 1))}, "not rotations"),
        ({"poses": np.full((3, 24, 3, 3), np.nan)}, "finite"),
        ({"poses": np.full((3, 24, 6), 2.0)}, "six numbers"),
        ({"poses": np.zeros((3, 71))}, "shape"),
        ({"poses": np.zeros((3, 72)), "present": np.ones(2)}, "present"),
        ({"poses": np.zeros((3, 72)), "present": np.zeros(3, bool)}, "in no frame"),
        ({"poses": np.zeros((3, 72)), "smpl_scaling": np.zeros(1)}, "smpl_scaling"),
        ({"poses": np.zeros((3, 72)), "start": np.array(np.inf)}, "start"),
        ({"poses": np.zeros((3, 72)), "start": np.array("now")}, "now"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path, data, says):
    np.savez(tmp_path / "m.npz", trans=np.zeros((3, 3)), fps=30, **data)
    with pytest.raises(FormatError, match=says) as caught:
        load_motion(tmp_path / "m.npz", BODY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"poses": [[1, 2], [3]], "trans": []}', "different lengths"),
        ('{"poses": [["a"]], "trans": [[0, 0, 0]]}', "numbers"),
        ('{"poses": {"a": 1}, "trans": [[0, 0, 0]]}', "numbers"),
        ('{"poses": [[1, 2', "not a known motion"),
        ('{"camera_path": []}', "not a known motion"),
    ],
)
def test_json_that_is_no_motion(tmp_path, text, says):
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(FormatError, match=says) as caught:
        load_motion(tmp_path / "m.json", BODY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("array", [np.zeros(()), np.zeros(72), np.zeros((0, 72)), np.array(["x"]), np.zeros((2, 5))])
def test_arrays_that_are_no_motion(tmp_path, array):
    np.save(tmp_path / "m.npy", array)
    with pytest.raises(FormatError):
        load_motion(tmp_path / "m.npy", BODY)
