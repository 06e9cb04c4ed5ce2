"""Data sets on disk as arrays that are read row by row: one folder, shards, or several of either taken together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ABOUT = "dataset.json"
"""Written last by whatever makes a data set: a folder without it is not complete."""
OPEN_FILES = 256
"""Arrays that stay mapped at once; each holds a file open, and systems allow about a thousand."""


class DataError(ValueError):
    """A data set that is missing, incomplete or damaged, in one line."""


class Samples:
    """The samples of data set folders, in order. Nothing is read before it is asked for.

    A folder holds `dataset.json` (with `count`) and arrays `NAME.npy` whose first axis counts the samples, or folders
    `shard-*` of that kind. Shards without their `dataset.json` are still being made, and are left out.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """Args:
            folders: at least one.

        Raises:
            DataError: a folder has no samples, or says nothing sensible of itself.
        """
        self.parts = [part for folder in folders for part in _parts(folder)]
        counts = [_count(part) for part in self.parts]
        self._ends = np.cumsum(counts, dtype=np.int64)
        self._open = lru_cache(maxsize=OPEN_FILES)(self._map)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def has(self, name: str) -> bool:
        """Whether any part has the array."""
        return any((part / f"{name}.npy").is_file() for part in self.parts)

    def row_shape(self, name: str) -> tuple[int, ...]:
        """Shape of one sample's row.

        Raises:
            DataError: no part has the array.
        """
        for number, part in enumerate(self.parts):
            if (part / f"{name}.npy").is_file():
                return self._open(number, name).shape[1:]
        raise DataError(f"{self.parts[0]} has no {name}.npy: it is a data set of another kind")

    def rows(self, name: str, indices: NDArray[np.integer], absent: int | None = None) -> NDArray:
        """Rows of an array at any indices, in their order: (N, ...), a copy of these rows only.

        Args:
            name: of the array.
            indices: (N,) in [0, len).
            absent: value of the rows of parts that lack the array.

        Raises:
            DataError: an index beyond the end, an array that is damaged, or one that is lacking without `absent`.
        """
        indices = np.asarray(indices)
        if len(indices) == 0 or indices.min() < 0 or indices.max() >= self._ends[-1]:
            raise DataError(f"samples are counted from 0 to {self._ends[-1] - 1}")
        owners = np.searchsorted(self._ends, indices, side="right")
        out: NDArray | None = None
        for number in np.unique(owners).tolist():
            where = np.flatnonzero(owners == number)
            if absent is not None and not (self.parts[number] / f"{name}.npy").is_file():
                found: NDArray = np.full((len(where), *self.row_shape(name)), absent, np.uint8)
            else:
                start = int(self._ends[number - 1]) if number else 0
                found = np.asarray(self._open(number, name)[indices[where] - start])
            if out is None:
                out = np.empty((len(indices), *found.shape[1:]), found.dtype)
            if found.shape[1:] != out.shape[1:]:
                raise DataError(f"{self.parts[number]} has {name} of another size than the data beside it")
            out[where] = found
        assert out is not None
        return out

    def constant(self, name: str) -> NDArray:
        """An array that all samples share, from the first part; for example `body_mask`.

        Raises:
            DataError: it is not there, or damaged.
        """
        return _load(self.parts[0] / f"{name}.npy")

    def _map(self, number: int, name: str) -> NDArray:
        path = self.parts[number] / f"{name}.npy"
        array = _load(path)
        expected = int(self._ends[number] - (self._ends[number - 1] if number else 0))
        if array.ndim == 0 or len(array) != expected:
            raise DataError(f"{path} does not hold the {expected} samples that {ABOUT} speaks of; make it again")
        return array


class Mirrored(Samples):
    """The samples of data set folders, and after them all of them again, mirrored left to right.

    People are as good mirrored, so pictures of them are twice as many. (Textures are not pictures of people: where a
    texel lies says which side of the body it is.)
    """

    def __len__(self) -> int:
        return 2 * super().__len__()

    def rows(self, name: str, indices: NDArray[np.integer], absent: int | None = None) -> NDArray:
        """As `Samples.rows`, of pictures (N, H, W, C)."""
        indices, count = np.asarray(indices), super().__len__()
        if len(indices) == 0 or indices.min() < 0 or indices.max() >= 2 * count:
            raise DataError(f"samples are counted from 0 to {2 * count - 1}")
        found = super().rows(name, indices % count, absent)
        again = indices >= count
        found[again] = found[again][:, :, ::-1]
        return found


def split_of(roots: Sequence[Path], kind: str, split: str) -> list[Path]:
    """The folders `ROOT/kind/split` that exist, for example of kind "texture" and split "train"."""
    return [root / kind / split for root in roots if (root / kind / split).is_dir()]


def _parts(folder: Path) -> list[Path]:
    if (folder / ABOUT).is_file() and not any(folder.glob("shard-*")):
        return [folder]
    shards = sorted(path for path in folder.glob("shard-*") if (path / ABOUT).is_file())
    if not shards:
        raise DataError(f"{folder} holds no complete data set: there is no {ABOUT}, which is written last")
    return shards


def _count(part: Path) -> int:
    try:
        count = int(json.loads((part / ABOUT).read_text())["count"])
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{part / ABOUT} does not say how many samples there are; make the data set again") from None
    if count < 1:
        raise DataError(f"{part} says that it is empty")
    return count


def _load(path: Path) -> NDArray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path} is missing: the data set is of another kind, or incomplete") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
