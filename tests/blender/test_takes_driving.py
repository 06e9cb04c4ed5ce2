"""Takes that a clip drives: a strip of the sequencer, or a file, in place of the scene's body and camera.

The method `follow` shows how far a picture is from the reference, which is the clip's first picture: in picture k of
these clips red is 40 + 20 k, so in the frame that shows it, red is 20 k less the first's.
"""

import bpy
import numpy as np
import pytest
from backend_stage import needs_backend, strip_files, tick_until, write_movie

pytestmark = needs_backend

SIZE = WIDTH, HEIGHT = 48, 32


def picture_of(k, size=SIZE):
    """(H, W, 4): the left half is half transparent."""
    out = np.empty((size[1], size[0], 4), np.uint8)
    out[:] = (40 + 20 * k, 90, 200, 255)
    out[:, : size[0] // 2, 3] = 128
    return out


@pytest.fixture
def pictures(tmp_path):
    """Eight numbered PNG files; returns their folder."""
    from blender_addon.link.png import encode

    folder = tmp_path / "clip"
    folder.mkdir()
    for k in range(8):
        (folder / f"p_{k + 1:03d}.png").write_bytes(encode(picture_of(k)))
    return folder


@pytest.fixture
def bare(stage):
    """The scene without body and camera."""
    stage.understudy.body = stage.camera = stage.understudy.camera = None
    for obj in list(bpy.data.objects):
        bpy.data.objects.remove(obj)
    stage.view_settings.view_transform = "Standard"
    return stage


@pytest.fixture
def strip(bare, pictures):
    """A strip of them from frame 11 on."""
    strips = bare.sequence_editor_create().strips
    found = strips.new_image("Clip", str(pictures / "p_001.png"), 1, 11)
    for k in range(1, 8):
        found.elements.append(f"p_{k + 1:03d}.png")
    found.alpha_mode = "STRAIGHT"
    return found


@pytest.fixture(scope="session")
def movie(tmp_path_factory):
    """The pictures as a movie of 12 a second, written by Blender from opaque ones; returns its path."""
    if not bpy.app.build_options.codec_ffmpeg:
        pytest.skip("this Blender writes no movies: it was built without FFmpeg")
    from blender_addon.link.png import encode

    folder = tmp_path_factory.mktemp("movie")
    scene = bpy.data.scenes.new("Movie")
    strips = scene.sequence_editor_create().strips
    for k in range(8):
        opaque = picture_of(k)
        opaque[..., 3] = 255
        (folder / f"{k}.png").write_bytes(encode(opaque))
        strips.new_image(str(k), str(folder / f"{k}.png"), 1, k + 1)
    return write_movie(scene, folder / "clip.mp4", SIZE, 12)


def frame_of(job, number):
    """A finished frame, (H, W, 4) uint8."""
    from blender_addon.scene.pixels import image_rgba

    image = bpy.data.images.load(str(job.file_of(number)), check_existing=False)
    try:
        return image_rgba(image)
    finally:
        bpy.data.images.remove(image)


def render(scene, driving, **options):
    """A finished take that shows the pictures of a clip as they are."""
    from blender_addon import api

    options.setdefault("inputs", {"reference": np.zeros((HEIGHT, WIDTH, 4), np.uint8)})
    return api.wait(api.render(scene, method="follow", driving=driving, size=SIZE, **options), 120)


def check(job, shown, tolerance=0):
    """That frame by frame these pictures are seen, at the right half, and that nothing is left behind."""
    assert list(job.numbers) == list(shown)
    for number, k in shown.items():
        away = frame_of(job, number)[:, WIDTH // 2 + 2 :].astype(int) - picture_of(k)[0, -1]
        assert np.abs(away).max() <= tolerance, (number, k)
    assert not [scene for scene in bpy.data.scenes if scene.name.startswith(".")]


def test_each_frame_shows_its_picture(bare, strip):
    before = bare.frame_current, bare.render.resolution_x, strip.transform.scale_x
    job = render(bare, strip)
    check(job, {11 + k: k for k in range(8)})
    assert (frame_of(job, 13) == picture_of(2)).all()  # alpha is straight, to the byte
    assert (bare.frame_current, bare.render.resolution_x, strip.transform.scale_x) == before
    assert strip_files(job) == [f"{n:06d}.png" for n in range(11, 19)]


def test_the_reference_is_the_first_picture_that_is_left(bare, strip):
    from blender_addon.link import take_files

    trim(strip, 13)
    job = render(bare, strip, inputs={}, frames=(14, 18, 4))
    reference = take_files.load_inputs(job.folder, job.spec.inputs)["reference"]
    assert (reference == picture_of(2)).all()


def test_place_opacity_and_muting_do_not_count(bare, strip):
    strip.mute, strip.blend_alpha = True, 0.3
    strip.transform.scale_x, strip.transform.offset_y, strip.transform.rotation = 3, 11, 1
    strip.keyframe_insert("blend_alpha", frame=1)
    other = bare.sequence_editor.strips.new_effect("Colour", "COLOR", 3, 11, **_long(9))
    other.color = (1, 0, 1)
    check(render(bare, strip, frames=(11, 14, 3)), {11: 0, 14: 3})


def test_trims_are_respected(bare, strip):
    trim(strip, 13, 17)
    check(render(bare, strip), {13: 2, 14: 3, 15: 4, 16: 5})


def test_a_held_and_a_reversed_strip(bare, strip):
    trim(strip, end=21)
    strip.use_reverse_frames = False
    check(render(bare, strip, frames=(17, 20, 1)), {17: 6, 18: 7, 19: 7, 20: 7})
    trim(strip, end=19)
    strip.use_reverse_frames = True
    check(render(bare, strip, frames=(11, 12, 1)), {11: 7, 12: 6})


def test_retiming_is_respected(bare, strip):
    if bpy.app.version < (5, 2, 0):
        pytest.skip("this Blender crashes when a script adds retiming keys")
    strip.retiming_keys.add(timeline_frame=19)
    strip.retiming_keys[-1].timeline_frame = 27  # by its place: adding moves the keys in memory
    assert (strip.left_handle, strip.right_handle) == (11, 27)
    job = render(bare, strip, frames=(11, 23, 4))
    seen = [int(frame_of(job, n)[0, -1, 0]) for n in job.numbers]
    assert seen == sorted(set(seen)) and 100 < seen[-1] < 180  # at half the speed


def test_cropping_and_another_size(bare, strip):
    from blender_addon.link import driving

    strip.crop.min_x, strip.crop.max_y = WIDTH // 2, 7  # the transparent half
    clip = driving.clip_of(strip, 0, None, (40, 20))
    whole = driving.picture(clip, 12)
    assert whole.shape == (20, 40, 4)
    assert (whole[1:-1, 1:-1] == picture_of(1)[0, -1]).all()


def test_a_method_that_takes_any_size_is_sent_pictures_as_they_are(bare, strip, monkeypatch):
    import msgspec

    from blender_addon import api
    from blender_addon.link import driving
    from blender_addon.timeline import footage

    follow = next(method for method in api.methods() if method.name == "follow")
    any_size = msgspec.structs.replace(follow, any_size=True)
    assert driving.clip_of(strip, 0, follow, (256, 99)).size == (256, 99)
    assert driving.clip_of(strip, 0, any_size, (256, 99)).size == SIZE
    monkeypatch.setattr(footage, "LONGEST", 24)
    assert driving.clip_of(strip, 0, any_size, (256, 99)).size == (24, 16)


def test_a_movie_strip(bare, movie):
    strips = bare.sequence_editor_create().strips
    strip = strips.new_movie("Movie", str(movie), 1, 5)
    job = render(bare, strip)
    check(job, {5 + k: k for k in range(8)}, tolerance=2)
    trim(strip, 8)
    check(render(bare, strip, frames=(8, 10, 2)), {8: 3, 10: 5}, tolerance=2)


def test_a_movie_file_from_the_scenes_first_frame_on(bare, movie):
    bare.frame_start = 3
    check(render(bare, str(movie)), {3 + k: k for k in range(8)}, tolerance=2)


def test_numbered_pictures_as_files(bare, pictures):
    check(render(bare, pictures / "p_004.png"), {1 + k: k for k in range(8)})
    (pictures / "p_005.png").unlink()
    with pytest.raises(ValueError, match="Picture 5 is missing"):
        render(bare, pictures / "p_004.png")


def test_a_clip_of_one_frame(bare, pictures):
    only = pictures / "only.png"
    (pictures / "p_003.png").rename(only)
    check(render(bare, only), {1: 2})
    strip = bare.sequence_editor.strips.new_image("One", str(only), 9, 30)
    strip.alpha_mode = "STRAIGHT"
    check(render(bare, strip), {30: 2})


def test_what_is_missing_is_said(bare, strip, pictures, tmp_path):
    (pictures / "p_002.png").unlink()
    with pytest.raises(ValueError, match='1 of the pictures of "Clip" are missing'):
        render(bare, strip)
    trim(strip, 13)  # what is trimmed away is not missed
    check(render(bare, strip, frames=(13, 13, 1)), {13: 2})
    with pytest.raises(ValueError, match="frames 13 to 18"):
        render(bare, strip, frames=(10, 14, 1))
    fake = tmp_path / "fake.mp4"
    fake.write_text("no movie")
    for path, words in ((fake, "cannot be read"), (tmp_path / "none.png", "exist"), (tmp_path / "log.txt", "exist")):
        with pytest.raises(ValueError, match=words):
            render(bare, path)
    colour = bare.sequence_editor.strips.new_effect("Colour", "COLOR", 3, 11, **_long(9))
    with pytest.raises(ValueError, match="neither a movie nor an image strip"):
        render(bare, colour)


def test_a_method_that_moves_a_body_takes_no_clip(bare, strip):
    from blender_addon import api

    with pytest.raises(ValueError, match="moves a body"):
        api.render(bare, method="stamp", driving=strip, inputs={"photo": np.zeros((4, 4, 4), np.uint8)})


def test_the_scenes_choice_and_the_button(bare, strip):
    from blender_addon import api

    bare.understudy.method = "follow"
    bare.understudy.width, bare.understudy.height = SIZE
    assert not bpy.ops.understudy.render.poll()
    bare.understudy.driving = "STRIP"
    assert not bpy.ops.understudy.render.poll()
    bare.understudy.driving_strip = "Clip"
    assert api.driven_by_strip(bare) and not api.driven_by_strip(bare, "stamp")
    bpy.ops.understudy.render()
    job = api.wait(api.jobs()[-1], 120)
    assert list(job.numbers) == list(range(11, 19))
    with pytest.raises(ValueError, match="no body"):
        api.render(bare, driving="")
    bare.understudy.driving_strip = "Gone"
    with pytest.raises(ValueError, match='no strip "Gone"'):
        api.render(bare)


def test_takes_of_a_clip_are_versions_of_one_shot(bare, strip, pictures):
    from blender_addon import api

    first = render(bare, strip)
    second = render(bare, strip, seed=5)
    other = render(bare, pictures / "p_001.png", frames=(11, 18, 1))
    assert second.shot == first.shot != other.shot
    again = api.wait(api.render_again(first, [12], method="follow"), 120)
    assert again.record.driving == first.record.driving and again.shot == first.shot
    assert set(again.numbers) == again.finished and len(again.taken_over) == 7
    bare.understudy.driving_strip = ""
    api.redo(first)
    assert (bare.understudy.driving, bare.understudy.driving_strip) == ("STRIP", "Clip")


def test_a_take_is_resumed_after_its_file_was_opened_again(bare, strip, tmp_path):
    from blender_addon import api
    from blender_addon.link.session import current

    job = api.render(bare, method="follow", driving=strip, size=SIZE)
    tick_until(lambda: job.captured >= 2, 60)
    api.cancel(job)
    take = job.take
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    again = current().jobs.get(take)
    assert again.record.driving.strip == "Clip" and again.record.driving.size == SIZE
    if not current().pump.online:
        tick_until(lambda: current().pump.online, 60)
    api.resume(again)
    assert api.wait(again, 120).finished == set(range(11, 19))


def test_a_strip_that_is_deleted_meanwhile_is_said(bare, strip):
    from blender_addon import api

    job = api.render(bare, method="follow", driving=strip, size=SIZE)
    bare.sequence_editor.strips.remove(strip)
    with pytest.raises(api.JobFailed, match='strip "Clip" was deleted'):
        api.wait(job, 60)


def test_a_movie_that_plays_at_its_own_rate(bare, movie):
    from blender_addon.scene.overriding import overridden

    if bpy.app.version >= (5, 0, 0):
        pytest.skip("without a window, this Blender's sequencer adds no strips by its operator")
    window = bpy.context.window_manager.windows[0]
    area = window.screen.areas[0]
    area.type = "SEQUENCE_EDITOR"
    region = next(region for region in area.regions if region.type == "WINDOW")
    with overridden(window=window, area=area, region=region, scene=bare):
        bpy.ops.sequencer.movie_strip_add(
            filepath=str(movie), frame_start=1, channel=1, sound=False, use_framerate=False, adjust_playback_rate=True
        )
    strip = bare.sequence_editor.strips[0]
    job = render(bare, strip, frames=(1, 16, 5))  # 12 pictures a second in a scene of 24
    assert not bare.render.fps % 24
    check(job, {1: 0, 6: 3, 11: 5, 16: 7}, tolerance=2)


def trim(strip, start=None, end=None):
    """Sets the handles, whatever this Blender calls them."""
    new = hasattr(strip, "left_handle")
    if start is not None:
        setattr(strip, "left_handle" if new else "frame_final_start", start)
    if end is not None:
        setattr(strip, "right_handle" if new else "frame_final_end", end)


def _long(frames):
    return {"length": frames} if bpy.app.version >= (5, 0, 0) else {"frame_end": 11 + frames}
