"""A full disk, and a full spool: the job says so, the server lives, finished frames stay, and room makes it go on."""

from __future__ import annotations

import subprocess
import sys

import pytest
from running_server import PHOTO, SIZE, Client, RunningServer, body
from understudy_shared.job import FrameRange, JobSpec
from understudy_shared.protocol import events

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")


def check_fails_and_lives(server: RunningServer, frames: int) -> tuple[str, JobSpec]:
    spec = JobSpec("paint", FrameRange(1, frames), SIZE)
    with Client(server.address) as client:
        job = client.connection.submit(spec, {"photo": PHOTO})
        failed = client.wait(events.JobFailed, job=job, frames=body)
        assert failed.code == "disk_full" and "disk" in failed.message and "room" in failed.fix
        assert "\n" not in failed.message
        assert server.process is not None and server.process.poll() is None
        made = {result.index for result in client.arrived(job)}
        assert 0 < len(made) < frames
        # What was finished is there, whole.
        client.connection.fetch(job, made)
        client.wait(events.ResultArrived, 2 * len(made))
        assert not list(server.data.rglob("*.tmp"))
    return job, spec


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk(small_disk):
    with RunningServer(small_disk / "data") as server:
        job, spec = check_fails_and_lives(server, 200)
        subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
        with Client(server.address) as client:
            client.run(spec)
            assert {result.index for result in client.arrived(job)} == set(range(1, 201))


def test_full_spool(tmp_path):
    with RunningServer(tmp_path / "data", "--spool-gb", "0.00006") as server:
        check_fails_and_lives(server, 100)


def test_old_jobs_make_room(tmp_path):
    """The least recently touched ended jobs go first, with what only they used."""
    with RunningServer(tmp_path / "data", "--spool-gb", "0.0001") as server, Client(server.address) as client:
        first = client.run(JobSpec("paint", FrameRange(1, 10), SIZE, seed=1))
        for seed in range(2, 9):
            last = client.run(JobSpec("paint", FrameRange(1, 10), SIZE, seed=seed))
        client.connection.status()
        report = client.wait(events.StatusArrived).report
        jobs = {job.job for job in report.jobs}
        assert last in jobs and first not in jobs
        assert report.spool_bytes <= 100_000
        on_disk = sum(path.stat().st_size for path in (server.data / "owners").rglob("*") if path.is_file())
        assert abs(on_disk - report.spool_bytes) < 5_000
