"""A file with a little JSON and some arrays, written all at once or not at all.

8 bytes   magic
8 bytes   length of the JSON, little endian
JSON      {"meta": {...}, "arrays": [{"name", "dtype", "shape"}, ...]}
bytes     of each array in turn, C order, little endian
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray
from understudy_shared.protocol.wire import DTYPES, ArrayMeta, WireError, array_bytes, array_from, portable

from ..atomic import write_atomically

_MAGIC = b"USTUDY01"


class ContainerError(ValueError):
    """A file that is not what it should be. One line."""


class _Head(msgspec.Struct):
    meta: dict[str, Any]
    arrays: tuple[ArrayMeta, ...]


def write_container(path: Path, meta: Mapping[str, Any], arrays: Mapping[str, NDArray], *, durable: bool) -> int:
    """Writes a file atomically; returns its size.

    Args:
        durable: whether it must survive a loss of power once this returns.

    Raises:
        OSError: the disk is full, say; no half file stays behind.
    """
    whole = {name: portable(array) for name, array in arrays.items()}
    metas = tuple(ArrayMeta(name, array.dtype.name, array.shape) for name, array in whole.items())
    head = msgspec.json.encode(_Head(dict(meta), metas))

    def write(file: BinaryIO) -> None:
        file.write(_MAGIC + struct.pack("<Q", len(head)) + head)
        for array in whole.values():
            file.write(array_bytes(array).data)

    return write_atomically(path, write, durable=durable)


def read_container(path: Path) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """What `write_container` wrote; arrays are read-only.

    Raises:
        ContainerError: it is missing or damaged.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(16)
            if len(start) != 16 or not start.startswith(_MAGIC):
                raise ContainerError(f"{path.name} is damaged")
            length = struct.unpack("<Q", start[8:])[0]
            if length > size:
                raise ContainerError(f"{path.name} is damaged")
            head = msgspec.json.decode(file.read(length), type=_Head)
            arrays = {meta.name: _read_array(file, meta, size) for meta in head.arrays}
    except OSError as error:
        raise ContainerError(f"{path.name} cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, WireError) as error:
        raise ContainerError(f"{path.name} is damaged: {error}") from None
    return head.meta, arrays


def _read_array(file: BinaryIO, meta: ArrayMeta, limit: int) -> NDArray:
    known = meta.dtype in DTYPES and all(n >= 0 for n in meta.shape)
    count = math.prod(meta.shape) * np.dtype(meta.dtype).itemsize if known else -1
    if not 0 <= count <= limit:
        raise ContainerError("an array of the file is damaged")
    return array_from(meta, file.read(count))
