import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp
from understudy_shared.camera_paths import orbit
from understudy_shared.formats import tum
from understudy_shared.formats.camera_file import MAX_FRAMES
from understudy_shared.formats.detect import camera_format, load_camera, save_camera
from understudy_shared.formats.reading import FormatError

HEAD = "# ground truth trajectory\n# file: 'rgbd_dataset.bag'\n# timestamp tx ty tz qx qy qz qw\n"
SIZE = {"size": (640, 480), "fov": 50.0}


def written(path, times, poses=None, digits=4, newline="\n"):
    """A file as TUM's are written: few digits, quaternions with their real part last."""
    rng = np.random.default_rng(2)
    if poses is None:
        poses = np.c_[rng.normal(size=(len(times), 3)), Rotation.random(len(times), rng=rng).as_quat()]
    lines = (f"{t:.{digits}f} " + " ".join(f"{v:.9f}" for v in row) for t, row in zip(times, poses, strict=True))
    path.write_bytes((HEAD + "".join(line + "\n" for line in lines)).replace("\n", newline).encode())
    return path, poses


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_trajectory_by_hand(tmp_path, newline):
    path, poses = written(tmp_path / "groundtruth.txt", 1305031102.1758 + np.arange(7) / 30, newline=newline)
    assert camera_format(path).key == "tum"
    camera = load_camera(path, **SIZE)
    assert (len(camera), camera.fps, camera.width, camera.height, camera.notes) == (7, 30, 640, 480, ())
    assert abs(camera.start - 1305031102.1758) < 1e-6
    to_world = camera.camera_to_world
    assert np.abs(to_world[:, :3, 3] - poses[:, :3]).max() < 1e-9
    turned = Rotation.from_matrix(to_world[:, :3, :3])
    assert (Rotation.from_quat(poses[:, 3:]).inv() * turned).magnitude().max() < 1e-7
    assert np.isclose(camera.intrinsics[0, 1, 1], 240 / np.tan(np.radians(25)))


def test_what_is_assumed_is_said(tmp_path):
    path, _ = written(tmp_path / "t.txt", np.arange(3) / 25)
    camera = load_camera(path)
    assert (camera.width, camera.height) == (1920, 1080) and np.isclose(
        camera.intrinsics[0, 1, 1], 540 / np.tan(np.radians(20))
    )
    assert "how large its pictures are" in camera.notes[0] and "nothing of the lens" in camera.notes[1]
    k = np.array([[900.0, 0, 500], [0, 910, 300], [0, 0, 1]])
    camera = load_camera(path, k=k)
    assert (camera.width, camera.height) == (1000, 600) and (camera.intrinsics == k).all()


def test_our_file_means_what_it_says(tmp_path):
    camera = orbit(frames=40, fps=30000 / 1001, sway=0.3)
    tum.save(tmp_path / "t.tum", camera)
    table = np.loadtxt(tmp_path / "t.tum")
    assert np.abs(table[:, 0] - np.arange(40) * 1001 / 30000).max() < 1e-12
    assert np.abs(table[:, 1:4] - camera.camera_to_world[:, :3, 3]).max() < 1e-12
    assert np.abs(Rotation.from_quat(table[:, 4:]).as_matrix() - camera.camera_to_world[:, :3, :3]).max() < 1e-12


def test_evo_reads_what_we_write(tmp_path):
    evo = pytest.importorskip("evo.tools.file_interface")
    camera = orbit(frames=40, fps=30000 / 1001, sway=0.3)
    tum.save(tmp_path / "t.tum", camera)
    found = evo.read_tum_trajectory_file(str(tmp_path / "t.tum"))
    assert np.abs(np.array(found.poses_se3) - camera.camera_to_world).max() < 1e-12
    assert np.abs(found.timestamps - np.arange(40) * 1001 / 30000).max() < 1e-12


def test_we_read_what_evo_writes(tmp_path):
    evo = pytest.importorskip("evo.tools.file_interface")
    trajectory = pytest.importorskip("evo.core.trajectory")
    rng = np.random.default_rng(1)
    quaternions = Rotation.random(9, rng=rng).as_quat()[:, [3, 0, 1, 2]]
    theirs = trajectory.PoseTrajectory3D(rng.normal(size=(9, 3)), quaternions, 5 + np.arange(9) / 60)
    evo.write_tum_trajectory_file(str(tmp_path / "t.txt"), theirs)
    camera = load_camera(tmp_path / "t.txt", **SIZE)
    assert np.abs(camera.camera_to_world - np.array(theirs.poses_se3)).max() < 1e-9 and camera.fps == 60


