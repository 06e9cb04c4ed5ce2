"""Arrays out of a pickle, without running it.

A pickle is a program. Here it runs in an unpickler that knows no function of anybody: whatever the file names becomes
an inert record of what was said, and arrays of numbers are read out of those records afterwards. Known are the arrays
and numbers of numpy, scipy's compressed columns, and chumpy's variables, as Python 2 and 3 wrote them; a pickle that
names anything else is refused.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from understudy_shared.formats.reading import FormatError


def read_pickled_arrays(path: Path, names: Iterable[str]) -> dict[str, NDArray]:
    """Arrays of a pickled dictionary, those that are absent being left out; sparse ones become dense.

    Raises:
        FormatError: no pickle, damaged, one that names more than arrays, or one of the arrays wanted is none.
    """
    content = _unpickle(path)
    out = {}
    for name in names:
        if name in content:
            try:
                out[name] = _value(content[name])
            except (TypeError, ValueError, KeyError, IndexError, AttributeError, MemoryError):
                raise FormatError(path, f"'{name}' is not an array that can be read") from None
    return out


def read_pickled_tree(path: Path) -> dict[str, NDArray]:
    """All arrays of a pickled dictionary of dictionaries, named by their keys joined with `/`: a JAX checkpoint.

    Raises:
        FormatError: as `read_pickled_arrays`, or one of the leaves is no array.
    """
    out: dict[str, NDArray] = {}

    def gather(branch: dict[Any, Any], prefix: str, depth: int) -> None:
        if depth > 16:  # a dictionary can hold itself
            raise FormatError(path, "holds dictionaries too deep to be read")
        for key, value in branch.items():
            if isinstance(value, dict):
                gather(value, f"{prefix}{key}/", depth + 1)
                continue
            try:
                out[f"{prefix}{key}"] = _value(value)
            except (TypeError, ValueError, KeyError, IndexError, AttributeError, MemoryError):
                raise FormatError(path, f"'{prefix}{key}' is not an array that can be read") from None

    gather(_unpickle(path), "", 0)
    return out


def _unpickle(path: Path) -> dict[Any, Any]:
    try:
        content = _InertUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except pickle.UnpicklingError as error:
        what = str(error).replace("\n", " ")
        raise FormatError(path, f"is a damaged pickle, or one with more than arrays ({what}); it was not run") from None
    except Exception:  # a damaged pickle can fail in any way, also inside the stand-ins
        raise FormatError(path, "is not a pickle that can be read") from None
    if not isinstance(content, dict):
        raise FormatError(path, "does not hold named arrays")
    return content


class _Record:
    """Stands for an object of the file: keeps what it was made from and the state it was given, and does nothing."""

    def __init__(self, *made_from: Any) -> None:
        self.made_from = made_from
        self.state: Any = None

    def __new__(cls, *made_from: Any) -> _Record:
        record = super().__new__(cls)
        record.made_from, record.state = made_from, None
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Array(_Record):
    """numpy.ndarray: state (version, shape, dtype, is Fortran, bytes)."""


class _Dtype(_Record):
    """numpy.dtype: made from ("f8", ...), state (version, byte order, ...)."""


class _Scalar(_Record):
    """A numpy number: made from (dtype, bytes)."""


class _Sparse(_Record):
    """A scipy matrix in compressed columns."""


class _Chumpy(_Record):
    """A chumpy variable, whose value is its `x`."""


class _Selection(_Record):
    """chumpy's choice of some entries of another variable."""


class _Buffer(_Record):
    """numpy.ndarray of protocol 5: made from (bytes, dtype, shape, order)."""


class _Other(_Record):
    """A container that holds no array that is wanted."""

    def _ignore(self, *_: Any) -> None:
        """Takes what the pickle puts in, and forgets it."""

    __setitem__ = append = extend = add = _ignore


