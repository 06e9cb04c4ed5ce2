import struct
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_shared.camera import CameraTrajectory
from understudy_shared.camera_paths import orbit
from understudy_shared.formats import colmap, colmap_binary
from understudy_shared.formats.camera_file import MAX_FRAMES
from understudy_shared.formats.detect import camera_format, load_camera, save_camera
from understudy_shared.formats.reading import FormatError

KINDS = {"colmap_text": ".txt", "colmap_binary": ".bin"}

CAMERAS = """# Camera list with one line of data per camera:
#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]
3 PINHOLE 640 480 500.5 510.25 321 239.5

1 SIMPLE_PINHOLE 640 480 400 320 240
2 OPENCV 640 480 500 510 320 240 0 0 0 0
"""
IMAGES = """# Image list with two lines of data per image:
#   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME
#   POINTS2D[] as (X, Y, POINT3D_ID)
# Number of images: 3, mean observations per image: 1
7 1 0 0 0 0.5 0 2 3 shot/frame 10.png
10.5 20.5 -1 300 200 17
2 0.5 0.5 0.5 0.5 0 0 0 1 shot/frame 9.png

9 0.70710678118654757 0 0.70710678118654757 0 1 2 3 2 shot/frame 11.png
1 2 -1
"""


def model(tmp_path, cameras=CAMERAS, images=IMAGES):
    (tmp_path / "cameras.txt").write_bytes(cameras.encode())
    (tmp_path / "images.txt").write_bytes(images.encode())
    return tmp_path


def crooked(frames=6):
    """A camera whose lens changes, in a picture that is off-centre."""
    camera, rng = orbit(frames=frames, size=(320, 200), sway=0.3), np.random.default_rng(1)
    k = camera.intrinsics + np.abs(rng.normal(size=(frames, 3, 3))) * np.array([[20, 0, 9], [0, 20, 9], [0, 0, 0]])
    return CameraTrajectory(camera.extrinsics, k, 320, 200, 24.0)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_text_model_by_hand(tmp_path, newline):
    camera = load_camera(model(tmp_path, *(text.replace("\n", newline) for text in (CAMERAS, IMAGES))), fps=30)
    assert (len(camera), camera.width, camera.height, camera.fps, camera.notes) == (3, 640, 480, 30, ())
    # in the order of the numbers: 9, 10, 11
    assert camera.intrinsics[:, 0, 0].tolist() == [400, 500.5, 500]
    assert np.allclose(camera.intrinsics[1], [[500.5, 0, 321], [0, 510.25, 239.5], [0, 0, 1]])
    turned = Rotation.from_quat([0.5, 0.5, 0.5, 0.5]).as_matrix()
    assert np.allclose(camera.extrinsics[0, :3, :3], turned, atol=1e-12)
    assert np.allclose(camera.extrinsics[:, :3, 3], [[0, 0, 0], [0.5, 0, 2], [1, 2, 3]])
    by_file = load_camera(tmp_path, order="file")
    assert by_file.intrinsics[:, 0, 0].tolist() == [500.5, 400, 500] and "no frame rate" in by_file.notes[0]


@pytest.mark.parametrize("name", ["images.txt", "cameras.txt", ""])
def test_a_file_stands_for_its_folder(tmp_path, name):
    assert len(load_camera(model(tmp_path) / name)) == 3


def test_a_project_has_its_model_in_sparse(tmp_path):
    (tmp_path / "sparse/0").mkdir(parents=True)
    model(tmp_path / "sparse/0")
    assert camera_format(tmp_path).key == "colmap_text" and len(load_camera(tmp_path)) == 3


def test_lines_of_points_that_were_left_out(tmp_path):
    images = "".join(f"{i} 1 0 0 0 0 0 {i} 3 {i}.png\n" for i in range(1, 5))
    assert load_camera(model(tmp_path, images=images)).extrinsics[:, 2, 3].tolist() == [1, 2, 3, 4]


