"""GVHMR's results, written by torch as its demo does; the camera against the body in camera axes that it stores."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_shared.body import Y_UP_TO_Z_UP, free_body, joint_transforms
from understudy_shared.camera import project
from understudy_shared.formats import gvhmr, torch_zip
from understudy_shared.formats.detect import load_motion, load_tracks, motion_format
from understudy_shared.formats.reading import FormatError

torch = pytest.importorskip("torch")

BODY = free_body()
PELVIS = BODY.joints(np.zeros(10))[0].astype(np.float64)
FRAMES, WIDTH, HEIGHT = 6, 1280, 720


def posed(part):
    """Joints (F, 24, 3) of one set of parameters, as a body model with our proportions gives them."""
    pose = np.zeros((FRAMES, 23, 3))
    pose[:, :21] = part["body_pose"].numpy().reshape(FRAMES, 21, 3)
    arrays = part["global_orient"].numpy(), pose, part["transl"].numpy()
    return joint_transforms(BODY, np.zeros(10), *arrays)[..., :3, 3].astype(np.float64)


def result(pelvis, seed=0):
    """A body that moves before a camera that moves: in the world, and in camera axes by the camera of that frame."""
    rng = np.random.default_rng(seed)
    world = Rotation.from_rotvec(rng.normal(scale=0.2, size=(FRAMES, 3)))
    transl = rng.normal(size=(FRAMES, 3))
    turn = Rotation.from_rotvec(rng.normal(scale=0.3, size=(FRAMES, 3))) * Rotation.from_euler("x", 180, degrees=True)
    move = rng.normal(size=(FRAMES, 3)) + np.array([0, 0, 8])
    focal = np.hypot(WIDTH, HEIGHT)
    k = np.array([[focal, 0, WIDTH / 2], [0, focal, HEIGHT / 2], [0, 0, 1]])
    body_pose = rng.normal(scale=0.3, size=(FRAMES, 63))

    def tensors(orient, place):
        arrays = {
            "body_pose": body_pose,
            "betas": np.tile(rng.normal(size=10), (FRAMES, 1)),
            "global_orient": orient,
            "transl": place,
        }
        return {name: torch.tensor(a, dtype=torch.float32) for name, a in arrays.items()}

    inside = turn.apply(pelvis + transl) + move - pelvis
    return {
        "smpl_params_global": tensors(world.as_rotvec(), transl),
        "smpl_params_incam": tensors((turn * world).as_rotvec(), inside),
        "K_fullimg": torch.tensor(k, dtype=torch.float32).repeat(FRAMES, 1, 1),
        "net_outputs": {"x": torch.zeros(2, 3), "half": torch.zeros(3, dtype=torch.bfloat16)},
    }


def joints(clip):
    return joint_transforms(BODY, clip.betas, clip.global_orient, clip.body_pose, clip.transl)[..., :3, 3]


@pytest.mark.parametrize("zipped", [True, False])
def test_the_body_in_the_world(tmp_path, zipped):
    content = result(PELVIS)
    path = tmp_path / "hmr4d_results.pt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert motion_format(path).key == "gvhmr"
    clip = load_motion(path, BODY)
    assert np.abs(joints(clip) - posed(content["smpl_params_global"]) @ Y_UP_TO_Z_UP.T).max() < 1e-4
    assert (clip.fps, clip.track_id, clip.present) == (30, "", None)
    assert not clip.body_pose[:, 21:].any()
    wearing = load_motion(path, BODY, betas="file")
    assert np.allclose(wearing.betas, content["smpl_params_global"]["betas"][0], atol=1e-6)


def test_the_camera_shows_the_body_where_it_was_seen(tmp_path):
    """Made with SMPL-X, whose pelvis is elsewhere: the pelvis is seen where GVHMR saw it."""
    true = np.array(gvhmr.SMPLX_PELVIS)
    content = result(true)
    path = tmp_path / "hmr4d_results.pt"
    torch.save(content, path)
    camera, clip = gvhmr.load_camera(path), load_motion(path, BODY)
    assert (camera.width, camera.height, camera.fps, len(camera)) == (WIDTH, HEIGHT, 30, FRAMES)
    shift = (true - PELVIS) @ Y_UP_TO_Z_UP.T  # theirs stands at SMPL-X's pelvis, ours at our body's
    for t in range(FRAMES):
        seen = true + content["smpl_params_incam"]["transl"][t].numpy()
        image = content["K_fullimg"][t].numpy().astype(float) @ seen
        pixel, depth = project(joints(clip)[t, :1] + shift, camera.extrinsics[t], camera.intrinsics[t])
        assert np.abs(pixel[0] - image[:2] / image[2]).max() < 0.02 and abs(depth[0] - seen[2]) < 1e-4


def test_the_whole_body_by_a_camera_of_the_same_pelvis(tmp_path):
    content = result(PELVIS)
    path = tmp_path / "hmr4d_results.pt"
    torch.save(content, path)
    camera, clip = gvhmr.load_camera(path, pelvis=tuple(PELVIS)), load_motion(path, BODY)
    inside = posed(content["smpl_params_incam"])
    for t in range(FRAMES):
        there = joints(clip)[t] @ camera.extrinsics[t, :3, :3].T + camera.extrinsics[t, :3, 3]
        assert np.abs(there - inside[t]).max() < 1e-4


def test_several_people(tmp_path):
    content = {4: result(PELVIS, 1), 9: result(PELVIS, 2)}
    for part in ("smpl_params_global", "smpl_params_incam"):
        content[4][part] = {name: t[:3] for name, t in content[4][part].items()}
    torch.save(content, tmp_path / "all.pt")
    assert [(c.track_id, len(c)) for c in load_tracks(tmp_path / "all.pt", BODY)] == [("9", FRAMES), ("4", 3)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.pop("smpl_params_global"), "no 'smpl_params_global'"),
        (lambda c: c["smpl_params_global"].pop("transl"), "no 'transl'"),
        (lambda c: c["smpl_params_global"].update(body_pose=torch.zeros(FRAMES, 60)), "another shape"),
        (lambda c: c["smpl_params_global"].update(transl=torch.full((FRAMES, 3), torch.nan)), "finite"),
        (lambda c: c["smpl_params_global"].update({k: v[:0] for k, v in c["smpl_params_global"].items()}), "no frames"),
        (lambda c: c.update(smpl_params_global=torch.zeros(3)), "no 'smpl_params_global'"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path, change, says):
    content = result(PELVIS)
    change(content)
    torch.save(content, tmp_path / "r.pt")
    with pytest.raises(FormatError, match=says) as caught:
        load_motion(tmp_path / "r.pt", BODY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("k", [torch.zeros(2), torch.full((FRAMES, 3, 3), torch.nan), torch.full((3, 3), torch.inf)])
def test_what_is_no_camera_is_refused(tmp_path, k):
    torch.save({**result(PELVIS), "K_fullimg": k}, tmp_path / "k.pt")
    with pytest.raises(FormatError, match="camera") as caught:
        gvhmr.load_camera(tmp_path / "k.pt")
    assert "\n" not in str(caught.value)


def test_a_camera_without_frames_is_refused(tmp_path):
    content = result(PELVIS)
    for part in ("smpl_params_global", "smpl_params_incam"):
        content[part] = {name: values[:0] for name, values in content[part].items()}
    torch.save({**content, "K_fullimg": torch.eye(3)}, tmp_path / "k.pt")
    with pytest.raises(FormatError, match="no camera"):
        gvhmr.load_camera(tmp_path / "k.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_kinds_of_tensors(tmp_path, zipped):
    base = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    content = {
        "strided": base[1::2, ::3],
        "turned": base.T,
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 3),
        "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
        "bf": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "bool": torch.tensor([True, False]),
        "bytes": torch.tensor([1, 255], dtype=torch.uint8),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "expanded": torch.ones(1, 3).expand(4, 3),
        "list": [torch.tensor([1, 2]), 2, "x", None],
    }
    path = tmp_path / "t.pt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    read = torch_zip.load(path)
    for name, tensor in content.items():
        if name != "list":
            expected = tensor.detach().float() if name == "bf" else tensor.detach()
            assert np.array_equal(read[name], expected.numpy()) and read[name].dtype == expected.numpy().dtype
    assert np.array_equal(read["list"][0], [1, 2]) and read["list"][1:] == [2, "x", None]
    assert set(torch_zip.load(path, {"scalar", "none"})) == {"scalar"}


class Evil:
    def __reduce__(self):
        return (os.system, ("touch HACKED",))


def forged(path, pickled, data=b""):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/data/0", data)


class Tensor:
    """Pickled as torch's tensors are, of any numbers."""

    def __init__(self, offset, size, stride, numel):
        self.values = (offset, size, stride, numel)

    def __reduce__(self):
        offset, size, stride, numel = self.values
        return (torch._utils._rebuild_tensor_v2, (Storage(numel), offset, size, stride, False, {}))


