"""kill -9, of either process, in the middle of a job: nothing is lost, nothing comes twice."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fault_methods import painted
from running_server import PHOTO, SIZE, Client, RunningServer, body
from understudy_shared.job import FrameRange, JobSpec
from understudy_shared.protocol import events

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def check_complete(client: Client, server: RunningServer, job: str, numbers: range) -> None:
    """Every frame was delivered once, is right, and is on the disk once."""
    arrived = client.arrived(job)
    assert Counter(result.index for result in arrived) == Counter(numbers)
    for result in arrived:
        np.testing.assert_array_equal(result.arrays["rgba"], painted(body(result.index), PHOTO, 1.0, 0))
    assert server.logged() == Counter(numbers)
    assert len(server.results()) == len(numbers)


@pytest.mark.parametrize("batch", [1, 4])
def test_worker_killed(server, batch):
    spec = JobSpec("paint", FrameRange(1, 24), SIZE, params={"delay": 0.03, "batch": batch})
    with Client(server.address) as client:
        job = client.connection.submit(spec, {"photo": PHOTO})
        client.wait(events.ResultArrived, 6, job=job, frames=body)
        server_pid, worker_pid = server.process.pid, server.kill_worker()
        client.wait(events.JobDone, job=job, frames=body)
        check_complete(client, server, job, range(1, 25))
        # The client noticed nothing: it neither lost its connection nor pushed a frame twice.
        assert not [event for event in client.events if isinstance(event, events.Disconnected)]
        assert max(client.pushed.values()) == 1
        assert server.process.poll() is None and server.process.pid == server_pid
        assert server.worker_pid() != worker_pid


def test_worker_killed_by_a_frame_once(server, tmp_path):
    spec = JobSpec("paint", FrameRange(1, 8), SIZE, params={"kill_once": str(tmp_path / "killed"), "batch": 3})
    with Client(server.address) as client:
        job = client.run(spec)
        check_complete(client, server, job, range(1, 9))
        assert (tmp_path / "killed").exists()


def test_frame_that_always_kills_fails_the_job(server):
    spec = JobSpec("paint", FrameRange(1, 8), SIZE, params={"kill_frame": 5, "batch": 4})
    with Client(server.address) as client:
        job = client.connection.submit(spec, {"photo": PHOTO})
        failed = client.wait(events.JobFailed, job=job, frames=body)
        assert failed.code == "worker_died" and "frame 5" in failed.message and failed.fix
        assert "\n" not in failed.message
        # Its neighbours in the batch were innocent and are tried alone: none of them is blamed.
        assert {result.index for result in client.arrived(job)} >= {1, 2, 3, 4}
        # The server lives, and so does its next job.
        client.events.clear()
        client.run(JobSpec("paint", FrameRange(1, 2), SIZE))


@pytest.mark.parametrize("moment", [1, 9])
def test_server_killed(server, moment):
    spec = JobSpec("paint", FrameRange(1, 24), SIZE, params={"delay": 0.03, "batch": 2})
    with Client(server.address) as client:
        job = client.connection.submit(spec, {"photo": PHOTO})
        client.wait(events.ResultArrived, moment, job=job, frames=body)
        worker = server.worker_pid()
        server.kill()
        client.wait(events.Disconnected, job=job, frames=body)
        wait_gone(worker)
        server.start()
        client.wait(events.JobDone, job=job, frames=body)
        check_complete(client, server, job, range(1, 25))
        assert sum(isinstance(event, events.Connected) for event in client.events) == 2


def test_server_finishes_what_it_has_without_the_client(server):
    """Conditions that were received are enough: after a restart the frames are made though nobody is connected."""
    spec = JobSpec("paint", FrameRange(1, 12), SIZE, params={"delay": 0.05})
    with Client(server.address) as client:
        job = client.connection.submit(spec, {"photo": PHOTO})
        client.wait(events.ResultArrived, 2, job=job, frames=body)
        until = time.monotonic() + 5
        while client.connection.wanted(job) and time.monotonic() < until:
            client.push(job, body)
            time.sleep(0.02)
        time.sleep(0.2)
    server.kill()
    server.start()
    until = time.monotonic() + 15
    while len(server.logged()) < 12 and time.monotonic() < until:
        time.sleep(0.05)
    assert server.logged() == Counter(range(1, 13))
    with Client(server.address) as client:
        client.run(spec, frames=None)
        check_complete(client, server, job, range(1, 13))


def test_orphaned_worker_ends(server):
    with Client(server.address) as client:
        client.wait(events.Connected)
    worker = server.worker_pid()
    server.kill()
    wait_gone(worker)


def wait_gone(pid: int) -> None:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.02)
    raise AssertionError("the worker outlives its server")


def test_a_clip_waits_for_all_its_frames_and_goes_on_after_its_worker_died(server, tmp_path):
    log = tmp_path / "log"
    params = {"kill_once": str(tmp_path / "killed"), "log": str(log)}
    spec = JobSpec("chain", FrameRange(1, 40), SIZE, params=params)
    total = sum(int(body(number).channels["rgba"][0, 0, 1]) for number in range(1, 41))
    with Client(server.address) as client:
        other = client.connection.submit(JobSpec("paint", FrameRange(1, 6), SIZE), {"photo": PHOTO})
        job = client.connection.submit(spec, {})
        client.wait(events.JobDone, job=other, frames=body)  # the clip, whose frames are missing, is in nobody's way
        assert not log.exists()
        client.wait(events.JobDone, 2, job=job, frames=body)
        arrived = client.arrived(job)
        assert Counter(result.index for result in arrived) == Counter(range(1, 41))
        assert all((result.arrays["rgba"] == (total + result.index) % 256).all() for result in arrived)
        assert max(client.pushed.values()) <= 2  # two jobs have some frame numbers in common
    first, second = (line.split() for line in log.read_text().splitlines())
    assert len(first) == 40 and 0 < len(second) < 40  # all at once, then only what had not been made
    assert not list(tmp_path.rglob("work"))  # it is done
    assert not list(server.data.rglob("work"))


def test_a_clip_whose_half_done_work_is_gone_starts_again(server, tmp_path):
    spec = JobSpec("chain", FrameRange(1, 8), SIZE, params={"kill_once": str(tmp_path / "killed")})
    with Client(server.address) as client:
        job = client.connection.submit(spec, {})
        client.wait(events.ResultArrived, 2, job=job, frames=body)
        client.connection.cancel(job)
        client.wait(events.JobCancelled)
        for folder in server.data.rglob("work"):
            shutil.rmtree(folder)
        again = client.run(spec, {})
        assert {result.index for result in client.arrived(again)} == set(range(1, 9))


def test_a_clip_is_made_from_all_its_frames_whoever_has_some_of_them(server):
    """A client that asks for the rest of a clip gives what all of it is made from, and is sent the rest alone."""
    spec = JobSpec("chain", FrameRange(1, 8), SIZE)
    total = sum(int(body(number).channels["rgba"][0, 0, 1]) for number in range(1, 9))
    with Client(server.address) as client:
        job = client.run(spec, {}, have=range(2, 8))
        assert client.pushed == Counter(range(1, 9))
        arrived = {result.index: result.arrays["rgba"] for result in client.arrived(job)}
        assert arrived.keys() == {1, 8}
        assert all((rgba == (total + index) % 256).all() for index, rgba in arrived.items())
        assert [event.index for event in client.events if isinstance(event, events.PreviewArrived)] == [1]


def test_previews_come_before_the_frames_and_the_bar_follows_the_method(server):
    with Client(server.address) as client:
        client.run(JobSpec("chain", FrameRange(1, 8), SIZE), {})
        kinds = (events.PreviewArrived, events.ResultArrived)
        shown = [(type(event), event.index) for event in client.events if isinstance(event, kinds)]
        assert shown == [(kinds[0], 1), (kinds[0], 2), *((kinds[1], n) for n in range(1, 9))]
        preview = next(event for event in client.events if isinstance(event, events.PreviewArrived))
        assert preview.rgba.shape == (2, 2, 4) and (preview.rgba == 9).all()
        fractions = [event.fraction for event in client.events if isinstance(event, events.Progressed)]
        assert fractions == sorted(fractions) and set(fractions) <= {n / 8 for n in range(9)}
