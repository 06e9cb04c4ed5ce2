"""TPSMM from a photo to frames in the sequencer, by the real server and its catalogue: driven by the body's render, by
pictures, by a movie. Every frame is compared with what the networks give directly for the same driving frames.

The weights are `weights/tpsmm/test-only.safetensors`: see the README there.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from backend_stage import PYTHON, Server, in_one_blender, needs_backend, strip_files, tick_until, write_movie
from panel_stage import drawn, texts

bpy = pytest.importorskip("bpy")
pytestmark = [needs_backend, pytest.mark.timeout(900)]

HERE = Path(__file__).parent
SAMPLES = HERE.parents[1] / "packaging/demo/samples"
PHOTO = SAMPLES / "photos/openpeople_P001.jpg"
WAVE = SAMPLES / "motions/cmu_13_26_wave_point.npz"
WEIGHTS = HERE / "weights"
SET = "test-only"
SIZE = 64
"""Side of the networks' pictures, and of the takes: what the networks make is then the frame, pixel by pixel."""
MOMENTS = (1, 25, 49, 73)
"""Frames in which the wave's pose differs."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Where the backend keeps what it was given."""
    return tmp_path_factory.mktemp("seen")


@pytest.fixture(scope="module")
def server(tmp_path_factory, seen):
    """The catalogue, with TPSMM telling what it is given."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNDERSTUDY_WEIGHTS", str(WEIGHTS))
        patch.setenv("UNDERSTUDY_TEST_SEEN", str(seen))
        server = Server(
            tmp_path_factory.mktemp("t"), "", "--method", "understudy_seen_methods:SeenTPSMM", catalogue=True
        )
    yield server
    server.stop()
    print((server.folder / "log").read_text()[-3000:])


@pytest.fixture
def shot(scene, addon, server):
    """The photo, the wave, and a camera before it."""
    return made_shot(scene, server)


def made_shot(scene, server):
    from blender_addon import api
    from blender_addon.link.session import current
    from blender_addon.scene.material import set_texture

    scene.view_settings.view_transform = "Standard"
    scene.frame_start, scene.frame_end = MOMENTS[0], MOMENTS[-1]
    api.load_photo(PHOTO, scene)
    body = api.create_body(scene)
    scene.understudy.body = body
    y, x = np.mgrid[:64, :64]
    set_texture(body, np.dstack([4 * x, 4 * y, 128 + 120 * np.sin((x + y) / 3)]).astype(np.uint8))
    api.import_motion(WAVE, scene, body, start=MOMENTS[0])
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    place_before(scene, camera, body)
    api.connect(server.address)
    tick_until(lambda: current().pump.online, 240)
    return scene


def place_before(scene, camera, body):
    """The camera before the body as it stands in the first moment, so that the body fills the picture."""
    scene.frame_set(MOMENTS[0])
    evaluated = body.evaluated_get(bpy.context.evaluated_depsgraph_get())
    places = np.empty(3 * len(evaluated.data.vertices), np.float32)
    evaluated.data.vertices.foreach_get("co", places)
    world = np.array(evaluated.matrix_world)
    middle = (places.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]).mean(0)
    camera.location, camera.rotation_euler = middle - [0, 3.6, 0], (np.pi / 2, 0, 0)


def take(scene, seen, mode="relative", size=(SIZE, SIZE), **options):
    """A finished take and its frames, (N, H, W, 4)."""
    from blender_addon import api

    for path in seen.iterdir():
        path.unlink()
    params = {"weights": SET, "mode": mode, **options.pop("params", {})}
    job = api.wait(api.render(scene, method="tpsmm", size=size, params=params, **options), 600)
    # with a step, the strip holds each frame until the next
    assert list(dict.fromkeys(strip_files(job))) == [f"{n:06d}.png" for n in job.numbers]
    return job, np.stack([file_pixels(job.file_of(n)) for n in job.numbers])


def directly(seen, tmp_path, mode, numbers):
    """What the networks give for the driving frames that the backend was given, (N, S, S, 3) from 0 to 255."""
    given, out = tmp_path / "given.npz", tmp_path / "out.npz"
    reference = np.load(seen / "reference.npy")
    np.savez(given, driving=np.stack([np.load(seen / f"{n}.npy") for n in numbers]), reference=reference)
    command = [PYTHON, HERE / "tpsmm_directly.py", WEIGHTS / f"tpsmm/{SET}.safetensors", mode, PHOTO, given, out]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return np.load(out)["result"] * 255


def check(frames, wanted):
    """The frames are those, and no two of them are alike."""
    assert (frames[..., 3] == 255).all()
    # scikit-image thinks up what lies outside of a picture that it makes smaller; we take none of it
    away = np.abs(frames[..., :3] - wanted)[:, 2:-2, 2:-2]
    assert away.max() < 4 and away.mean() < 0.4, (away.max(), away.mean())
    apart = [np.abs(a - b).mean() for a, b in itertools.combinations(frames[..., :3].astype(float), 2)]
    assert min(apart) > 2 * away.mean(), (apart, away.mean())


def timeline(scene, number, size, folder, sequencer):
    """What Blender itself shows of a frame: the camera's view by Cycles, or the sequencer's picture."""
    render = scene.render
    render.engine, render.film_transparent, render.dither_intensity = "CYCLES", True, 0
    cycles = scene.cycles
    cycles.device, cycles.samples, cycles.use_adaptive_sampling, cycles.use_denoising = "CPU", 16, False, False
    cycles.pixel_filter_type = "BOX"
    render.resolution_x, render.resolution_y, render.resolution_percentage = *size, 100
    render.use_sequencer, render.use_compositing = sequencer, False
    render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGBA"
    render.filepath = str(folder / f"t{number}.png")
    scene.frame_set(number)
    bpy.ops.render.render(write_still=True)
    return file_pixels(folder / f"t{number}.png")


def file_pixels(path):
    """(H, W, 4) uint8."""
    from blender_addon.scene.pixels import image_rgba

    image = bpy.data.images.load(str(path), check_existing=False)
    try:
        return image_rgba(image)
    finally:
        bpy.data.images.remove(image)


def over_grey(image):
    alpha = image[..., 3:] / 255
    return image[..., :3] * alpha + 127.5 * (1 - alpha)


def test_a_photo_driven_by_the_waves_own_render(shot, seen, tmp_path):
    shown = [timeline(shot, n, (SIZE, SIZE), tmp_path, False) for n in MOMENTS]
    job, frames = take(shot, seen, frames=(MOMENTS[0], MOMENTS[-1], 24))
    assert tuple(job.numbers) == MOMENTS
    arrived = [np.load(seen / f"{n}.npy") for n in MOMENTS]
    assert (np.load(seen / "reference.npy") == arrived[0]).all()
    for i, image in enumerate(arrived):
        away = [np.abs(over_grey(image) - over_grey(other)).mean() for other in shown]
        # two renders of 16 samples differ by the samples' noise, 0.2 here
        assert away[i] < 0.4 and away[i] < 0.1 * min(a for k, a in enumerate(away) if k != i), away
    check(frames, directly(seen, tmp_path, "relative", MOMENTS))
    for n, frame in zip(MOMENTS, frames, strict=True):
        assert (timeline(shot, n, (SIZE, SIZE), tmp_path, True) == frame).all()


@in_one_blender
def test_the_moved_person_is_laid_back_into_the_photo(shot, seen):
    photo = file_pixels(PHOTO)
    height, width = photo.shape[:2]
    person = np.zeros((height, width), bool)
    person[200:800, 220:460] = True
    mask = bpy.data.images.new("Mask", width, height)
    mask.pixels.foreach_set(np.repeat(person[::-1, :, None], 4, 2).astype(np.float32).ravel())
    shot.understudy.photo_mask = mask
    params = {"crop": "person", "background": "still", "output": "photo"}
    _, frames = take(shot, seen, size=(width, height), frames=(1, 25, 24), params=params)
    for frame in frames:
        away = np.abs(frame.astype(int) - photo)
        assert away[:80].max() <= 1 and away[:, :60].max() <= 2  # around the person's square, and behind the person
        assert away[person].mean() > 2
    assert np.abs(frames[0].astype(int) - frames[1])[person].mean() > 1


@pytest.fixture
def pictures(shot, tmp_path):
    """The wave as eight pictures of 90 x 56 pixels; returns their folder and their pixels."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    shown = [timeline(shot, 1 + 12 * k, (90, 56), folder, False) for k in range(8)]
    for k in range(8):
        (folder / f"t{1 + 12 * k}.png").rename(folder / f"wave_{k:03d}.png")
    return folder, shown


