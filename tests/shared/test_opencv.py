import json

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from understudy_shared.camera import CameraTrajectory, project
from understudy_shared.camera_paths import orbit
from understudy_shared.formats import opencv
from understudy_shared.formats.detect import camera_format, load_camera, save_camera
from understudy_shared.formats.reading import FormatError

K = np.array([[500.0, 0, 330], [0, 510, 170], [0, 0, 1]])
POINTS = np.random.default_rng(0).uniform(-0.5, 0.5, (12, 3)) + np.array([0, 0, 4])
RNG = np.random.default_rng(7)
RVECS = RNG.uniform(-0.4, 0.4, (6, 3))
TVECS = RNG.uniform(-0.4, 0.4, (6, 3))
TURNS = np.stack([cv2.Rodrigues(rvec)[0] for rvec in RVECS])
EXTRINSICS = np.concatenate([TURNS, TVECS[..., None]], 2)
SQUARE = np.concatenate([EXTRINSICS, np.tile([[[0.0, 0, 0, 1]]], (6, 1, 1))], 1)
SIZE = {"width": 640, "height": 360}


def zooming():
    camera, k = orbit(frames=6, size=(320, 200), fps=30), np.tile(K, (6, 1, 1))
    k[:, 0, 0] += np.arange(6)
    return CameraTrajectory(camera.extrinsics, k, 320, 200, 30.0)


def as_cv2_sees(camera):
    """Compares with cv2's own projection of its own vectors."""
    for i, (rvec, tvec) in enumerate(zip(RVECS, TVECS, strict=True)):
        expected = cv2.projectPoints(POINTS, rvec, tvec, K, np.zeros(5))[0][:, 0]
        found, _ = project(POINTS, camera.extrinsics[i], camera.intrinsics[i])
        assert np.abs(found - expected).max() < 1e-6


SPELLINGS = [
    {"K": K, "R": TURNS, "t": TVECS, **SIZE},
    {"camera_matrix": K, "rvecs": RVECS, "tvecs": TVECS, "image_size": [640, 360]},
    {"mtx": K, "dist": np.zeros((1, 5)), "rvecs": RVECS[..., None], "tvecs": TVECS[..., None], **SIZE},
    {"K": np.tile(K, (6, 1, 1)), "R": RVECS, "T": TVECS[:, None], "imageWidth": 640, "imageHeight": 360},
    {"intrinsics": K, "extrinsics": EXTRINSICS, "resolution": [640, 360]},
    {"intrinsic_matrix": K, "w2c": SQUARE, "w": 640, "h": 360},
    {"cam_K": K * 2, "rotation": TURNS, "translation": TVECS, **SIZE},
    {"cameraMatrix": K, "camera_to_world": np.linalg.inv(SQUARE), **SIZE},
    {"fx": 500, "fy": 510, "cx": 330, "cy": 170, "world-to-camera": SQUARE, "frame_rate": 24, **SIZE},
    {"Camera_Matrix": K, "extrinsic_parameters": np.c_[RVECS, TVECS], "distCoeffs": [0, 0, 0, 0, 0], **SIZE},
]


@pytest.mark.parametrize("spelling", SPELLINGS, ids="-".join)
@pytest.mark.parametrize("ending", [".json", ".npz"])
def test_spellings(tmp_path, spelling, ending):
    path = tmp_path / f"c{ending}"
    if ending == ".json":
        path.write_text(json.dumps({n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in spelling.items()}))
    else:
        np.savez(path, **spelling)
    assert camera_format(path).key == "opencv"
    camera = load_camera(path)
    assert (len(camera), camera.width, camera.height) == (6, 640, 360)
    as_cv2_sees(camera)


def frame(i):
    return {"R": TURNS[i].tolist(), "t": TVECS[i].tolist()}


