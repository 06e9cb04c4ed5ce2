"""Whether a job, or a frame's conditions, can be what they say: before anything is stored or computed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from understudy_shared.frames import DTYPES, Channel
from understudy_shared.job import JobSpec
from understudy_shared.protocol.description import MethodDescription, ParamDescription
from understudy_shared.protocol.messages import MAX_FRAMES
from understudy_shared.protocol.wire import Limits

MAX_SIDE = 16384
"""Pixels."""
MAX_PIXELS = Limits().part_bytes // 16
"""An RGBA picture in float32 must fit into one part of a message."""

_PIXEL = {Channel.RGBA: (4,), Channel.DEPTH: (), Channel.NORMAL: (3,), Channel.UV: (2,), Channel.MASK: ()}
"""Channels that are images of the job's size, and the shape of one pixel."""

_MATRIX = {Channel.EXTRINSICS: (4, 4), Channel.INTRINSICS: (3, 3)}


class Refused(ValueError):
    """Something a client asked for cannot be. One sentence for the artist, and what to do."""

    def __init__(self, code: str, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.code, self.fix = code, fix


def find_method(methods: Mapping[str, MethodDescription], name: str) -> MethodDescription:
    """Raises Refused if the backend has no method of that name."""
    if name not in methods:
        raise Refused(
            "unknown_method",
            f"this backend has no method {name[:60]!r}",
            f"choose one of {', '.join(sorted(methods)) or '(none could be loaded: see `understudy status`)'}",
        )
    return methods[name]


def check_spec(spec: JobSpec, method: MethodDescription) -> None:
    """Raises Refused if the job's size, range, parameters or inputs do not fit the method."""
    width, height = spec.size
    multiple = method.size_multiple
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE) or width % multiple or height % multiple:
        raise Refused("bad_size", f"{width}x{height} is no size for {method.title}", f"use multiples of {multiple}")
    if width * height > MAX_PIXELS:
        raise Refused(
            "bad_size", f"{width}x{height} is too large", f"use at most {MAX_PIXELS / 1e6:.0f} million pixels"
        )
    if not 0 <= spec.seed < 1 << 63:
        raise Refused("bad_seed", "the seed is no number that a random generator takes", "use 0 or a number above")
    # Reckoned, not counted: Python cannot tell the length of a range beyond 64 bits.
    if (spec.frames.end - spec.frames.start) // spec.frames.step >= MAX_FRAMES:
        raise Refused("bad_frames", f"a job has at most {MAX_FRAMES} frames", "split the range")
    known = {param.name: param for param in method.params}
    for name, value in spec.params.items():
        if name not in known:
            fix = f"it has {', '.join(known) or 'none'}"
            raise Refused("bad_params", f"{method.title} has no parameter {name[:60]!r}", fix)
        _check_param(known[name], value)
    _check_inputs(spec, method)


def check_conditions(spec: JobSpec, arrays: Mapping[str, NDArray], *, any_size: bool = False) -> None:
    """Raises Refused if a frame holds what is no channel, or a channel of another type or size than it must have.

    Args:
        spec: the job's.
        arrays: channels by name.
        any_size: pictures need not have the job's size.
    """
    width, height = spec.size
    for name, array in arrays.items():
        try:
            channel = Channel(name)
        except ValueError:
            raise Refused("bad_frame", f"{name[:40]!r} is not a channel of a frame") from None
        if array.dtype.name not in DTYPES[channel]:
            fix = f"send {' or '.join(DTYPES[channel])}"
            raise Refused("bad_frame", f"the channel {name} cannot be {array.dtype.name}", fix)
        if channel in _PIXEL:
            own = any_size and array.ndim >= 2 and array.size > 0 and max(array.shape[:2]) <= MAX_SIDE
            expected = (*(array.shape[:2] if own else (height, width)), *_PIXEL[channel])
        else:
            expected = _MATRIX.get(channel, (len(array) if array.ndim else 0, 3))
        if array.shape != expected:
            raise Refused("bad_frame", f"the channel {name} has the shape {array.shape} instead of {expected}")


def _check_inputs(spec: JobSpec, method: MethodDescription) -> None:
    needs = {need.name: need for need in method.needs if not need.per_frame}
    for name in spec.inputs:
        # `photo_2` is a second photo for a method that takes `photo`.
        if name not in needs and re.sub(r"_\d{1,3}$", "", name) not in needs:
            fix = f"it takes {', '.join(needs) or 'none'}"
            raise Refused("bad_inputs", f"{method.title} takes no input {name[:60]!r}", fix)
    for name, need in needs.items():
        if not need.optional and name not in spec.inputs:
            raise Refused("bad_inputs", f"{method.title} needs the input {name!r}: {need.help}", f"add {name!r}")
    for value in spec.inputs.values():
        if len(value) != 64 or set(value) - set("0123456789abcdef"):
            raise Refused("bad_inputs", "an input is not named by a SHA-256", "use `job.array_digest`")


def _check_param(param: ParamDescription, value: str | int | float | bool) -> None:
    kinds = {"int": int, "float": (int, float), "bool": bool, "text": str, "choice": str}
    is_kind = isinstance(value, kinds[param.kind]) and (param.kind == "bool" or not isinstance(value, bool))
    if not is_kind or (isinstance(value, float) and not math.isfinite(value)):
        raise Refused(
            "bad_params", f"{param.name} cannot be {str(value)[:40]!r}", f"give it a value of type {param.kind}"
        )
    if param.kind == "choice" and value not in param.choices:
        raise Refused("bad_params", f"{param.name} cannot be {str(value)[:40]!r}", f"use {', '.join(param.choices)}")
    low = -np.inf if param.minimum is None else param.minimum
    high = np.inf if param.maximum is None else param.maximum
    if isinstance(value, int | float) and not low <= value <= high:
        raise Refused(
            "bad_params",
            f"{param.name} cannot be {value}",
            f"use a value from {low:g} to {high:g} {param.unit}".rstrip(),
        )
