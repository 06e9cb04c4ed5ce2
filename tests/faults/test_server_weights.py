"""Weights that come while the server runs: the methods are described anew, also in the middle of a job."""

from __future__ import annotations

import time

import pytest
from running_server import PHOTO, SIZE, Client, RunningServer, body
from understudy_shared.job import FrameRange, JobSpec
from understudy_shared.protocol import events

TPSMM = "understudy_backend.methods.tpsmm:TPSMMMethod"


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("UNDERSTUDY_WEIGHTS", str(tmp_path / "weights"))
    with RunningServer(tmp_path / "data", "--method", TPSMM) as running:
        yield running


def vox(methods) -> bool:
    (tpsmm,) = [method for method in methods if method.name == "tpsmm"]
    (found,) = [weights for weights in tpsmm.weights if weights.name == "TPSMM vox"]
    return found.available


def wait_for(client: Client, kind: type, seconds: float = 60.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = [event for event in list(client.events) if isinstance(event, kind)]
        if found:
            return found[-1]
        time.sleep(0.02)
    raise AssertionError(f"no {kind.__name__} came")


def put_weights(tmp_path) -> None:
    (tmp_path / "weights/tpsmm").mkdir(parents=True)
    (tmp_path / "weights/tpsmm/vox.pth.tar").write_bytes(b"weights")


def test_weights_that_came_are_told_without_a_new_start(server, tmp_path):
    with Client(server.address) as client, Client(server.address, "another") as other:
        assert not vox(wait_for(client, events.Connected).welcome.methods)
        wait_for(other, events.Connected)
        client.connection.status()
        wait_for(client, events.StatusArrived)
        put_weights(tmp_path)
        client.connection.status()
        assert vox(wait_for(client, events.MethodsChanged).methods)
        assert vox(wait_for(other, events.MethodsChanged).methods)
        assert sum(isinstance(event, events.MethodsChanged) for event in client.events) == 1
    with Client(server.address) as later:
        assert vox(wait_for(later, events.Connected).welcome.methods)


def test_a_job_goes_on_meanwhile(server, tmp_path):
    with Client(server.address) as client:
        wait_for(client, events.Connected)
        spec = JobSpec("paint", FrameRange(1, 6), SIZE, params={"delay": 0.3})
        job = client.connection.submit(spec, {"photo": PHOTO})
        pushed: set[int] = set()
        asked = False
        until = time.monotonic() + 60
        while not any(isinstance(event, events.JobDone) for event in list(client.events)):
            for number in client.connection.wanted(job):
                if client.connection.push(job, body(number)):
                    pushed.add(number)
            if not asked and any(isinstance(event, events.ResultArrived) for event in list(client.events)):
                put_weights(tmp_path)
                client.connection.status()
                asked = True
            assert time.monotonic() < until
            time.sleep(0.02)
        kinds = [type(event) for event in client.events]
        assert kinds.index(events.MethodsChanged) < kinds.index(events.JobDone)
        results = [event.index for event in client.events if isinstance(event, events.ResultArrived)]
        assert sorted(results) == sorted(pushed) == [1, 2, 3, 4, 5, 6]
