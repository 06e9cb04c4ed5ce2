"""Fixtures for tests that run inside `bpy` (4.5, 5.0 or 5.2). The extension is imported from the source tree."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import nullcontext
from itertools import count
from pathlib import Path

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT, Path(__file__).parent):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from backend_stage import addon, server, stage  # noqa: E402, F401 - fixtures


@pytest.fixture
def scene():
    """An empty scene of 24 frames per second in a fresh file."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    return scene


@pytest.fixture
def shot(scene):
    """The scene with the extension's settings, but without its operators and threads."""
    from blender_addon import properties

    for cls in properties.CLASSES:
        bpy.utils.register_class(cls)
    properties.attach()
    yield scene
    bpy.ops.wm.read_factory_settings(use_empty=True)
    properties.detach()
    for cls in reversed(properties.CLASSES):
        bpy.utils.unregister_class(cls)


@pytest.fixture
def busy():
    """Threads that run Python all the time, and make the same text that Blender looks for in a context."""
    yield from _at_work(lambda turn: None)


@pytest.fixture
def ours_busy():
    """As `busy`, but threads of ours: they can be held."""
    from understudy_shared.standstill import threads

    def rest(turn):
        if turn % 20 == 0:
            with threads.wait():
                time.sleep(1e-4)

    yield from _at_work(rest, threads.work)


def _at_work(rest, working=nullcontext):
    done = threading.Event()

    def work():
        with working():
            for turn in count():
                if done.is_set():
                    return
                _ = {f"{k}scene": object() for k in range(200)}
                rest(turn)

    running = [threading.Thread(target=work) for _ in range(2)]
    for thread in running:
        thread.start()
    yield
    done.set()
    for thread in running:
        thread.join()


@pytest.fixture(scope="session")
def model():
    from understudy_shared.body import free_body

    return free_body()


@pytest.fixture(scope="session")
def betas(model):
    """A shape that is clearly not the mean one."""
    return np.linspace(-1, 1, model.num_betas).astype(np.float32)


@pytest.fixture(scope="session")
def wave(model):
    """A CMU clip in which a person waves and points."""
    from understudy_shared.formats.detect import load_motion

    return load_motion(ROOT / "packaging/demo/samples/motions/cmu_13_26_wave_point.npz", model)
