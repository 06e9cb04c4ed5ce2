"""Plain values and arrays out of a pickle, without running it.

A pickle is a program. Here it runs in an unpickler that knows containers, numbers, text and numpy's arrays, and what a
format adds to these, and nothing else: whatever the file names is replaced by an inert record, and the values are read
out of those records afterwards.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from understudy_shared.formats.reading import FormatError

MAX_BYTES = 1 << 30
"""Largest content: a minute of five tracked people takes about 2 x 10^8 bytes."""
MAX_DEPTH = 32
MAX_ITEMS = 20_000_000
"""Most values in containers, each counted as often as it is mentioned: so many a reader would walk through."""


class Record:
    """Stands for an object of the file: keeps what it was made from and the state it was given."""

    def __init__(self, *made_from: Any) -> None:
        self.made_from = made_from
        self.state: Any = None

    def __new__(cls, *made_from: Any) -> Self:  # noqa: D102
        record = super().__new__(cls)
        Record.__init__(record, *made_from)
        return record

    def value(self, plain: Callable[[Any], Any]) -> Any:
        """What it stands for; `plain` turns what it is made of into values.

        Raises:
            TypeError: it is no data of its own.
        """
        raise TypeError("not data")


class Dtype(Record):
    """numpy.dtype: made from ("f8", ...), state (version, byte order, ...)."""

    def value(self, plain: Callable[[Any], Any]) -> str:  # noqa: D102
        return dtype_of(self).str


class Array(Record):
    """numpy.ndarray: state (version, shape, dtype, is Fortran, bytes or a list of objects)."""

    def value(self, plain: Callable[[Any], Any]) -> Any:  # noqa: D102
        _, shape, dtype, fortran, raw = self.state
        if isinstance(dtype, Dtype) and dtype.made_from[:1] in (("O8",), ("O4",), ("O",)) and isinstance(raw, list):
            if shape == () and len(raw) == 1:  # how `numpy.save` puts a dictionary into a file
                return plain(raw[0])
            return plain(raw)
        return array_of(raw, dtype, shape, bool(fortran))


class _Reconstructed(Array):
    """numpy's _reconstruct(ndarray, (0,), b"b"): an array that gets its state afterwards."""


class _Buffer(Record):
    """numpy.ndarray of protocol 5: made from (bytes, dtype, shape, order)."""

    def value(self, plain: Callable[[Any], Any]) -> NDArray:
        raw, dtype, shape, order = self.made_from
        return array_of(raw, dtype, shape, order == "F")


class _Scalar(Record):
    """A numpy number: made from (dtype, bytes)."""

    def value(self, plain: Callable[[Any], Any]) -> Any:
        return array_of(self.made_from[1], self.made_from[0], (), fortran=False)[()]


class _Items(Record):
    """A set: made from the list of what it holds."""

    def value(self, plain: Callable[[Any], Any]) -> Any:
        return plain(list(*self.made_from))


class _Encoded(Record):
    """_codecs.encode(text, "latin1") or bytes(), by which Python 3 writes bytes into old pickles."""

    def value(self, plain: Callable[[Any], Any]) -> bytes:
        return bytes_of(self)


class _Mapping(dict[Any, Any]):
    """defaultdict and OrderedDict: plain dictionaries, whatever they are made from."""

    def __init__(self, *made_from: Any) -> None:
        super().__init__()


class _Name(Record):
    """A class that is only mentioned, such as what a defaultdict makes."""


Names = Mapping[tuple[str, str], Any]
"""(module, name) that a file may use, to what stands for it: a `Record`, or a function that makes one."""

NAMES: Names = {
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): Dtype,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Reconstructed for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _Buffer for core in ("core", "_core")},
    ("_codecs", "encode"): _Encoded,
    ("collections", "OrderedDict"): _Mapping,
    ("collections", "defaultdict"): _Mapping,
    **{(module, name): _Items for module in ("builtins", "__builtin__") for name in ("set", "frozenset")},
    **{(module, name): _Name for module in ("builtins", "__builtin__") for name in ("dict", "list")},
    **{(module, "bytes"): _Encoded for module in ("builtins", "__builtin__")},
}
"""What every pickle may name."""

_PythonUnpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]


class Unpickler(_PythonUnpickler):
    """Python's own unpickler rather than the one in C: it takes no byte more than it needs, so what a program put
    behind or into the pickle can be read where it stands, and its memory follows the file (the one in C believes any
    number it is told)."""

    dispatch = dict(_PythonUnpickler.dispatch)

    def __init__(self, file: io.BytesIO, names: Names = NAMES) -> None:
        super().__init__(file, encoding="latin1")
        self._file = file
        self._names = names

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """The record for a name, or an error."""
        try:
            return self._names[module_name, global_name]
        except (KeyError, TypeError):
            raise pickle.UnpicklingError(f"{module_name}.{global_name}"[:80]) from None

    def built(self, record: Record) -> None:
        """Called when a record has got its state; a format may read on in the file here."""

    def _load_build(self) -> None:
        state = self.stack.pop()
        record = self.stack[-1]
        if not isinstance(record, Record):  # a class or a container: nothing of the kind is data
            raise pickle.UnpicklingError("state for something that has none")
        record.state = state
        self.built(record)

    dispatch[pickle.BUILD[0]] = _load_build

    def _load_bytearray8(self) -> None:
        size = int.from_bytes(self.read(8), "little")
        data = self.read(size) if size <= MAX_BYTES else b""
        if len(data) != size:
            raise pickle.UnpicklingError("it is cut off")
        self.append(bytearray(data))

    dispatch[pickle.BYTEARRAY8[0]] = _load_bytearray8


