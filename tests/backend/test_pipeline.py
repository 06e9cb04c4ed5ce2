"""Photo, motion and camera files to frames: the shot by itself, and the jobs that are asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from understudy_backend.cli import main
from understudy_backend.pipeline import Shot, make_imitator, open_shot, render_shot
from understudy_shared.body import free_body, skin
from understudy_shared.camera import project
from understudy_shared.fit import FIT_ARRAYS
from understudy_shared.formats.detect import load_camera, load_motion
from understudy_shared.frames import Channel
from understudy_shared.motion import resample
from understudy_shared.protocol.events import ResultArrived

SAMPLES = Path(__file__).parents[2] / "packaging/demo/samples"
MOTION = SAMPLES / "motions/cmu_13_26_wave_point.npz"
CAMERA = SAMPLES / "cameras/orbit.json"
SIZE = (96, 64)


@pytest.fixture(scope="module")
def betas():
    return np.random.default_rng(1).normal(size=free_body().num_betas).astype(np.float32) * 0.5


@pytest.fixture(scope="module")
def shot(betas) -> Shot:
    return open_shot(MOTION, CAMERA, SIZE, start=11).worn_by(betas)


def test_a_frame_projects_as_the_camera_file_says(shot, betas):
    """Each vertex against the file's own camera-to-world matrix and field of view, read without our loader."""
    said = json.loads(CAMERA.read_text())
    width, height = said["render_width"], said["render_height"]
    for row in (0, 17):
        frame = shot.frame(11 + row)
        assert frame.index == 11 + row
        vertices = frame.channels[Channel.VERTICES]
        assert vertices.shape == free_body().v_template.shape and vertices.dtype == np.float32
        pixels, _ = project(vertices, frame.channels[Channel.EXTRINSICS], frame.channels[Channel.INTRINSICS])
        key = said["camera_path"][row]
        to_world = np.reshape(key["camera_to_world"], (4, 4))
        seen = (vertices - to_world[:3, 3]) @ to_world[:3, :3]  # OpenGL: y up, looking down -z
        focal = height / 2 / np.tan(np.deg2rad(key["fov"]) / 2)
        x = width / 2 + focal * seen[:, 0] / -seen[:, 2]
        y = height / 2 - focal * seen[:, 1] / -seen[:, 2]
        scale = SIZE[1] / height  # the vertical field of view is the file's, and nothing is squeezed
        expected = np.stack([SIZE[0] / 2 + (x - width / 2) * scale, y * scale], 1)
        np.testing.assert_allclose(pixels, expected, atol=1e-3)


def test_the_body_is_the_wearers_in_the_clips_pose(shot, betas):
    clip = resample(load_motion(MOTION, free_body()), load_camera(CAMERA).fps)
    row = 9
    part = slice(row, row + 1)
    still = np.zeros((1, 3), np.float32)
    expected = skin(free_body(), betas, clip.global_orient[part], clip.body_pose[part], still)[0]
    found = shot.frame(11 + row).channels[Channel.VERTICES]
    offset = found - expected  # the mark moves the body, and does nothing else to it
    np.testing.assert_allclose(offset, np.broadcast_to(offset[0], offset.shape), atol=1e-4)


def test_the_cameras_last_pose_holds_on(shot):
    last = 11 + len(shot.camera) - 1
    for channel in (Channel.EXTRINSICS, Channel.INTRINSICS):
        np.testing.assert_array_equal(shot.frame(last).channels[channel], shot.frame(last + 3).channels[channel])


def test_clip_start(shot, betas):
    whole = open_shot(MOTION, CAMERA, SIZE)
    later = open_shot(MOTION, CAMERA, SIZE, clip_start=0.5)
    skip = round(0.5 * whole.camera.fps)
    np.testing.assert_array_equal(later.clip.body_pose, whole.clip.body_pose[skip:])
    np.testing.assert_array_equal(later.camera.extrinsics, whole.camera.extrinsics)  # the camera starts with frame 1


def test_nothing_left_of_the_motion(shot):
    seconds = len(shot.clip) / shot.clip.fps
    for start, words in ((seconds, "nothing is left"), (1e9, "nothing is left"), (-1.0, "-1 s"), (np.nan, "nan")):
        with pytest.raises(ValueError, match=words) as refused:
            open_shot(MOTION, CAMERA, SIZE, clip_start=start)
        assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match=f"{len(shot.clip)} frames"):
        shot.check_length(len(shot.clip) + 1)
    shot.check_length(len(shot.clip))


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--motion", "none.npz", "none.npz"),
        ("--camera", "none.json", "none.json"),
        ("--frames", "100000", "ask for no more"),
        ("--clip-start", "1000", "nothing is left"),
    ],
)
def test_bad_files_are_told_before_a_backend_starts(tmp_path, capsys, option, value, words):
    options = {"--photo": str(SAMPLES / "photos/openpeople_P001.jpg"), "--motion": str(MOTION), "--camera": str(CAMERA)}
    options |= {"--out": str(tmp_path / "out"), "--data": str(tmp_path / "data"), option: value}
    assert main(["animate", *(part for pair in options.items() for part in pair)]) == 2
    shown = capsys.readouterr().err
    assert len(shown.splitlines()) == 1 and words in shown
    assert not (tmp_path / "data").exists()


def test_the_jobs_that_are_asked_for(shot, betas):
    """A backend that remembers: what each stage gives is what the next is given."""
    asked = []
    rng = np.random.default_rng(2)
    photo, mask, texture = (rng.integers(0, 255, s, np.uint8) for s in ((20, 10, 4), (20, 10), (16, 16, 4)))
    fitted = {name: rng.normal(size=3) for name in FIT_ARRAYS}

    def run(spec, inputs, frames, on_result, on_progress):
        asked.append((spec, inputs))
        if spec.method == "fit":
            on_result(ResultArrived("j", 0, {**fitted, "mask": mask, "overlay": photo[..., :3]}, {"silhouette_iou": 1}))
        if spec.method == "threedhm_texture":
            on_result(ResultArrived("j", 0, {"partial": texture, "texture": 255 - texture, "visibility": texture}))
        if spec.method == "threedhm":
            for number in spec.frames.numbers():
                assert frames(number).index == number
                on_result(ResultArrived("j", number, {"rgba": np.full((2, 2, 4), number, np.uint8)}))
        return "j"

    imitator = make_imitator(run, photo, seed=5)
    assert imitator.report == {"silhouette_iou": 1}
    arrived = {}
    render_shot(run, imitator, shot, 3, SIZE, arrived.__setitem__, seed=6)
    (fit, _), (complete, given), (render, to_render) = asked
    assert [spec.method for spec, _ in asked] == ["fit", "threedhm_texture", "threedhm"]
    assert (fit.size, complete.seed, render.seed, render.size) == ((10, 20), 5, 6, SIZE)
    assert given["photo"] is photo and given["photo_mask"] is mask
    assert all(given[name] is fitted[name] for name in FIT_ARRAYS)
    np.testing.assert_array_equal(to_render["texture"], 255 - texture)
    assert list(arrived) == [11, 12, 13] and arrived[12][0, 0, 0] == 12
    with pytest.raises(ValueError, match="ask for no more"):
        render_shot(run, imitator, shot, len(shot.clip) + 1, SIZE, arrived.__setitem__)
    assert len(asked) == 3
