"""Arrays out of a pickle, without running it: models of the body, and checkpoints of JAX.

It is read as every pickle is (see `safe_pickle`). Beside arrays and numbers of numpy these name scipy's compressed
columns and chumpy's variables, as Python 2 and 3 wrote them; a pickle that names anything else is refused.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from understudy_shared.formats.reading import FormatError
from understudy_shared.formats.safe_pickle import NAMES, Names, Record, Unpickler, one_line, plain, shape_of


def read_pickled_arrays(path: Path, names: Iterable[str]) -> dict[str, NDArray]:
    """Arrays of a pickled dictionary, those that are absent being left out; sparse ones become dense.

    Raises:
        FormatError: no pickle, damaged, one that names more than arrays, or one of the arrays wanted is none.
    """
    content = _unpickle(path)
    out = {}
    for name in names:
        if name in content:
            with _reading(path, f"'{name}' is not an array"):
                out[name] = _numbers(plain(content[name]))
    return out


def read_pickled_tree(path: Path) -> dict[str, NDArray]:
    """All arrays of a pickled dictionary of dictionaries, named by their keys joined with `/`: a JAX checkpoint.

    Raises:
        FormatError: as `read_pickled_arrays`, one of the leaves is no array, or a dictionary is within itself.
    """
    content = _unpickle(path)
    with _reading(path, "is not a tree of arrays"):
        tree = plain(content)
    out: dict[str, NDArray] = {}

    def gather(branch: dict[Any, Any], prefix: str) -> None:
        for key, value in branch.items():
            name = f"{prefix}{key}"
            if isinstance(value, dict):
                gather(value, f"{name}/")
            else:
                with _reading(path, f"'{name}' is not an array"):
                    out[name] = _numbers(value)

    gather(tree, "")
    return out


def _unpickle(path: Path) -> dict[Any, Any]:
    refused = "is a damaged pickle, or one with more than arrays ({}); it was not run"
    with one_line(path, refused, "is not a pickle that can be read"):
        content = _Unpickler(io.BytesIO(path.read_bytes()), _NAMES).load()
    if not isinstance(content, dict):
        raise FormatError(path, "does not hold named arrays")
    return content


def _reading(path: Path, problem: str) -> AbstractContextManager[None]:
    problem += " that can be read"
    return one_line(path, problem, problem)


def _numbers(value: Any) -> NDArray:
    """An array, number or list of numbers as an array.

    Raises:
        TypeError, ValueError: it is none of these.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value)
    if isinstance(value, (int, float, list)):
        return np.array(value, np.float64)
    raise TypeError("not an array")


class _Columns(Record):
    """A scipy matrix in compressed columns."""

    def value(self, plain: Callable[[Any], Any]) -> NDArray:
        """(rows, columns)."""
        rows, columns = (int(n) for n in self.state["_shape"])
        if not (0 < rows <= 1024 and 0 < columns <= 1 << 20):  # a regressor of joints
            raise ValueError("no regressor has this size")
        data, indices, starts = (_numbers(plain(self.state[name])) for name in ("data", "indices", "indptr"))
        counts = np.diff(starts)
        if counts.sum() != len(data):  # else they could ask for endless columns
            raise ValueError("not compressed columns")
        out = np.zeros((rows, columns))
        np.add.at(out, (indices, np.repeat(np.arange(columns), counts)), data)
        return out


class _Variable(Record):
    """A chumpy variable, whose value is its `x`."""

    def value(self, plain: Callable[[Any], Any]) -> NDArray:
        return _numbers(plain(self.state["x"]))


class _Selection(Record):
    """chumpy's choice of some entries of another variable."""

    def value(self, plain: Callable[[Any], Any]) -> NDArray:
        of, chosen = (_numbers(plain(self.state[name])) for name in ("a", "idxs"))
        return of.reshape(-1)[chosen].reshape(shape_of(plain(self.state["preferred_shape"])))


def _reconstructed(kind: Any, *_: Any) -> Record:
    """Stands for copyreg._reconstructor."""
    if not (isinstance(kind, type) and issubclass(kind, Record)):
        raise pickle.UnpicklingError("reconstruction of something unknown")
    return kind()


_NAMES: Names = {
    **NAMES,
    ("copyreg", "_reconstructor"): _reconstructed,
    ("copy_reg", "_reconstructor"): _reconstructed,
    **{(module, "object"): Record for module in ("builtins", "__builtin__")},
    **{(f"scipy.sparse.{module}", "csc_matrix"): _Columns for module in ("csc", "_csc")},
    ("chumpy.reordering", "Select"): _Selection,
}
"""Everything that a file may name, and what stands for it; so may all variables of chumpy."""


class _Unpickler(Unpickler):
    """Takes every name within chumpy for one of a variable."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if module_name.partition(".")[0] == "chumpy" and (module_name, global_name) not in _NAMES:
            return _Variable
        return super().find_class(module_name, global_name)
