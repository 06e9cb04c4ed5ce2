import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_shared.camera import CameraTrajectory, project
from understudy_shared.camera_paths import orbit
from understudy_shared.formats import nerfstudio
from understudy_shared.formats.detect import load_camera
from understudy_shared.formats.reading import FormatError

POINTS = np.random.default_rng(0).uniform(-0.8, 0.8, (30, 3)) + np.array([0, 0, 0.9])


def written(path, data):
    path.write_text(json.dumps(data))
    return path


def pixels(camera):
    cameras = zip(camera.extrinsics, camera.intrinsics, strict=True)
    return np.stack([project(POINTS, extrinsics, k)[0] for extrinsics, k in cameras])


def crooked():
    """A camera whose lens, centre and pixel shape change from frame to frame."""
    camera, rng = orbit(frames=7, size=(320, 200)), np.random.default_rng(1)
    k = camera.intrinsics + np.abs(rng.normal(size=(7, 3, 3))) * np.array([[20, 0, 9], [0, 20, 9], [0, 0, 0]])
    return CameraTrajectory(camera.extrinsics, k, 320, 200, 25.0)


@pytest.mark.parametrize(("camera", "layout"), [(orbit(frames=9), "camera_path"), (crooked(), "transforms")])
def test_written_and_read_again(tmp_path, camera, layout):
    nerfstudio.save(tmp_path / "c.json", camera, layout=layout)
    back = load_camera(tmp_path / "c.json")
    assert (len(back), back.width, back.height, back.fps) == (len(camera), camera.width, camera.height, camera.fps)
    assert np.abs(pixels(back) - pixels(camera)).max() < 1e-4


def test_camera_path_cannot_hold_a_shifted_lens(tmp_path):
    with pytest.raises(FormatError, match="save as transforms"):
        nerfstudio.save(tmp_path / "c.json", crooked())


def path_data(**changes):
    """A camera 5 m in front of the origin, looking along +Y, level."""
    pose = [1, 0, 0, 0, 0, 0, -1, -5, 0, 1, 0, 0, 0, 0, 0, 1]
    frame = {"camera_to_world": pose, "fov": 90, "aspect": 2}
    data = {"camera_type": "perspective", "render_width": 400, "render_height": 200, "fps": 30, "camera_path": [frame]}
    return {**data, **changes}


def test_camera_path_by_hand(tmp_path):
    camera = load_camera(written(tmp_path / "c.json", path_data()))
    seen, depth = project(np.array([[1.0, 0, 2]]), camera.extrinsics[0], camera.intrinsics[0])
    # the vertical angle is 90 degrees, so the focal length is 100 px: 1 m right and 2 m up at 5 m are 20 and 40 px
    assert np.allclose(seen, [[220, 60]]) and np.allclose(depth, [5])
    assert camera.fps == 30


def test_nested_matrices_scale_and_options(tmp_path):
    data = path_data()
    data["camera_path"][0]["camera_to_world"] = np.reshape(data["camera_path"][0]["camera_to_world"], (4, 4)).tolist()
    camera = load_camera(written(tmp_path / "c.json", data), scale=0.5, fps=12)
    assert np.allclose(camera.camera_to_world[0, :3, 3], [0, -2.5, 0]) and camera.fps == 12


def test_frame_rate_from_seconds(tmp_path):
    data = path_data(fps=None, seconds=2)
    data["camera_path"] *= 30
    assert load_camera(written(tmp_path / "c.json", data)).fps == 15


def transforms_data(**changes):
    pose = np.reshape(path_data()["camera_path"][0]["camera_to_world"], (4, 4)).tolist()
    frames = [{"file_path": f"images/frame_{i}.png", "transform_matrix": pose} for i in (10, 9, 1)]
    for i, frame in enumerate(frames):
        frame["fl_x"] = 100.0 + i
    return {"w": 400, "h": 200, "fl_y": 90.0, "cx": 190.5, "frames": frames, **changes}


def test_transforms_by_hand(tmp_path):
    camera = load_camera(written(tmp_path / "transforms.json", transforms_data()))
    assert camera.intrinsics[:, 0, 0].tolist() == [100, 101, 102]
    assert np.allclose(camera.intrinsics[0], [[100, 0, 190.5], [0, 90, 100], [0, 0, 1]])
    camera = load_camera(tmp_path / "transforms.json", order="name")
    assert camera.intrinsics[:, 0, 0].tolist() == [102, 101, 100]


