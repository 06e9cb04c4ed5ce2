"""`understudy render` and `status`, as a user types them, and a local backend as a program starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fault_methods import painted
from PIL import Image
from running_server import METHODS, PHOTO, SIZE, body, environment
from understudy_backend.jobs.local import LocalBackend
from understudy_shared.job import FrameRange, JobSpec
from understudy_shared.protocol.blocking import JobError, run_job

OPTIONS = ("--no-catalogue", *(part for name in METHODS for part in ("--method", name)))


def understudy(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "understudy_backend.cli", *map(str, arguments)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def job_files(tmp_path):
    (tmp_path / "conditions").mkdir()
    for number in range(1, 5):
        np.savez(tmp_path / "conditions" / f"{number:04d}.npz", rgba=body(number).channels["rgba"])
    spec = {"method": "paint", "frames": {"start": 1, "end": 4}, "size": SIZE, "seed": 2}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    return tmp_path


def render(folder: Path, *more: object) -> subprocess.CompletedProcess[str]:
    every = ["--spec", folder / "spec.json", "--input", f"photo={folder / 'photo.png'}", "--out", folder / "out"]
    every += ["--conditions", folder / "conditions", "--data", folder / "data", *OPTIONS]
    return understudy("render", *every, *more)


def test_render_from_files(job_files):
    done = render(job_files, "--set", "gain=0.5")
    assert done.returncode == 0, done.stderr
    assert "wrote 4 files" in done.stdout
    for number in range(1, 5):
        picture = np.asarray(Image.open(job_files / "out" / f"rgba_{number:04d}.png"))
        np.testing.assert_array_equal(picture, painted(body(number), PHOTO, 0.5, 2))


def test_render_fails_in_one_line(job_files):
    done = render(job_files, "--set", "fail_frame=2")
    assert done.returncode == 1
    assert done.stderr == "understudy: this frame cannot be painted; leave it out\n"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: (f / "photo.png").write_text("no picture"),
        lambda f: (f / "photo.png").unlink(),
        lambda f: (f / "spec.json").write_text('{"method": 3}'),
        lambda f: (f / "conditions" / "0002.npz").write_bytes(b"PK\x03\x04 torn"),
        lambda f: np.savez(f / "conditions" / "0002.npz", rgba=np.array([{}], object)),
        lambda f: np.savez(f / "conditions" / "0002.npz", glow=np.zeros(3)),
        lambda f: [path.unlink() for path in (f / "conditions").iterdir()],
    ],
)
def test_bad_files_in_one_line(job_files, spoil, capsys):
    # In this process: it fails before a backend is started.
    from understudy_backend.cli import main

    spoil(job_files)
    folder = str(job_files)
    every = ["--spec", f"{folder}/spec.json", "--input", f"photo={folder}/photo.png", "--out", f"{folder}/out"]
    assert main(["render", *every, "--conditions", f"{folder}/conditions", "--data", f"{folder}/data"]) == 2
    shown = capsys.readouterr().err
    assert len(shown.splitlines()) == 1 and folder in shown


def test_status_command(shared_server):
    done = understudy("status", "--data", shared_server.data)
    assert done.returncode == 0, done.stderr
    for word in (shared_server.address, "on cpu", "worker idle", "spool", "paint, still", "fault_methods:Missing"):
        assert word in done.stdout


def test_status_of_nobody(tmp_path):
    done = understudy("status", "--address", "ipc:///nowhere/at/all", "--data", tmp_path, "--patience", 1)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1


def test_local_backend_ends_with_its_parent(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from understudy_backend.jobs.local import LocalBackend\n"
        f"with LocalBackend(Path({str(tmp_path)!r}), options={OPTIONS!r}) as backend:\n"
        "    print(backend.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], env=environment(), stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    server = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 10
    while time.monotonic() < until and Path(f"/proc/{server}").exists() and not _is_dead(server):
        time.sleep(0.05)
    assert not Path(f"/proc/{server}").exists() or _is_dead(server)


def test_local_backend_that_cannot_start(tmp_path):
    with pytest.raises(JobError, match="unrecognized") as failed, LocalBackend(tmp_path, options=["--nonsense"]):
        pass
    assert "\n" not in str(failed.value)


def test_local_backend_uses_the_server_that_runs(shared_server):
    with LocalBackend(shared_server.data) as backend:
        assert backend.address == shared_server.address and backend.pid is None
        backend.render_job(JobSpec("still", FrameRange(0, 0), SIZE), {}, None, lambda result: None)
    os.kill(shared_server.process.pid, 0)


def test_run_job_without_a_backend():
    with pytest.raises(JobError) as failed:
        run_job(
            "ipc:///nowhere/at/all", JobSpec("still", FrameRange(0, 0), SIZE), {}, None, print, owner="x", patience=0.5
        )
    assert failed.value.fix


def _is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True
