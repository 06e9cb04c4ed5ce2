import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_shared.camera import CameraTrajectory, project
from understudy_shared.camera_paths import orbit
from understudy_shared.formats import chan
from understudy_shared.formats.detect import camera_format, load_camera, save_camera
from understudy_shared.formats.reading import FormatError

SIZE = {"size": (400, 200), "fps": 25.0}


def written(path, rows, newline="\n", separator="\t"):
    path.write_bytes("".join(separator.join(f"{v:g}" for v in row) + newline for row in rows).encode())
    return path


@pytest.mark.parametrize(("newline", "separator"), [("\n", "\t"), ("\r\n", " "), (" \n", "   ")])
def test_a_camera_by_hand(tmp_path, newline, separator):
    # 5 in front of the origin in a world with Y up: it looks along -z, that is along our +Y
    path = written(tmp_path / "c.chan", [[1, 0, 0, 5, 0, 0, 0, 90]], newline, separator)
    assert camera_format(path).key == "chan"
    camera = load_camera(path, **SIZE)
    assert np.allclose(camera.camera_to_world[0, :3, 3], [0, -5, 0])
    seen, depth = project(np.array([[1.0, 0, 2]]), camera.extrinsics[0], camera.intrinsics[0])
    # the vertical angle is 90 degrees, so the focal length is 100 px: 1 right and 2 up at 5 are 20 and 40 px
    assert np.allclose(seen, [[220, 60]]) and np.allclose(depth, [5])
    assert (camera.fps, camera.notes, camera.start) == (25, (), 1 / 25)


def test_the_roll_is_innermost_and_the_pan_outermost(tmp_path):
    # panned by 90 degrees to the left, then tilted up by 30 about its own side, then rolled by 20 about its own view
    camera = load_camera(written(tmp_path / "c.chan", [[1, 0, 0, 0, 30, 90, 20, 45]]), up="Z", **SIZE)
    turned = camera.camera_to_world[0, :3, :3]
    assert np.allclose(turned[:, 2], [-np.cos(np.radians(30)), 0.5, 0])  # roll leaves the view where it is
    level = np.array([0, 0, -1.0])  # its own right before the roll
    assert np.isclose(turned[:, 0] @ level, np.cos(np.radians(20)))


@pytest.mark.parametrize("order", chan.ROTATION_ORDERS)
def test_rotation_orders_as_scipy_has_them(tmp_path, order):
    rng = np.random.default_rng(3)
    angles = rng.uniform(-170, 170, (20, 3))
    rows = np.c_[np.arange(20), rng.normal(size=(20, 3)), angles, np.full(20, 40.0)]
    np.savetxt(tmp_path / "c.chan", rows, fmt="%.17g")
    camera = load_camera(tmp_path / "c.chan", rotation_order=order, up="Z", **SIZE)
    # scipy's lower case letters turn about fixed axes, the first letter first
    expected = Rotation.from_euler(order.lower(), angles[:, ["XYZ".index(axis) for axis in order]], degrees=True)
    found = camera.camera_to_world[:, :3, :3] @ np.diag([1, -1, -1])
    assert np.abs(found - expected.as_matrix()).max() < 1e-12


@pytest.mark.parametrize("order", chan.ROTATION_ORDERS)
@pytest.mark.parametrize("up", ["Y", "Z", "-Y"])
def test_written_and_read_again(tmp_path, order, up):
    rng = np.random.default_rng(8)
    extrinsics = np.tile(np.eye(4), (60, 1, 1))
    turns = Rotation.random(60, rng=rng).as_matrix()
    # straight up, down, and everything next to where two of the three axes coincide
    for i, off in enumerate((0, 1e-15, 1e-9, 1e-7, 1e-5, 1e-3)):
        for j, axis in enumerate(np.eye(3)):
            steep = Rotation.from_rotvec(axis * (np.pi / 2 + off))
            turns[6 * i + 2 * j] = steep.as_matrix()
            turns[6 * i + 2 * j + 1] = (steep.inv() * Rotation.from_rotvec([0.1, 0.2, 0.3])).as_matrix()
    extrinsics[:, :3, :3], extrinsics[:, :3, 3] = turns, rng.normal(size=(60, 3))
    k = np.array([[350.0, 0, 200], [0, 350, 100], [0, 0, 1]])
    camera = CameraTrajectory(extrinsics, np.tile(k, (60, 1, 1)), 400, 200, 25.0, start=1001 / 25)
    save_camera(camera, tmp_path / "c.chan", "chan", rotation_order=order, up=up, scale=0.1)
    back = load_camera(tmp_path / "c.chan", rotation_order=order, up=up, scale=0.1, **SIZE)
    assert np.abs(back.extrinsics - camera.extrinsics).max() < 1e-12
    assert np.abs(back.intrinsics - camera.intrinsics).max() < 1e-9
    assert np.loadtxt(tmp_path / "c.chan")[0, 0] == 1001 and back.start == camera.start