def _reconstructed(kind: Any, *_: Any) -> _Record:
    """Stands for copyreg._reconstructor and numpy's _reconstruct."""
    if not (isinstance(kind, type) and issubclass(kind, _Record)):
        raise pickle.UnpicklingError("reconstruction of something unknown")
    return kind()


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    """Stands for _codecs.encode, by which Python 3 writes bytes into old pickles."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("bytes in an unknown encoding")
    return text.encode("latin1")


_NAMES: dict[tuple[str, str], Any] = {
    ("copyreg", "_reconstructor"): _reconstructed,
    ("copy_reg", "_reconstructor"): _reconstructed,
    ("builtins", "object"): _Other,
    ("__builtin__", "object"): _Other,
    ("_codecs", "encode"): _encoded,
    **{(module, name): _Other for module in ("builtins", "__builtin__") for name in ("set", "frozenset")},
    ("collections", "OrderedDict"): _Other,
    ("collections", "defaultdict"): _Other,
    ("builtins", "dict"): _Other,
    ("__builtin__", "dict"): _Other,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("chumpy.reordering", "Select"): _Selection,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstructed for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _Buffer for core in ("core", "_core")},
    **{(f"scipy.sparse.{module}", "csc_matrix"): _Sparse for module in ("csc", "_csc")},
}
"""Everything that a file may name, and what stands for it; so may all variables of chumpy."""


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) in _NAMES:
            return _NAMES[module_name, global_name]
        if module_name.partition(".")[0] == "chumpy":
            return _Chumpy
        raise pickle.UnpicklingError(f"{module_name}.{global_name}"[:80])


def _value(said: Any, depth: int = 0) -> NDArray:
    """The array that a record stands for.

    Raises:
        ValueError, TypeError, KeyError, IndexError, AttributeError: it stands for none.
    """
    if depth > 8:
        raise ValueError("too deep")
    if isinstance(said, _Array):
        _, shape, dtype, fortran, raw = said.state
        flat = np.frombuffer(_bytes(raw), _dtype(dtype))
        return flat.reshape(shape, order="F" if fortran else "C")
    if isinstance(said, _Buffer):
        raw, dtype, shape, order = said.made_from
        return np.frombuffer(_bytes(raw), _dtype(dtype)).reshape(shape, order="F" if order == "F" else "C")
    if isinstance(said, _Scalar):
        return np.frombuffer(_bytes(said.made_from[1]), _dtype(said.made_from[0])).reshape(())
    if isinstance(said, _Chumpy):
        return _value(said.state["x"], depth + 1)
    if isinstance(said, _Selection):
        chosen = _value(said.state["a"], depth + 1).reshape(-1)[_value(said.state["idxs"], depth + 1)]
        return chosen.reshape(said.state["preferred_shape"])
    if isinstance(said, _Sparse):
        return _dense(said.state, depth)
    if isinstance(said, (int, float, list)):
        return np.array(said, np.float64)
    raise TypeError("not an array")


def _dense(state: dict[str, Any], depth: int) -> NDArray:
    """A matrix (rows, columns) from its compressed columns."""
    rows, columns = (int(n) for n in state["_shape"])
    if not (0 < rows <= 1024 and 0 < columns <= 1 << 20):  # a regressor of joints
        raise ValueError("no regressor has this size")
    data, indices, starts = (_value(state[name], depth + 1) for name in ("data", "indices", "indptr"))
    out = np.zeros((rows, columns))
    column = np.repeat(np.arange(columns), np.diff(starts))
    np.add.at(out, (indices, column), data)
    return out


def _dtype(said: _Dtype) -> np.dtype:
    code = said.made_from[0]
    if not isinstance(said, _Dtype) or not isinstance(code, str) or code[:1] not in "fiub" or not code[1:].isdecimal():
        raise TypeError("not numbers")
    order = said.state[1] if said.state else "="
    return np.dtype(code).newbyteorder(order if order in ("<", ">") else "=")


def _bytes(raw: Any) -> bytes:
    """Python 2 wrote bytes as text."""
    return raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
