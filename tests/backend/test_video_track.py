"""Tracks: PHALP's conventions against its own formula, our file, and our tracker on a photo that moves."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_backend.training.video import tracker
from understudy_backend.training.video.clip import ClipError, find_clips
from understudy_backend.training.video.store import Store
from understudy_backend.training.video.track import Track, from_phalp, load
from understudy_shared.body import free_body, skin
from understudy_shared.camera import project
from understudy_shared.formats.reading import FormatError

WIDTH, HEIGHT = 641, 480


def phalp_frame(time, rng):
    """Somebody upright before PHALP's camera: turned by about 180 degrees about x."""
    orient = Rotation.from_rotvec([np.pi, 0, 0]) * Rotation.from_rotvec([0, 0.3 * time, 0.1])
    pose = Rotation.from_rotvec(rng.normal(scale=0.2, size=(23, 3)))
    joints = np.zeros((45, 3))
    joints[8] = (0.0, -0.24, 0.03)
    return {
        "time": time,
        "tid": [7],
        "tracked_time": [0],
        "smpl": [{"global_orient": orient.as_matrix()[None], "body_pose": pose.as_matrix(), "betas": np.ones(10)}],
        "camera": [np.array([0.4, 0.3, 45.0])],
        "size": [[HEIGHT, WIDTH]],
        "conf": [0.8],
        "bbox": [np.array([1.0, 2, 3, 4])],
        "3d_joints": [joints],
    }