def without_body(scene):
    """Nothing is left of the scene but the photo."""
    scene.understudy.body = scene.camera = None
    for obj in list(bpy.data.objects):
        bpy.data.objects.remove(obj)
    return scene


@in_one_blender
def test_a_photo_driven_by_pictures_of_another_size(shot, seen, pictures, tmp_path):
    folder, shown = pictures
    scene = without_body(shot)
    strip = scene.sequence_editor_create().strips.new_image("Wave", str(folder / "wave_000.png"), 1, 101)
    for k in range(1, 8):
        strip.elements.append(f"wave_{k:03d}.png")
    strip.alpha_mode = "STRAIGHT"
    job, frames = take(scene, seen, driving=strip)
    assert list(job.numbers) == list(range(101, 109))
    for n, image in zip(job.numbers, shown, strict=True):
        assert (np.load(seen / f"{n}.npy") == image).all()
    check(frames, directly(seen, tmp_path, "relative", job.numbers))


def test_a_photo_driven_by_a_movie_of_another_size_and_rate(shot, seen, pictures, tmp_path):
    from blender_addon.timeline.compat import strip_end, strip_start

    if not bpy.app.build_options.codec_ffmpeg:
        pytest.skip("this Blender writes no movies: it was built without FFmpeg")
    folder, _ = pictures
    scene = without_body(shot)
    strip = movie_strip(scene, movie(folder, rate=12), 11)
    first, last = strip_start(strip), strip_end(strip) - 1
    numbers = range(first, last + 1, 2)
    shown = [timeline(scene, n, (90, 56), tmp_path, True) for n in numbers]
    job, frames = take(scene, seen, "standard", driving=strip, frames=(first, last, 2))
    for n, image in zip(numbers, shown, strict=True):
        assert np.abs(np.load(seen / f"{n}.npy").astype(int) - image).max() <= 1
    check(frames, directly(seen, tmp_path, "standard", job.numbers))


