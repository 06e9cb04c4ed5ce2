"""Blender against a real server: strips grow, jobs are cancelled, resumed, survive crashes, saving and reopening."""

from __future__ import annotations

import collections
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import bpy
import numpy as np
import pytest
from backend_stage import PYTHON, ROOT, Server, check_complete, made, needs_backend, start, strip_files, tick_until

pytestmark = needs_backend


def test_a_strip_grows_frame_by_frame(stage, tmp_path):
    from blender_addon import api
    from blender_addon.link.jobs import State

    stage.sequence_editor_create().use_prefetch = True
    before = stage.frame_current
    job = start(stage, tmp_path / "log", delay=0.1)
    lengths = []
    tick_until(lambda: lengths.append(len(strip_files(job))) or lengths[-1] == 4, 30)
    assert not stage.sequence_editor.use_prefetch and job.state is State.RUNNING
    assert 0 < job.progress < 1 and job.seconds_left is not None
    api.wait(job, 30)
    assert sorted(set(lengths)) == [0, 1, 2, 3, 4]
    check_complete(job)
    assert made(tmp_path / "log") == collections.Counter(range(1, 9))
    assert stage.sequence_editor.use_prefetch and stage.frame_current == before
    assert len(bpy.data.scenes) == 1


def test_cancel_keeps_frames_and_resume_makes_the_rest(stage, tmp_path):
    from blender_addon.link.jobs import State

    job = start(stage, tmp_path / "log", delay=0.1, seed=2)
    tick_until(lambda: len(job.finished) >= 3, 30)
    assert bpy.ops.understudy.cancel() == {"FINISHED"}
    assert job.state is State.CANCELLED and not bpy.ops.understudy.cancel.poll()
    time.sleep(0.3)
    tick_until(lambda: not job.stale, 5)
    kept = len(strip_files(job))
    assert 3 <= kept < 8
    assert bpy.ops.understudy.resume() == {"FINISHED"}
    tick_until(lambda: job.state is State.DONE and not job.stale, 30)
    check_complete(job)
    assert max(made(tmp_path / "log").values()) <= 2 and sum(made(tmp_path / "log").values()) <= 10


def test_a_killed_server_comes_back_and_every_frame_is_there_once(stage, server, tmp_path):
    from blender_addon import api
    from blender_addon.link.jobs import State
    from blender_addon.link.session import current

    job = start(stage, tmp_path / "log", delay=0.15, seed=3)
    tick_until(lambda: len(job.finished) >= 3, 30)
    link = current().pump.link
    server.kill()
    tick_until(lambda: not current().pump.online, 30)
    assert job.state is State.WAITING
    server.start()
    api.wait(job, 60)
    assert current().pump.link is link
    check_complete(job)


def test_save_reopen_and_go_on(stage, server, tmp_path):
    from blender_addon import api
    from blender_addon.link.jobs import State

    path = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    job = start(stage, tmp_path / "log", delay=0.1, seed=4)
    take = job.take
    assert job.record.folder.startswith("//understudy/shot/")
    tick_until(lambda: len(strip_files(job)) >= 3, 30)
    bpy.ops.wm.save_mainfile()
    content = bpy.data.texts["Understudy jobs"].as_string()
    from blender_addon.link import folders

    assert take in content and folders.owner() not in content and server.address not in content
    api.cancel(job)
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    assert api.jobs() == []
    bpy.ops.wm.open_mainfile(filepath=str(path))
    (again,) = api.jobs()
    assert again.take == take and again.state is State.PAUSED and len(again.finished) >= 3
    api.resume(again)
    api.wait(again, 30)
    check_complete(again)
    assert len(bpy.context.scene.sequence_editor.strips) == 1
    with pytest.raises(ValueError, match="complete"):
        api.resume(again)