def test_phalp_in_our_conventions(tmp_path):
    """The body by its own skinning in camera axes, projected as PHALP projects, is where our world and camera say."""
    rng = np.random.default_rng(0)
    content = {f"{t:03d}.jpg": phalp_frame(t, rng) for t in range(3)}
    path = tmp_path / "demo.pkl"
    path.write_bytes(pickle.dumps(content))
    track, body = from_phalp(path), free_body()
    assert (track.body, track.size, len(track)) == ("smpl", (WIDTH, HEIGHT), 3)
    for row, frame in enumerate(content.values()):
        smpl = frame["smpl"][0]
        orient = Rotation.from_matrix(smpl["global_orient"][0]).as_rotvec()[None]
        pose = Rotation.from_matrix(smpl["body_pose"]).as_rotvec()[None]
        local = skin(body, np.zeros(10), orient, pose, np.zeros((1, 3)))[0] - body.j_template[0]
        x, y, z = (local + frame["3d_joints"][0][8] + frame["camera"][0]).T
        square = np.column_stack([5000 * x / z + 128, 5000 * y / z + 128]) * WIDTH / 256
        seen, depth = project(track.vertices(row, body), track.extrinsics[row], track.intrinsics[row])
        np.testing.assert_allclose(seen, square - [0, (WIDTH - HEIGHT) // 2], atol=0.02)
        np.testing.assert_allclose(depth, z, atol=1e-4)
        up = track.vertices(row, body)[:, 2]
        assert up[body.v_template[:, 1].argmax()] > up[body.v_template[:, 1].argmin()] + 1  # the head is up in Z
    with pytest.raises(FormatError, match="has no track 3; it has 7"):
        from_phalp(path, 3)


def some_track(frames=3):
    rng = np.random.default_rng(0)
    return Track(
        frame=np.arange(frames) * 2,
        name=tuple(f"{i}.png" for i in range(frames)),
        betas=rng.normal(size=(frames, 10)).astype(np.float32),
        global_orient=rng.normal(size=(frames, 3)).astype(np.float32),
        body_pose=rng.normal(size=(frames, 23, 3)).astype(np.float32),
        transl=rng.normal(size=(frames, 3)).astype(np.float32),
        extrinsics=np.repeat(np.eye(4)[None], frames, 0),
        intrinsics=np.repeat(np.array([[800.0, 0, 320], [0, 800, 240], [0, 0, 1]])[None], frames, 0),
        size=(640, 480),
        confidence=rng.uniform(size=frames),
    )


def test_our_file_comes_back(tmp_path):
    track = some_track()
    track.save(tmp_path / "track.npz")
    read = load(tmp_path / "track.npz")
    for name in ("frame", "betas", "global_orient", "body_pose", "transl", "extrinsics", "intrinsics", "confidence"):
        np.testing.assert_array_equal(getattr(read, name), getattr(track, name))
    assert (read.name, read.size, read.body) == (track.name, track.size, "free")
    np.testing.assert_array_equal(read.shape, np.median(track.betas, 0))


def test_a_track_on_other_frames():
    files = ("0.png", "x.png", "1.png", "2.png")
    moved = some_track().on((1280, 960), files)
    np.testing.assert_array_equal(moved.frame, [0, 2, 3])  # by name
    np.testing.assert_allclose(moved.intrinsics[0], [[1600, 0, 640], [0, 1600, 480], [0, 0, 1]])
    np.testing.assert_array_equal(some_track().on((640, 480), ()).frame, [0, 2, 4])  # by number
    with pytest.raises(ValueError, match="of another video"):
        some_track().on((480, 640), files)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("frame", np.array([0, 2, 1]), "time order"),
        ("transl", np.zeros((2, 3)), "'transl' does not hold numbers of shape"),
        ("body_pose", np.full((3, 23, 3), np.nan), "'body_pose'"),
        ("betas", np.zeros((2, 10)), "'betas'"),
        ("size", np.array([0, 5]), "no width and height"),
        ("extrinsics", np.array([[object()]]), "pickled objects"),
        ("global_orient", None, "has no 'global_orient'"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, name, value, message):
    some_track().save(tmp_path / "good.npz")
    with np.load(tmp_path / "good.npz") as data:
        arrays = {key: data[key] for key in data.files}
    arrays.pop(name)
    if value is not None:
        arrays[name] = value
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(FormatError, match=message) as caught:
        load(tmp_path / "bad.npz")
    assert "\n" not in str(caught.value)


def test_a_turned_body_between_two_that_agree_is_an_outlier():
    track = some_track(7)
    track.global_orient[:] = track.global_orient[0]
    track.body_pose[:] = track.body_pose[0]
    track.global_orient[3] = (
        Rotation.from_rotvec(track.global_orient[0]) * Rotation.from_rotvec([0, np.pi, 0])
    ).as_rotvec()
    assert tracker.outliers(track) == {3}
    track.global_orient[4:] = track.global_orient[3]  # who turns and stays so has turned
    assert tracker.outliers(track) == set()


def test_a_video_gives_the_frames_asked_for(tmp_path):
    """Frame n of the file is a grey of its own; the decoder's answer is compared with it."""
    path = tmp_path / "bob__run.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    for n in range(20):
        writer.write(np.full((48, 64, 3), 10 * n, np.uint8))
    writer.release()
    clip = find_clips(path, every=3, start=2, stop=16)[0]
    assert (clip.name, clip.person, clip.size, clip.chosen, clip.fps) == (
        "bob__run",
        "bob",
        (64, 48),
        (2, 5, 8, 11, 14),
        25,
    )
    for number, image in clip.frames({5, 14}):
        assert image is not None
        assert number in (5, 14)
        assert abs(float(image.mean()) - 10 * number) < 2
    assert find_clips(path, most=4)[0].chosen == (0, 6, 13, 19)
    assert find_clips(path, side=32)[0].size == (32, 24)
    (tmp_path / "bob__run").mkdir()
    cv2.imwrite(str(tmp_path / "bob__run/0.png"), np.zeros((8, 8, 3)))
    cv2.imwrite(str(tmp_path / "bob__run/1.png"), np.zeros((8, 8, 3)))
    with pytest.raises(ClipError, match="two clips are called bob__run"):
        find_clips(tmp_path)


def test_our_tracker_follows_a_photo_that_moves(tmp_path, monkeypatch):
    """The same photo, 60 px further to the right: the body moves by as much, keeps its shape and lies on the person."""
    samples = Path(__file__).parents[2] / "packaging/demo/samples/photos"
    photo = cv2.imread(str(samples / "openpeople_P001.jpg"))
    photo = cv2.resize(photo, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    wide = cv2.copyMakeBorder(photo, 0, 0, 150, 150, cv2.BORDER_REPLICATE)
    (tmp_path / "clip").mkdir()
    for i, step in enumerate((0, 60)):
        cv2.imwrite(str(tmp_path / f"clip/{i}.png"), np.roll(wide, step, 1))
    monkeypatch.setattr(tracker, "FIRST_ITERATIONS", 120)
    monkeypatch.setattr(tracker, "FOLLOW_ITERATIONS", 40)
    monkeypatch.setattr(tracker, "SETTLE_ITERATIONS", 30)
    clip, store, lines = find_clips(tmp_path / "clip")[0], Store(tmp_path / "work"), []
    dropped = tracker.look_for(clip, store, None, lines.append)
    followed = tracker.follow(clip, store, dropped, None, lines.append)
    assert followed.dropped == {}
    track, body = followed.track, free_body()
    np.testing.assert_array_equal(track.betas[0], track.betas[1])
    assert (track.confidence > 0.75).all()
    seen = [project(track.vertices(i, body), track.extrinsics[i], track.intrinsics[i])[0] for i in (0, 1)]
    step = seen[1] - seen[0]
    assert np.abs(np.median(step, 0) - [60, 0]).max() < 3
    assert np.hypot(*(step - [60, 0]).T).mean() < 8
    lines.clear()
    again = tracker.follow(clip, store, tracker.look_for(clip, store, None, lines.append), None, lines.append)
    assert lines == []  # all from the store
    np.testing.assert_array_equal(again.track.body_pose, track.body_pose)
