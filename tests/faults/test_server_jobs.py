"""What a client may rely on: cancel and resume, one owner's jobs, reuse, one-line refusals, the same frames always."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import zmq
from fault_methods import painted
from running_server import PHOTO, SIZE, Client, body
from understudy_backend.config import ServerConfig
from understudy_backend.server import Server
from understudy_shared.frames import Channel, Frame
from understudy_shared.job import FrameRange, JobSpec, frame_digest, with_inputs
from understudy_shared.protocol import events
from understudy_shared.protocol import messages as m
from understudy_shared.protocol.blocking import JobError, run_job
from understudy_shared.protocol.wire import encode


def spec(start: int, end: int, *, seed: int = 0, **params) -> JobSpec:
    return JobSpec("paint", FrameRange(start, end), SIZE, seed=seed, params=params)


def test_cancel_within_a_batch_and_resume_without_pushing_again(shared_server):
    with Client(shared_server.address, "canceller") as client:
        slow = spec(1, 12, delay=0.2, batch=6, seed=101)
        job = client.connection.submit(slow, {"photo": PHOTO})
        client.wait(events.ResultArrived, 1, job=job, frames=body)
        until = time.monotonic() + 5
        while client.connection.wanted(job) and time.monotonic() < until:
            client.push(job, body)
            time.sleep(0.02)
        time.sleep(0.2)
        started = time.monotonic()
        client.connection.cancel(job)
        client.wait(events.JobCancelled)
        # A batch takes 1.2 s.
        assert time.monotonic() - started < 0.5
        pushed, had = Counter(client.pushed), len(client.arrived(job))
        assert had < 12
        assert client.connection.wanted(job) == []
        have = [result.index for result in client.arrived(job)]
        client.run(slow, have=have)
        assert client.pushed == pushed
        assert Counter(result.index for result in client.arrived(job)) == Counter(range(1, 13))


@contextlib.contextmanager
def server_here(folder, monkeypatch, **settings):
    """A server in this process, with settings that no user needs."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    config = ServerConfig(folder, "tcp://127.0.0.1:*", methods=("fault_methods:Paint",), catalogue=False, **settings)
    server = Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


def test_method_that_ignores_a_cancel_loses_its_worker(tmp_path, monkeypatch):
    with server_here(tmp_path, monkeypatch, cancel_grace=0.3) as server, Client(server.address) as client:
        job = client.connection.submit(spec(1, 1, delay=30.0, stubborn=True), {"photo": PHOTO})
        client.wait(events.Accepted, job=job, frames=body)
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            client.push(job, body)
            time.sleep(0.02)
        client.connection.cancel(job)
        client.wait(events.JobCancelled)
        client.run(spec(1, 2), timeout=10)


def test_method_that_hangs_fails_its_job(tmp_path, monkeypatch):
    with server_here(tmp_path, monkeypatch, stall=0.5) as server, Client(server.address) as client:
        job = client.connection.submit(spec(1, 1, delay=60.0, stubborn=True), {"photo": PHOTO})
        failed = client.wait(events.JobFailed, job=job, frames=body)
        assert failed.code == "worker_died" and "frame 1" in failed.message
        client.events.clear()
        client.run(spec(1, 2), timeout=10)


def test_asking_twice_is_asking_once(shared_server, tmp_path):
    log = tmp_path / "log"
    with Client(shared_server.address, "twice") as client, Client(shared_server.address, "twice") as other:
        job = client.run(spec(1, 5, log=str(log)))
        assert other.run(spec(1, 5, log=str(log)), frames=None) == job
        assert len(other.arrived(job)) == 5
        assert len(log.read_text().split()) == 5


