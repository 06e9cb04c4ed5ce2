"""Plain values out of a `.npy` in which `numpy.save` pickled a dictionary, without running it; tensors become arrays.

Python programs often keep results like that: `numpy.save(path, {"pose": ...})`. See `safe_pickle` for how it is read.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from understudy_shared.formats.reading import FormatError, existing
from understudy_shared.formats.safe_pickle import MAX_BYTES, Unpickler, one_line, plain
from understudy_shared.formats.torch_zip import TORCH_NAMES


def holds_objects(path: Path | str) -> bool:
    """Whether the file is a `.npy` with pickled objects."""
    try:
        with Path(path).open("rb") as file:
            return _header(file)[1].hasobject
    except (OSError, ValueError):
        return False


def load(path: Path | str) -> Any:
    """The content: an array of numbers, or what was pickled (dictionaries, lists, numbers, arrays of numbers).

    Raises:
        FormatError: no such file, too large, damaged, or it names more than data.
    """
    path = existing(path)
    if path.stat().st_size > MAX_BYTES:
        raise FormatError(path, f"is larger than {MAX_BYTES >> 20} MB; cut it into shorter pieces")
    refused = "is damaged, or holds more than data ({}); it was not run"
    with one_line(path, refused, "is damaged or not a .npy; make or download it again"), path.open("rb") as file:
        _, dtype = _header(file)
        if dtype.hasobject:
            return plain(Unpickler(io.BytesIO(file.read()), TORCH_NAMES).load())
        file.seek(0)
        return np.load(file, allow_pickle=False)


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
