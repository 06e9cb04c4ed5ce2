"""Several jobs: the first asked goes first, others wait with their place, and only this file's are touched."""

from __future__ import annotations

import collections
import time

import bpy
import pytest
from backend_stage import check_complete, made, needs_backend, start, strip_files, tick_until

pytestmark = needs_backend


def order_of(log) -> list[int]:
    return [int(line) for line in log.read_text().split()]


def test_the_first_asked_goes_first_and_the_others_wait_with_their_place(stage, tmp_path):
    """Two short takes with frames 1 to 3 and 11 to 13: the backend alone would take turns."""
    from blender_addon import api

    log = tmp_path / "log"
    first = start(stage, log, delay=0.05, seed=101, frames=(1, 3, 1))
    second = start(stage, log, delay=0.05, seed=102, frames=(11, 13, 1))
    third = start(stage, log, delay=0.05, seed=103, frames=(21, 23, 1))
    assert api.queue() == [first, second, third]
    assert [api.view(job).words for job in (second, third)] == ["2nd in the queue", "3rd in the queue"]
    assert [api.view(job).place for job in api.queue()] == [1, 2, 3]
    tick_until(lambda: first.finished, 30)
    assert not second.sent and not third.sent
    assert api.view(first).words.startswith("Making frame ") and api.view(first).active
    for job in (first, second, third):
        api.wait(job, 30)
        check_complete(job)
    assert order_of(log) == [1, 2, 3, 11, 12, 13, 21, 22, 23]
    assert api.queue() == [] and api.view(first).place == 0 and api.view(first).words == "Done"


def test_a_job_that_is_moved_up_goes_before_the_running_one_and_nothing_is_made_twice(stage, tmp_path):
    from blender_addon import api
    from blender_addon.link.jobs import State

    log = tmp_path / "log"
    long = start(stage, log, delay=0.1, seed=111, frames=(1, 12, 1))
    urgent = start(stage, log, delay=0.1, seed=112, frames=(31, 33, 1))
    tick_until(lambda: len(long.finished) >= 2, 30)
    with pytest.raises(RuntimeError, match="cannot go before"):
        bpy.ops.understudy.move_up(take=long.take)
    assert bpy.ops.understudy.move_up(take=urgent.take) == {"FINISHED"}
    assert api.queue() == [urgent, long]
    tick_until(lambda: urgent.sent, 30)
    assert long.state is State.WAITING and api.view(long).words == "2nd in the queue"
    api.wait(urgent, 30)
    assert len(long.finished) < 12
    api.wait(long, 30)
    check_complete(urgent)
    check_complete(long)
    counts = made(log)
    assert set(counts) == {*range(1, 13), 31, 32, 33}
    assert sum(counts.values()) <= 15 + 2  # a frame or two may have been half made when it had to wait


def test_cancel_one_cancel_all_and_resume_all_in_their_order(stage, tmp_path):
    from blender_addon import api
    from blender_addon.link.jobs import State

    log = tmp_path / "log"
    takes = [start(stage, log, delay=0.2, seed=120 + i, frames=(10 * i + 1, 10 * i + 3, 1)) for i in range(3)]
    tick_until(lambda: takes[0].state is State.RUNNING, 30)
    assert bpy.ops.understudy.cancel(take=takes[1].take) == {"FINISHED"}
    assert api.queue() == [takes[0], takes[2]] and takes[1].state is State.CANCELLED
    assert bpy.ops.understudy.cancel_all() == {"FINISHED"}
    assert api.queue() == [] and not bpy.ops.understudy.cancel_all.poll()
    assert api.view(takes[1]).resumable and "of 3 frames are there" in api.view(takes[1]).words
    assert bpy.ops.understudy.resume_all() == {"FINISHED"}
    assert api.queue() == takes
    for job in takes:
        api.wait(job, 30)
        check_complete(job)
    assert not bpy.ops.understudy.resume_all.poll()


def test_another_files_job_goes_on_when_all_of_this_one_are_cancelled(stage, server, tmp_path):
    from blender_addon import api

    log = tmp_path / "log"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    other = start(stage, log, delay=0.1, seed=131)
    tick_until(lambda: len(other.finished) >= 2, 30)
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    assert api.cancel_all() == 0 and api.queue() == []
    with pytest.raises(ValueError, match="no job of this file"):
        api.cancel(other)
    end = time.monotonic() + 30
    while set(made(log)) != set(range(1, 9)) and time.monotonic() < end:
        time.sleep(0.05)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    (again,) = api.jobs()
    assert api.view(again).words.startswith("Paused when the file was closed")
    api.resume(again)
    api.wait(again, 30)
    check_complete(again)
    assert made(log) == collections.Counter(range(1, 9))


def test_the_log_tells_what_happened_and_outlives_the_session(stage, tmp_path):
    from blender_addon import api
    from blender_addon.link.session import current

    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    job = start(stage, seed=141, params={"fail_frame": 3})
    with pytest.raises(api.JobFailed):
        api.wait(job, 30)
    view = api.view(job)
    assert view.problem == "this frame cannot be made" and view.fix == "Leave it out"
    assert view.words == "Stopped, 2 of 8 frames are there" and view.missing == "3-8"
    current().pump.sender.settle()
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    (again,) = api.jobs()
    assert any("this frame cannot be made" in line for line in api.log(again))
    assert bpy.ops.understudy.show_log(take=again.take) == {"FINISHED"}
    text = bpy.data.texts["Log of Scene take 1"].as_string()
    assert text.startswith("Scene take 1: Stopped, 2 of 8 frames are there\nthis frame cannot be made\nLeave it out\n")
    assert bpy.ops.understudy.reveal_frames(take=again.take) == {"FINISHED"}
    assert strip_files(again) == ["000001.png", "000002.png"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (3, "5 s left"), (42, "40 s left"), (100, "2 min left"), (7500, "2 h 05 min left")],
)
def test_times_are_said_as_roughly_as_they_are_known(seconds, text):
    from blender_addon.link.view import time_text

    assert time_text(seconds) == text


def test_ranges_and_places_are_written_as_people_write_them():
    from blender_addon.link.ranges import ranges_text, to_ranges, within
    from blender_addon.link.view import ordinal

    assert ranges_text([31, 12, 13, 14], range(1, 49)) == "12-14, 31"
    assert ranges_text([-3, -2, 5], range(-3, 9)) == "-3 to -2, 5"
    assert ranges_text([1, 4, 10], range(1, 11, 3)) == "1-4, 10" and ranges_text([], range(3)) == ""
    pairs = to_ranges([1, 2, 3, 7], range(1, 9))
    assert pairs == ((1, 3), (7, 7)) and [n for n in range(1, 9) if within(pairs, n)] == [1, 2, 3, 7]
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 112)] == (
        ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th"]
    )