@pytest.mark.parametrize("fps", [24000 / 1001, 24, 25, 30000 / 1001, 30, 60000 / 1001, 60, 120, 17.3])
@pytest.mark.parametrize("digits", [4, 6, 9])
def test_the_rate_of_rounded_timestamps(tmp_path, fps, digits):
    path, _ = written(tmp_path / "t.txt", 3.5 + np.arange(200) / fps, digits=digits)
    camera = load_camera(path, **SIZE)
    assert len(camera) == 200 and camera.notes == ()
    # as near as the digits tell: what is a usual rate is that one exactly, but for a mix-up that they do not rule out
    assert camera.fps == fps if fps != 17.3 else abs(camera.fps - fps) < 1e-3


def test_there_and_back_is_the_same(tmp_path):
    path, _ = written(tmp_path / "a.txt", 1305031102.175304 + np.arange(50) / 30, digits=6)
    camera = load_camera(path, **SIZE)
    save_camera(camera, tmp_path / "b.txt", "tum")
    a, b = (np.loadtxt(p) for p in (path, tmp_path / "b.txt"))
    b[:, 4:] *= np.sign((a[:, 4:] * b[:, 4:]).sum(1, keepdims=True))  # q and -q are one rotation
    assert np.abs(a - b).max() < 2e-6 and np.abs(a[:, 1:] - b[:, 1:]).max() < 3e-9
    again = load_camera(tmp_path / "b.txt", **SIZE)
    assert np.abs(again.extrinsics - camera.extrinsics).max() < 1e-12 and again.fps == camera.fps == 30


def test_uneven_times_are_brought_to_even_ones_as_scipy_would(tmp_path):
    rng = np.random.default_rng(5)
    times = 10 + (np.arange(60) + rng.uniform(-0.2, 0.2, 60)) / 30
    turns = Rotation.from_rotvec(np.cumsum(rng.uniform(-0.1, 0.1, (60, 3)), 0))
    path, poses = written(tmp_path / "t.txt", times, np.c_[rng.normal(size=(60, 3)), turns.as_quat()], digits=9)
    camera = load_camera(path, fps=48, **SIZE)
    assert "even steps" in camera.notes[-1] and camera.fps == 48
    times = np.loadtxt(path)[:, 0]
    even = times[0] + np.arange(len(camera)) / 48
    assert times[-1] - 1 / 48 < even[-1] <= times[-1] + 1e-6
    expected = Slerp(times, turns)(np.minimum(even, times[-1]))
    found = Rotation.from_matrix(camera.camera_to_world[:, :3, :3])
    assert (expected.inv() * found).magnitude().max() < 1e-6
    along = np.stack([np.interp(even, times, poses[:, axis]) for axis in range(3)], 1)
    assert np.abs(camera.camera_to_world[:, :3, 3] - along).max() < 1e-6


def test_the_usual_rate_of_a_jittering_clock_and_gaps(tmp_path):
    rng = np.random.default_rng(6)
    times = np.sort(np.r_[np.arange(50), np.arange(70, 100)] + rng.uniform(-0.1, 0.1, 80)) / 100
    camera = load_camera(written(tmp_path / "t.txt", times)[0], **SIZE)
    assert camera.fps == 100 and 98 <= len(camera) <= 101
    assert "gaps of up to 0.2" in camera.notes[0] and "100 frames per second" in camera.notes[1]


@pytest.mark.parametrize(("unit", "digits"), [(1e-3, 3), (1e-6, 1), (1e-9, 0)])
def test_times_in_smaller_units(tmp_path, unit, digits):
    times = (1403636579.75 + np.arange(20) / 20) / unit
    camera = load_camera(written(tmp_path / "t.txt", times, digits=digits)[0], **SIZE)
    assert camera.fps == 20 and abs(camera.start - 1403636579.75) < 1e-3 and len(camera) == 20


def test_times_that_count_frames(tmp_path):
    path, poses = written(tmp_path / "t.tum", np.r_[0:10, 12:20], digits=0)
    camera = load_camera(path, **SIZE)
    assert camera.fps == 24 and len(camera) == 20 and "no frame rate" in camera.notes[0]
    assert np.abs(camera.camera_to_world[12, :3, 3] - poses[10, :3]).max() < 1e-9
    assert load_camera(path, fps=30, **SIZE).fps == 30