def test_angles_of_view_and_a_given_size(tmp_path):
    frames = [{"transform_matrix": transforms_data()["frames"][0]["transform_matrix"]}]
    path = written(tmp_path / "t.json", {"camera_angle_x": np.pi / 2, "frames": frames})
    with pytest.raises(FormatError, match="option size"):
        load_camera(path)
    camera = load_camera(path, size=(800, 600))
    assert np.allclose(camera.intrinsics[0], [[400, 0, 400], [0, 400, 300], [0, 0, 1]])


def test_rounded_matrices_become_rotations(tmp_path):
    rotation = Rotation.from_rotvec([0.3, 0.4, 0.5]).as_matrix()
    pose = np.eye(4)
    pose[:3, :3] = rotation.round(4)
    data = path_data()
    data["camera_path"][0]["camera_to_world"] = pose.reshape(-1).tolist()
    found = load_camera(written(tmp_path / "c.json", data)).extrinsics[0, :3, :3]
    assert np.abs(found @ found.T - np.eye(3)).max() < 1e-12
    assert np.abs(found.T @ np.diag([1, -1, -1]) - rotation).max() < 1e-4


def broken_matrix(**changes):
    def change(data):
        data["camera_path"][0].update(changes)

    return change


def flat(matrix):
    return np.asarray(matrix, float).reshape(-1).tolist()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(camera_path=[]), "no frames"),
        (lambda d: d.update(camera_path=5), "not a list"),
        (lambda d: d.update(camera_path=[3]), "not a list"),
        (lambda d: d.pop("camera_path"), "neither"),
        (lambda d: d.update(camera_type="equirectangular"), "perspective"),
        (lambda d: d.update(render_width=None), "option size"),
        (lambda d: d.update(render_width=10**400), "number"),
        (lambda d: d.update(render_width=0), "cannot be used"),
        (lambda d: d.update(fps=-3), "positive"),
        (broken_matrix(camera_to_world=None), "4 x 4"),
        (broken_matrix(camera_to_world=[1, 2, 3]), "4 x 4"),
        (broken_matrix(camera_to_world=[["a"] * 4] * 4), "4 x 4"),
        (broken_matrix(camera_to_world=[10**400] * 16), "4 x 4"),
        (broken_matrix(camera_to_world=[float("nan")] * 16), "finite"),
        (broken_matrix(camera_to_world=flat(np.diag([1, 1, -1, 1]))), "mirroring"),
        (broken_matrix(camera_to_world=flat(np.diag([2, 2, 2, 1]))), "scale"),
        (broken_matrix(camera_to_world=flat(np.zeros((4, 4)))), "last row"),
        (broken_matrix(fov=None), "'fov'"),
        (broken_matrix(fov=180), "field of view"),
        (broken_matrix(fov=True), "'fov'"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path, change, says):
    data = path_data()
    change(data)
    with pytest.raises(FormatError, match=says) as caught:
        load_camera(written(tmp_path / "c.json", data))
    assert "\n" not in str(caught.value) and str(caught.value).startswith("c.json: ")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"frames": []}, "no frames"),
        ({"frames": [{}]}, "4 x 4"),
        ({"camera_model": "OPENCV_FISHEYE"}, "perspective"),
        ({"is_fisheye": True}, "fisheye"),
        ({"fl_y": 0}, "positive"),
    ],
)
def test_transforms_that_are_none(tmp_path, change, says):
    with pytest.raises(FormatError, match=says):
        load_camera(written(tmp_path / "t.json", transforms_data(**change)))


def test_frames_of_two_sizes(tmp_path):
    data = transforms_data()
    data["frames"][1]["w"] = 401
    with pytest.raises(FormatError, match="one size"):
        load_camera(written(tmp_path / "t.json", data))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"\xff\xfe\x00", b"null", b"[" * 100_000, b'{"camera_path": [' + b"9" * 5000 + b"]}"]
)
def test_files_that_are_not_json(tmp_path, content):
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(FormatError, match=r"^c\.json: [^\n]+$"):
        load_camera(tmp_path / "c.json")


def test_places_without_a_file(tmp_path):
    with pytest.raises(FormatError, match="does not exist"):
        load_camera(tmp_path / "none.json")
    with pytest.raises(FormatError, match="is a folder"):
        load_camera(tmp_path)
    (tmp_path / "c.txt").write_text("camera")
    with pytest.raises(FormatError, match="not a known camera"):
        load_camera(tmp_path / "c.txt")


def test_the_sample_orbit(samples):
    camera, expected = load_camera(samples / "cameras/orbit.json"), orbit(radius=3.2, height=0.2, frames=48, sway=0.2)
    assert (len(camera), camera.fps, camera.width, camera.height) == (48, 24, 256, 256)
    assert np.abs(pixels(camera) - pixels(expected)).max() < 1e-6
