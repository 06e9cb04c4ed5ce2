"""Methods for the tests of the render engine: pictures of every colour and alpha, that depend on all they are given."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np
from understudy_backend.methods.contract import MethodError, Result, Task
from understudy_shared.frames import Channel, Frame
from understudy_shared.protocol.description import MethodDescription, NeedDescription, ParamDescription

GEOMETRY = (Channel.VERTICES, Channel.EXTRINSICS, Channel.INTRINSICS)


class GrainParams(msgspec.Struct, frozen=True):
    log: str = ""
    delay: float = 0.0
    fail_frame: int = -1


PARAMS = (
    ParamDescription("log", "text", "log", "file of the frames made", ""),
    ParamDescription("delay", "float", "delay", "seconds a frame", 0.0),
    ParamDescription("fail_frame", "int", "fail_frame", "frame that fails", -1),
)
NEEDS = (
    NeedDescription("texture", False, "the texture"),
    NeedDescription(Channel.RGBA, True, "a picture", optional=True),
    *(NeedDescription(channel, True, "body", optional=True) for channel in GEOMETRY),
)


def grain(width: int, height: int, *seeds: object) -> np.ndarray:
    """Noise of every value, of every alpha, with colour where alpha is 0, too."""
    state = hashlib.sha256()
    for seed in seeds:
        state.update(seed.tobytes() if isinstance(seed, np.ndarray) else repr(seed).encode())
    return np.random.default_rng(list(state.digest())).integers(0, 256, (height, width, 4), dtype=np.uint8)


class Grain:
    """Noise that is another one for each body, camera, texture and seed."""

    params_type = GrainParams
    description = MethodDescription(
        name="grain",
        title="Grain",
        help="for tests",
        paper="",
        params=PARAMS,
        needs=NEEDS,
        gives=("rgba",),
    )

    def load(self, device: str) -> None:
        pass

    def unload(self) -> None:
        pass

    def run(self, task: Task, frames: Iterable[Frame]) -> Iterator[Result]:
        for frame in frames:
            yield self.make(task, frame, frame.index)

    def make(self, task: Task, frame: Frame, *more: object) -> Result:
        params = task.params
        assert isinstance(params, GrainParams)
        if frame.index == params.fail_frame:
            raise MethodError("this frame cannot be made", code="unmakeable", fix="Leave it out.")
        if params.log:
            with Path(params.log).open("a") as log:
                log.write(f"{frame.index}\n")
        time.sleep(params.delay)
        task.progress(0.5, "graining")
        channels = [frame.channels[name] for name in sorted(frame.channels)]
        return Result(
            frame.index,
            {"rgba": grain(*task.spec.size, task.spec.seed, task.inputs["texture"], *channels, *more)},
        )


class Chain(Grain):
    """As Grain, but each frame depends on which others there are."""

    description = msgspec.structs.replace(Grain.description, name="chain", title="Chain", independent_frames=False)

    def run(self, task: Task, frames: Iterable[Frame]) -> Iterator[Result]:
        given = list(frames)
        for frame in given:
            yield self.make(task, frame, [other.index for other in given])
