"""A real server, and a scene in Blender that is connected to it: fixtures and helpers for the tests of the way there.

The server runs in its own environment, because Blender's has no torch: its interpreter is UNDERSTUDY_BACKEND_PYTHON, or
`.venv` in the source tree.
"""

from __future__ import annotations

import collections
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

ROOT = Path(__file__).resolve().parents[2]
_own = ROOT / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
PYTHON = os.environ.get("UNDERSTUDY_BACKEND_PYTHON") or (str(_own) if _own.exists() else "")
needs_backend = pytest.mark.skipif(
    not PYTHON, reason="no backend to test against: set UNDERSTUDY_BACKEND_PYTHON to an interpreter that has it"
)
in_one_blender = pytest.mark.skipif(
    bpy.app.version[:2] != (5, 0), reason="long work of the backend's, the same whichever Blender asks: 5.0 does"
)
PHOTO = np.full((4, 4, 4), 77, np.uint8)


class Server:
    """`understudy serve` as a user would start it, with the test's methods, and the catalogue's if asked."""

    def __init__(self, folder: Path, address: str = "", *more: str, catalogue: bool = False) -> None:
        self.folder, self.more = folder, (*more, *(() if catalogue else ("--no-catalogue",)))
        self.address = address or (f"ipc://{folder}/s" if os.name == "posix" else "tcp://127.0.0.1:7799")
        self.process: subprocess.Popen | None = None
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests/blender/backend_methods"), "OMP_NUM_THREADS": "1"}
        environment.pop("PYTHONHOME", None)
        arguments = ["serve", "--address", self.address, "--data", str(self.folder / "data"), "--with-parent"]
        arguments += self.more
        for name in ("Stamp", "Look", "Follow", "Pour"):
            arguments += ["--method", f"understudy_test_methods:{name}"]
        self.process = subprocess.Popen(
            [PYTHON, "-m", "understudy_backend.cli", *arguments],
            stdin=subprocess.PIPE,
            stdout=(self.folder / "log").open("ab"),
            stderr=subprocess.STDOUT,
            env=environment,
        )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()

    def stop(self) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdin.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("s"))
    yield server
    server.stop()
    print((server.folder / "log").read_text()[-3000:])


@pytest.fixture
def addon(tmp_path, monkeypatch):
    import blender_addon
    from blender_addon.link import folders

    def user_folder(path: str = "") -> Path:
        folder = tmp_path / "user" / path
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    monkeypatch.setattr(folders, "user_folder", user_folder)
    blender_addon.register()
    yield blender_addon
    blender_addon.unregister()


@pytest.fixture
def stage(scene, addon, server):
    """A body that rises by 10 cm a frame, a camera, and a connection."""
    from blender_addon import api
    from blender_addon.link.session import current
    from blender_addon.scene.body_parts import armature_of

    scene = bpy.context.scene
    body = api.create_body(scene)
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    scene.frame_start, scene.frame_end = 1, 8
    armature = armature_of(body)
    rise(armature)
    api.connect(server.address)
    tick_until(lambda: current().pump.online, 60)
    return scene


def rise(armature, first=0.0) -> None:
    for frame in (0, 100):
        armature.location.z = first + frame * 0.1
        armature.keyframe_insert("location", index=2, frame=frame)
    from blender_addon.scene import compat

    for curve in compat.fcurves(armature):
        for key in curve.keyframe_points:
            key.interpolation = "LINEAR"


def tick_until(condition, seconds: float) -> None:
    from blender_addon.link.session import current

    end = time.monotonic() + seconds
    while not condition():
        current().pump.tick()
        assert time.monotonic() < end, current().pump.status
        time.sleep(0.002)


def start(scene, log: Path | None = None, **options):
    from blender_addon import api

    params = {"delay": options.pop("delay", 0.0), **options.pop("params", {})}
    if log is not None:
        params["log"] = str(log)
    options.setdefault("size", (16, 8))
    return api.render(scene, method="stamp", inputs={"photo": PHOTO}, params=params, **options)


def made(log: Path) -> collections.Counter:
    return collections.Counter(int(line) for line in log.read_text().split()) if log.exists() else collections.Counter()


def pixel(path: Path) -> list[int]:
    image = bpy.data.images.load(str(path), check_existing=False)
    values = [round(v * 255) for v in image.pixels[:4]]
    bpy.data.images.remove(image)
    return values


def strip_files(job) -> list[str]:
    from blender_addon.timeline import strip

    found = strip.find(bpy.context.scene, job.take)
    return [element.filename for element in found.elements] if found else []


def check_complete(job) -> None:
    """Every frame once, in order, and each shows its own frame of the scene."""
    assert strip_files(job) == [f"{n:06d}.png" for n in job.numbers]
    top = None
    for n in job.numbers:
        red, green, blue, alpha = pixel(job.file_of(n))
        assert (red, blue, alpha) == (n, 77, 255)
        top = green if top is None else top
        assert (green - top) % 256 in {(round(10 * (n - job.numbers[0])) + d) % 256 for d in (-1, 0, 1)}
    assert not (job.folder / "conditions").exists()


def write_movie(scene, path: Path, size: tuple[int, int], rate: int) -> Path:
    """Renders the first 8 frames of a scene's sequencer without loss, removes the scene, and returns the file."""
    from blender_addon.scene.compat import set_file_format

    scene.view_settings.view_transform = "Standard"
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage, render.fps = *size, 100, rate
    scene.frame_start, scene.frame_end = 1, 8
    set_file_format(render.image_settings, "FFMPEG")
    render.ffmpeg.format, render.ffmpeg.codec, render.ffmpeg.constant_rate_factor = "MPEG4", "H264", "LOSSLESS"
    render.filepath = str(path)
    bpy.ops.render.render(animation=True, scene=scene.name)
    bpy.data.scenes.remove(scene)
    return path
