"""A job from files and its results to files, for `understudy render`."""

from __future__ import annotations

import re
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from understudy_shared.formats.reading import FormatError, read_npz
from understudy_shared.frames import Channel, Frame
from understudy_shared.job import JobSpec
from understudy_shared.protocol.events import Progressed, ResultArrived
from understudy_shared.protocol.wire import check_travels


class FileError(ValueError):
    """A file that cannot be used. One line, with its name."""


def read_spec(path: Path, overrides: Sequence[str] = ()) -> JobSpec:
    """A job from JSON; `overrides` are texts NAME=VALUE for its parameters.

    Raises:
        FileError: it is none.
    """
    try:
        spec = msgspec.json.decode(path.read_bytes(), type=JobSpec)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FileError(f"{path} is not a job: {error}") from None
    return msgspec.structs.replace(spec, params={**spec.params, **dict(map(_parameter, overrides))})


def read_inputs(named: Sequence[str]) -> dict[str, NDArray]:
    """Arrays from texts NAME=FILE: .npy as it is, images as (H, W, 4) uint8, turned as their EXIF says.

    Raises:
        FileError: a file is missing or is neither.
    """
    inputs = {}
    for text in named:
        name, equals, file = text.partition("=")
        if not equals:
            raise FileError(f"write an input as NAME=FILE, not {text!r}")
        inputs[name] = _read_array(Path(file))
    return inputs


def read_conditions(folder: Path) -> Callable[[int], Frame]:
    """Frames from a folder of NUMBER.npz, arrays named by channel: looked through now, read again when asked for, so
    that memory holds one at a time. Asking raises FileError for a number that is not there.

    Raises:
        FileError: there are none, or one is damaged or holds what is no channel.
    """
    paths: dict[int, Path] = {}
    for path in sorted(folder.glob("*.npz")):
        number = re.search(r"\d+$", path.stem)
        if number is None:
            raise FileError(f"{path} does not end in a frame number")
        _read_channels(path)
        paths[int(number.group())] = path
    if not paths:
        raise FileError(f"{folder} holds no NUMBER.npz: one per frame, arrays named by channel")

    def frame(number: int) -> Frame:
        if number not in paths:
            raise FileError(f"{folder} holds no frame {number}: add {number:04d}.npz or make fewer frames")
        return Frame(number, _read_channels(paths[number]))

    return frame


class ResultWriter:
    """Writes 8-bit images as PNG, other arrays as .npy, what the method says beside them as JSON."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.count = folder, 0
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, result: ResultArrived) -> None:
        """Files are named by array and frame number."""
        for name, array in result.arrays.items():
            stem = re.sub(r"[^\w-]", "_", name)
            self._write_array(self._folder / f"{stem}_{result.index:04d}", array)
        if result.meta:
            path = self._folder / f"report_{result.index:04d}.json"
            path.write_bytes(msgspec.json.format(msgspec.json.encode(result.meta)))
            self.count += 1

    def _write_array(self, stem: Path, array: NDArray) -> None:
        from PIL import Image

        if array.dtype == np.uint8 and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
            Image.fromarray(np.ascontiguousarray(array)).save(stem.with_suffix(".png"), compress_level=1)
        else:
            np.save(stem.with_suffix(".npy"), array, allow_pickle=False)
        self.count += 1


class ProgressLine:
    """One line on a terminal; nothing where there is none."""

    def __init__(self) -> None:
        self._shown = False

    def show(self, event: Progressed) -> None:
        """Overwrites the line."""
        if sys.stderr.isatty():
            left = "" if event.eta is None else f", {event.eta:.0f} s left"
            print(f"\r{event.fraction:4.0%} {event.stage}{left}\033[K", end="", file=sys.stderr, flush=True)
            self._shown = True

    def end(self) -> None:
        """Leaves the line behind."""
        if self._shown:
            print(file=sys.stderr)


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise FileError(f"write a parameter as NAME=VALUE, not {text!r}")
    try:
        return name, msgspec.json.decode(value, type=str | int | float | bool)
    except msgspec.MsgspecError:
        return name, value


def _read_array(path: Path) -> NDArray:
    from PIL import Image, ImageOps

    try:
        if path.suffix == ".npy":
            with path.open("rb") as file:
                return np.lib.format.read_array(file, allow_pickle=False)
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise FileError(f"{path} cannot be read: {error.strerror}") from None
    except Image.DecompressionBombError:
        raise FileError(f"{path} has more pixels than can be used: make it smaller") from None
    except (OSError, ValueError, EOFError, SyntaxError, struct.error, MemoryError):  # Pillow raises SyntaxError, too
        raise FileError(f"{path} is neither an image nor an .npy file of plain numbers") from None


def _read_channels(path: Path) -> dict[Channel, NDArray]:
    try:
        channels = {Channel(name): array for name, array in read_npz(path).items()}
        for array in channels.values():
            check_travels(array)
    except FormatError as error:
        raise FileError(f"in {path.parent}, {error}") from None
    except ValueError as error:
        raise FileError(f"{path} is not an .npz of channels: {error}") from None
    return channels
