"""Methods that the backend of the Blender tests offers: quick, and with results that the tests can work out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import numpy as np
from understudy_backend.methods.contract import MethodError, Result, Task
from understudy_shared.frames import Channel, Frame
from understudy_shared.protocol.description import MethodDescription, NeedDescription, ParamDescription


class StampParams(msgspec.Struct, frozen=True):
    delay: float = 0.0
    log: str = ""
    fail_frame: int = -1


class Stamp:
    """One colour per frame: red is the frame number, green the highest vertex in cm, blue the photo's first value."""

    params_type = StampParams
    description = MethodDescription(
        name="stamp",
        title="Stamp",
        help="for tests",
        paper="",
        params=(
            ParamDescription("delay", "float", "delay", "seconds a frame", 0.0),
            ParamDescription("log", "text", "log", "file of the frames made", ""),
            ParamDescription("fail_frame", "int", "fail_frame", "frame that fails", -1),
        ),
        needs=(
            NeedDescription("photo", False, "a photo"),
            *(NeedDescription(c, True, "body") for c in (Channel.VERTICES, Channel.EXTRINSICS, Channel.INTRINSICS)),
        ),
        gives=("rgba",),
    )

    def load(self, device: str) -> None:
        pass

    def unload(self) -> None:
        pass

    def run(self, task: Task, frames: Iterable[Frame]) -> Iterator[Result]:
        params = task.params
        assert isinstance(params, StampParams)
        width, height = task.spec.size
        for frame in frames:
            if frame.index == params.fail_frame:
                raise MethodError("this frame cannot be made", code="unstampable", fix="Leave it out.")
            time.sleep(params.delay)
            task.progress(0.5, "stamping")
            if params.log:
                with Path(params.log).open("a") as log:
                    log.write(f"{frame.index}\n")
            image = np.zeros((height, width, 4), np.uint8)
            highest = float(frame.channels[Channel.VERTICES][:, 2].max())
            image[:] = (frame.index, round(highest * 100) % 256, int(task.inputs["photo"].reshape(-1)[0]), 255)
            yield Result(frame.index, {"rgba": image})


class LookParams(msgspec.Struct, frozen=True):
    pass


class Look:
    """Shows what Blender's own render sent: red is the mask, green the colour's red, blue its alpha."""

    params_type = LookParams
    description = MethodDescription(
        name="look",
        title="Look",
        help="for tests",
        paper="",
        params=(),
        needs=(
            NeedDescription(Channel.RGBA, True, "picture", optional=True),
            NeedDescription(Channel.MASK, True, "where the body is", optional=True),
            NeedDescription(Channel.VERTICES, True, "body", optional=True),
        ),
        gives=("rgba",),
    )

    def load(self, device: str) -> None:
        pass

    def unload(self) -> None:
        pass

    def run(self, task: Task, frames: Iterable[Frame]) -> Iterator[Result]:
        for frame in frames:
            if set(frame.channels) != {Channel.RGBA, Channel.MASK}:
                raise MethodError(f"there came {sorted(frame.channels)}", code="channels", fix="Send the picture.")
            rgba, mask = frame.channels[Channel.RGBA], frame.channels[Channel.MASK]
            image = np.full_like(rgba, 255)
            image[..., 0], image[..., 1] = np.rint(mask * 255), rgba[..., 0]
            image[..., 2] = rgba[..., 3]
            yield Result(frame.index, {"rgba": image})


class Follow:
    """How far a picture is from the reference, in every channel."""

    params_type = LookParams
    description = MethodDescription(
        name="follow",
        title="Follow",
        help="for tests",
        paper="",
        params=(),
        needs=(
            NeedDescription("reference", False, "the first picture", optional=True),
            NeedDescription(Channel.RGBA, True, "picture"),
        ),
        gives=("rgba",),
    )

    def load(self, device: str) -> None:
        pass

    def unload(self) -> None:
        pass

    def run(self, task: Task, frames: Iterable[Frame]) -> Iterator[Result]:
        for frame in frames:
            away = frame.channels[Channel.RGBA].astype(int) - task.inputs["reference"]
            yield Result(frame.index, {"rgba": np.abs(away).astype(np.uint8)})


class PourParams(msgspec.Struct, frozen=True):
    fps: float = 30.0


class Pour:
    """Frames at a steady pace, each of one colour: red and green are the frame number."""

    params_type = PourParams
    description = MethodDescription(
        name="pour",
        title="Pour",
        help="for tests",
        paper="",
        params=(ParamDescription("fps", "float", "fps", "frames per second", 30.0),),
        needs=tuple(
            NeedDescription(c, True, "body") for c in (Channel.VERTICES, Channel.EXTRINSICS, Channel.INTRINSICS)
        ),
        gives=("rgba",),
    )

    def load(self, device: str) -> None:
        pass

    def unload(self) -> None:
        pass

    def run(self, task: Task, frames: Iterable[Frame]) -> Iterator[Result]:
        params = task.params
        assert isinstance(params, PourParams)
        width, height = task.spec.size
        due = time.monotonic()
        for frame in frames:
            image = np.empty((height, width, 4), np.uint8)
            image[:] = (frame.index % 256, frame.index // 256, 0, 255)
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + 1 / params.fps, time.monotonic() - 1 / params.fps)
            yield Result(frame.index, {"rgba": image})
