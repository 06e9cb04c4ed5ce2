"""PHALP's results: read as joblib writes them, without running anything."""

import gzip
import importlib
import io
import os
import pickle
import struct
import sys
import types
import zlib

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_shared.body import free_body, joint_transforms
from understudy_shared.camera import project
from understudy_shared.formats import joblib_pickle
from understudy_shared.formats.phalp import load_camera, load_tracks, read_tracks, sniff
from understudy_shared.formats.reading import FormatError

WIDTH, HEIGHT = 641, 480
SIDE, LEFT, TOP = 641, 0, 80


def person(track_id, time, rng):
    """What PHALP says of one person, with the projection written as its own code does it."""
    camera = np.array([0.3 * track_id - 0.2, 0.1, 40.0 + time], np.float32)
    middle = camera[:2] / camera[2] * (5000 / 256)  # in sides of the square, from its middle
    joints = rng.normal(size=(45, 3)).astype(np.float32)
    joints[8] = (0.01, -0.2, 0.03)
    return {
        "tid": track_id,
        "smpl": {
            "global_orient": Rotation.random(1, rng).as_matrix().astype(np.float32),
            "body_pose": Rotation.random(23, rng).as_matrix().astype(np.float32),
            "betas": rng.normal(size=10).astype(np.float32),
        },
        "camera": camera,
        "camera_bbox": np.zeros(3, np.float32),
        "size": [HEIGHT, WIDTH],
        "conf": np.float32(0.9),
        "bbox": np.array([10.0, 20, 100, 200]),
        "tracked_time": 0,
        "3d_joints": joints,
        "2d_joints": np.concatenate([rng.normal(size=88), middle + 0.5]).astype(np.float32),
        "img_name": f"{time:06d}.jpg",
        "mask": [{"size": [HEIGHT, WIDTH], "counts": "ab0"}],
    }


def result(frames=4):
    """Person 1 in every frame, person 2 seen in the first two and then only remembered."""
    rng = np.random.default_rng(0)
    out = {}
    for time in range(frames):
        people = [person(1, time, rng), person(2, min(time, 1), rng)]
        people[1]["tracked_time"] = max(0, time - 1)
        frame = {key: [p[key] for p in people] for key in people[0]}
        out[f"/video/img/{time:06d}.jpg"] = {"time": time, "shot": 0, **frame}
    return out


class NumpyArrayWrapper:
    """The attributes that joblib's class of this name has; pickled under joblib's name."""


class JoblibPickler(pickle._Pickler):
    """Writes arrays as joblib does: a record of what follows, then a byte that counts the padding, padding, bytes."""

    def __init__(self, file, protocol, alignment):
        self.file, self.alignment = file, alignment
        super().__init__(file, protocol)

    def save(self, obj, save_persistent_id=True):
        if type(obj) is not np.ndarray:
            super().save(obj)
            return
        wrapper = NumpyArrayWrapper()
        order = "F" if obj.flags.f_contiguous and not obj.flags.c_contiguous else "C"
        wrapper.__dict__.update(subclass=np.ndarray, shape=obj.shape, order=order, dtype=obj.dtype, allow_mmap=False)
        if self.alignment:
            wrapper.numpy_array_alignment_bytes = self.alignment
        super().save(wrapper)
        if self.proto >= 4:
            self.framer.commit_frame(force=True)
        if self.alignment:
            padding = self.alignment - (self.file.tell() + 1) % self.alignment
            self.file.write(bytes([padding]) + b"\xff" * padding)
        self.file.write(obj.tobytes(order))


def as_joblib(content, monkeypatch, protocol=4, alignment=16):
    module = types.ModuleType("joblib.numpy_pickle")
    module.NumpyArrayWrapper = NumpyArrayWrapper
    monkeypatch.setattr(NumpyArrayWrapper, "__module__", "joblib.numpy_pickle")
    monkeypatch.setitem(sys.modules, "joblib", types.ModuleType("joblib"))
    monkeypatch.setitem(sys.modules, "joblib.numpy_pickle", module)
    file = io.BytesIO()
    JoblibPickler(file, protocol, alignment).dump(content)
    return file.getvalue()


def check(tracks):
    truth = result()
    assert [t.track_id for t in tracks] == [1, 2]
    assert [len(t) for t in tracks] == [4, 2]  # what was only remembered is left out
    first = tracks[0]
    np.testing.assert_array_equal(first.frame, range(4))
    assert first.name[2] == "000002.jpg"
    for row, frame in enumerate(truth.values()):
        np.testing.assert_array_equal(first.global_orient[row], frame["smpl"][0]["global_orient"][0])
        np.testing.assert_array_equal(first.body_pose[row], frame["smpl"][0]["body_pose"])
        np.testing.assert_allclose(first.pelvis[row], frame["camera"][0] + [0.01, -0.2, 0.03], rtol=1e-6)
    np.testing.assert_array_equal(first.size, [[WIDTH, HEIGHT]] * 4)
    np.testing.assert_allclose(first.confidence, 0.9, rtol=1e-6)


