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


def test_a_matrix_that_is_not_a_rotation_by_more_than_rounding(tmp_path):
    for off, fine in ((5e-4, True), (2e-3, False)):
        pose = np.eye(4)
        pose[0, 0] += off
        data = path_data()
        data["camera_path"][0]["camera_to_world"] = pose.reshape(-1).tolist()
        path = written(tmp_path / "c.json", data)
        if fine:
            load_camera(path)
        else:
            with pytest.raises(FormatError, match="not a rotation"):
                load_camera(path)


def test_distortion_is_said(tmp_path):
    plain = load_camera(written(tmp_path / "t.json", transforms_data(k1=0.0, fps=24)))
    assert plain.notes == ()
    bent = load_camera(written(tmp_path / "t.json", transforms_data(k1=0.0, p2=-0.012, fps=24)))
    assert len(bent.notes) == 1 and "p2 = -0.012" in bent.notes[0] and "undistorted" in bent.notes[0]
    assert (bent.extrinsics == plain.extrinsics).all()


def test_an_applied_transform_is_in_the_matrices_already(tmp_path):
    moved = [[0, 1, 0, 5], [1, 0, 0, 6], [0, 0, -1, 7]]
    with_it = load_camera(written(tmp_path / "a.json", transforms_data(applied_transform=moved, applied_scale=2)))
    assert (with_it.extrinsics == load_camera(written(tmp_path / "t.json", transforms_data())).extrinsics).all()


def test_missing_numbers_are_said_and_filled_on_request(tmp_path):
    data = transforms_data(fps=24)
    for i, (frame, number) in enumerate(zip(data["frames"], (10, 20, 50), strict=True)):
        frame["file_path"] = f"images/frame_{number}.png"
        frame["transform_matrix"] = np.array(frame["transform_matrix"])
        frame["transform_matrix"][0, 3] = number
        frame["transform_matrix"] = frame["transform_matrix"].tolist()
        frame["fl_x"] = 100.0 + i
    path = written(tmp_path / "t.json", data)
    camera = load_camera(path)
    assert len(camera) == 3 and "2 of 5 frames" in camera.notes[0]
    camera = load_camera(path, fill_gaps=True)
    assert np.allclose(camera.camera_to_world[:, 0, 3], [10, 20, 30, 40, 50]) and "filled in" in camera.notes[0]


def test_a_frame_that_is_there_twice(tmp_path):
    data = transforms_data()
    data["frames"][2]["file_path"] = data["frames"][0]["file_path"]
    with pytest.raises(FormatError, match="twice"):
        load_camera(written(tmp_path / "t.json", data))


@pytest.mark.parametrize("change", [{"camera_model": "OPENCV_FISHEYE"}, {"is_fisheye": True}])
def test_one_frame_that_is_no_pinhole(tmp_path, change):
    data = transforms_data()
    data["frames"][1].update(change)
    with pytest.raises(FormatError, match="perspective"):
        load_camera(written(tmp_path / "t.json", data))


@pytest.mark.parametrize("layout", ["camera_path", "transforms"])
def test_the_way_up_and_the_unit_of_the_file(tmp_path, layout):
    camera = orbit(frames=5)
    nerfstudio.save(tmp_path / "c.json", camera, layout=layout, up="Y", scale=0.01)
    assert np.abs(pixels(load_camera(tmp_path / "c.json", up="Y", scale=0.01)) - pixels(camera)).max() < 1e-9
    # ours (0, -3.2, 1.2) m is (0, 120, 320) cm with Y up
    found = load_camera(tmp_path / "c.json").camera_to_world[0, :3, 3]
    assert np.allclose(found, [0, 120, 320])


def test_a_lens_for_a_file_without(tmp_path):
    data = {"w": 400, "h": 200, "frames": [{"transform_matrix": np.eye(4).tolist()}]}
    path = written(tmp_path / "t.json", data)
    with pytest.raises(FormatError, match="option fov"):
        load_camera(path)
    assert np.allclose(load_camera(path, fov=90).intrinsics[0], [[100, 0, 200], [0, 100, 100], [0, 0, 1]])
    assert "no frame rate" in load_camera(path, fov=90).notes[0]
