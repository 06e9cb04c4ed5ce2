"""Every camera format by the one door: recognised by content, the same after a round trip, calm on any bytes."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from understudy_shared.camera import project
from understudy_shared.camera_paths import orbit
from understudy_shared.formats.detect import CAMERA_FORMATS, camera_format, load_camera, save_camera
from understudy_shared.formats.reading import FormatError

POINTS = np.random.default_rng(0).uniform(-0.8, 0.8, (30, 3)) + np.array([0, 0, 0.9])
WRITTEN = [each for each in CAMERA_FORMATS if each.can_save]
ENDINGS = [(each.key, ending) for each in WRITTEN for ending in each.extensions if (ending or each.extensions == ("",))]
ENDINGS += [(key, "") for key in ("colmap_text", "colmap_binary")]
ENDINGS = [pair for pair in ENDINGS if not (pair[0].startswith("colmap") and pair[1])]
GIVEN = {"size": (320, 200), "fps": 24.0, "fov": 40.0}


def camera(frames=20):
    return replace(orbit(frames=frames, size=(320, 200), sway=0.4, fps=24, degrees=300), start=1.5)


def pixels(view):
    pairs = zip(view.extrinsics, view.intrinsics, strict=True)
    return np.stack([project(POINTS, extrinsics, k)[0] for extrinsics, k in pairs])


@pytest.mark.parametrize(("key", "ending"), ENDINGS)
def test_every_format_there_and_back_and_there_again(tmp_path, key, ending):
    one, two = tmp_path / f"one{ending}", tmp_path / f"two{ending}"
    save_camera(camera(), one, key)
    known = camera_format(one)
    assert known.key == key and known.can_save
    back = load_camera(one, **GIVEN)
    assert np.abs(pixels(back) - pixels(camera())).max() < 1e-9 and back.fps == 24 and back.notes == ()
    save_camera(back, two, key)
    again = load_camera(two, format=key, **GIVEN)
    for name in ("extrinsics", "intrinsics"):
        a, b = getattr(back, name), getattr(again, name)
        assert np.abs(a - b).max() <= 1e-12 * np.abs(a).max()
    assert again.start == back.start


@pytest.mark.parametrize("known", WRITTEN, ids=lambda each: each.key)
def test_what_a_format_needs_is_what_it_says_was_assumed(tmp_path, known):
    path = tmp_path / f"c{known.extensions[0]}"
    save_camera(camera(), path, known.key)
    notes = " ".join(load_camera(path).notes)
    words = {"size": "how large its pictures are", "fov": "nothing of the lens", "fps": "no frame rate"}
    said = {need for need, word in words.items() if word in notes}
    # what we write may say more than such files must
    assert said <= set(known.needs) and (said == set(known.needs) or known.key in ("transforms", "opencv"))
    for option in known.options:
        values = {"order": "file", "fill_gaps": True, "calib": None, "camera": 0, "centre": "half"}
        load_camera(path, **{option: {**values, "rotation_order": "XYZ", "aperture": (36, 24)}[option]})
    if known.up != "Z":
        assert (load_camera(path, up=known.up).extrinsics == load_camera(path).extrinsics).all()


@pytest.mark.parametrize(("key", "ending"), [(key, ending) for key, ending in ENDINGS if ending])
@pytest.mark.parametrize("wrong", ["", ".txt", ".json", ".chan", ".xyz", ".npz"])
def test_the_content_counts_not_the_name(tmp_path, key, ending, wrong):
    save_camera(camera(), tmp_path / f"c{ending}", key)
    shutil.move(tmp_path / f"c{ending}", tmp_path / f"moved{wrong}")
    assert camera_format(tmp_path / f"moved{wrong}").key == key
    assert np.abs(pixels(load_camera(tmp_path / f"moved{wrong}", **GIVEN)) - pixels(camera())).max() < 1e-9


@pytest.mark.parametrize(("key", "ending"), ENDINGS)
@pytest.mark.filterwarnings("error")
def test_any_bytes_give_a_camera_or_one_line(tmp_path, key, ending):
    save_camera(camera(4), tmp_path / f"c{ending}", key)
    rng = np.random.default_rng(3)
    folder = (tmp_path / f"c{ending}").is_dir()
    files = sorted((tmp_path / "c").iterdir()) if folder else [tmp_path / f"c{ending}"]
    refused = 0
    for turn in range(150):
        path = files[turn % len(files)]
        good = path.read_bytes()
        bad = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(bad))) if bad else 0
            match int(rng.integers(4)):
                case 0:
                    bad[at : at + 1] = bytes(rng.integers(0, 256, 1, np.uint8))
                case 1:
                    del bad[at : at + int(rng.integers(1, 40))]
                case 2:
                    bad[at:at] = [b"nan", b"1e400", b",", b"\x00", b"\xff", b"-", b"999999999999"][rng.integers(7)]
                case 3:
                    bad[at:at] = bad[at : at + int(rng.integers(1, 200))]
        path.write_bytes(bad)
        for options in ({}, {"format": key}):
            try:
                load_camera(tmp_path / f"c{ending}", **options)
            except FormatError as error:
                assert "\n" not in str(error) and len(str(error)) < 700
                refused += 1
        path.write_bytes(good)
    assert refused > 10


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 4096,
        b"\n\n\n",
        b"# comment\n",
        b"hello",
        b"1 2 3\n",
        b"PK\x03\x04",
        b"\x89PNG\r\n\x1a\n",
        b"{}",
        b"[]",
    ],
)
@pytest.mark.parametrize("ending", ["", ".txt", ".json", ".npz", ".yml", ".chan", ".tum", ".pkl", ".npy", ".pt"])
def test_files_that_are_no_camera(tmp_path, content, ending):
    (tmp_path / f"c{ending}").write_bytes(content)
    with pytest.raises(FormatError, match=r"^[^\n]+$"):
        load_camera(tmp_path / f"c{ending}")


def test_the_cameras_beside_estimated_motion(tmp_path):
    camera_of_tram = {
        "pred_cam_R": np.tile(np.eye(3), (4, 1, 1)),
        "pred_cam_T": np.arange(12.0).reshape(4, 3),
        "img_focal": np.float64(900.0),
        "img_center": np.array([640.0, 360.0]),
    }
    np.save(tmp_path / "camera.npy", camera_of_tram)
    assert camera_format(tmp_path / "camera.npy").key == "tram"
    found = load_camera(tmp_path / "camera.npy", fps=25, up="Z")
    assert (len(found), found.width, found.fps, found.intrinsics[0, 0, 0]) == (4, 1280, 25, 900)

    torch = pytest.importorskip("torch")
    part = {"global_orient": torch.zeros(3, 3), "transl": torch.ones(3, 3), "body_pose": torch.zeros(3, 63)}
    part["betas"] = torch.zeros(3, 10)
    k = torch.tensor([[700.0, 0, 320], [0, 700, 240], [0, 0, 1]]).repeat(3, 1, 1)
    content = {"smpl_params_global": part, "smpl_params_incam": part, "K_fullimg": k}
    for zipped in (True, False):
        torch.save(content, tmp_path / "hmr4d_results.pt", _use_new_zipfile_serialization=zipped)
        assert camera_format(tmp_path / "hmr4d_results.pt").key == "gvhmr"
        found = load_camera(tmp_path / "hmr4d_results.pt")
        assert (len(found), found.width, found.intrinsics[0, 0, 0]) == (3, 640, 700)


def test_formats_that_there_are_not(tmp_path):
    with pytest.raises(FormatError, match="no camera format 'fbx'"):
        load_camera(tmp_path, format="fbx")
    with pytest.raises(FormatError, match="no camera format 'gvhmr' to write"):
        save_camera(camera(), tmp_path / "c.pt", "gvhmr")


def test_a_write_that_fails_leaves_nothing(tmp_path):
    for known in WRITTEN:
        if not known.extensions[0]:
            continue
        with pytest.raises(OSError, match="No such file"):
            save_camera(camera(), tmp_path / "none" / f"c{known.extensions[0]}", known.key)
    assert not list(tmp_path.iterdir())


def test_the_table_is_complete():
    keys = [each.key for each in CAMERA_FORMATS]
    assert len(set(keys)) == len(keys)
    for each in CAMERA_FORMATS:
        assert each.label and each.extensions and set(each.needs) <= {"size", "fov", "fps"}
        assert all(ending == ending.lower() and (not ending or ending[0] == ".") for ending in each.extensions)