def test_there_and_back_is_the_same(tmp_path):
    rng = np.random.default_rng(4)
    rows = np.c_[np.arange(101, 131), rng.normal(size=(30, 3)) * 100, rng.uniform(-80, 80, (30, 3)), 30 + np.arange(30)]
    np.savetxt(tmp_path / "a.chan", rows, fmt="%.9g")
    save_camera(load_camera(tmp_path / "a.chan", scale=0.01, **SIZE), tmp_path / "b.chan", "chan", scale=0.01)
    a, b = (np.loadtxt(tmp_path / name) for name in ("a.chan", "b.chan"))
    assert (a[:, 0] == b[:, 0]).all() and np.abs(a - b).max() < 1e-9


def test_angles_do_not_jump(tmp_path):
    chan.save(tmp_path / "c.chan", orbit(frames=90, degrees=720), first_frame=1)
    rows = np.loadtxt(tmp_path / "c.chan")
    assert np.abs(np.diff(rows[:, 4:7], axis=0)).max() < 10 and np.ptp(rows[:, 5]) > 700
    assert rows[0, 0] == 1


def test_the_film_back_of_another_shape(tmp_path):
    # Nuke's film back is 24.576 x 18.672 mm, and 24.576 are fitted to the width of the picture
    focal = 50.0
    vfov = np.degrees(2 * np.arctan(18.672 / 2 / focal))
    np.savetxt(tmp_path / "c.chan", [[1, 0, 0, 0, 0, 0, 0, vfov]], fmt="%.12g")
    back = {"aperture": (24.576, 18.672), "size": (1920, 1080)}
    camera = load_camera(tmp_path / "c.chan", **back)
    assert np.isclose(camera.intrinsics[0, 0, 0], focal / 24.576 * 1920)
    assert camera.intrinsics[0, 0, 0] == camera.intrinsics[0, 1, 1]
    chan.save(tmp_path / "b.chan", camera, aperture=back["aperture"])
    assert np.isclose(np.loadtxt(tmp_path / "b.chan")[7], vfov)


def test_frames_that_were_left_out_are_filled_in(tmp_path):
    path = written(
        tmp_path / "c.chan", [[10, 0, 0, 0, 0, 0, 0, 40], [11, 1, 0, 0, 0, 0, 0, 40], [15, 5, 0, 0, 0, 80, 0, 40]]
    )
    camera = load_camera(path, **SIZE)
    assert len(camera) == 6 and "filled in" in camera.notes[0]
    assert np.allclose(camera.camera_to_world[:, 0, 3], range(6))
    turned = Rotation.from_matrix(camera.camera_to_world[:, :3, :3])
    assert np.allclose(np.degrees((turned[0].inv() * turned).magnitude()), [0, 0, 20, 40, 60, 80])


def test_an_axis_has_no_lens(tmp_path):
    path = written(tmp_path / "a.chan", [[1, 0, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0]])
    assert "nothing of the lens" in load_camera(path, **SIZE).notes[0]
    assert np.isclose(load_camera(path, fov=90, **SIZE).intrinsics[0, 0, 0], 100)


def test_what_is_assumed_is_said(tmp_path):
    notes = load_camera(written(tmp_path / "c.chan", [[1, 0, 0, 5, 0, 0, 0, 90]])).notes
    assert "how large its pictures are" in notes[0] and "no frame rate" in notes[1]


def test_a_lens_that_one_angle_cannot_hold(tmp_path):
    camera = orbit(frames=2)
    camera.intrinsics[1, 0, 2] += 3
    with pytest.raises(FormatError, match="lens shift"):
        chan.save(tmp_path / "c.chan", camera)
    assert not (tmp_path / "c.chan").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("1 0 0 0 0 0 0 40\n1 0 0 0 0 0 0 40", "frame 1 stands there twice"),
        ("1 0 0 0 0 0 0 0", "field of view"),
        ("1 0 0 0 0 0 0 180", "field of view"),
        ("1 0 0 0 0 0 nan 40", "not finite"),
        ("1 0 0 0 0 0 0,5 40", "line 1 has commas"),
        ("1 0 0 0 0 0", "line 1 has 6 numbers"),
        ("1 0 0 0 0 0 0 40\n999999999 0 0 0 0 0 0 40", "frame numbers go from 1 to 1e\\+09"),
        ("1 0 0 0 0 0 0 40\n1e300 0 0 0 0 0 0 40", "frame numbers"),
        ("1 1e20 0 0 0 0 0 40", "too far away"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path, text, says):
    (tmp_path / "c.chan").write_text(text)
    with pytest.raises(FormatError, match=says) as caught:
        load_camera(tmp_path / "c.chan")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"rotation_order": "XXY"}, "rotation_order"),
        ({"aperture": (0, 1)}, "aperture"),
        ({"fps": 0}, "rate"),
        ({"size": (0, 5)}, "0 x 5"),
    ],
)
def test_options_that_are_none(tmp_path, change, says):
    path = written(tmp_path / "c.chan", [[1, 0, 0, 5, 0, 0, 0, 90]])
    with pytest.raises(FormatError, match=says):
        load_camera(path, **{**SIZE, **change})
