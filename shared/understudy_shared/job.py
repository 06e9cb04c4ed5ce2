"""A job is a value: what to make, from what. Its id is the hash of that value, so that asking twice is asking once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from .frames import Frame


class FrameRange(msgspec.Struct, frozen=True):
    """Frame numbers from `start` to `end`, both included, every `step`."""

    start: int
    end: int
    step: int = 1

    def __post_init__(self) -> None:
        if self.step < 1 or self.end < self.start:
            raise ValueError("a frame range needs start <= end and a step of at least 1")

    def numbers(self) -> range:
        """The frame numbers, in order."""
        return range(self.start, self.end + 1, self.step)


class JobSpec(msgspec.Struct, frozen=True):
    """Everything that a result depends on, save the per-frame conditions that travel with the frames."""

    method: str
    """Name of the method, as the backend describes it."""
    frames: FrameRange
    """Which frames to make. A method that gives no frames (a texture, a fit) uses 0..0."""
    size: tuple[int, int]
    """(width, height) of the result in pixels."""
    seed: int = 0
    params: dict[str, str | int | float | bool] = {}
    """The method's parameters; those left out take their defaults. A frame is the same however they were given, but
    the job's id tells whether a default was spelled out."""
    inputs: dict[str, str] = {}
    """Name of each input (photo, texture, ...) to its `array_digest`."""
    owner: str = ""
    """Who may see, resume and cancel it."""
    scene: str = ""
    """`scene_digest` of the conditions, where the client knows all of them beforehand: another scene is another job,
    which shares with this one the frames that did not change. Empty where they are not known."""

    @property
    def id(self) -> str:
        """32 hexadecimal digits. The same value has the same id on every machine."""
        return digest(msgspec.to_builtins(self))[:32]


def digest(value: Any) -> str:
    """SHA-256 of a value of plain types, independent of the order of its keys."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


def array_digest(array: NDArray) -> str:
    """SHA-256 of an array's type, shape and bytes (C order, little endian), hexadecimal."""
    array = np.require(array, dtype=array.dtype.newbyteorder("<"), requirements="C")
    state = hashlib.sha256(array_preamble(array.dtype.name, array.shape))
    state.update(array.reshape(-1).view(np.uint8).data)
    return state.hexdigest()


def array_preamble(dtype: str, shape: tuple[int, ...]) -> bytes:
    """What `array_digest` hashes before the bytes, for those who hash an array piece by piece."""
    return f"{dtype} {' '.join(map(str, shape))}\n".encode()


def frame_digest(frame: Frame) -> str:
    """SHA-256 of the channels of a frame, without its number: of the conditions that a method would be given."""
    return conditions_digest({str(channel): array for channel, array in frame.channels.items()})


def conditions_digest(arrays: Mapping[str, NDArray]) -> str:
    """`frame_digest` for channels by name."""
    return digest({name: array_digest(array) for name, array in arrays.items()})


def scene_digest(conditions: Mapping[int, str]) -> str:
    """SHA-256 of the `frame_digest` of each frame number."""
    return digest({str(number): value for number, value in conditions.items()})


def with_inputs(spec: JobSpec, inputs: Mapping[str, NDArray], owner: str) -> JobSpec:
    """The spec with the digests of these inputs and this owner: the value whose id the backend will know."""
    digests = {**spec.inputs, **{name: array_digest(array) for name, array in inputs.items()}}
    return msgspec.structs.replace(spec, inputs=digests, owner=owner)
