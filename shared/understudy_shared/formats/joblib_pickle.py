"""Plain values and arrays out of a pickle that joblib (or `pickle` itself) wrote, without running it.

joblib puts the bytes of an array behind the record that describes it, in the middle of the pickle. See `safe_pickle`
for how it is read.
"""

from __future__ import annotations

import io
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from understudy_shared.formats import safe_pickle
from understudy_shared.formats.reading import FormatError, existing
from understudy_shared.formats.safe_pickle import NAMES, Names, Record, Unpickler, array_of, one_line, plain, size_of

MAX_BYTES = safe_pickle.MAX_BYTES
"""Largest file, and largest content after decompression."""


def load(path: Path | str) -> Any:
    """The content of a pickle: dictionaries, lists, tuples, text, numbers, and numpy arrays of numbers.

    Whole, or compressed with zlib or gzip, as joblib does by default; sets come back as lists.

    Raises:
        FormatError: no such file, too large, damaged, compressed otherwise, or it names more than data.
    """
    return parsed(path, decompressed(path))


def parsed(path: Path | str, raw: bytes) -> Any:
    """As `load`, of what `decompressed` has read.

    Raises:
        FormatError: damaged, or it names more than data.
    """
    refused = "is a damaged pickle, or one with more than data ({}); it was not run"
    with one_line(path, refused, "is not a pickle that can be read; save or download it again"):
        return plain(_Unpickler(io.BytesIO(raw), _JOBLIB_NAMES).load())


def decompressed(path: Path | str) -> bytes:
    """The pickle itself.

    Raises:
        FormatError: no such file, too large, damaged, or compressed in a way that is not read.
    """
    path = existing(path)
    if path.stat().st_size > MAX_BYTES:
        raise FormatError(path, f"is larger than {MAX_BYTES >> 20} MB; cut it into shorter pieces")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FormatError(path, f"cannot be read ({error.strerror})") from None
    if raw.startswith((b"BZh", b"\xfd7zXZ\x00", b"]\x00\x00", b"\x04\x22\x4d\x18")):
        raise FormatError(path, "is compressed in a way that is not read; save it with joblib's compress=3")
    is_gzip, is_zlib = raw.startswith(b"\x1f\x8b"), raw[:1] == b"x" and int.from_bytes(raw[:2], "big") % 31 == 0
    if not (is_gzip or is_zlib):
        return raw
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # either of the two
    try:
        out = stream.decompress(raw, MAX_BYTES + 1)
    except (zlib.error, MemoryError):
        out = b""
    if len(out) > MAX_BYTES:
        raise FormatError(path, f"holds more than {MAX_BYTES >> 20} MB; cut it into shorter pieces")
    if not stream.eof:
        raise FormatError(path, "is damaged: it cannot be decompressed; make or download it again")
    return out


class _Wrapped(Record):
    """joblib's NumpyArrayWrapper: state {shape, order, dtype, ...}; its bytes follow in the stream."""

    raw: bytes = b""

    def value(self, plain: Callable[[Any], Any]) -> NDArray:
        return array_of(self.raw, self.state["dtype"], self.state["shape"], self.state["order"] == "F")


_JOBLIB_NAMES: Names = {**NAMES, ("joblib.numpy_pickle", "NumpyArrayWrapper"): _Wrapped}


class _Unpickler(Unpickler):
    """Takes the bytes of an array as soon as it is described."""

    def built(self, record: Record) -> None:
        if not isinstance(record, _Wrapped) or record.raw:
            return
        if record.state.get("numpy_array_alignment_bytes") is not None:
            padding = self._file.read(1)
            self._file.read(padding[0])
        size = size_of(record.state["shape"], record.state["dtype"])
        record.raw = self._file.read(min(size, MAX_BYTES))
        if len(record.raw) != size:
            raise pickle.UnpicklingError("it is cut off")