def test_a_file_saved_elsewhere_keeps_its_frames(stage, tmp_path):
    from blender_addon import api

    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "old/shot.blend"))
    job = start(stage, tmp_path / "log", delay=0.1, seed=10)
    tick_until(lambda: len(strip_files(job)) >= 3, 30)
    folder = job.folder
    api.cancel(job)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "copy.blend"), copy=True)
    assert job.folder == folder and job.record.folder.startswith("//understudy/shot/")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "new/shot.blend"))
    assert job.folder.resolve() == folder and job.record.folder.startswith("//../old/")
    for blend in ("new/shot.blend", "copy.blend"):
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / blend))
        (again,) = api.jobs()
        assert again.folder.resolve() == folder and len(again.finished) >= 3
        (strip,) = bpy.context.scene.sequence_editor.strips
        assert Path(bpy.path.abspath(strip.directory)).resolve() == folder
    api.resume(again)
    api.wait(again, 30)
    check_complete(again)


def test_a_moved_project_finds_its_frames(stage, tmp_path):
    from blender_addon import api

    (tmp_path / "old").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "old/shot.blend"))
    job = start(stage, seed=11)
    api.wait(job, 30)
    bpy.ops.wm.save_mainfile()
    (tmp_path / "old").rename(tmp_path / "moved")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "moved/shot.blend"))
    (strip,) = bpy.context.scene.sequence_editor.strips
    (again,) = api.jobs()
    assert Path(bpy.path.abspath(strip.directory)) == again.folder
    assert all(again.file_of(n).is_file() for n in again.numbers)


def test_a_file_that_cannot_be_opened_costs_no_job(stage, tmp_path):
    from blender_addon import api

    job = start(stage, seed=12)
    (tmp_path / "bad.blend").write_bytes(b"BLENDER-v405RENDjunk")
    with pytest.raises(RuntimeError):
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "bad.blend"))
    assert api.jobs() == [job]
    api.wait(job, 30)
    check_complete(job)


def test_a_prop_before_the_body_is_cut_out_of_what_is_sent(stage):
    """Blender's own render goes to the backend: a cube on the camera's axis hides a rectangle."""
    from blender_addon import api
    from blender_addon.render.passes import render_passes

    size, focal, half = (32, 48), 50 / 36 * 48, 0.15
    camera, body = stage.camera, stage.understudy.body
    camera.location, camera.rotation_euler = (0, -3, 0), (np.pi / 2, 0, 0)
    body.parent.animation_data_clear()
    body.parent.location.z = 0.3
    corners = [(x, y, z) for x in (-half, half) for y in (-half, half) for z in (-half, half)]
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh = bpy.data.meshes.new("Cube")
    mesh.from_pydata(corners, [], sides)
    cube = bpy.data.objects.new("Cube", mesh)
    for obj in (cube, bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "POINT"))):
        stage.collection.objects.link(obj)
    for frame, y in ((1, -1.0), (3, -2.0)):
        cube.location.y = y
        cube.keyframe_insert("location", frame=frame)
    job = api.render(stage, method="look", frames=(1, 3, 2), size=size)
    assert (job.record.source, set(job.record.channels)) == ("render", {"rgba", "mask"})
    api.wait(job, 60)
    assert strip_files(job) == ["000001.png", "000001.png", "000003.png"]
    whole = render_passes(stage, body, camera, 1, size).channels["mask"]
    x, y = np.meshgrid(np.arange(size[0]) + 0.5 - size[0] / 2, np.arange(size[1]) + 0.5 - size[1] / 2)
    off = np.maximum(abs(x), abs(y))
    for frame, distance in ((1, 2 - half), (3, 1 - half)):
        image = bpy.data.images.load(str(job.file_of(frame)), check_existing=False)
        mask, colour, alpha, _ = np.moveaxis(np.reshape(image.pixels, (size[1], size[0], 4))[::-1], -1, 0)
        inside, outside = (off < focal * half / distance - 1), (off > focal * half / distance + 1)
        assert (whole[inside] > 0).any() and not mask[inside].any() and not alpha[inside].any()
        assert (mask[outside] > 0.5).sum() > 50
        np.testing.assert_allclose(mask[outside], whole[outside], atol=1 / 16 + 0.01)
        np.testing.assert_allclose(mask, alpha, atol=0.01)
        assert (abs(colour[mask > 0.9] * 255 - 188) < 2).all()  # the plain body: no light, no view transform