def test_rows_in_any_order_and_a_single_one(tmp_path):
    path, _ = written(tmp_path / "t.txt", np.arange(9) / 24)
    camera = load_camera(path, **SIZE)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:3] + lines[3:][::-1]))
    assert (load_camera(path, **SIZE).extrinsics == camera.extrinsics).all()
    path.write_text(lines[5])
    alone = load_camera(path, **SIZE)
    assert len(alone) == 1 and alone.fps == 24 and "no frame rate" in alone.notes[0]


@pytest.mark.parametrize(("up", "place"), [("Z", [1, 2, 3]), ("Y", [1, -3, 2]), ("-Y", [1, 3, -2])])
def test_the_way_up_and_the_unit_of_the_file(tmp_path, up, place):
    (tmp_path / "t.txt").write_text("0.0 1 2 3 0 0 0 1\n0.5 1 2 3 0 0 0 1\n")
    camera = load_camera(tmp_path / "t.txt", up=up, scale=2, **SIZE)
    assert np.allclose(camera.camera_to_world[0, :3, 3], 2 * np.array(place))
    tum.save(tmp_path / "b.txt", camera, up=up, scale=2)
    assert np.allclose(np.loadtxt(tmp_path / "b.txt"), np.loadtxt(tmp_path / "t.txt"))


GOOD = ["0.0 1 2 3 0 0 0 1", "0.1 1 2 3 0 0 0 1", "0.2 1 2 3 0 0 0 1"]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "is empty"),
        (["# only comments"], "is empty"),
        ([*GOOD, GOOD[1]], "0.1 stands there twice"),
        ([*GOOD, "0.3 1 2 3 0 0 0"], "line 4 has 7 numbers"),
        ([*GOOD, "0.3 1 2 3 0 0 0 x"], "'x' in line 4 is not a number"),
        ([*GOOD, "0,3 1 2 3 0 0 0 1"], "line 4 has commas"),
        ([*GOOD, "0.3 1 2 nan 0 0 0 1"], "row 4 holds numbers that are not finite"),
        ([*GOOD, "0.3 1 2 1e999 0 0 0 1"], "row 4 holds numbers that are not finite"),
        ([*GOOD, "0.3 1 2 1e200 0 0 0 1"], "too far away"),
        ([*GOOD, "0.3 1 2 3 0 0 0 1.01"], "not of length 1"),
        ([*GOOD, "0.3 1 2 3 0 0 0 0"], "not of length 1"),
        ([*GOOD, "1e300 1 2 3 0 0 0 1"], "not seconds"),
        (["0 1 2 3 0 0 0 1", "1e-320 1 2 3 0 0 0 1"], "not seconds"),
        ([*GOOD, "90000.3 1 2 3 0 0 0 1"], "jump too far"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path, lines, says):
    (tmp_path / "t.tum").write_text("\n".join(lines))
    with pytest.raises(FormatError, match=says) as caught:
        load_camera(tmp_path / "t.tum", format="tum")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("t.tum: ")


@pytest.mark.parametrize("change", [{"up": "X"}, {"scale": 0}, {"scale": np.nan}, {"fps": -1}, {"fov": 190}, {"k": 3}])
def test_options_that_are_none(tmp_path, change):
    path, _ = written(tmp_path / "t.txt", np.arange(9) / 24)
    with pytest.raises(FormatError):
        load_camera(path, **{**SIZE, **change})


def test_a_quaternion_of_four_digits_is_a_rotation(tmp_path):
    quaternion = Rotation.from_rotvec([0.3, 0.4, 0.5]).as_quat().round(4)
    (tmp_path / "t.txt").write_text("0.0 0 0 0 " + " ".join(map(str, quaternion)))
    found = load_camera(tmp_path / "t.txt", **SIZE).extrinsics[0, :3, :3]
    assert np.abs(found @ found.T - np.eye(3)).max() < 1e-12


def test_more_rows_than_are_accepted_take_little_time(tmp_path):
    (tmp_path / "t.txt").write_bytes(b"0.1 0 0 0 0 0 0 1\n" * (MAX_FRAMES + 1))
    with pytest.raises(FormatError, match="cut it into shorter pieces"):
        load_camera(tmp_path / "t.txt")
