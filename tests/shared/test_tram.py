"""TRAM's results: `numpy.save` of dictionaries of torch's tensors, as its scripts write them."""

import os

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_shared.body import Y_UP_TO_Z_UP, free_body, joint_transforms
from understudy_shared.camera import project
from understudy_shared.formats import tram
from understudy_shared.formats.detect import load_motion, motion_format
from understudy_shared.formats.reading import FormatError

torch = pytest.importorskip("torch")

BODY = free_body()
SEEN = np.array([2, 3, 4, 7, 8])


def track(seed=0):
    rng = np.random.default_rng(seed)
    turns = Rotation.from_rotvec(rng.normal(scale=0.3, size=(len(SEEN) * 24, 3))).as_matrix().reshape(-1, 24, 3, 3)
    turns[:, 0] = turns[:, 0] @ Rotation.from_euler("x", 180, degrees=True).as_matrix()
    arrays = {
        "pred_cam": rng.normal(size=(len(SEEN), 3)),
        "pred_pose": rng.normal(size=(len(SEEN), 144)),
        "pred_shape": rng.normal(size=(len(SEEN), 10)),
        "pred_rotmat": turns,
        "pred_trans": rng.normal(size=(len(SEEN), 1, 3)) + np.array([0, 0, 5]),
    }
    return {**{k: torch.tensor(v, dtype=torch.float32) for k, v in arrays.items()}, "frame": torch.from_numpy(SEEN)}


def camera(frames=10, seed=1):
    rng = np.random.default_rng(seed)
    return {
        "pred_cam_R": Rotation.from_rotvec(rng.normal(scale=0.2, size=(frames, 3))).as_matrix().astype(np.float32),
        "pred_cam_T": rng.normal(size=(frames, 3)).astype(np.float32),
        "img_focal": np.float64(900.0),
        "img_center": np.array([640.0, 360.0]),
    }


def written(folder, found, cam=None):
    (folder / "hps").mkdir()
    np.save(folder / "hps/hps_track_0.npy", found)
    if cam is not None:
        np.save(folder / "camera.npy", cam)
    return folder / "hps/hps_track_0.npy"


def joints(clip):
    return joint_transforms(BODY, clip.betas, clip.global_orient, clip.body_pose, clip.transl)[..., :3, 3]


def in_camera(found):
    """Joints in camera axes, as TRAM's body model gives them."""
    turns = Rotation.from_matrix(found["pred_rotmat"].numpy().reshape(-1, 3, 3)).as_rotvec().reshape(-1, 24, 3)
    place = found["pred_trans"].numpy()[:, 0]
    return joint_transforms(BODY, np.zeros(10), turns[:, 0], turns[:, 1:], place)[..., :3, 3].astype(np.float64)


def test_the_body_in_the_world_of_the_first_camera(tmp_path):
    found, cam = track(), camera()
    path = written(tmp_path, found, cam)
    assert motion_format(path).key == "tram" and tram.sniff_camera(tmp_path / "camera.npy")
    clip = load_motion(path, BODY)
    inside = np.einsum("tab,tjb->tja", cam["pred_cam_R"][SEEN], in_camera(found)) + cam["pred_cam_T"][SEEN][:, None]
    expected = np.stack([inside[..., 0], inside[..., 2], -inside[..., 1]], -1)
    assert np.abs(joints(clip)[clip.seen] - expected).max() < 1e-4
    assert clip.present.tolist() == [True, True, True, False, False, True, True]
    assert clip.track_id == "0" and clip.start == pytest.approx(2 / 30)


@pytest.mark.parametrize("levelled", [False, True])
def test_the_camera_sees_the_body_where_tram_did(tmp_path, levelled):
    found, cam = track(), camera()
    if levelled:
        up = Rotation.from_euler("x", 160, degrees=True).as_matrix()
        cam |= {"world_cam_R": up @ cam["pred_cam_R"], "world_cam_T": cam["pred_cam_T"] @ up.T}
    path = written(tmp_path, found, cam)
    clip, view = load_motion(path, BODY), tram.load_camera(tmp_path / "camera.npy")
    assert (view.width, view.height, len(view)) == (1280, 720, 10)
    assert np.array_equal(tram.load_camera(path).extrinsics, view.extrinsics)
    inside = in_camera(found)
    for row, frame in enumerate(SEEN):
        pixel, depth = project(joints(clip)[frame - 2], view.extrinsics[frame], view.intrinsics[frame])
        assert np.abs(pixel - (900 * inside[row, :, :2] / inside[row, :, 2:] + [640, 360])).max() < 0.05
        assert np.abs(depth - inside[row, :, 2]).max() < 1e-4
    if levelled:
        expected = np.einsum("tab,tjb->tja", cam["world_cam_R"][SEEN], inside) + cam["world_cam_T"][SEEN][:, None]
        assert np.abs(joints(clip)[clip.seen] - expected @ Y_UP_TO_Z_UP.T).max() < 1e-4


def test_without_a_camera(tmp_path):
    found = track()
    path = written(tmp_path, found)
    inside = in_camera(found)
    clip = load_motion(path, BODY)
    assert (
        np.abs(joints(clip)[clip.seen] - np.stack([inside[..., 0], inside[..., 2], -inside[..., 1]], -1)).max() < 1e-4
    )
    with pytest.raises(FormatError, match=r"no 'camera\.npy'"):
        tram.load_camera(path)


class Evil:
    def __reduce__(self):
        return (os.system, ("touch HACKED",))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.pop("pred_trans"), "no 'pred_trans'"),
        (lambda f: f.update(pred_rotmat=f["pred_rotmat"] * 2), "not rotations"),
        (lambda f: f.update(pred_rotmat=f["pred_rotmat"][:, :20]), "another shape"),
        (lambda f: f.update(pred_trans=f["pred_trans"] * torch.nan), "finite"),
        (lambda f: f.update(frame=f["frame"] + 100), "different videos"),
        (lambda f: f.update(frame=-f["frame"]), "different videos"),
        (lambda f: f.update(frame=Evil()), "not run"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path, monkeypatch, change, says):
    monkeypatch.chdir(tmp_path)
    found = track()
    change(found)
    path = written(tmp_path, found, camera())
    with pytest.raises(FormatError, match=says) as caught:
        load_motion(path, BODY)
    assert "\n" not in str(caught.value) and not (tmp_path / "HACKED").exists()


@pytest.mark.parametrize("keep", [0, 8, 100, 0.5, 0.95])
def test_truncated_files(tmp_path, keep):
    path = written(tmp_path, track())
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    with pytest.raises(FormatError):
        load_motion(path, BODY)


def test_a_camera_is_no_motion(tmp_path):
    np.save(tmp_path / "camera.npy", camera())
    with pytest.raises(FormatError, match=r"camera\.npy"):
        load_motion(tmp_path / "camera.npy", BODY)
