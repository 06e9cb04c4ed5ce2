"""Plain values and arrays out of a pickle that joblib (or `pickle` itself) wrote, without running it.

A pickle is a program. Here it runs in an unpickler that knows containers, numbers, text and numpy's arrays, and nothing
else: whatever the file names is replaced by an inert record, and the arrays are read out of those records afterwards.
joblib puts the bytes of an array behind the record that describes it, in the middle of the pickle, so the records are
read by Python's own unpickler, which takes no more from the stream than it needs.
"""

from __future__ import annotations

import io
import math
import pickle
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from understudy_shared.formats.reading import FormatError, existing

MAX_BYTES = 1 << 30
"""Largest file, and largest content after decompression: a minute of five tracked people takes about 2 x 10^8 bytes."""
MAX_DEPTH = 32


def load(path: Path | str) -> Any:
    """The content of a pickle: dictionaries, lists, tuples, text, numbers, and numpy arrays of numbers.

    Whole, or compressed with zlib or gzip, as joblib does by default; sets come back as lists.

    Raises:
        FormatError: no such file, too large, damaged, compressed otherwise, or it names more than data.
    """
    path = existing(path)
    raw = _decompressed(path)
    try:
        content = _plain(_Unpickler(io.BytesIO(raw)).load(), 0)
    except pickle.UnpicklingError as error:
        what = str(error).replace("\n", " ")[:120]
        raise FormatError(path, f"is a damaged pickle, or one with more than data ({what}); it was not run") from None
    except Exception:  # a damaged pickle can fail in any way
        raise FormatError(path, "is not a pickle that can be read") from None
    return content


def _decompressed(path: Path) -> bytes:
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


class _Record:
    """Stands for an object of the file: keeps what it was made from and the state it was given."""

    def __init__(self, *made_from: Any) -> None:
        self.made_from = made_from
        self.state: Any = None

    def __new__(cls, *made_from: Any) -> _Record:
        record = super().__new__(cls)
        _Record.__init__(record, *made_from)
        return record


class _Array(_Record):
    """numpy.ndarray: state (version, shape, dtype, is Fortran, bytes)."""


class _Buffer(_Record):
    """numpy.ndarray of protocol 5: made from (bytes, dtype, shape, order)."""


class _Dtype(_Record):
    """numpy.dtype: made from ("f8", ...), state (version, byte order, ...)."""


class _Scalar(_Record):
    """A numpy number: made from (dtype, bytes)."""


class _Wrapped(_Record):
    """joblib's NumpyArrayWrapper: state {shape, order, dtype, ...}; its bytes follow in the stream."""

    raw: bytes = b""


class _Items(_Record):
    """A set: made from the list of what it holds."""


class _Encoded(_Record):
    """_codecs.encode(text, "latin1") or bytes(), by which Python 3 writes bytes into old pickles."""


class _Reconstructed(_Array):
    """numpy's _reconstruct(ndarray, (0,), b"b"): an array that gets its state afterwards."""


_NAMES: dict[tuple[str, str], type[_Record]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Reconstructed for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _Buffer for core in ("core", "_core")},
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _Wrapped,
    **{(module, name): _Items for module in ("builtins", "__builtin__") for name in ("set", "frozenset")},
    ("_codecs", "encode"): _Encoded,
    **{(module, "bytes"): _Encoded for module in ("builtins", "__builtin__")},
}
"""Everything that a file may name, and what stands for it."""


_PythonUnpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]


