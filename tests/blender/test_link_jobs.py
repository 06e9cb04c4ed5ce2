"""Jobs as the .blend keeps them, the files of a take, references, and that nothing is left after `unregister`."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")


@pytest.fixture
def addon(tmp_path, monkeypatch):
    import blender_addon
    from blender_addon.link import folders

    monkeypatch.setattr(folders, "user_folder", lambda path="": tmp_path)
    blender_addon.register()
    yield blender_addon
    blender_addon.unregister()


@pytest.fixture
def book(scene, tmp_path):
    from understudy_shared.job import FrameRange, JobSpec

    from blender_addon.link.book import JobBook
    from blender_addon.link.jobs import Job, Record
    from blender_addon.link.refs import ref

    spec = JobSpec("m", FrameRange(-2, 4, 2), (8, 8), params={"steps": 4})
    record = Record("t1", "take 1", spec, "frames", str(tmp_path), ref("scenes", scene), ref("scenes", scene))
    book = JobBook()
    book.add(Job(record))
    return book


def test_a_job_survives_the_file(book, tmp_path):
    from blender_addon.link.book import JobBook
    from blender_addon.link.jobs import State

    bpy.context.scene.name = "Shot 7"
    book.write()
    (tmp_path / "m000002.png").touch()
    (tmp_path / "000004.png").touch()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "x.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "x.blend"))
    again = JobBook()
    again.read()
    (job,) = again
    (before,) = book
    assert job.spec == before.spec and job.state is State.PAUSED
    assert job.finished == {-2, 4} and job.missing == [0, 2]
    assert job.record.scene.find() == bpy.data.scenes["Shot 7"]


@pytest.mark.parametrize("content", ["", "{", '[{"take": 1}]', "null", "[1]"])
def test_a_text_that_is_not_ours_gives_no_jobs(scene, content):
    from blender_addon.link.book import TEXT_NAME, JobBook

    bpy.data.texts.new(TEXT_NAME).from_string(content)
    book = JobBook()
    book.read()
    assert len(book) == 0


def test_references_survive_renaming_and_notice_deletion(scene):
    from blender_addon.link.refs import ref

    obj = bpy.data.objects.new("Body", None)
    scene.collection.objects.link(obj)
    found = ref("objects", obj)
    obj.name = "Ada"
    other = bpy.data.objects.new("Body", None)
    assert found.find() == obj and found.name == "Ada"
    bpy.data.objects.remove(obj)
    assert found.find() is None and other.name == "Body"


def test_inputs_and_conditions_come_back_or_not_at_all(tmp_path):
    from understudy_shared.frames import Channel, Frame

    from blender_addon.link import take_files

    photo = np.random.default_rng(0).integers(0, 255, (5, 4, 4), np.uint8)
    digests = take_files.save_inputs(tmp_path, {"photo": photo})
    np.testing.assert_array_equal(take_files.load_inputs(tmp_path, digests)["photo"], photo)
    next((tmp_path / "inputs").iterdir()).write_bytes(b"torn")
    assert take_files.load_inputs(tmp_path, digests) == {}
    frame = Frame(-3, {Channel.VERTICES: np.ones((4, 3), np.float32), Channel.INTRINSICS: np.eye(3)})
    take_files.save_conditions(tmp_path, frame)
    again = take_files.load_conditions(tmp_path, -3)
    assert again is not None and set(again.channels) == set(frame.channels)
    np.testing.assert_array_equal(again.channels[Channel.VERTICES], frame.channels[Channel.VERTICES])
    assert take_files.load_conditions(tmp_path, 3) is None
    next((tmp_path / "conditions").iterdir()).write_bytes(b"PK torn")
    assert take_files.load_conditions(tmp_path, -3) is None
    take_files.drop_conditions(tmp_path)
    assert not (tmp_path / "conditions").exists()


def test_what_a_method_needs_decides_what_is_sent(scene, model, addon):
    from understudy_shared.protocol.description import MethodDescription, NeedDescription

    from blender_addon.link import gather
    from blender_addon.scene.body import create_body

    def method(*needs):
        return MethodDescription("m", "M", "", "", (), needs, ("rgba",))

    def per_frame(*names):
        return [NeedDescription(name, True, "", optional=True) for name in names]

    body = create_body(scene, model, np.zeros(model.num_betas, np.float32))
    both = method(*per_frame("rgba", "vertices", "extrinsics"))
    assert gather.conditions(None, scene, body) == ("geometry", ())
    assert gather.conditions(both, scene, body)[0] == "geometry"
    assert gather.conditions(method(*per_frame("rgba", "depth")), scene, body) == ("render", ("rgba", "depth"))
    assert gather.conditions(method(NeedDescription("photo", False, "")), scene, body) == ("nothing", ())
    cube = bpy.data.objects.new("Tree", bpy.data.meshes.new("Tree"))
    scene.collection.objects.link(cube)
    assert gather.conditions(both, scene, body) == ("render", ("rgba", "extrinsics"))
    blind = method(*per_frame("vertices", "extrinsics"))  # it takes no picture: geometry, whatever else is there
    assert gather.conditions(blind, scene, body) == ("geometry", ("vertices", "extrinsics"))
    with pytest.raises(ValueError, match="photo"):
        gather.inputs(None, scene, body, {"texture": np.zeros(1)})
    with pytest.raises(ValueError, match="has no method"):
        gather.described((both,), "other")


@pytest.mark.parametrize("chosen", ["//", "//takes", "//takes/", ""])
def test_takes_lie_where_they_were_chosen_to(scene, tmp_path, monkeypatch, chosen):
    from blender_addon.link import folders

    monkeypatch.setattr(folders, "user_folder", lambda path="": tmp_path / "user" / path)
    assert folders.new_take_folder("Shot 1", "t", chosen) == f"{tmp_path}/user/takes/Shot_1_t"  # never saved
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "x.blend"))
    wanted = tmp_path / (chosen.strip("/") or ("" if chosen else "understudy/x")) / "Shot_1_t"
    folder = folders.new_take_folder("Shot 1", "t", chosen)
    assert Path(bpy.path.abspath(folder)) == wanted
    assert wanted.is_dir()


def traces():
    handlers = bpy.app.handlers
    lists = {name: getattr(handlers, name) for name in dir(handlers)}
    return (
        set(dir(bpy.types)),
        set(dir(bpy.ops.understudy)),
        {name: len(functions) for name, functions in lists.items() if isinstance(functions, list)},
        hasattr(bpy.types.Scene, "understudy"),
        {thread.name for thread in threading.enumerate()},
    )


def test_unregister_leaves_no_trace(scene, monkeypatch, tmp_path):
    import blender_addon
    from blender_addon.link import folders
    from blender_addon.link.session import current

    monkeypatch.setattr(folders, "user_folder", lambda path="": tmp_path)
    before = traces()
    for _ in range(2):
        blender_addon.register()
        assert "render" in dir(bpy.ops.understudy)
        timer = current().pump._timer
        assert bpy.app.timers.is_registered(timer)
        current().connect("tcp://127.0.0.1:9")
        assert threading.active_count() > 1
        blender_addon.unregister()
        assert not bpy.app.timers.is_registered(timer)
        assert traces() == before
    with pytest.raises(RuntimeError, match="not enabled"):
        current()


def test_a_connection_that_ended_for_good_is_none(scene, addon):
    from blender_addon import api
    from blender_addon.link.session import current

    pump = current().pump
    api.connect("tcp://127.0.0.1:none")
    end = time.monotonic() + 10
    while pump.link is not None and time.monotonic() < end:
        pump.tick()
        time.sleep(0.01)
    assert pump.link is None and "tcp://127.0.0.1:none is not an address" in api.status()
    assert not bpy.ops.understudy.disconnect.poll()  # the buttons say again that one has to connect


def test_an_end_told_before_a_resumed_job_was_accepted_is_not_its_end():
    """A cancel that crosses the job's own end is answered late: after the resume is on its way."""
    from understudy_shared.job import FrameRange, JobSpec
    from understudy_shared.protocol import events, messages
    from understudy_shared.protocol.client import Connection

    told = []
    connection = Connection("tcp://127.0.0.1:9", owner="o", on_event=told.append)
    connection.link_up(messages.Welcome(software="1", instance="i", methods=(), device="cpu"))
    spec = JobSpec("m", FrameRange(1, 2), (8, 8))
    job = connection.submit(spec)
    connection.link_message(messages.Accepted(job=job, have=(), want=(1, 2), credit=2), {})
    connection.cancel(job)
    connection.link_message(messages.Done(job=job), {})
    assert isinstance(told[-1], events.JobDone)
    assert connection.submit(spec) == job
    connection.link_message(messages.Cancelled(job=job), {})
    connection.link_message(messages.Accepted(job=job, have=(), want=(1, 2), credit=2), {})
    assert [type(event) for event in told[-2:]] == [events.JobDone, events.Accepted]
    assert connection.wanted(job) == [1, 2]
