import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_shared.camera import project
from understudy_shared.camera_paths import orbit
from understudy_shared.formats import kitti
from understudy_shared.formats.detect import camera_format, load_camera, save_camera
from understudy_shared.formats.reading import FormatError

SIZE = {"size": (1241, 376), "fov": 30.0}
CALIB = """P0: 7.188560000000e+02 0.000000000000e+00 6.071928000000e+02 0.000000000000e+00 \
0.000000000000e+00 7.188560000000e+02 1.852157000000e+02 0.000000000000e+00 \
0.000000000000e+00 0.000000000000e+00 1.000000000000e+00 0.000000000000e+00
P1: 718.856 0 607.1928 -386.1448 0 718.856 185.2157 0 0 0 1 0
P2: 718.856 0 607.1928 45.38225 0 718.856 185.2157 -0.1130887 0 0 1 0.003779761
P3: 1 2 3
Tr: 4.2e-04 -9.99e-01 -8.0e-03 -1.1e-02 -7.2e-03 8.0e-03 -9.99e-01 -5.4e-02 9.99e-01 4.8e-04 -7.2e-03 -2.9e-01
"""


def drive(frames=5):
    """Poses as KITTI's: they begin at the first camera's own axes and go along z."""
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(np.outer(np.arange(frames) * 0.1, [0, 1, 0])).as_matrix()
    poses[:, 2, 3] = np.arange(frames) * 0.8
    return poses


def written(path, poses, ending="\n", numbers=None, rows=3):
    lines = [" ".join(f"{v:.9e}" for v in pose[:rows].reshape(-1)) for pose in poses]
    if numbers is not None:
        lines = [f"{number} {line}" for number, line in zip(numbers, lines, strict=True)]
    path.write_bytes((ending.join(lines) + ending).encode())
    return path


@pytest.mark.parametrize("ending", ["\n", "\r\n", " \n"])
def test_poses_by_hand(tmp_path, ending):
    path = written(tmp_path / "00.txt", drive(), ending)
    assert camera_format(path).key == "kitti"
    camera = load_camera(path, **SIZE)
    assert np.abs(camera.camera_to_world - drive()).max() < 1e-8
    assert camera.fps == 10 and "no frame rate" in camera.notes[-1]
    assert "choose up -Y" in camera.notes[0]  # the first camera's own axes
    upright = load_camera(path, up="-Y", fps=24, **SIZE)
    assert upright.notes == () and upright.fps == 24
    # what is ahead lies along +Y, and what is above the first camera is higher
    assert np.allclose(upright.camera_to_world[1:, 1, 3], drive()[1:, 2, 3])
    assert np.allclose(upright.camera_to_world[0, :3, 1], [0, 0, -1])


def test_our_file_means_what_it_says(tmp_path):
    camera = orbit(frames=40, sway=0.3)
    kitti.save(tmp_path / "k.txt", camera)
    table = np.loadtxt(tmp_path / "k.txt").reshape(40, 3, 4)
    assert np.abs(table - camera.camera_to_world[:, :3]).max() < 1e-12


def test_evo_reads_what_we_write(tmp_path):
    evo = pytest.importorskip("evo.tools.file_interface")
    camera = orbit(frames=40, sway=0.3)
    kitti.save(tmp_path / "k.txt", camera)
    found = evo.read_kitti_poses_file(str(tmp_path / "k.txt"))
    assert np.abs(np.array(found.poses_se3) - camera.camera_to_world).max() < 1e-12


def test_we_read_what_evo_writes(tmp_path):
    evo = pytest.importorskip("evo.tools.file_interface")
    trajectory = pytest.importorskip("evo.core.trajectory")
    evo.write_kitti_poses_file(str(tmp_path / "k.txt"), trajectory.PosePath3D(poses_se3=list(drive(20))))
    assert np.abs(load_camera(tmp_path / "k.txt", **SIZE).camera_to_world - drive(20)).max() < 1e-9


def test_there_and_back_is_the_same(tmp_path):
    path = written(tmp_path / "a.txt", drive(30))
    save_camera(load_camera(path, up="-Y", scale=0.5, **SIZE), tmp_path / "b.txt", "kitti", up="-Y", scale=0.5)
    assert np.abs(np.loadtxt(path) - np.loadtxt(tmp_path / "b.txt")).max() < 1e-8


@pytest.mark.parametrize("rows", [3, 4])
def test_lines_that_begin_with_the_number_of_the_frame(tmp_path, rows):
    path = written(tmp_path / "poses.txt", drive(4), numbers=[1, 2, 5, 6], rows=rows)
    camera = load_camera(path, **SIZE)
    assert len(camera) == 4 and "2 of 6 frames" in camera.notes[-1]
    filled = load_camera(path, fill_gaps=True, **SIZE)
    assert len(filled) == 6 and np.allclose(filled.camera_to_world[[0, 1, 4, 5]], drive(4))