@contextmanager
def one_line(path: Path | str, refused: str, damaged: str) -> Iterator[None]:
    """Whatever goes wrong with a pickle in here becomes a `FormatError`.

    Args:
        path: of the file.
        refused: of a pickle that names something else than data, with `{}` for what that is.
        damaged: of everything else: a damaged pickle can fail in any way.
    """
    try:
        yield
    except FormatError:
        raise
    except pickle.UnpicklingError as error:
        what = str(error).replace("\n", " ")[:120]
        raise FormatError(path, refused.format(what)) from None
    except Exception:
        raise FormatError(path, damaged) from None


def plain(said: Any) -> Any:
    """What a value of the unpickler stands for: records become values, sets become lists.

    What a pickle mentions in several places is turned but once, and a list of lists of the same list may not stand for
    endlessly many values, so that a small file cannot ask for endless work.

    Raises:
        UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError: something in it is no data.
    """
    done: dict[int, Any] = {}
    sizes: dict[int, int] = {}
    counts = [0]  # values in each container that is being turned, the innermost last

    def turn(said: Any, depth: int) -> Any:
        if said is None or isinstance(said, (bool, int, float, str, bytes)):
            counts[-1] += 1
            return said
        if depth > MAX_DEPTH:
            raise ValueError("too deep")
        if id(said) not in done:
            done[id(said)] = _ON_THE_WAY
            counts.append(1)
            done[id(said)] = turned(said, depth)
            sizes[id(said)] = counts.pop()
        if done[id(said)] is _ON_THE_WAY:
            raise ValueError("it contains itself")
        counts[-1] += sizes[id(said)]
        if counts[-1] > MAX_ITEMS:
            raise ValueError("too many values")
        return done[id(said)]

    def turned(said: Any, depth: int) -> Any:
        if isinstance(said, dict):
            return {turn(k, depth + 1): turn(v, depth + 1) for k, v in said.items()}
        if isinstance(said, (list, set, frozenset)):
            return [turn(v, depth + 1) for v in said]
        if isinstance(said, tuple):
            return tuple(turn(v, depth + 1) for v in said)
        if isinstance(said, Record):
            return said.value(lambda inner: turned(inner, depth + 1) if type(inner) is list else turn(inner, depth + 1))
        if isinstance(said, bytearray):
            return bytes(said)
        if isinstance(said, type):  # a name on its own, such as the class of a wrapped array
            return said.__name__
        raise TypeError("not data")

    return turn(said, 0)


_ON_THE_WAY = object()


def array_of(raw: Any, dtype: Any, shape: Any, fortran: bool) -> NDArray:
    """An array of its parts as a pickle holds them.

    Raises:
        UnpicklingError, ValueError, TypeError: they do not make an array of numbers.
    """
    flat = np.frombuffer(bytes_of(raw), dtype_of(dtype))
    return flat.reshape(shape_of(shape), order="F" if fortran else "C").copy()


def shape_of(said: Any) -> tuple[int, ...]:
    """A shape that can be one.

    Raises:
        ValueError, TypeError: it can't.
    """
    shape = tuple(int(n) for n in said)
    if len(shape) > 8 or min(shape, default=0) < 0:
        raise ValueError("no shape of an array")
    return shape


def size_of(shape: Any, dtype: Any) -> int:
    """Bytes of such an array."""
    return math.prod(shape_of(shape)) * dtype_of(dtype).itemsize


def dtype_of(said: Any) -> np.dtype:
    """The numpy dtype of a `Dtype`.

    Raises:
        UnpicklingError: it is none of plain numbers.
    """
    code = said.made_from[0] if isinstance(said, Dtype) and said.made_from else ""
    if not isinstance(code, str) or code[:1] not in ("f", "i", "u", "b") or not code[1:].isdecimal():
        raise pickle.UnpicklingError("an array of something other than numbers")
    order = said.state[1] if said.state else "="
    return np.dtype(code).newbyteorder(order if order in ("<", ">") else "=")


def bytes_of(raw: Any) -> bytes:
    """Bytes, however the version of the pickle wrote them.

    Raises:
        ValueError, TypeError: they are none.
    """
    if isinstance(raw, _Encoded):
        text, encoding = raw.made_from or ("", "latin1")
        if encoding != "latin1":
            raise ValueError("bytes in an unknown encoding")
        return text.encode("latin1")
    if isinstance(raw, int):  # bytes(10**12) would be that many
        raise TypeError("a number for bytes")
    return raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