@pytest.mark.parametrize("pack", [lambda b: b, lambda b: zlib.compress(b, 3), gzip.compress], ids=["raw", "zlib", "gz"])
@pytest.mark.parametrize(("protocol", "alignment"), [(2, 16), (4, 16), (5, 16), (4, None)])
def test_a_file_as_joblib_writes_it(tmp_path, monkeypatch, pack, protocol, alignment):
    path = tmp_path / "demo_clip.pkl"
    path.write_bytes(pack(as_joblib(result(), monkeypatch, protocol, alignment)))
    assert sniff(path)
    check(read_tracks(path))


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3)])
def test_a_file_of_joblib_itself(tmp_path, compress):
    joblib = pytest.importorskip("joblib")
    path = tmp_path / "demo_clip.pkl"
    joblib.dump(result(), path, compress=compress)
    check(read_tracks(path))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_plain_pickle(tmp_path, protocol):
    path = tmp_path / "plain.pkl"
    path.write_bytes(pickle.dumps(result(), protocol))
    check(read_tracks(path))


def test_kinds_of_values(tmp_path):
    path = tmp_path / "values.pkl"
    content = {"f": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "e": np.zeros((0, 3), "f4"), "b": np.array([True]),
               "s": {1, 2}, "t": (1, "x", b"y", None), "n": np.int64(-3), "big": np.arange(3, dtype=">i2")}  # fmt: skip
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(content, protocol))
        read = joblib_pickle.load(path)
        for name in ("f", "e", "b", "big"):
            np.testing.assert_array_equal(read[name], content[name])
            assert read[name].dtype == content[name].dtype
        assert sorted(read["s"]) == [1, 2]
        assert read["t"] == content["t"]
        assert read["n"] == -3


def test_the_projection_is_that_of_phalp(tmp_path):
    """A point of the body, through PHALP's square of 256 px by hand, and through our K."""
    path = tmp_path / "plain.pkl"
    path.write_bytes(pickle.dumps(result()))
    track = read_tracks(path)[0]
    for row, frame in enumerate(result().values()):
        x, y, z = np.asarray(frame["camera"][0], np.float64) + np.array([0.1, -0.4, 0.05])
        square = np.array([5000 * x / z + 128, 5000 * y / z + 128])
        expected = square * SIDE / 256 - [LEFT, TOP]
        image = track.intrinsics[row] @ [x, y, z]
        np.testing.assert_allclose(image[:2] / image[2], expected, atol=1e-3)


def test_another_focal_length_is_found(tmp_path):
    content = result()
    for frame in content.values():
        for joints in frame["2d_joints"]:
            joints[-2:] = (joints[-2:] - 0.5) / 2 + 0.5
    path = tmp_path / "plain.pkl"
    path.write_bytes(pickle.dumps(content))
    np.testing.assert_allclose(read_tracks(path)[0].intrinsics[:, 0, 0], 2500 * SIDE / 256, rtol=1e-4)


class Evil:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def build_on_class():
    """Opcodes that give a state to the class of dtypes itself, which would change how the next file is read."""
    return b"\x80\x04cnumpy\ndtype\n}\x8c\x04made\x8c\x04evils b."


