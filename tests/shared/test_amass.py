import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_shared.body import Y_UP_TO_Z_UP, free_body, joint_transforms, skin
from understudy_shared.formats import amass
from understudy_shared.formats.detect import load_motion
from understudy_shared.formats.reading import MAX_ARRAY_BYTES, FormatError

BODY = free_body()
FRAMES = 4


def arrays(joints=24, up="z", seed=0):
    """A file's arrays of a standing person who moves at random."""
    rng = np.random.default_rng(seed)
    poses = rng.normal(scale=0.3, size=(FRAMES, joints, 3))
    stand = Rotation.from_matrix(Y_UP_TO_Z_UP) if up == "z" else Rotation.identity()
    poses[:, 0] = (Rotation.from_rotvec(poses[:, 0]) * stand).as_rotvec()
    return {
        "poses": poses.reshape(FRAMES, -1),
        "trans": rng.normal(size=(FRAMES, 3)),
        "betas": rng.normal(size=16),
        "mocap_framerate": 120.0,
    }


def written(path, data):
    np.savez(path, **data)
    return path


def vertices(clip):
    return skin(BODY, clip.betas, clip.global_orient, clip.body_pose, clip.transl)


def as_filed(data):
    """Vertices as smplx would pose them in the file's own world."""
    poses = data["poses"].reshape(FRAMES, 24, 3)
    return skin(BODY, np.zeros(10, np.float32), poses[:, 0], poses[:, 1:], data["trans"])


def test_z_up_stays_as_it_is(tmp_path):
    data = arrays()
    clip = load_motion(written(tmp_path / "m.npz", data), BODY)
    assert clip.fps == 120 and not clip.betas.any()
    assert np.abs(vertices(clip) - as_filed(data)).max() < 1e-5


@pytest.mark.parametrize("betas", ["zeros", "file"])
def test_y_up_turns_the_whole_world(tmp_path, betas):
    data = arrays(up="y")
    clip = load_motion(written(tmp_path / "m.npz", data), BODY, betas=betas)
    poses = data["poses"].reshape(FRAMES, 24, 3)
    shape = data["betas"][:10] if betas == "file" else np.zeros(10)
    assert np.allclose(clip.betas, shape)
    expected = skin(BODY, shape, poses[:, 0], poses[:, 1:], data["trans"]) @ Y_UP_TO_Z_UP.T
    assert np.abs(vertices(clip) - expected).max() < 1e-5


def test_a_given_up_axis_wins(tmp_path):
    data = arrays(up="y")
    clip = load_motion(written(tmp_path / "m.npz", data), BODY, up="z")
    assert np.abs(vertices(clip) - as_filed(data)).max() < 1e-5


def test_lying_leaves_the_axis_open(tmp_path):
    data = arrays()
    data["poses"][:, :3] = Rotation.from_euler("z", 90, degrees=True).as_rotvec()  # the body points along -X
    with pytest.raises(FormatError, match="up axis is unclear"):
        load_motion(written(tmp_path / "m.npz", data), BODY)
    assert len(load_motion(tmp_path / "m.npz", BODY, up="z")) == FRAMES


@pytest.mark.parametrize("joints", [22, 52, 55])
def test_hands_and_faces_are_left_out(tmp_path, joints):
    data = arrays(joints)
    clip = load_motion(written(tmp_path / "m.npz", data), BODY)
    poses = data["poses"].reshape(FRAMES, joints, 3)
    assert np.allclose(clip.body_pose[:, :21], poses[:, 1:22], atol=1e-6)
    assert not clip.body_pose[:, 21:].any()


def test_other_spellings(tmp_path):
    data = arrays()
    split = {
        "root_orient": data["poses"][:, :3],
        "pose_body": data["poses"][:, 3:66],
        "transl": data["trans"],
        "fps": np.array([30]),
    }
    clip = load_motion(written(tmp_path / "m.npz", split), BODY)
    assert clip.fps == 30 and np.allclose(clip.body_pose[:, :21].reshape(FRAMES, -1), data["poses"][:, 3:66], atol=1e-6)


def test_saved_and_loaded(tmp_path):
    clip = load_motion(written(tmp_path / "m.npz", arrays()), BODY, betas="file")
    amass.save(tmp_path / "out.npz", clip)
    back = load_motion(tmp_path / "out.npz", BODY, betas="file")
    assert back.fps == clip.fps and np.array_equal(back.betas, clip.betas)
    assert np.abs(vertices(back) - vertices(clip)).max() < 1e-6


@pytest.mark.parametrize("name", ["cmu_01_01_jump_turn", "cmu_13_26_wave_point"])
def test_samples_stand_on_the_ground(samples, name):
    clip = load_motion(samples / f"motions/{name}.npz", BODY)
    joints = joint_transforms(BODY, clip.betas, clip.global_orient, clip.body_pose, clip.transl)[..., :3, 3]
    lowest = joints[:, [10, 11], 2].min(1)
    assert clip.fps == 30 and abs(np.median(lowest) - 0.04) < 0.04
    assert 1.2 < np.median(joints[:, 15, 2]) < 1.6