class Storage:
    def __init__(self, numel):
        self.numel = numel


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return ("storage", torch.FloatStorage, "0", "cpu", obj.numel) if isinstance(obj, Storage) else None


def dumped(value):
    file = io.BytesIO()
    Pickler(file, 2).dump(value)
    return file.getvalue()


FORGED = {
    "beyond the storage": Tensor(0, (5,), (1,), 4),
    "negative stride": Tensor(3, (4,), (-1,), 4),
    "negative offset": Tensor(-1, (2,), (1,), 4),
    "strided beyond": Tensor(0, (2, 2), (1, 3), 4),
    "a bomb of stride 0": Tensor(0, (1 << 20, 1 << 20), (0, 0), 4),
    "more than the file has": Tensor(0, (5,), (1,), 5),
    "endless numel": Tensor(0, (1,), (1,), 1 << 60),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_tensors_are_refused(tmp_path, name):
    forged(tmp_path / "f.pt", dumped({"smpl_params_global": FORGED[name]}), bytes(16))
    with pytest.raises(FormatError):
        load_motion(tmp_path / "f.pt", BODY)
    forged(tmp_path / "good.pt", dumped({"x": Tensor(0, (4,), (1,), 4)}), bytes(16))
    assert torch_zip.load(tmp_path / "good.pt")["x"].tolist() == [0, 0, 0, 0]


def test_nothing_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"smpl_params_global": Evil()}, "zip.pt")
    torch.save({"smpl_params_global": Evil()}, "old.pt", _use_new_zipfile_serialization=False)
    forged(tmp_path / "forged.pt", pickle.dumps(Evil()))
    for name in ("zip.pt", "old.pt", "forged.pt"):
        with pytest.raises(FormatError, match="not run") as caught:
            load_motion(tmp_path / name, BODY)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "HACKED").exists()