def test_two_clients_follow_one_job(shared_server, tmp_path):
    log = tmp_path / "log"
    with Client(shared_server.address, "pair") as one, Client(shared_server.address, "pair") as two:
        jobs = [c.connection.submit(spec(1, 8, log=str(log), delay=0.02), {"photo": PHOTO}) for c in (one, two)]
        assert jobs[0] == jobs[1]
        one.wait(events.JobDone, job=jobs[0], frames=body)
        two.wait(events.JobDone, job=jobs[0], frames=body)
        for client in (one, two):
            assert Counter(r.index for r in client.arrived()) == Counter(range(1, 9))
        assert Counter(map(int, log.read_text().split())) == Counter(range(1, 9))


def test_only_changed_frames_are_made_again(shared_server, tmp_path):
    """A camera key moved: a few frames have other conditions; the range grew, too."""
    log = tmp_path / "log"
    with Client(shared_server.address, "artist") as client:
        client.run(spec(1, 10, log=str(log)))
        log.write_text("")
        changed = {4, 5}

        def moved(number: int) -> Frame:
            return body(number, 50 if number in changed else 0)

        job = client.run(spec(1, 12, log=str(log)), frames=moved)
        assert Counter(map(int, log.read_text().split())) == Counter([4, 5, 11, 12])
        for result in client.arrived(job):
            np.testing.assert_array_equal(result.arrays["rgba"], painted(moved(result.index), PHOTO, 1.0, 0))


def test_known_conditions_are_not_asked_for(shared_server, tmp_path):
    log = tmp_path / "log"
    with Client(shared_server.address, "hasher") as client:
        client.run(spec(1, 6, log=str(log)))
        client.pushed.clear()
        conditions = {number: frame_digest(body(number)) for number in range(1, 9)}
        job = client.run(spec(1, 8, log=str(log)), conditions=conditions)
        assert set(client.pushed) == {7, 8}
        assert {result.index for result in client.arrived(job)} == set(range(1, 9))


def test_the_same_frames_in_any_batch_and_order(shared_server):
    """Different batch sizes, and conditions pushed backwards: the same bytes. (The batch size is part of the job.)"""
    found = []
    with Client(shared_server.address, "exact") as client:
        for batch in (1, 3, 8):
            job = client.run(spec(1, 8, batch=batch, seed=77))
            found.append({r.index: r.arrays["rgba"].tobytes() for r in client.arrived(job)})
        job = client.connection.submit(spec(1, 8, batch=5, seed=77), {"photo": PHOTO})
        client.wait(events.Accepted, 4)
        for number in reversed(range(1, 9)):
            while not client.connection.push(job, body(number)):
                time.sleep(0.01)
        client.wait(events.JobDone, 4)
        found.append({r.index: r.arrays["rgba"].tobytes() for r in client.arrived(job)})
    assert found[0] == found[1] == found[2] == found[3]


def test_owners_do_not_meet(shared_server):
    with Client(shared_server.address, "alice") as alice, Client(shared_server.address, "mallory") as mallory:
        job = alice.connection.submit(spec(1, 10, delay=0.05, seed=5), {"photo": PHOTO})
        alice.wait(events.ResultArrived, 2, job=job, frames=body)
        mallory.connection.cancel(job)
        mallory.wait(events.JobCancelled)  # "there is no such job" is as good as cancelled, to her
        mallory.connection.fetch(job, [1])
        assert mallory.wait(events.JobFailed).code == "unknown_result"
        mallory.events.clear()
        mallory.connection.status()
        assert mallory.wait(events.StatusArrived).report.jobs == ()
        # The same work by another owner is another job, and starts from nothing.
        theirs = mallory.connection.submit(spec(1, 10, delay=0.05, seed=5), {"photo": PHOTO})
        assert theirs != job
        assert mallory.wait(events.Accepted, job=None).have == ()
        mallory.connection.cancel(theirs)
        alice.wait(events.JobDone, job=job, frames=body)
        assert not mallory.arrived()