def test_waiting_without_a_backend_ends_at_once(stage):
    from blender_addon import api

    job = start(stage, seed=13)
    api.disconnect()
    with pytest.raises(api.JobFailed, match="waits for a backend: Not connected"):
        api.wait(job, 60)
    assert job.state.active


def test_only_what_changed_is_made_again_in_a_new_take(stage, tmp_path):
    from blender_addon import api
    from blender_addon.scene.body_parts import armature_of

    first = start(stage, tmp_path / "log", seed=5)
    api.wait(first, 30)
    armature = armature_of(stage.understudy.body)
    armature.keyframe_insert("location", index=0, frame=5)
    armature.location.x = 1.0
    armature.keyframe_insert("location", index=0, frame=8)
    second = start(stage, tmp_path / "log", seed=5)
    api.wait(second, 30)
    assert second.spec.scene != first.spec.scene and second.take != first.take
    check_complete(second)
    assert made(tmp_path / "log") == collections.Counter({n: 2 if n > 5 else 1 for n in range(1, 9)})
    assert len(stage.sequence_editor.strips) == 1  # a version of the same shot, in the same strip


def test_a_take_shows_the_scene_as_it_was_when_it_was_started(stage, tmp_path):
    from blender_addon import api
    from blender_addon.scene.body_parts import armature_of

    job = start(stage, tmp_path / "log", delay=0.1, seed=6)
    tick_until(lambda: job.finished, 30)
    armature_of(stage.understudy.body).animation_data_clear()
    api.wait(job, 30)
    check_complete(job)


def test_a_failing_frame_ends_the_job_with_what_to_do(stage):
    from blender_addon import api

    job = start(stage, params={"fail_frame": 4}, seed=7)
    with pytest.raises(api.JobFailed, match=r"this frame cannot be made\. Leave it out\."):
        api.wait(job, 30)
    assert job.problem.code == "unstampable" and strip_files(job) == [f"{n:06d}.png" for n in (1, 2, 3)]


def test_a_body_that_vanishes_ends_its_job_alone(stage):
    from blender_addon import api

    job = start(stage, seed=8, frames=(1, 500, 1))
    from blender_addon.link.session import current

    current().pump.tick()
    bpy.data.objects.remove(stage.understudy.body)
    with pytest.raises(api.JobFailed, match="body of this take was deleted"):
        api.wait(job, 30)


def test_a_full_disk_is_said_and_resumed_from(stage, tmp_path, monkeypatch):
    from blender_addon import api
    from blender_addon.link import png

    def full(path, data, write=png.write_atomically):
        if path.name == "000003.png":
            raise OSError(28, "No space left on device")
        write(path, data)

    job = start(stage, seed=9)
    monkeypatch.setattr(png, "write_atomically", full)
    with pytest.raises(api.JobFailed, match=r"the disk is full\. Make room there, then resume"):
        api.wait(job, 30)
    monkeypatch.undo()
    api.resume(job)
    api.wait(job, 30)
    check_complete(job)


def test_an_operator_reports_one_line(stage, tmp_path):
    bad = tmp_path / "x.npz"
    bad.write_bytes(b"not a zip")
    with pytest.raises(RuntimeError) as caught:
        bpy.ops.understudy.import_motion(filepath=str(bad))
    lines = [line for line in str(caught.value).splitlines() if line.strip()]
    assert len(lines) == 1 and "Traceback" not in lines[0]
    assert not bpy.ops.understudy.make_texture.poll()
    with pytest.raises(RuntimeError, match="Fit the photo first"):
        bpy.ops.understudy.make_texture()


