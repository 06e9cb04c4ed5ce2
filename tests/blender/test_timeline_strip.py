"""The image strip of a job: grows in order, heals after undo, never shows a wrong picture."""

from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")


@pytest.fixture
def make_job(scene, tmp_path):
    from understudy_shared.job import FrameRange, JobSpec

    from blender_addon.link.jobs import Job, Record, State
    from blender_addon.link.refs import ref

    def make(start=1, end=6, step=1, take="t1", channel=1) -> Job:
        folder = tmp_path / take
        folder.mkdir()
        spec = JobSpec("test", FrameRange(start, end, step), (16, 8))
        record = Record(take, take, spec, "frames", str(folder), ref("scenes", scene), ref("scenes", scene))
        record.state, record.channel = State.RUNNING, channel
        return Job(record)

    return make


def picture(value: int) -> np.ndarray:
    image = np.zeros((8, 16, 4), np.uint8)
    image[..., 0], image[..., 3] = value, 255
    return image


def arrive(job, *numbers, value=None) -> None:
    from blender_addon.link import png
    from blender_addon.timeline import strip

    for n in numbers:
        png.write_atomically(job.file_of(n), png.encode(picture(n * 10 if value is None else value)))
        job.finished.add(n)
    strip.update(job)


def names(job) -> list[str]:
    from blender_addon.timeline import strip

    found = strip.find(bpy.context.scene, job.take)
    return [e.filename for e in found.elements] if found else []


def shown(frame: int) -> tuple[int, int]:
    """Red and blue of the sequencer's own render of a frame."""
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 16, 8, 100
    scene.view_settings.view_transform = "Standard"
    scene.render.filepath = str(bpy.app.tempdir) + "shown.png"
    scene.frame_set(frame)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(scene.render.filepath, check_existing=False)
    red, _, blue, _ = image.pixels[:4]
    bpy.data.images.remove(image)
    return round(red * 255), round(blue * 255)


def test_grows_in_order_whatever_the_order_of_arrival(scene, make_job):
    from blender_addon.timeline import compat, strip

    job = make_job(start=10, end=15)
    arrive(job, 12)
    assert names(job) == []  # nothing is shown before the first frame is there
    arrive(job, 10)
    assert names(job) == ["000010.png"]
    arrive(job, 13, 11)
    assert names(job) == ["000010.png", "000011.png", "000012.png", "000013.png"]
    found = strip.find(scene, job.take)
    assert (compat.strip_start(found), compat.strip_end(found)) == (10, 14)
    assert [shown(f)[0] for f in (10, 11, 12, 13)] == [100, 110, 120, 130]


def test_a_missing_frame_shows_a_placeholder_until_it_arrives(scene, make_job):
    from blender_addon.link.jobs import State

    job = make_job()
    arrive(job, 1, 2, 4, 5)
    assert len(names(job)) == 2
    job.record.state = State.CANCELLED
    arrive(job)
    assert names(job) == ["000001.png", "000002.png", "placeholders/missing_000003.png", "000004.png", "000005.png"]
    assert shown(3) == (255, 255)  # the cross reaches the corner; Blender 5.2 crashes here where there is no file
    assert shown(4) == (40, 0)
    job.record.state = State.RUNNING
    arrive(job, 3)
    assert names(job)[2] == "000003.png"
    assert shown(3) == (30, 0)


def test_a_rewritten_frame_is_read_again(scene, make_job):
    job = make_job()
    arrive(job, 1, 2)
    assert shown(2)[0] == 20
    job.rewritten = True
    arrive(job, 2, value=200)
    assert shown(2)[0] == 200


def test_a_step_holds_frames_at_their_true_times(scene, make_job):
    job = make_job(start=1, end=7, step=3)
    arrive(job, 1, 4, 7)
    assert names(job) == ["000001.png"] * 3 + ["000004.png"] * 3 + ["000007.png"]


def test_takes_do_not_cover_each_other(scene, make_job):
    from blender_addon.timeline import strip

    first = make_job(take="a", channel=strip.free_channel(scene, 1, 7))
    arrive(first, 1, 2, 3)
    scene.sequence_editor.strips.new_effect(name="c", type="COLOR", channel=5, frame_start=2, **_length(bpy, 3))
    channel = strip.free_channel(scene, 1, 7, [first])
    assert channel == 6
    second = make_job(take="b", channel=channel)
    assert strip.free_channel(scene, 1, 7, [first, second]) == 7  # its strip is not there yet, its channel is taken
    arrive(second, 1, value=99)
    assert [s.channel for s in scene.sequence_editor.strips if s.get(strip.TAKE)] == [1, 6]
    assert shown(1)[0] == 99  # the newest take is on top


def _length(bpy, frames: int) -> dict[str, int]:
    return {"length": frames} if bpy.app.version >= (5, 0, 0) else {"frame_end": 2 + frames}