def test_points_of_any_number_are_passed_over(tmp_path):
    points = " ".join(["123.456 78.9 -1"] * 50_000)
    images = f"1 1 0 0 0 0 0 1 3 a1.png\n{points}\n2 1 0 0 0 0 0 2 3 a2.png\n{points}\n"
    assert load_camera(model(tmp_path, images=images)).extrinsics[:, 2, 3].tolist() == [1, 2]


@pytest.mark.parametrize("key", KINDS)
@pytest.mark.parametrize("camera", [crooked(), orbit(frames=120, size=(64, 64))])
def test_pycolmap_reads_what_we_write(tmp_path, key, camera):
    pycolmap = pytest.importorskip("pycolmap")
    save_camera(camera, tmp_path / "new/model", key)
    found = pycolmap.Reconstruction(str(tmp_path / "new/model"))
    assert found.num_images() == len(camera)
    for i, image in enumerate(sorted(found.images.values(), key=lambda image: image.name)):
        assert np.abs(image.cam_from_world().matrix() - camera.extrinsics[i, :3]).max() < 1e-12
        lens = found.cameras[image.camera_id]
        assert np.abs(lens.calibration_matrix() - camera.intrinsics[i]).max() < 1e-12
        assert (lens.width, lens.height, lens.model.name) == (camera.width, camera.height, "PINHOLE")
    back = load_camera(tmp_path / "new/model", fps=24)
    assert np.abs(back.extrinsics - camera.extrinsics).max() < 1e-12
    assert np.abs(back.intrinsics - camera.intrinsics).max() < 1e-12


def reconstruction(pycolmap, names, lens, points=0):
    """Pictures of one lens, each from elsewhere, with points in them."""
    found = pycolmap.Reconstruction()
    found.add_camera_with_trivial_rig(pycolmap.Camera(camera_id=1, width=640, height=480, **lens))
    rng = np.random.default_rng(0)
    for i, name in enumerate(names, 1):
        seen = pycolmap.Point2DList([pycolmap.Point2D(xy) for xy in rng.uniform(0, 400, (points, 2))])
        turn = pycolmap.Rotation3d(Rotation.random(rng=rng).as_quat())
        image = pycolmap.Image(name=name, camera_id=1, image_id=i, points2D=seen)
        found.add_image_with_trivial_frame(image, pycolmap.Rigid3d(turn, rng.normal(size=3)))
    return found


PINHOLES = [
    {"model": "SIMPLE_PINHOLE", "params": [500, 321, 239]},
    {"model": "PINHOLE", "params": [500, 510, 321, 239]},
    {"model": "SIMPLE_RADIAL", "params": [500, 321, 239, 0]},
    {"model": "RADIAL", "params": [500, 321, 239, 0, 0]},
    {"model": "OPENCV", "params": [500, 510, 321, 239, 0, 0, 0, 0]},
    {"model": "FULL_OPENCV", "params": [500, 510, 321, 239, 0, 0, 0, 0, 0, 0, 0, 0]},
]


@pytest.mark.parametrize("key", KINDS)
@pytest.mark.parametrize("lens", PINHOLES, ids=lambda lens: lens["model"])
def test_what_colmap_itself_writes(tmp_path, key, lens):
    pycolmap = pytest.importorskip("pycolmap")
    names = ["b/2.png", "b/10.png", "b/1.png", "b/3.png"]
    theirs = reconstruction(pycolmap, names, lens, points=5)
    theirs.write_text(str(tmp_path)) if key == "colmap_text" else theirs.write_binary(str(tmp_path))
    assert (tmp_path / f"rigs{KINDS[key]}").exists()  # newer files, which are passed over
    assert camera_format(tmp_path).key == key
    camera = load_camera(tmp_path, fps=24)
    order = [3, 1, 4, 2]  # 1, 2, 3, 10; the gap is said
    expected = np.stack([theirs.images[i].cam_from_world().matrix() for i in order])
    assert np.abs(camera.extrinsics[:, :3] - expected).max() < 1e-12
    assert np.abs(camera.intrinsics - theirs.cameras[1].calibration_matrix()).max() < 1e-12
    assert len(camera.notes) == 1 and "6 of 10 frames" in camera.notes[0]
    filled = load_camera(tmp_path, fps=24, fill_gaps=True)
    assert len(filled) == 10 and (filled.extrinsics[[0, 1, 2, 9]] == camera.extrinsics).all()