def test_fetch_again(shared_server):
    with Client(shared_server.address, "fetcher") as client:
        job = client.run(spec(1, 4, seed=9))
        client.connection.fetch(job, [2, 3])
        client.wait(events.ResultArrived, 6)
        assert sorted(r.index for r in client.arrived(job)) == [1, 2, 2, 3, 3, 4]
    with Client(shared_server.address, "fetcher") as later:
        later.connection.fetch(job, [4])
        np.testing.assert_array_equal(later.wait(events.ResultArrived).arrays["rgba"], painted(body(4), PHOTO, 1.0, 9))


def test_a_method_without_conditions(shared_server):
    with Client(shared_server.address, "still") as client:
        job = client.run(JobSpec("still", FrameRange(0, 0), SIZE, seed=3), {}, None)
        (result,) = client.arrived(job)
        expected = np.random.default_rng(3).integers(0, 255, (8, 8, 4), np.uint8)
        np.testing.assert_array_equal(result.arrays["texture"], expected)
        assert result.meta == {"note": "made"}
        assert not result.arrays["texture"].flags.writeable


def test_large_input_in_pieces(shared_server):
    photo = np.random.default_rng(0).integers(0, 255, (1500, 1800, 4), np.uint8)  # 10.8 MB, three pieces
    with Client(shared_server.address, "large") as client:
        job = client.run(spec(1, 1), {"photo": photo})
        np.testing.assert_array_equal(client.arrived(job)[0].arrays["rgba"], painted(body(1), photo, 1.0, 0))