def drop(*names):
    return lambda d: [d.pop(n) for n in names]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (drop("poses"), "'root_orient'"),
        (drop("trans"), "'trans'"),
        (drop("mocap_framerate"), "option fps"),
        (lambda d: d.update(mocap_framerate=0), "positive"),
        (lambda d: d.update(mocap_framerate="fast"), "positive"),
        (lambda d: d.update(mocap_framerate=np.nan), "positive"),
        (lambda d: d.update(poses=d["poses"][:, :70]), "shape"),
        (lambda d: d.update(poses=np.float64(3)), "shape"),
        (lambda d: d.update(poses=np.zeros((FRAMES, 24, 3, 3))), "shape"),
        (lambda d: d.update(poses=np.full((FRAMES, 72), "a")), "numbers"),
        (lambda d: d.update(poses=np.full((FRAMES, 72), np.nan)), "finite"),
        (lambda d: d.update(trans=np.full((FRAMES, 3), np.inf)), "finite"),
        (lambda d: d.update(trans=d["trans"][:-1]), "'trans' has shape"),
        (lambda d: d.update(poses=np.zeros((0, 72)), trans=np.zeros((0, 3))), "no frames"),
        (lambda d: d.update(poses=np.full((FRAMES, 72), None)), "pickled objects"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path, change, says):
    data = arrays()
    change(data)
    with pytest.raises(FormatError, match=says) as caught:
        load_motion(written(tmp_path / "m.npz", data), BODY)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("m.npz: ")


def test_missing_rate_can_be_given(tmp_path):
    data = arrays()
    del data["mocap_framerate"]
    assert load_motion(written(tmp_path / "m.npz", data), BODY, fps=60).fps == 60


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("the file's code ran",))


def test_pickles_never_run(tmp_path):
    data = arrays()
    data["poses"] = np.array([Trap()], object)
    with pytest.raises(FormatError, match="pickled objects"):
        load_motion(written(tmp_path / "m.npz", data), BODY)
    (tmp_path / "p.npz").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(FormatError, match="not an npz"):
        load_motion(tmp_path / "p.npz", BODY)


@pytest.mark.parametrize("keep", [0, 3, 30, 200, 0.5, 0.99])
def test_truncated_files(tmp_path, keep):
    whole = written(tmp_path / "whole.npz", arrays()).read_bytes()
    count = keep if isinstance(keep, int) else int(len(whole) * keep)
    (tmp_path / "m.npz").write_bytes(whole[:count])
    with pytest.raises(FormatError, match="damaged"):
        load_motion(tmp_path / "m.npz", BODY)


def test_flipped_bytes(tmp_path):
    """Whatever single byte is wrong: a clip or one line, nothing else."""
    whole = bytearray(written(tmp_path / "whole.npz", arrays()).read_bytes())
    rng, refused = np.random.default_rng(0), 0
    for at in rng.integers(0, len(whole), 300):
        broken = whole.copy()
        broken[at] ^= int(rng.integers(1, 256))
        (tmp_path / "m.npz").write_bytes(broken)
        try:
            load_motion(tmp_path / "m.npz", BODY)
        except FormatError as error:
            refused += "\n" not in str(error)
    assert refused > 100


def declared(path, shape, size=None, body=b"\0" * 64):
    """An npz whose `poses` claims a shape it has not, and a zip entry that may claim a size it has not."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("poses.npy", header.getvalue() + body)
    if size is not None:  # the uncompressed size in the central directory
        raw = bytearray(path.read_bytes())
        at = raw.rindex(b"PK\1\2") + 24
        raw[at : at + 4] = struct.pack("<I", size)
        path.write_bytes(raw)
    return path


@pytest.mark.parametrize("shape", [(10**13, 72), (2**62, 2**62), (10**6, 72), (-1, 72), (-1, -8), (-72, 0)])
def test_huge_declared_shapes(tmp_path, shape):
    with pytest.raises(FormatError, match=r"declares more|damaged"):
        load_motion(declared(tmp_path / "m.npz", shape), BODY)


def test_huge_declared_sizes(tmp_path):
    with pytest.raises(FormatError, match="declares 2"):
        load_motion(declared(tmp_path / "m.npz", (2, 72), size=2 * MAX_ARRAY_BYTES), BODY)
    with pytest.raises(FormatError, match=r"cut off|damaged"):
        load_motion(declared(tmp_path / "m.npz", (10**6, 72), size=MAX_ARRAY_BYTES), BODY)


def test_unknown_kinds(tmp_path):
    (tmp_path / "m.fbx").write_bytes(b"Kaydara")
    with pytest.raises(FormatError, match="not a known motion"):
        load_motion(tmp_path / "m.fbx", BODY)
    with pytest.raises(FormatError, match="does not exist"):
        load_motion(tmp_path / "none.npz", BODY)
    assert not amass.sniff(tmp_path / "m.fbx")
