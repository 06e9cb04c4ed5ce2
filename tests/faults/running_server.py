"""A server to be mistreated, and a client that remembers all it was told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from understudy_backend.jobs.places import read_announcement
from understudy_shared.frames import Channel, Frame
from understudy_shared.protocol import events
from understudy_shared.protocol.client import Connection
from understudy_shared.protocol.session import Timing

METHODS = ("fault_methods:Paint", "fault_methods:Still", "fault_methods:Chain", "fault_methods:Missing")
HASTE = Timing(ping=0.2, deadline=3.0, backoff=0.05, backoff_limit=0.3)
PHOTO = np.full((6, 5, 4), 7, np.uint8)
SIZE = (24, 16)


def body(number: int, shade: int = 0) -> Frame:
    image = np.zeros((SIZE[1], SIZE[0], 4), np.uint8)
    image[...] = (number * 3 + shade) % 256
    image[number % SIZE[1], :, 0] = 255
    return Frame(number, {Channel.RGBA: image})


class RunningServer:
    def __init__(self, data: Path, *options: str, address: str = "tcp://127.0.0.1:*") -> None:
        self.data, self.options, self.address = data, options, address
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> RunningServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def start(self) -> None:
        """Starts, or starts again at the same address."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(self.command(), env=environment(), stderr=(self.data / "log").open("ab"))
        until = time.monotonic() + 30
        while time.monotonic() < until:
            found = read_announcement(self.data)
            if found is not None and found.pid == self.process.pid:
                self.address = found.address
                return
            assert self.process.poll() is None, (self.data / "log").read_text()
            time.sleep(0.02)
        raise AssertionError("the server does not start")

    def command(self) -> list[str]:
        methods = [part for name in METHODS for part in ("--method", name)]
        command = [sys.executable, "-m", "understudy_backend.cli", "serve", "--no-catalogue", "--address", self.address]
        return [*command, "--data", str(self.data), *methods, *self.options]

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(5)

    def worker_pid(self) -> int:
        assert self.process is not None
        until = time.monotonic() + 10
        while time.monotonic() < until:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            if children:
                return int(children[0])
            time.sleep(0.02)
        raise AssertionError("no worker")

    def kill_worker(self) -> int:
        pid = self.worker_pid()
        os.kill(pid, signal.SIGKILL)
        return pid

    def memory(self) -> int:
        assert self.process is not None
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def logged(self) -> Counter[int]:
        """How often each frame is in the finished logs, over all jobs."""
        logs = (self.data / "owners").glob("*/jobs/*/finished.log")
        return Counter(int(line.split()[0]) for log in logs for line in log.read_text().splitlines() if line)

    def results(self) -> list[Path]:
        return sorted((self.data / "owners").glob("*/results/*.result"))


class Client:
    """Pushes what is wanted while it waits; keeps every event."""

    def __init__(self, address: str, owner: str = "somebody", *, keys=None, timing: Timing = HASTE) -> None:
        self.events: list[events.Event] = []
        self._news = threading.Condition()
        self.connection = Connection(address, owner=owner, keys=keys, on_event=self._keep, timing=timing)
        self.connection.start()
        self.pushed: Counter[int] = Counter()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def _keep(self, event: events.Event) -> None:
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    def wait(self, kind, number: int = 1, *, timeout: float = 20.0, job: str | None = None, frames=None):
        """The `number`-th event of a kind; pushes `frames(n)` for `job` meanwhile."""
        until = time.monotonic() + timeout
        while True:
            if job is not None and frames is not None:
                self.push(job, frames)
            with self._news:
                found = [event for event in self.events if isinstance(event, kind)]
                if len(found) >= number:
                    return found[number - 1]
                failed = [event for event in self.events if isinstance(event, events.JobFailed)]
                assert not failed or kind in (events.JobFailed, events.ResultArrived), failed
                assert time.monotonic() < until, f"no {kind} within {timeout} s, only {self.events[-5:]}"
                self._news.wait(0.02)

    def push(self, job: str, frames) -> None:
        for number in self.connection.wanted(job):
            if not self.connection.push(job, frames(number)):
                return
            self.pushed[number] += 1

    def run(self, spec, inputs=None, frames=body, *, timeout: float = 30.0, **more):
        """Submits, pushes, waits for the end; returns the job's id."""
        done = sum(isinstance(event, events.JobDone) for event in self.events)
        job = self.connection.submit(spec, {"photo": PHOTO} if inputs is None else inputs, **more)
        self.wait(events.JobDone, done + 1, timeout=timeout, job=job, frames=frames)
        return job

    def arrived(self, job: str | None = None) -> list[events.ResultArrived]:
        with self._news:
            return [e for e in self.events if isinstance(e, events.ResultArrived) and job in (None, e.job)]


def environment() -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
        "OMP_NUM_THREADS": "1",
    }