LAYOUTS = [
    {"K": K.tolist(), **SIZE, "frames": [frame(i) for i in range(6)]},
    {"K": K.tolist(), **SIZE, "cameras": {f"{i + 6:d}.png": frame(i) for i in (5, 1, 0, 2, 4, 3)}},
    {f"cam{i + 6:d}": {**frame(i), "K": K.tolist(), **SIZE} for i in (5, 1, 0, 2, 4, 3)},
    [{**frame(i), "K": K.tolist(), **SIZE} for i in range(6)],
    {"views": [{"rvec": RVECS[i].tolist(), "tvec": TVECS[i].tolist(), "K": K.tolist()} for i in range(6)], **SIZE},
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_frame_by_frame(tmp_path, layout):
    (tmp_path / "c.json").write_text(json.dumps(layout))
    assert camera_format(tmp_path / "c.json").key == "opencv"
    as_cv2_sees(load_camera(tmp_path / "c.json"))


def test_frames_whose_numbers_have_gaps(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps({f"{i}": {**frame(i), "K": K.tolist(), **SIZE} for i in (0, 1, 4, 5)}))
    camera = load_camera(tmp_path / "c.json", fps=24)
    assert len(camera) == 4 and "2 of 6 frames" in camera.notes[0]
    assert len(load_camera(tmp_path / "c.json", fill_gaps=True)) == 6


@pytest.mark.parametrize("ending", [".json", ".npz"])
def test_written_and_read_again(tmp_path, ending):
    for camera in (orbit(frames=6), zooming()):
        save_camera(camera, tmp_path / f"c{ending}", "opencv", up="Y", scale=0.1, centre="integer")
        back = load_camera(tmp_path / f"c{ending}", up="Y", scale=0.1, centre="integer")
        assert np.abs(back.extrinsics - camera.extrinsics).max() < 1e-12
        assert np.abs(back.intrinsics - camera.intrinsics).max() < 1e-12
        assert (back.width, back.height, back.fps, back.notes) == (camera.width, camera.height, camera.fps, ())


def test_our_files_mean_what_they_say(tmp_path):
    camera = zooming()
    opencv.save(tmp_path / "c.npz", camera)
    opencv.save(tmp_path / "c.json", camera)
    with np.load(tmp_path / "c.npz", allow_pickle=False) as arrays:
        for values in (dict(arrays), json.loads((tmp_path / "c.json").read_text())):
            for i in range(6):
                k, turn, t = (np.array(values[name][i]) for name in ("K", "R", "t"))
                expected = cv2.projectPoints(POINTS, cv2.Rodrigues(turn)[0], t, k, np.zeros(5))[0][:, 0]
                assert np.abs(project(POINTS, camera.extrinsics[i], camera.intrinsics[i])[0] - expected).max() < 1e-6


@pytest.mark.parametrize("ending", [".yml", ".yaml", ".xml"])
def test_cv2_reads_the_storage_that_we_write(tmp_path, ending):
    camera = orbit(frames=6, fps=24000 / 1001)
    save_camera(camera, tmp_path / f"c{ending}", "opencv")
    storage = cv2.FileStorage(str(tmp_path / f"c{ending}"), cv2.FILE_STORAGE_READ)
    assert np.array_equal(storage.getNode("camera_matrix").mat(), camera.intrinsics[0])
    assert storage.getNode("image_width").real() == 256 and storage.getNode("fps").real() == 24000 / 1001
    rvecs, tvecs = (storage.getNode(name).mat() for name in ("rvecs", "tvecs"))
    for i in range(6):
        turn = cv2.Rodrigues(rvecs[i])[0]
        assert np.abs(np.c_[turn, tvecs[i]] - camera.extrinsics[i, :3]).max() < 1e-12
    back = load_camera(tmp_path / f"c{ending}")
    assert np.abs(back.extrinsics - camera.extrinsics).max() < 1e-12
    assert (back.fps, back.width, back.notes) == (camera.fps, 256, ())
    with pytest.raises(FormatError, match=r"\.json or \.npz"):
        opencv.save(tmp_path / f"z{ending}", zooming())


@pytest.mark.parametrize("ending", [".yml", ".xml", ".json"])
@pytest.mark.parametrize("kind", ["matrices", "vectors", "calibration", "one"])
def test_we_read_the_storage_that_cv2_writes(tmp_path, ending, kind):
    storage = cv2.FileStorage(str(tmp_path / f"c{ending}"), cv2.FILE_STORAGE_WRITE)
    storage.write("image_width", 640)
    storage.write("image_height", 360)
    storage.write("calibration_time", "Mon 23 Nov 2026")
    values = {
        "matrices": {"K": K, "R": TURNS, "t": TVECS},
        "vectors": {"camera_matrix": K, "rvecs": RVECS, "tvecs": TVECS, "distortion_coefficients": np.zeros((5, 1))},
        "calibration": {"Camera_Matrix": K, "extrinsic_parameters": np.c_[RVECS, TVECS]},
        "one": {"K": K, "R": TURNS[0], "t": TVECS[0]},
    }[kind]
    for name, value in values.items():
        storage.write(name, value)
    storage.release()
    assert camera_format(tmp_path / f"c{ending}").key == "opencv"
    camera = load_camera(tmp_path / f"c{ending}")
    assert (camera.width, camera.height) == (640, 360)
    if kind == "one":
        assert np.allclose(camera.extrinsics[:, :3], EXTRINSICS[:1], atol=1e-12)
    else:
        as_cv2_sees(camera)


def test_the_centre_of_a_pixel(tmp_path):
    np.savez(tmp_path / "c.npz", K=K, R=np.eye(3), t=np.zeros(3), **SIZE)
    assert load_camera(tmp_path / "c.npz").intrinsics[0, 0, 2] == 330
    shifted = load_camera(tmp_path / "c.npz", centre="integer")
    assert shifted.intrinsics[0, :2, 2].tolist() == [330.5, 170.5]
    opencv.save(tmp_path / "b.npz", shifted, centre="integer")
    assert np.load(tmp_path / "b.npz")["K"].tolist() == K.tolist()


def test_what_is_assumed_is_said(tmp_path):
    np.savez(tmp_path / "c.npz", K=K, R=TURNS, t=TVECS)
    camera = load_camera(tmp_path / "c.npz")
    assert (camera.width, camera.height, camera.fps) == (660, 340, 24)
    assert "from the lens' centre" in camera.notes[0] and "no frame rate" in camera.notes[1]
    assert load_camera(tmp_path / "c.npz", size=(640, 360), fps=30).notes == ()
    np.savez(tmp_path / "c.npz", R=TURNS, t=TVECS, **SIZE)
    assert "nothing of the lens" in load_camera(tmp_path / "c.npz").notes[0]
    assert np.isclose(load_camera(tmp_path / "c.npz", fov=90).intrinsics[0, 1, 1], 180)
    assert (load_camera(tmp_path / "c.npz", k=K).intrinsics == K).all()


def test_a_rotation_that_is_only_rounded(tmp_path):
    np.savez(tmp_path / "c.npz", K=K, R=TURNS.round(4), t=TVECS, **SIZE)
    found = load_camera(tmp_path / "c.npz").extrinsics[:, :3, :3]
    assert np.abs(found @ found.transpose(0, 2, 1) - np.eye(3)).max() < 1e-12
    assert (Rotation.from_matrix(found).inv() * Rotation.from_matrix(TURNS)).magnitude().max() < 2e-4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"R": TURNS * 1.01}, "not a rotation"),
        ({"R": TURNS * [1, 1, -1]}, "not a rotation"),
        ({"R": np.full((6, 3, 3), np.nan)}, "not finite"),
        ({"R": np.zeros((6, 2))}, "neither 3 x 3"),
        ({"R": [], "t": []}, "neither 3 x 3"),
        ({"R": TURNS[:5]}, "5 rotations"),
        ({"t": TVECS[:, :2]}, "6 rotations"),
        ({"t": [[0, 0, 1e90]] * 6}, "too far away"),
        ({"t": [[0, 0, 1e200]] * 6}, "far too large"),
        ({"t": "here"}, "not a table"),
        ({"t": [[1, 2, 3], [1, 2]]}, "not a table"),
        ({"K": K[:2]}, "3 x 3"),
        ({"K": np.tile(K, (4, 1, 1))}, "4 lenses for 6 poses"),
        ({"K": [[500, 0.1, 330], [0, 510, 170], [0, 0, 1]]}, "skewed"),
        ({"K": K * [[-1], [1], [1]]}, "focal length"),
        ({"K": K * [[1], [1], [0]]}, "of the form"),
        ({"K": [[500, 0, 330], [0, 510, 170], [1, 0, 1]]}, "of the form"),
        ({"dist_coeffs": [0.1, 0, 0, 0, 0]}, "undistort"),
        ({"width": 0}, "cannot be used"),
        ({"width": [1, 2]}, "not one number"),
        ({"fps": 0}, "rate"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path, change, says):
    data = {"K": K, "R": TURNS, "t": TVECS, **SIZE, **change}
    plain = {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in data.items()}
    (tmp_path / "c.json").write_text(json.dumps(plain))
    with pytest.raises(FormatError, match=says) as caught:
        load_camera(tmp_path / "c.json", format="opencv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("c.json", "{", "not valid JSON"),
        ("c.json", "[]", "no pose|no cameras"),
        ("c.json", '{"K": 1}', "3 x 3"),
        ("c.json", '[{"R": 1}]', "neither 3 x 3"),
        ("c.json", '{"R": {"type_id": "opencv-matrix", "rows": 3, "cols": 3, "data": [1]}}', "3 x 3 numbers"),
        ("c.json", '{"R": {"type_id": "opencv-matrix", "rows": "a"}}', "without rows"),
        ("c.json", '{"R": {"type_id": "opencv-nd-matrix", "sizes": [-1, 3], "data": [1, 2, 3]}}', "below zero"),
        (
            "c.yml",
            "%YAML:1.0\n---\nR: !!opencv-matrix\n   rows: 3\n   cols: 3\n   dt: d\n   data: [ 1 ]\n",
            "3 x 3 numbers",
        ),
        (
            "c.yml",
            "%YAML:1.0\n---\nR: !!opencv-matrix\n   rows: 1\n   cols: 1\n   dt: q\n   data: [ 1 ]\n",
            "no numbers",
        ),
        ("c.yml", "%YAML:1.0\n---\nR: 5\n", "neither 3 x 3"),
        ("c.xml", '<?xml version="1.0"?>\n<opencv_storage>\n</opencv_storage>\n', "no pose|no cameras"),
    ],
)
def test_texts_that_are_no_camera(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(FormatError, match=says) as caught:
        load_camera(tmp_path / name, format="opencv")
    assert "\n" not in str(caught.value)


def test_a_body_is_no_camera(tmp_path):
    np.savez(tmp_path / "m.npz", poses=np.zeros((4, 156)), trans=np.zeros((4, 3)), betas=np.zeros(16), gender="neutral")
    assert not opencv.sniff(tmp_path / "m.npz")
    with pytest.raises(FormatError, match="no pose"):
        load_camera(tmp_path / "m.npz")


def test_another_ending(tmp_path):
    with pytest.raises(FormatError, match=r"ends in \.json"):
        opencv.save(tmp_path / "c.txt", orbit(frames=2))