class _Unpickler(_PythonUnpickler):
    """Python's own unpickler rather than the one in C: it takes no byte more than it needs, so joblib's arrays can be
    read where they stand, and its memory follows the file (the one in C believes any number it is told)."""

    dispatch = dict(_PythonUnpickler.dispatch)

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="latin1")
        self._file = file

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return _NAMES[module_name, global_name]
        except (KeyError, TypeError):
            raise pickle.UnpicklingError(f"{module_name}.{global_name}"[:80]) from None

    def load_build(self) -> None:
        state = self.stack.pop()
        record = self.stack[-1]
        if not isinstance(record, _Record):  # a class or a container: nothing of the kind is data
            raise pickle.UnpicklingError("state for something that has none")
        record.state = state
        if isinstance(record, _Wrapped) and not record.raw:
            record.raw = self._array_bytes(state)

    dispatch[pickle.BUILD[0]] = load_build

    def load_bytearray8(self) -> None:
        size = int.from_bytes(self.read(8), "little")
        data = self.read(size) if size <= MAX_BYTES else b""
        if len(data) != size:
            raise pickle.UnpicklingError("it is cut off")
        self.append(bytearray(data))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8

    def _array_bytes(self, state: Any) -> bytes:
        if state.get("numpy_array_alignment_bytes") is not None:
            padding = self._file.read(1)
            self._file.read(padding[0])
        size = math.prod(_shape(state["shape"])) * _dtype(state["dtype"]).itemsize
        raw = self._file.read(min(size, MAX_BYTES))
        if len(raw) != size:
            raise pickle.UnpicklingError("it is cut off")
        return raw


def _plain(said: Any, depth: int) -> Any:
    """What a value of the unpickler stands for.

    Raises:
        UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError: nothing that is data.
    """
    if depth > MAX_DEPTH:
        raise ValueError("too deep")
    if isinstance(said, dict):
        return {_plain(k, depth + 1): _plain(v, depth + 1) for k, v in said.items()}
    if isinstance(said, (list, set, frozenset)):
        return [_plain(v, depth + 1) for v in said]
    if isinstance(said, tuple):
        return tuple(_plain(v, depth + 1) for v in said)
    if isinstance(said, _Wrapped):
        return _array(said.raw, said.state["dtype"], said.state["shape"], said.state["order"] == "F")
    if isinstance(said, _Array):
        _, shape, dtype, fortran, raw = said.state
        return _array(raw, dtype, shape, bool(fortran))
    if isinstance(said, _Buffer):
        raw, dtype, shape, order = said.made_from
        return _array(raw, dtype, shape, order == "F")
    if isinstance(said, _Scalar):
        return _array(said.made_from[1], said.made_from[0], (), fortran=False)[()]
    if isinstance(said, _Items):
        return _plain(list(*said.made_from), depth + 1)
    if isinstance(said, _Encoded):
        return _bytes(said)
    if said is None or isinstance(said, (bool, int, float, str, bytes)):
        return said
    if isinstance(said, bytearray):
        return bytes(said)
    if isinstance(said, _Dtype):
        return _dtype(said).str
    if isinstance(said, type):  # a name on its own, such as the class of a wrapped array
        return said.__name__
    raise TypeError("not data")


def _array(raw: Any, dtype: Any, shape: Any, fortran: bool) -> NDArray:
    flat = np.frombuffer(_bytes(raw), _dtype(dtype))
    return flat.reshape(_shape(shape), order="F" if fortran else "C").copy()


def _shape(said: Any) -> tuple[int, ...]:
    shape = tuple(int(n) for n in said)
    if len(shape) > 8 or min(shape, default=0) < 0:
        raise ValueError("no shape of an array")
    return shape


def _dtype(said: Any) -> np.dtype:
    code = said.made_from[0] if isinstance(said, _Dtype) else ""
    if not isinstance(code, str) or code[:1] not in "fiub" or not code[1:].isdecimal():
        raise pickle.UnpicklingError("an array of something other than numbers")
    order = said.state[1] if said.state else "="
    return np.dtype(code).newbyteorder(order if order in ("<", ">") else "=")


def _bytes(raw: Any) -> bytes:
    if isinstance(raw, _Encoded):
        text, encoding = raw.made_from or ("", "latin1")
        if encoding != "latin1":
            raise ValueError("bytes in an unknown encoding")
        return text.encode("latin1")
    return raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