@pytest.mark.parametrize("keep", [0, 10, 200, 0.5, 0.9, 0.99])
def test_truncated_files(tmp_path, keep):
    for zipped in (True, False):
        torch.save(result(PELVIS), tmp_path / "whole.pt", _use_new_zipfile_serialization=zipped)
        whole = (tmp_path / "whole.pt").read_bytes()
        (tmp_path / "cut.pt").write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
        with pytest.raises(FormatError) as caught:
            load_motion(tmp_path / "cut.pt", BODY)
        assert "\n" not in str(caught.value)


def test_flipped_bytes(tmp_path):
    torch.save(result(PELVIS), tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    rng, refused = np.random.default_rng(0), 0
    for at in rng.integers(0, len(whole), 150):
        broken = bytearray(whole)
        broken[at] ^= int(rng.integers(1, 256))
        (tmp_path / "b.pt").write_bytes(broken)
        try:
            load_motion(tmp_path / "b.pt", BODY)
        except FormatError as error:
            refused += "\n" not in str(error)
    assert refused > 20


def test_a_zip_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_zip, "MAX_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", dumped({"smpl_params_global": Tensor(0, (4,), (1,), 4)}))
        archive.writestr("archive/data/0", bytes(1 << 24))
    with pytest.raises(FormatError, match="more than 1 MB"):
        load_motion(tmp_path / "bomb.pt", BODY)