REFUSALS = {
    "unknown_method": (JobSpec("dream", FrameRange(1, 2), SIZE), {"photo": PHOTO}),
    "bad_params": (spec(1, 2, gain=9.0), {"photo": PHOTO}),
    "bad_size": (JobSpec("paint", FrameRange(1, 2), (30, 30)), {"photo": PHOTO}),
    "bad_frames": (spec(1, 1 << 63), {"photo": PHOTO}),
    "bad_inputs": (spec(1, 2), {}),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_refusals(shared_server, code):
    job, inputs = REFUSALS[code]
    with Client(shared_server.address, "refused") as client:
        client.connection.submit(job, inputs)
        failed = client.wait(events.JobFailed)
        assert failed.code == code
        assert failed.message and failed.fix and "\n" not in failed.message + failed.fix


def test_bad_parameters_of_every_kind(shared_server):
    wrong = [
        {"gain": "much"},
        {"gain": -1.0},
        {"batch": 1.5},
        {"batch": True},
        {"glow": 1},
        {"stubborn": 1},
        {"log": 3},
    ]
    with Client(shared_server.address, "wrong") as client:
        for number, params in enumerate(wrong, 1):
            client.connection.submit(spec(1, 2, **params), {"photo": PHOTO})
            failed = client.wait(events.JobFailed, number)
            assert failed.code == "bad_params" and next(iter(params)) in failed.message


def test_method_error_keeps_what_is_finished(shared_server):
    with Client(shared_server.address, "unlucky") as client:
        job = client.connection.submit(spec(1, 6, fail_frame=4), {"photo": PHOTO})
        failed = client.wait(events.JobFailed, job=job, frames=body)
        assert (failed.code, failed.message, failed.fix) == (
            "unpaintable",
            "this frame cannot be painted",
            "leave it out",
        )
        assert {result.index for result in client.arrived(job)} == {1, 2, 3}


def test_wrong_conditions(shared_server):
    with Client(shared_server.address, "sloppy") as client:
        job = client.connection.submit(spec(1, 2, seed=55), {"photo": PHOTO})
        wrong = np.zeros((3, 3, 4), np.uint8)
        failed = client.wait(events.JobFailed, job=job, frames=lambda n: Frame(n, {Channel.RGBA: wrong}))
        assert failed.code == "bad_frame" and "rgba" in failed.message


def test_input_that_nobody_has_any_more(shared_server):
    absent = JobSpec("paint", FrameRange(1, 2), SIZE, inputs={"photo": "ab" * 32})
    with Client(shared_server.address, "forgetful") as client:
        client.connection.submit(absent)
        failed = client.wait(events.JobFailed)
        assert failed.code == "input_missing" and "photo" in failed.message


def test_status(shared_server):
    with Client(shared_server.address, "curious") as client:
        client.run(spec(1, 3))
        client.connection.status()
        report = client.wait(events.StatusArrived).report
        (job,) = report.jobs
        assert (job.method, job.state, job.finished, job.frames) == ("paint", "done", 3, 3)
        assert report.worker == "idle" and report.spool_bytes > 0
        assert len(report.problems) == 1 and "fault_methods:Missing" in report.problems[0]


def test_nothing_is_pushed_beyond_the_credit(shared_server):
    with Client(shared_server.address, "eager") as client:
        job = client.connection.submit(spec(1, 40, delay=0.01, seed=4), {"photo": PHOTO})
        client.wait(events.Accepted)
        wanted = client.connection.wanted(job)
        assert wanted == list(range(1, 41))
        # All in one breath: no time for credit to come back.
        taken = [client.connection.push(job, body(number)) for number in wanted]
        assert 8 <= sum(taken) < 40
        assert taken[:8] == [True] * 8
        client.wait(events.JobDone, job=job, frames=body)
        assert len(client.arrived(job)) == 40


def test_what_the_client_has_is_not_made_again(shared_server, tmp_path):
    """The backend never had them, or has them no more: the job is done without them."""
    log = tmp_path / "log"
    with Client(shared_server.address, "traveller") as client:
        job = client.run(spec(1, 8, log=str(log)), have=[1, 2, 5])
        assert set(client.pushed) == {3, 4, 6, 7, 8}
        assert Counter(result.index for result in client.arrived(job)) == Counter([3, 4, 6, 7, 8])
        assert Counter(map(int, log.read_text().split())) == Counter([3, 4, 6, 7, 8])
    with Client(shared_server.address, "traveller") as other:  # who has nothing gets all
        other.run(spec(1, 8, log=str(log)))
        assert Counter(result.index for result in other.arrived(job)) == Counter(range(1, 9))
        assert set(other.pushed) == {1, 2, 5}


def test_cancel_within_an_input_and_start_again(shared_server):
    """Pieces of the first upload that come after the cancel do not spoil the second."""
    photo = np.zeros((4000, 4000, 4), np.uint8)  # 16 pieces
    job = with_inputs(spec(1, 1, seed=8), {"photo": photo}, "hasty")
    (digest,) = job.inputs.values()

    def piece(number: int) -> list:
        data = photo.reshape(-1)[number << 22 : number + 1 << 22]
        chunk = m.InputChunk(digest=digest, dtype="uint8", shape=photo.shape, offset=number << 22)
        return encode(chunk, {"data": data})

    said = [encode(m.Hello(owner="hasty", software="1")), encode(m.Submit(spec=job)), piece(0), piece(1)]
    said += [encode(m.Cancel(job=job.id)), piece(2), encode(m.Submit(spec=job)), *map(piece, range(3, 16))]
    said += map(piece, range(16))
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger = 0
        dealer.connect(shared_server.address)
        replies = []
        for parts in said:
            dealer.send_multipart(parts)
            while dealer.poll(20 if len(parts) == 1 else 0):
                replies.append(m.to_client.decode(dealer.recv_multipart())[0])
        while not any(isinstance(reply, m.Accepted | m.Failed) for reply in replies):
            assert dealer.poll(5000)
            replies.append(m.to_client.decode(dealer.recv_multipart())[0])
    assert not [reply for reply in replies if isinstance(reply, m.Failed | m.ErrorReply)]


def test_conditions_that_nobody_gives(shared_server):
    with pytest.raises(JobError, match="conditions of frame 1") as failed:
        run_job(shared_server.address, spec(1, 2, seed=21), {"photo": PHOTO}, None, print, owner="empty-handed")
    assert "--conditions" in failed.value.fix