def test_keys_let_in_and_keep_out(scene, addon, tmp_path):
    """A server with keys, on loopback: the authorised client works, another is told what to do in one line."""
    from understudy_shared.protocol.security import make_keys

    from blender_addon import api
    from blender_addon.link.session import current

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    public = make_keys(tmp_path / "server", "server")
    for name in ("friend", "stranger"):
        make_keys(tmp_path / name, "client")
        (tmp_path / name / "server.pub").write_bytes(public.read_bytes())
    (tmp_path / "server/authorized/friend.pub").write_bytes((tmp_path / "friend/client.pub").read_bytes())
    server = Server(tmp_path, address, "--keys", str(tmp_path / "server"))
    try:
        api.connect(address, tmp_path / "friend")
        tick_until(lambda: current().pump.online, 60)
        api.create_body()
        bpy.context.scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
        job = start(bpy.context.scene, frames=(1, 2, 1))
        api.wait(job, 30)
        assert strip_files(job) == ["000001.png", "000002.png"]
        api.connect(address, tmp_path / "stranger")
        tick_until(lambda: "refused" in api.status(), 30)
        assert "client.pub" in api.status() and "\n" not in api.status() and not current().pump.online
        with pytest.raises(RuntimeError, match="no key in"):
            api.connect(address, tmp_path / "nobody")
    finally:
        server.stop()


def test_another_machine_needs_online_access(scene, addon):
    from blender_addon import api

    if bpy.app.online_access:
        pytest.skip("this Blender allows online access")
    with pytest.raises(RuntimeError, match="Allow Online Access"):
        api.connect("tcp://192.0.2.1:7707")


def test_a_local_backend_starts_stops_and_never_outlives_blender(scene, addon, tmp_path):
    from blender_addon import api
    from blender_addon.link.local_backend import BackendState
    from blender_addon.link.session import current

    session = current()
    with pytest.raises(RuntimeError, match="preferences"):
        api.start_local_backend("")
    with pytest.raises(RuntimeError, match="no Python"):
        api.start_local_backend("/nowhere/python")
    begun = time.monotonic()
    session.start_backend(PYTHON, tmp_path / "data", arguments=("--no-catalogue",))
    assert time.monotonic() - begun < 0.5  # does not wait
    tick_until(lambda: session.backend.state is BackendState.RUNNING, 60)
    pid = session.backend.pid
    os.kill(pid, signal.SIGKILL)
    tick_until(lambda: session.backend.state is BackendState.DIED, 30)
    tick_until(lambda: not session.pump.online, 30)
    assert "has ended" in api.status() and str(session.backend.log_file) in api.status()
    assert session.lost
    relative = os.path.relpath(PYTHON)  # as it may be typed
    session.start_backend(relative, Path(os.path.relpath(tmp_path / "data")), arguments=("--no-catalogue",))
    tick_until(lambda: session.backend.state is BackendState.RUNNING and session.pump.online, 60)
    assert not session.lost and not (tmp_path / "data/data").exists()
    pid = session.backend.pid
    assert bpy.ops.understudy.stop_local_backend() == {"FINISHED"}
    tick_until(lambda: session.backend.state is BackendState.STOPPED, 20)
    assert gone(pid) and session.pump.link is None


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_killed_blender_takes_its_backend_along(tmp_path):
    address = f"ipc://{tmp_path}/s" if os.name == "posix" else "tcp://127.0.0.1:7798"
    script = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from blender_addon.link.local_backend import LocalBackend
backend = LocalBackend(Path({str(tmp_path)!r}) / "log")
backend.start({PYTHON!r}, Path({str(tmp_path)!r}) / "data", {address!r}, ("--no-catalogue",))
print(backend.pid, flush=True)
time.sleep(60)
"""
    blender = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    pid = int(blender.stdout.readline())
    end = time.monotonic() + 40
    while "serves at" not in (tmp_path / "log").read_text() and time.monotonic() < end:
        time.sleep(0.05)
    assert not gone(pid)
    blender.kill()
    blender.wait()
    blender.stdout.close()
    while not gone(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert gone(pid)
