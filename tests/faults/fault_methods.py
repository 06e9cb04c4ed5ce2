"""Small, exact, and as badly behaved as they are told: the methods of the fault tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
from understudy_backend.methods.contract import MethodError, Result, Task
from understudy_shared.frames import Frame
from understudy_shared.protocol.description import MethodDescription, NeedDescription, ParamDescription


class PaintParams(msgspec.Struct, frozen=True):
    gain: float = 1.0
    batch: int = 1
    delay: float = 0.0
    log: str = ""
    kill_once: str = ""
    kill_frame: int = -1
    stubborn: bool = False
    fail_frame: int = -1
    hoard: int = 0


def _param(name, kind, default, **more):
    return ParamDescription(name=name, kind=kind, label=name, help=name, default=default, **more)


class Paint:
    """rgba = condition * gain + first pixel of the photo + frame number + seed (modulo 256)."""

    params_type = PaintParams
    description = MethodDescription(
        name="paint",
        title="Paint",
        help="for tests",
        paper="",
        params=(
            _param("gain", "float", 1.0, minimum=0.0, maximum=4.0),
            _param("batch", "int", 1, minimum=1, maximum=64),
            _param("delay", "float", 0.0),
            _param("log", "text", ""),
            _param("kill_once", "text", ""),
            _param("kill_frame", "int", -1),
            _param("stubborn", "bool", False),
            _param("fail_frame", "int", -1),
            _param("hoard", "int", 0),
        ),
        needs=(NeedDescription("photo", False, "a photo"), NeedDescription("rgba", True, "the body")),
        gives=("rgba",),
    )

    def load(self, device):
        pass

    def unload(self):
        pass

    def run(self, task: Task, frames: Iterable[Frame]) -> Iterator[Result]:
        params = task.params
        assert isinstance(params, PaintParams)
        pending = iter(frames)
        while batch := list(islice(pending, params.batch)):
            for frame in batch:
                self._misbehave(params, frame.index)
            for step in range(10):
                time.sleep(params.delay * len(batch) / 10)
                if not params.stubborn:
                    task.progress(step / 10, "painting")
            for frame in batch:
                if params.log:
                    with Path(params.log).open("a") as log:
                        log.write(f"{frame.index}\n")
                yield Result(frame.index, {"rgba": painted(frame, task.inputs["photo"], params.gain, task.spec.seed)})

    def _misbehave(self, params: PaintParams, index: int) -> None:
        if params.fail_frame == index:
            raise MethodError("this frame cannot be painted", code="unpaintable", fix="leave it out")
        if params.kill_frame == index:
            os.kill(os.getpid(), signal.SIGKILL)
        if params.kill_once and not Path(params.kill_once).exists() and index >= 3:
            Path(params.kill_once).touch()
            os.kill(os.getpid(), signal.SIGKILL)


def painted(frame: Frame, photo: np.ndarray, gain: float, seed: int) -> np.ndarray:
    """What the method must give, also computed by the tests."""
    body = frame.channels["rgba"].astype(np.float64) * gain  # type: ignore[index]
    return ((body + float(photo.reshape(-1)[0]) + frame.index + seed) % 256).astype(np.uint8)


class Still:
    """Needs nothing; gives one array that its seed determines."""

    class Params(msgspec.Struct, frozen=True):
        pass

    params_type = Params
    description = MethodDescription("still", "Still", "for tests", "", (), (), ("texture",))

    def load(self, device):
        pass

    def unload(self):
        pass

    def run(self, task: Task, frames: Iterable[Frame]) -> Iterator[Result]:
        for frame in frames:
            task.progress(0.5, "half")
            texture = np.random.default_rng(task.spec.seed).integers(0, 255, (8, 8, 4), np.uint8)
            yield Result(frame.index, {"texture": texture}, {"note": "made"})


class Chain:
    """A clip: every frame is the sum of all frames' first pixels, kept in the job's folder as they come."""

    class Params(msgspec.Struct, frozen=True):
        kill_once: str = ""
        log: str = ""

    params_type = Params
    description = MethodDescription(
        name="chain",
        title="Chain",
        help="for tests",
        paper="",
        params=(_param("kill_once", "text", ""), _param("log", "text", "")),
        needs=(NeedDescription("rgba", True, "the body"),),
        gives=("rgba",),
        independent_frames=False,
    )

    def load(self, device):
        pass

    def unload(self):
        pass

    def run(self, task: Task, frames: Iterable[Frame]) -> Iterator[Result]:
        assert isinstance(task.params, self.Params) and task.folder is not None
        task.folder.mkdir(exist_ok=True)
        given = []
        for frame in frames:
            given.append(frame.index)
            (task.folder / str(frame.index)).write_text(str(int(frame.channels["rgba"][0, 0, 1])))  # type: ignore[index]
        if task.params.log:
            with Path(task.params.log).open("a") as log:
                log.write(" ".join(map(str, given)) + "\n")
        kept = {int(path.name): int(path.read_text()) for path in task.folder.iterdir()}
        assert sorted(kept) == list(task.spec.frames.numbers())
        for index in given[:2]:
            task.preview(index, np.full((2, 2, 4), 9, np.uint8))
        for number, index in enumerate(given):
            if task.params.kill_once and number == 2 and not Path(task.params.kill_once).exists():
                Path(task.params.kill_once).touch()
                time.sleep(0.3)  # what was made before is on its way
                os.kill(os.getpid(), signal.SIGKILL)
            task.progress(number / len(given), "chaining")
            yield Result(index, {"rgba": np.full((2, 2, 4), (sum(kept.values()) + index) % 256, np.uint8)})


class Missing:
    """Cannot be made: something it needs is not installed."""

    def __init__(self) -> None:
        raise ImportError("no module named 'nowhere'")
