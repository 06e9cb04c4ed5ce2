"""One door for every motion: what a file is, whose motion, and what is said where it is none."""

import os
import pickle
import time
from pathlib import Path

import numpy as np
import pytest
from understudy_shared.body import free_body
from understudy_shared.formats.detect import MOTION_FORMATS, load_motion, load_tracks, motion_format
from understudy_shared.formats.reading import FormatError

BODY = free_body()


def test_one_person_is_a_list_of_one(samples):
    path = samples / "motions/cmu_13_26_wave_point.npz"
    (clip,) = load_tracks(path, BODY)
    assert clip.track_id == "" and motion_format(path).key == "amass"
    assert np.array_equal(load_motion(path, BODY).transl, clip.transl)
    with pytest.raises(FormatError, match="no track 'x'"):
        load_motion(path, BODY, track="x")


def test_stage_two_of_amass(tmp_path):
    """SMPL-X as AMASS writes it now: with text, labels and markers, and another name for its frame rate."""
    rng = np.random.default_rng(0)
    poses = rng.normal(scale=0.2, size=(4, 165))
    poses[:, :3] = [np.pi / 2, 0, 0]
    np.savez(
        tmp_path / "walk_stageii.npz",
        gender="neutral",
        surface_model_type="smplx",
        mocap_frame_rate=120.0,
        mocap_time_length=0.03,
        markers_latent=rng.normal(size=(5, 3)),
        latent_labels=np.array(["A", "B"]),
        trans=rng.normal(size=(4, 3)),
        poses=poses,
        betas=rng.normal(size=16),
        num_betas=16,
        root_orient=poses[:, :3],
        pose_body=poses[:, 3:66],
        pose_hand=poses[:, 75:],
        pose_jaw=poses[:, 66:69],
        pose_eye=poses[:, 69:75],
    )
    clip = load_motion(tmp_path / "walk_stageii.npz", BODY)
    assert clip.fps == 120 and np.allclose(clip.body_pose[:, :21].reshape(4, 63), poses[:, 3:66], atol=1e-6)
    assert not clip.body_pose[:, 21:].any()


def test_3000_frames_load_quickly(tmp_path):
    rng = np.random.default_rng(0)
    poses = rng.normal(scale=0.2, size=(3000, 156))
    np.savez(tmp_path / "m.npz", poses=poses, trans=np.zeros((3000, 3)), betas=np.zeros(16), mocap_framerate=120.0)
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        load_motion(tmp_path / "m.npz", BODY)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.3


def test_what_is_read_is_named(tmp_path):
    for name in ("m.fbx", "m.txt", "m.mp4", "m"):
        (tmp_path / name).write_bytes(b"nothing that we know")
        with pytest.raises(FormatError, match="not a known motion") as caught:
            load_motion(tmp_path / name, BODY)
        for known in MOTION_FORMATS:
            assert known.label in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", sorted({e for f in MOTION_FORMATS for e in f.extensions} | {".pth", ".joblib"}))
@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 64, b"PK\x03\x04 no zip", b"\x80\x04.", b"{}", b"\x93NUMPY\x01\x00"]
)
def test_nothing_becomes_one_line(tmp_path, suffix, content):
    (tmp_path / f"m{suffix}").write_bytes(content)
    with pytest.raises(FormatError) as caught:
        load_tracks(tmp_path / f"m{suffix}", BODY)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"m{suffix}: ")


class Evil:
    def __reduce__(self):
        return (os.system, ("touch HACKED",))


@pytest.mark.parametrize("suffix", [".pkl", ".npy", ".pt", ".joblib", ".npz", ".smpl"])
@pytest.mark.parametrize(
    "words", ["", "frame_ids trans_world", "tid global_orient camera", "smpl_poses", "pred_rotmat"]
)
def test_nothing_is_ever_run(tmp_path, monkeypatch, suffix, words):
    monkeypatch.chdir(tmp_path)
    path = Path(f"m{suffix}")
    content = {"words": words, "evil": Evil()}
    if suffix == ".npy":
        np.save(path, content, allow_pickle=True)
    elif suffix in (".npz", ".smpl"):
        with path.open("wb") as file:
            np.savez(file, poses=np.array(content, object), smplVersion=np.array(content, object))
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(FormatError):
        load_tracks(path, BODY)
    assert not Path("HACKED").exists()


def test_laughs_do_not_take_ages(tmp_path):
    """A pickle of a list that holds a list ten times, that holds a list ten times, ..."""
    laugh = "smpl_poses"
    for _ in range(12):
        laugh = [laugh] * 10
    (tmp_path / "laughs.pkl").write_bytes(pickle.dumps({"poses": laugh, "trans": laugh}))
    begin = time.perf_counter()
    with pytest.raises(FormatError, match="not a pickle that can be read"):
        load_tracks(tmp_path / "laughs.pkl", BODY)
    assert time.perf_counter() - begin < 2


def test_a_list_in_itself(tmp_path):
    loop = {"smpl_poses": []}
    loop["smpl_poses"].append(loop)
    (tmp_path / "loop.pkl").write_bytes(pickle.dumps(loop))
    with pytest.raises(FormatError, match="not a pickle"):
        load_tracks(tmp_path / "loop.pkl", BODY)