def movie(folder, rate):
    """The pictures over grey as a movie; returns its path."""

    scene = bpy.data.scenes.new("Movie")
    strips = scene.sequence_editor_create().strips
    length = {"length": 8} if bpy.app.version >= (5, 0, 0) else {"frame_end": 9}
    strips.new_effect("Grey", "COLOR", 1, 1, **length).color = (0.5, 0.5, 0.5)
    strip = strips.new_image("Wave", str(folder / "wave_000.png"), 2, 1)
    for k in range(1, 8):
        strip.elements.append(f"wave_{k:03d}.png")
    strip.alpha_mode, strip.blend_type = "STRAIGHT", "ALPHA_OVER"
    return write_movie(scene, folder / "wave.mp4", (90, 56), rate)


def movie_strip(scene, path, start):
    """A strip of a movie from a frame on, at the movie's own speed where a script can say so."""
    from blender_addon.scene.overriding import overridden

    if bpy.app.version >= (5, 2, 0):
        strip = scene.sequence_editor_create().strips.new_movie("Movie", str(path), 1, start)
        strip.retiming_keys.add(timeline_frame=start + 8)
        strip.retiming_keys[-1].timeline_frame = start + 16
        return strip
    if bpy.app.version >= (5, 0, 0):  # its operator adds none without a window, and retiming by a script crashes it
        return scene.sequence_editor_create().strips.new_movie("Movie", str(path), 1, start)
    window = bpy.context.window_manager.windows[0]
    area = window.screen.areas[0]
    area.type = "SEQUENCE_EDITOR"
    region = next(region for region in area.regions if region.type == "WINDOW")
    with overridden(window=window, area=area, region=region, scene=scene):
        bpy.ops.sequencer.movie_strip_add(
            filepath=str(path), frame_start=start, channel=1, sound=False, use_framerate=False,
            adjust_playback_rate=True,
        )  # fmt: skip
    return scene.sequence_editor.strips[0]


@in_one_blender
def test_without_weights_it_refuses_names_them_and_goes_on_once_they_are_there(
    scene, addon, tmp_path, tmp_path_factory, monkeypatch
):
    from blender_addon import api
    from blender_addon.api.settings import described
    from blender_addon.link.session import current
    from blender_addon.panels.readiness import readiness

    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(tmp_path / "own"))
    bare = Server(tmp_path_factory.mktemp("b"), catalogue=True)
    try:
        made_shot(scene, bare)
        api.set_method(scene, "tpsmm")
        (obstacle,) = (found for found in readiness(scene, current()) if found.blocking)
        assert "weights" in obstacle.sentence and obstacle.values == ("TPSMM",)
        said = texts(drawn("UNDERSTUDY_PT_method"))
        for weights in described("tpsmm").weights:
            assert f"{weights.name}, 351 MB" in said
            assert "yoyo-nb/Thin-Plate-Spline-Motion-Model" in weights.source + weights.page
        job = api.render(scene, frames=(1, 1, 1), size=(SIZE, SIZE))
        where = f"vox.pth.tar comes from the links in the README of github.com/yoyo-nb/.*{tmp_path / 'own/tpsmm'}"
        with pytest.raises(api.JobFailed, match=f"weights are missing: TPSMM has no set 'vox'; {where}"):
            api.wait(job, 300)
        assert not job.finished and not strip_files(job)
        (tmp_path / "own/tpsmm").mkdir(parents=True)
        shutil.copy(WEIGHTS / f"tpsmm/{SET}.safetensors", tmp_path / "own/tpsmm/vox.safetensors")
        api.resume(job)
        assert api.wait(job, 300).finished == {1} and strip_files(job) == ["000001.png"]
    finally:
        bare.stop()