def test_a_strip_that_the_artist_deleted_stays_deleted(scene, make_job):
    from blender_addon.timeline import strip

    job = make_job()
    arrive(job, 1)
    scene.sequence_editor.strips.remove(strip.find(scene, job.take))
    arrive(job, 2)
    assert strip.find(scene, job.take) is None and job.record.placed


def test_a_cut_strip_grows_at_its_end_and_a_shortened_one_heals(scene, make_job):
    from blender_addon.timeline import strip

    job = make_job()
    arrive(job, 1, 2, 3)
    found = strip.find(scene, job.take)
    found.elements.pop(2)  # as undo would
    arrive(job, 4)
    assert names(job) == ["000001.png", "000002.png", "000003.png", "000004.png"]


def test_no_scene_is_said_aloud(make_job):
    from blender_addon.timeline import strip

    job = make_job()
    job.record.sequencer.name, job.record.sequencer.uid = "gone", 0
    with pytest.raises(strip.StripError, match="gone"):
        arrive(job, 1)


def test_prefetch_is_off_while_growing_and_comes_back(scene, make_job):
    from blender_addon.timeline import prefetch

    scene.sequence_editor_create().use_prefetch = True
    arrive(make_job(), 1, 2)
    assert not scene.sequence_editor.use_prefetch
    prefetch.suspend(scene)
    prefetch.restore(scene)
    assert scene.sequence_editor.use_prefetch
    scene.sequence_editor.use_prefetch = False
    prefetch.suspend(scene)
    prefetch.restore(scene)
    assert not scene.sequence_editor.use_prefetch  # what was off stays off


def test_growing_by_2000_frames_is_cheap(scene, make_job):
    import time

    from blender_addon.timeline import strip

    job = make_job(end=2000)
    arrive(job, 1)
    job.finished.update(range(1, 2000))
    strip.update(job)
    job.finished.add(2000)
    begun = time.process_time()
    strip.update(job)
    assert len(names(job)) == 2000
    assert time.process_time() - begun < 0.02  # one more frame on a long strip, on the main thread


def test_placeholders_are_dark_with_a_cross_or_dots_and_the_number(tmp_path):
    """Read by Blender: the size of the job, its two colours, and another picture for another number."""
    from blender_addon.timeline import placeholder

    size = (161, 90)
    names = [placeholder.missing(12), placeholder.missing(-7), placeholder.missing(None), placeholder.PENDING]
    placeholder.ensure(tmp_path, size, [*names, "000001.png"])
    assert not (tmp_path / "000001.png").exists()
    pictures = []
    for name in names:
        image = bpy.data.images.load(str(tmp_path / name), check_existing=False)
        assert tuple(image.size) == size
        pictures.append(np.rint(np.reshape(image.pixels, (90, 161, 4))[::-1, :, :3] * 255).astype(int))
        bpy.data.images.remove(image)
    magenta = [(picture == (255, 0, 255)).all(-1) for picture in pictures]
    dark = [(picture == placeholder.PALETTE[0]).all(-1) for picture in pictures]
    for cross, ground in zip(magenta[:3], dark[:3], strict=True):
        assert cross[0, 0] and cross[-1, -1] and cross[0, -1] and cross[-1, 0] and ground.mean() > 0.8
    assert not magenta[3].any() and dark[3].mean() > 0.9
    assert magenta[2][45, 80] and not magenta[0][45, 80]  # the number stands where the cross would meet
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_many_missing_frames_share_one_picture(make_job):
    from blender_addon.link.jobs import State
    from blender_addon.timeline.strip import wanted_files

    job = make_job(end=60)
    job.record.state = State.CANCELLED
    job.finished = {1, 60}
    assert set(wanted_files(job)[1:-1]) == {"placeholders/missing.png"}
    job.finished = set(range(1, 61)) - {7}
    assert wanted_files(job)[6] == "placeholders/missing_000007.png"


def test_frames_that_nobody_asked_for_hold_nothing_back(make_job):
    job = make_job(end=6)
    job.record.leave = ((2, 3),)
    arrive(job, 1, 4)
    assert names(job) == [
        "000001.png",
        "placeholders/missing_000002.png",
        "placeholders/missing_000003.png",
        "000004.png",
    ]
    assert job.missing == [5, 6] and job.absent == [2, 3, 5, 6] and job.progress == 0.5


@pytest.mark.skipif(bpy.app.version < (5, 0), reason="from 5.0 on a workspace has a scene for its sequencers")
def test_workspaces_that_show_no_strips_show_the_new_one(scene):
    from blender_addon.timeline.compat import show_scene

    other = bpy.data.scenes.new("Other")
    spaces = list(bpy.data.workspaces)
    if not spaces:
        pytest.skip("no workspace without a window")
    for space in spaces:
        space.sequencer_scene = None
    spaces[0].sequencer_scene = other
    show_scene(scene)
    assert [space.sequencer_scene for space in spaces] == [other, *[scene] * (len(spaces) - 1)]