HOSTILE = {
    "system": lambda: pickle.dumps(Evil(os.system, "touch HACKED")),
    "in a list": lambda: pickle.dumps({"a": {"time": 0, "tid": [Evil(eval, "open('HACKED','w')")]}}),
    "getattr": lambda: pickle.dumps(Evil(getattr, "", "join")),
    "numpy loads": lambda: b"\x80\x04cnumpy\nload\n\x8c\x06HACKED\x85R.",
    "state of a class": build_on_class,
    "object array": lambda: pickle.dumps({"a": {"time": np.array([Evil(os.system, "touch HACKED")], object)}}),
    "import": lambda: b"cantigravity\nx\n.",
    "persistent": lambda: b"\x80\x04\x8c\x01xQ.",
    "huge bytearray": lambda: b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
    "huge memo": lambda: b"\x80\x04Nr\xff\xff\xff\x7f.",
    "nested": lambda: b"\x80\x04" + b"]" * 5000 + b"a" * 4999 + b".",
    "cut off": lambda: pickle.dumps(result())[:3000],
    "empty": lambda: b"",
    "text": lambda: b"no pickle at all",
    "damaged zlib": lambda: zlib.compress(pickle.dumps(result()))[:-30],
    "bzip2": lambda: b"BZh91AY&SY",
    "no frames": lambda: pickle.dumps([1, 2]),
    "other content": lambda: pickle.dumps({"a": {"time": 0}}),
    "no numbers": lambda: pickle.dumps({"a": {**next(iter(result(1).values())), "camera": ["x", "y"]}}),
    "behind the camera": lambda: pickle.dumps({"a": {**next(iter(result(1).values())), "camera": [[0, 0, -1.0]] * 2}}),
    "nobody": lambda: pickle.dumps({"a": {"time": 0, "tid": []}}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_result_is_refused_in_one_line_and_never_run(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.pkl"
    path.write_bytes(HOSTILE[name]())
    with pytest.raises(FormatError) as caught:
        read_tracks(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("bad.pkl: ")
    assert not (tmp_path / "HACKED").exists()
    assert "antigravity" not in sys.modules


def test_a_hostile_array_of_joblib_is_refused(tmp_path, monkeypatch):
    raw = as_joblib({"a": np.zeros(3)}, monkeypatch)
    path = tmp_path / "bad.pkl"
    for wrong in (raw.replace(b"f8", b"O8"), raw.replace(b"K\x03\x85", b"J\xff\xff\xff\x7f\x85"), raw[:-9]):
        assert wrong != raw
        path.write_bytes(wrong)
        with pytest.raises(FormatError):
            joblib_pickle.load(path)


def test_a_small_file_does_not_become_a_large_one(tmp_path, monkeypatch):
    path = tmp_path / "bomb.pkl"
    path.write_bytes(zlib.compress(bytes(1 << 22)))
    monkeypatch.setattr(joblib_pickle, "MAX_BYTES", 1 << 20)
    with pytest.raises(FormatError, match="more than 1 MB"):
        joblib_pickle.load(path)


def test_one_file_leaves_no_trace_in_the_next(tmp_path):
    """The unpickler of one file shares nothing with that of another."""
    bad, good = tmp_path / "bad.pkl", tmp_path / "good.pkl"
    bad.write_bytes(build_on_class())
    with pytest.raises(FormatError):
        joblib_pickle.load(bad)
    good.write_bytes(pickle.dumps(result()))
    check(read_tracks(good))


def test_the_module_needs_no_joblib():
    assert "joblib" not in vars(importlib.import_module("understudy_shared.formats.joblib_pickle"))


def test_clips_keep_who_is_who(tmp_path):
    """Two people whose order in the lists changes from frame to frame, and one who goes and comes back."""
    content = result(6)
    for number, frame in enumerate(content.values()):
        frame["tracked_time"][1] = 1 if number in (2, 3) else 0
        if number % 2:
            for key, values in frame.items():
                if isinstance(values, list):
                    frame[key] = values[::-1]
    path = tmp_path / "demo_clip.pkl"
    path.write_bytes(pickle.dumps(content))
    body = free_body()
    clips = {clip.track_id: clip for clip in load_tracks(path, body)}
    assert list(clips) == ["1", "2"] and clips["2"].present.tolist() == [True, True, False, False, True, True]
    assert clips["1"].present is None and clips["1"].fps == 30
    for track_id, clip in clips.items():
        placed = joint_transforms(body, clip.betas, clip.global_orient, clip.body_pose, clip.transl)
        for number, frame in enumerate(content.values()):
            row = frame["tid"].index(int(track_id))
            if frame["tracked_time"][row]:
                continue
            x, y, z = np.asarray(frame["camera"][row], np.float64) + np.array([0.01, -0.2, 0.03])
            np.testing.assert_allclose(placed[number, 0, :3, 3], [x, z, -y], atol=1e-4)
            turn = placed[number, 0, :3, :3]
            expected = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]) @ frame["smpl"][row]["global_orient"][0]
            np.testing.assert_allclose(turn, expected, atol=1e-5)


def test_the_camera_sees_them_where_phalp_did(tmp_path):
    path = tmp_path / "demo_clip.pkl"
    path.write_bytes(pickle.dumps(result()))
    camera, clip, body = load_camera(path, fps=25), load_tracks(path, free_body(), fps=25)[0], free_body()
    assert (camera.width, camera.height, camera.fps, len(camera)) == (WIDTH, HEIGHT, 25, 4)
    pelvis = body.joints(clip.betas)[0] + clip.transl
    for row, frame in enumerate(result().values()):
        x, y, z = np.asarray(frame["camera"][0], np.float64) + np.array([0.01, -0.2, 0.03])
        expected = np.array([5000 * x / z + 128, 5000 * y / z + 128]) * SIDE / 256 - [LEFT, TOP]
        pixel, depth = project(pelvis[row : row + 1].astype(float), camera.extrinsics[row], camera.intrinsics[row])
        np.testing.assert_allclose(pixel[0], expected, atol=0.02)
        np.testing.assert_allclose(depth, z, rtol=1e-5)