@pytest.mark.parametrize("key", KINDS)
@pytest.mark.parametrize(
    "lens",
    [
        {"model": "SIMPLE_RADIAL", "params": [500, 321, 239, -0.01]},
        {"model": "OPENCV", "params": [500, 510, 321, 239, 0, 0, 0, 1e-3]},
        {"model": "OPENCV_FISHEYE", "params": [500, 510, 321, 239, 0, 0, 0, 0]},
        {"model": "THIN_PRISM_FISHEYE", "params": [500, 510, 321, 239, 0, 0, 0, 0, 0, 0, 0, 0]},
    ],
    ids=lambda lens: lens["model"],
)
def test_lenses_that_bend(tmp_path, key, lens):
    pycolmap = pytest.importorskip("pycolmap")
    theirs = reconstruction(pycolmap, ["1.png"], lens)
    theirs.write_text(str(tmp_path)) if key == "colmap_text" else theirs.write_binary(str(tmp_path))
    with pytest.raises(FormatError, match="image_undistorter") as caught:
        load_camera(tmp_path)
    assert "\n" not in str(caught.value)


def test_binary_by_hand(tmp_path):
    lens = struct.pack("<Q", 1) + struct.pack("<iiQQ4d", 5, 1, 64, 48, 50, 51, 32, 24)
    image = struct.pack("<i7di", 1, 0.5, -0.5, 0.5, 0.5, 1, 2, 3, 5) + b"n\xc3\xa4.png\0"
    (tmp_path / "cameras.bin").write_bytes(lens)
    (tmp_path / "images.bin").write_bytes(
        struct.pack("<Q", 1) + image + struct.pack("<Q", 2) + struct.pack("<ddqddq", 1, 2, -1, 3, 4, 9)
    )
    camera = load_camera(tmp_path / "images.bin")
    turned = Rotation.from_quat([-0.5, 0.5, 0.5, 0.5]).as_matrix()
    assert np.allclose(camera.extrinsics[0, :3], np.c_[turned, [1, 2, 3]])
    assert np.allclose(camera.intrinsics[0], [[50, 0, 32], [0, 51, 24], [0, 0, 1]])


def test_a_binary_model_that_is_cut_off_anywhere(tmp_path):
    colmap_binary.save(tmp_path, crooked(3))
    whole = {name: (tmp_path / name).read_bytes() for name in ("cameras.bin", "images.bin")}
    for name, data in whole.items():
        for length in range(len(data)):
            (tmp_path / name).write_bytes(data[:length])
            with pytest.raises(FormatError, match=r"^[^\n]+$"):
                colmap_binary.load(tmp_path)
        (tmp_path / name).write_bytes(data)


@pytest.mark.parametrize("total", [MAX_FRAMES + 1, 2**63, 2**64 - 1])
def test_a_binary_model_that_declares_too_much(tmp_path, total):
    colmap_binary.save(tmp_path, crooked(3))
    data = (tmp_path / "images.bin").read_bytes()
    (tmp_path / "images.bin").write_bytes(struct.pack("<Q", total) + data[8:])
    with pytest.raises(FormatError, match="damaged"):
        colmap_binary.load(tmp_path)


