"""`blender --command understudy render` as a farm runs it: a process, a real backend, files and exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
BLENDER = Path(os.environ.get("UNDERSTUDY_BLENDER_PYTHON", ROOT / ".venv-blender-5.0/bin/python"))
METHODS = ROOT / "tests/blender/backend_methods"

pytestmark = [
    pytest.mark.skipif(not BLENDER.exists(), reason="no Python with bpy: `make test` makes one"),
    pytest.mark.skipif(os.name != "posix", reason="signals and sockets of POSIX"),
    pytest.mark.timeout(300),
]

# The wheel of Blender has no command line of its own: this is what Blender does with `--command understudy`.
COMMAND = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import bpy, blender_addon
from blender_addon import commands
blender_addon.register()
code = commands.run(sys.argv[1:])
blender_addon.unregister()
sys.exit(code)
"""

MAKE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import bpy, blender_addon
from math import pi
bpy.ops.wm.read_factory_settings(use_empty=True)
blender_addon.register()
from blender_addon import api
from blender_addon.scene.body_parts import armature_of
scene = bpy.context.scene
armature = armature_of(api.create_body(scene))
for frame in (1, 12):
    armature.location.z = frame * 0.05
    armature.keyframe_insert("location", index=2, frame=frame)
camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
scene.collection.objects.link(camera)
camera.location, camera.rotation_euler = (0, -4, 1), (pi / 2, 0, 0)
scene.camera = camera
scene.frame_start, scene.frame_end = 1, 12
scene.understudy.method = "grain"
scene.understudy.width, scene.understudy.height = 40, 32
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1])
blender_addon.unregister()
"""

TAKE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import bpy, blender_addon
blender_addon.register()
from blender_addon import api
bpy.ops.wm.open_mainfile(filepath=sys.argv[1])
api.connect(sys.argv[2])
from blender_addon.link.session import current
while not current().pump.online:
    current().pump.tick()
job = api.wait(api.render(bpy.context.scene, method="grain"), 120)
print("@" + str(job.folder))
blender_addon.unregister()
"""


@dataclass
class Farm:
    """A .blend, a backend, and how to call the command."""

    blend: Path
    address: str
    environment: dict[str, str]

    def arguments(self, *arguments: str) -> list[str]:
        return [str(BLENDER), "-c", COMMAND, "render", str(self.blend), "--backend", self.address, *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.arguments(*arguments), capture_output=True, text=True, check=False, env=self.environment
        )


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    folder = tmp_path_factory.mktemp("farm")
    # A home of its own: nothing of the user's Blender counts, and nothing is written to it.
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(folder / "user"), "OMP_NUM_THREADS": "1"}
    blend, address = folder / "shot.blend", f"ipc://{folder}/s"
    subprocess.run([str(BLENDER), "-c", MAKE, str(blend)], check=True, capture_output=True, env=environment)
    serve = [sys.executable, "-m", "understudy_backend.cli", "serve", "--address", address, "--with-parent"]
    serve += ["--data", str(folder / "data"), "--no-catalogue", "--method", "understudy_engine_methods:Grain"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            serve,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**environment, "PYTHONPATH": str(METHODS)},
        )
    yield Farm(blend, address, environment)
    server.terminate()
    server.communicate(timeout=20)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_frames_are_a_take_s_and_those_that_are_there_are_left(farm: Farm, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = farm.run("--out", str(out), "--frames", "2-10/2")
    assert done.returncode == 0, done.stderr
    assert names(out) == [f"{n:06d}.png" for n in (2, 4, 6, 8, 10)]
    assert "frame 10 is done (5 of 5)" in done.stdout and "5 frames were made" in done.stdout
    take = subprocess.run(
        [str(BLENDER), "-c", TAKE, str(farm.blend), farm.address],
        capture_output=True,
        text=True,
        check=True,
        env=farm.environment,
    )
    folder = Path(take.stdout.split("@")[1].splitlines()[0])
    for name in names(out):
        ours, theirs = (np.asarray(Image.open(where / name)) for where in (out, folder))
        assert ours.shape == (32, 40, 4)
        assert np.array_equal(ours, theirs)
    (out / "000004.png").unlink()
    (out / "000006.png").write_bytes(b"mine")
    log = tmp_path / "log"
    again = farm.run("--out", str(out), "--frames", "2-10/2", "--set", f"log={log}")
    assert again.returncode == 0 and "1 frames were made" in again.stdout
    assert log.read_text().split() == ["4"] and (out / "000006.png").read_bytes() == b"mine"
    nothing = farm.run("--out", str(out), "--frames", "2-10/2")
    assert nothing.returncode == 0 and "all frames are there already" in nothing.stdout
    anew = farm.run("--out", str(out), "--frames", "6", "--overwrite", "--size", "24x16", "--seed", "3")
    assert anew.returncode == 0 and Image.open(out / "000006.png").size == (24, 16)


def test_a_frame_that_fails(farm: Farm, tmp_path: Path) -> None:
    done = farm.run("--out", str(tmp_path / "out"), "--set", "fail_frame=5")
    assert done.returncode == 4
    assert "this frame cannot be made. Leave it out." in done.stderr and "Traceback" not in done.stderr
    assert "000005.png" not in names(tmp_path / "out")
    wrong = farm.run("--out", str(tmp_path / "out"), "--set", "fail_frame=soon")
    assert wrong.returncode == 2 and "a whole number" in wrong.stderr


def test_a_local_backend_is_started_and_ends_with_the_command(farm: Farm, tmp_path: Path) -> None:
    command = [str(BLENDER), "-c", COMMAND, "render", str(farm.blend), "--out", str(tmp_path / "out")]
    command += ["--python", sys.executable, "--method", "nothing"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=farm.environment)
    assert done.returncode == 2
    assert 'no method "nothing", but' in done.stderr and "threedhm" in done.stderr  # it has told what it can do
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(Path(farm.environment["BLENDER_USER_RESOURCES"])) not in running


def test_interrupted_and_gone_on_with(farm: Farm, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    command = farm.arguments("--out", str(out), "--set", "delay=0.4", "--set", f"log={log}")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=farm.environment)
    end = time.monotonic() + 60
    while not (out / "000002.png").exists():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and "goes on where it stopped" in said and "Traceback" not in said
    there = names(out)
    assert 2 <= len(there) < 12 and all(Image.open(out / name).size == (40, 32) for name in there)
    made = len(log.read_text().split())
    time.sleep(1.5)
    assert len(log.read_text().split()) <= made + 1  # the backend has stopped, too
    rest = farm.run("--out", str(out), "--set", "delay=0.4", "--set", f"log={log}")
    assert rest.returncode == 0 and len(names(out)) == 12
    numbers = sorted(map(int, log.read_text().split()))
    assert numbers[0] == 1 and set(numbers) == set(range(1, 13)) and len(numbers) <= 14