@pytest.mark.parametrize("place", ["calib.txt", "../sequences/07/calib.txt"])
def test_the_lens_of_a_calib_file(tmp_path, place):
    (tmp_path / "poses").mkdir()
    path = written(tmp_path / "poses/07.txt", drive())
    (path.parent / place).resolve().parent.mkdir(parents=True, exist_ok=True)
    (path.parent / place).resolve().write_text(CALIB)
    camera = load_camera(path, size=(1241, 376))
    assert np.allclose(camera.intrinsics[0], [[718.856, 0, 607.1928], [0, 718.856, 185.2157], [0, 0, 1]])
    assert "camera 0 in calib.txt" in camera.notes[0]
    assert (load_camera(path).width, load_camera(path).height) == (1214, 370)
    integer = load_camera(path, size=(1241, 376), centre="integer")
    assert np.allclose(integer.intrinsics[:, :2, 2], [607.6928, 185.7157])
    given = load_camera(path, **SIZE)
    assert np.allclose(given.intrinsics[0, 0, 2], 620.5)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_another_camera_of_the_rig_sees_what_its_projection_says(tmp_path, number):
    path = written(tmp_path / "07.txt", drive())
    (tmp_path / "calib.txt").write_text(CALIB)
    camera = load_camera(path, camera=number, size=(1241, 376))
    point = np.array([1.5, -0.4, 12.0])
    p = np.array(CALIB.splitlines()[number].split()[1:], float).reshape(3, 4)
    for pose, extrinsics, k in zip(drive(), camera.extrinsics, camera.intrinsics, strict=True):
        seen = p @ np.linalg.inv(pose) @ [*point, 1]
        assert np.allclose(project(point[None], extrinsics, k)[0][0], seen[:2] / seen[2], atol=1e-4)


def test_the_times_of_a_sequence(tmp_path):
    path = written(tmp_path / "07.txt", drive(6))
    (tmp_path / "calib.txt").write_text(CALIB)
    (tmp_path / "times.txt").write_text("\n".join(f"{0.1 * i:e}" for i in range(6)))
    camera = load_camera(path, size=(1241, 376))
    assert camera.fps == 10 and len(camera) == 6 and not any("frame rate" in note for note in camera.notes)
    assert len(load_camera(path, size=(1241, 376), fps=20)) == 11
    (tmp_path / "times.txt").write_text("0\n0.1\n")  # of something else
    assert "no frame rate" in load_camera(path, size=(1241, 376)).notes[-1]


def test_a_lens_that_is_written_beside_it(tmp_path):
    camera = orbit(frames=4, size=(640, 480), fov=33)
    save_camera(camera, tmp_path / "a.txt", "kitti", calib=tmp_path / "calib.txt")
    back = load_camera(tmp_path / "a.txt", camera=3)
    assert np.abs(back.intrinsics - camera.intrinsics).max() < 1e-9 and (back.width, back.height) == (640, 480)
    zoom = orbit(frames=4)
    zoom.intrinsics[2, 0, 0] += 1
    with pytest.raises(FormatError, match="changes during the shot"):
        save_camera(zoom, tmp_path / "b.txt", "kitti", calib=tmp_path / "calib.txt")


ROW = "1 0 0 0 0 1 0 0 0 0 1 0"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        (ROW.replace("1", "2", 1), "not a rotation"),
        (ROW.replace("1", "-1", 1), "not a rotation"),
        (ROW.replace("1", "1e300", 1), "not a rotation"),
        (f"{ROW}\n{ROW} 1", "line 2 has 13 numbers"),
        (f"{ROW}\n{ROW[:-2]}", "line 2 has 11 numbers"),
        (f"0 {ROW}\n0 {ROW}", "frame 0 stands there twice"),
        (f"0.5 {ROW}", "not the number of a frame"),
        (f"{ROW} 0 0 1 1", "last row"),
        (f"{ROW}\n{ROW.replace('0', 'nan', 1)}", "not finite"),
        (f"{ROW}\n{ROW.replace('1', '1,0', 1)}", "line 2 has commas"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path, text, says):
    (tmp_path / "k.txt").write_text(text)
    with pytest.raises(FormatError, match=says) as caught:
        load_camera(tmp_path / "k.txt", format="kitti")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("number", "says"), [(3, "12 numbers"), (4, "no line 'P4:'")])
def test_cameras_that_calib_has_not(tmp_path, number, says):
    path = written(tmp_path / "07.txt", drive())
    (tmp_path / "calib.txt").write_text(CALIB)
    with pytest.raises(FormatError, match=says):
        load_camera(path, camera=number)