@pytest.mark.parametrize(
    ("cameras", "images", "says"),
    [
        (CAMERAS, "", "no cameras in it"),
        (CAMERAS, "# nothing\n", "no cameras in it"),
        (CAMERAS, IMAGES.replace(" 3 shot", " 4 shot"), "camera 4"),
        (CAMERAS, IMAGES.replace("7 1 0", "7 1.1 0"), "not of length 1"),
        (CAMERAS, IMAGES.replace("7 1 0", "7 nan 0"), "not of length 1"),
        (CAMERAS, IMAGES.replace("0.5 0 2", "inf 0 2"), "not finite"),
        (CAMERAS, IMAGES.replace("0.5 0 2", "0,5 0 2"), "line 5"),
        (CAMERAS, IMAGES.replace("frame 9", "frame 10"), "twice"),
        (CAMERAS.replace("640 480 400", "640 400 400"), IMAGES, "differ in size"),
        (CAMERAS.replace("500.5", "-500.5"), IMAGES, "focal length"),
        (CAMERAS.replace("500.5", "nan"), IMAGES, "finite"),
        (CAMERAS.replace(" 239.5", ""), IMAGES, "4 parameters"),
        (CAMERAS.replace("640 480", "640 x"), IMAGES, "line 3"),
        (CAMERAS.replace("640 480", "0 480"), IMAGES, "0 x 480"),
        (CAMERAS + "1 PINHOLE 1 1 1 1 1 1\n", IMAGES, "camera 1 stands there twice"),
        (CAMERAS, IMAGES.replace("shot/frame 9.png", ""), "line 7"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path, cameras, images, says):
    with pytest.raises(FormatError, match=says) as caught:
        colmap.load(model(tmp_path, cameras, images))
    assert "\n" not in str(caught.value)


def test_pictures_of_two_folders_are_said(tmp_path):
    camera = load_camera(model(tmp_path, images=IMAGES.replace("shot/frame 9", "other/frame 9")), fps=24)
    assert any("2 folders" in note for note in camera.notes)


def test_a_model_is_not_mixed_with_another(tmp_path):
    colmap_binary.save(tmp_path, crooked())
    colmap_binary.save(tmp_path, crooked(3))  # its own kind is replaced
    assert len(load_camera(tmp_path)) == 3
    with pytest.raises(FormatError, match="empty folder"):
        colmap.save(tmp_path, crooked())
    (tmp_path / "rigs.bin").write_bytes(b"")
    with pytest.raises(FormatError, match=r"rigs\.bin"):
        colmap_binary.save(tmp_path, crooked())


def test_places_without_a_model(tmp_path):
    with pytest.raises(FormatError, match="folder without a COLMAP model"):
        load_camera(tmp_path)
    with pytest.raises(FormatError, match="no COLMAP model"):
        load_camera(tmp_path, format="colmap_text")
    with pytest.raises(FormatError, match="no COLMAP model"):
        load_camera(tmp_path / "none", format="colmap_binary")
    (tmp_path / "images.txt").write_text(IMAGES)
    with pytest.raises(FormatError, match=r"cameras\.txt and images\.txt"):
        load_camera(tmp_path / "images.txt")


@pytest.mark.parametrize("key", KINDS)
@pytest.mark.parametrize("up", ["Y", "-Y"])
def test_the_way_up_and_the_unit_of_the_file(tmp_path, key, up):
    camera = crooked()
    save_camera(camera, tmp_path, key, up=up, scale=0.01)
    back = load_camera(tmp_path, up=up, scale=0.01)
    assert np.abs(back.extrinsics - camera.extrinsics).max() < 1e-9
    place = load_camera(tmp_path).camera_to_world[0, :3, 3]  # ours is (0, -3.2, z)
    x, y, z = camera.camera_to_world[0, :3, 3] * 100
    assert np.allclose(place, [x, z, -y] if up == "Y" else [x, -z, y])


def test_many_images_take_little_time(tmp_path):
    camera = orbit(frames=20_000)
    colmap_binary.save(tmp_path, replace(camera, intrinsics=camera.intrinsics * np.array([[2], [2], [1]])))
    assert len(load_camera(tmp_path)) == 20_000
