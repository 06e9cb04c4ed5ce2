"""Reading files that may be anything: bounded, without unpickling, and with one-line errors."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

MAX_ARRAY_BYTES = 1 << 30
"""Largest array that is read from an archive: four times an hour of SMPL-X poses at 60 frames per second."""
MAX_TEXT_BYTES = 1 << 26
"""Largest text file that is read: a camera for every frame of an hour, or forty minutes of motion capture."""


class FormatError(ValueError):
    """The file cannot be used; one line says why and what to do."""

    def __init__(self, path: Path | str, problem: str) -> None:
        super().__init__(f"{Path(path).name}: {problem}")


def read_text(path: Path | str) -> str:
    """The text of a file of at most `MAX_TEXT_BYTES`.

    Raises:
        FormatError: no such file, too large, or not text.
    """
    path = existing(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        raise FormatError(path, f"cannot be read ({error.strerror})") from None
    if len(raw) > MAX_TEXT_BYTES:
        raise FormatError(path, f"is larger than {MAX_TEXT_BYTES >> 20} MB; cut it into shorter pieces")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FormatError(path, "is not a text file") from None


def read_json(path: Path | str) -> dict[str, Any]:
    """A JSON file that holds an object.

    Raises:
        FormatError: as `read_text`, or not JSON, or not an object.
    """
    text = read_text(path)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise FormatError(path, f"is not valid JSON{where}; export it again") from None
    if not isinstance(value, dict):
        raise FormatError(path, "is JSON, but not an object with named fields")
    return value


def npz_names(path: Path | str) -> list[str]:
    """Names of the arrays in an npz, empty if the file is no npz."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name[:-4] for name in archive.namelist() if name.endswith(".npy")]
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return []


def read_npz(path: Path | str, names: Iterable[str] | None = None) -> dict[str, NDArray]:
    """Arrays of an npz. Sizes are checked before memory is taken, and nothing is unpickled.

    Args:
        path: the file.
        names: which arrays, those that are absent being left out; all of them by default.

    Raises:
        FormatError: no npz, damaged, too large, or one of the arrays wanted holds pickled objects.
    """
    path = existing(path)
    wanted = None if names is None else set(names)
    out: dict[str, NDArray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                if name == info.filename or (wanted is not None and name not in wanted):
                    continue
                with archive.open(info) as member:
                    out[name] = _read_npy(path, name, member, info.file_size)
    except FormatError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, UnicodeError):
        raise FormatError(path, "is damaged or not an npz; export or download it again") from None
    return out


def _read_npy(path: Path, name: str, member: IO[bytes], size: int) -> NDArray:
    if size > MAX_ARRAY_BYTES:
        raise FormatError(path, f"'{name}' declares {size / 2**30:.1f} GB, more than is accepted; cut it into pieces")
    try:
        version = np.lib.format.read_magic(member)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(member)
    except ValueError:
        raise FormatError(path, f"'{name}' is damaged; export or download the file again") from None
    if dtype.hasobject:
        raise FormatError(path, f"'{name}' holds pickled objects, which are never loaded; save it as plain numbers")
    if min(shape, default=1) < 0 or dtype.itemsize == 0:
        raise FormatError(path, f"'{name}' is damaged; export or download the file again")
    expected = math.prod(shape) * dtype.itemsize
    if expected > size:
        raise FormatError(path, f"'{name}' declares more data than it holds; export or download the file again")
    raw = member.read(expected)
    if len(raw) != expected:
        raise FormatError(path, f"'{name}' is cut off; export or download the file again")
    member.read(1)  # at the end of its data the archive checks the CRC
    flat = np.frombuffer(bytearray(raw), dtype) if expected else np.empty(0, dtype)
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def existing(path: Path | str) -> Path:
    """The path of a file that is there.

    Raises:
        FormatError: it is not, or is a folder.
    """
    path = Path(path)
    try:
        if path.is_file():
            return path
        problem = "is a folder, not a file" if path.is_dir() else f"does not exist in {path.parent}"
    except (OSError, ValueError):  # names that the system cannot hold
        problem = "is not a usable file name"
    raise FormatError(path, problem)
