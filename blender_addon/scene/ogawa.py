# SPDX-License-Identifier: GPL-3.0-or-later
"""The container of Alembic files: objects, their properties and the samples of those, as bytes and numbers.

An Alembic archive is a tree of groups and data blocks ("Ogawa"): a header of 16 bytes, then groups (a count and that
many offsets, 64 bits each, of which the highest bit says that the child is data) and data (a size, then bytes). An
object is a group of its properties, its children, and a block with the children's names; a compound property is a group
of properties and a block with their headers; a scalar property is a group of samples, each 16 bytes of hash and then
its numbers, equal ones at the beginning and at the end stored once.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DATA = 1 << 63
_HASH = 16
_MOST = 1 << 24
"""Children of a group, or samples, beyond which a file is taken for damaged."""


@dataclass(frozen=True)
class Property:
    """One property of an object; `place` leads to its samples, or to its own properties if it is a compound."""

    name: str
    compound: bool
    scalar: bool
    extent: int
    """Numbers in a sample."""
    count: int
    """Samples."""
    first: int
    last: int
    """Samples that differ from the one before lie between these; only they are stored, besides sample 0."""
    clock: int
    """Which of the archive's time samplings."""
    place: int


class Archive:
    """An open Alembic file. All methods raise ValueError, IndexError or struct.error where it is damaged."""

    def __init__(self, data: mmap.mmap) -> None:
        if data[:5] != b"Ogawa":
            raise ValueError("not an Ogawa archive")
        self.data = data
        root = self._group(self._numbers("<Q", 8)[0])
        self.top, self._clocks = root[2], root[4]

    def children(self, at: int) -> dict[str, int]:
        """Names and places of an object's children; that of the whole archive is `top`."""
        places = self._group(at)
        names, k, out = self._block(places[-1]) if len(places) > 2 else b"", 0, {}
        for place in places[1:-1]:
            size = struct.unpack_from("<I", names, k)[0]
            name = names[k + 4 : k + 4 + size].decode()
            k += 4 + size
            if names[k] == 0xFF:  # metadata of its own, instead of an index
                k += 4 + struct.unpack_from("<I", names, k + 1)[0]
            k += 1
            out[name] = place
        return out

    def schema(self, at: int, name: str) -> dict[str, Property]:
        """The properties of an object's compound property `name`, by their own names; empty if there is none."""
        places = self._group(at)
        for prop in self._properties(places[0]) if places else ():
            if prop.compound and prop.name == name:
                return {each.name: each for each in self._properties(prop.place)}
        return {}

    def samples(self, prop: Property, kind: str = "<f8") -> NDArray[Any]:
        """All samples (count, extent) of a scalar property."""
        out = [np.frombuffer(self._block(place)[_HASH:], kind, prop.extent) for place in self._stored(prop)]
        return np.array(out)

    def overwrite(self, prop: Property, samples: NDArray[np.float64]) -> None:
        """Writes other numbers (count, extent) into the samples of a scalar property, in a file opened for writing.

        The hashes before them stay those of the old numbers: readers tell equal arrays by them, and never look at those
        of scalars.
        """
        for place, sample in zip(self._stored(prop), samples, strict=True):
            raw = np.ascontiguousarray(sample, "<f8").tobytes()
            at = (place & ~_DATA) + 8 + _HASH
            if len(raw) + _HASH != self._numbers("<Q", at - 8 - _HASH)[0]:
                raise ValueError("a sample of another size")
            self.data[at : at + len(raw)] = raw

    def times(self, prop: Property) -> NDArray[Any]:
        """Seconds (count,) of a property's samples."""
        block, k = self._block(self._clocks), 0
        for _ in range(prop.clock):
            k += 16 + 8 * struct.unpack_from("<I", block, k + 12)[0]
        _, cycle, count = struct.unpack_from("<IdI", block, k)
        stored = np.frombuffer(block, "<f8", count, k + 16)
        index = np.arange(prop.count)
        if cycle > 1e300:  # times without a rhythm, each written down
            return stored[np.minimum(index, count - 1)]
        return stored[index % count] + cycle * (index // count)

    def _stored(self, prop: Property) -> list[int]:
        """Where each sample is."""
        places = self._group(prop.place)
        if not prop.scalar or prop.count > _MOST:
            raise ValueError("not the samples of a scalar")
        if prop.last == 0:
            return [places[0]] * prop.count
        index = [0 if i < prop.first else min(i, prop.last) - prop.first + 1 for i in range(prop.count)]
        return [places[i] for i in index]

    def _properties(self, at: int) -> Iterator[Property]:
        places = self._group(at)
        headers, k = self._block(places[-1]) if places else b"", 0
        for place in places[:-1]:
            info = struct.unpack_from("<I", headers, k)[0]
            compound, size = info & 3 == 0, (1, 2, 4, 4)[info >> 2 & 3]
            changes, clocked, constant = bool(info & 0x200), bool(info & 0x100), bool(info & 0x800)
            wanted = 1 if compound else 2 + 2 * changes + clocked  # the last is the length of the name
            numbers = list(struct.unpack_from(f"<{wanted}{' BH I'[size]}", headers, k + 4))
            k += 4 + wanted * size
            name = headers[k : k + numbers[-1]].decode()
            k += numbers[-1]
            if info >> 20 & 0xFF == 0xFF:  # metadata of its own, instead of an index
                k += size + int.from_bytes(headers[k : k + size], "little")
            count = 0 if compound else numbers[0]
            first, last = (0, 0) if constant else (1, count - 1)
            if changes:
                first, last = numbers[1], numbers[2]
            clock = numbers[-2] if clocked and not compound else 0
            yield Property(name, compound, info & 3 == 1, info >> 12 & 0xFF, count, first, last, clock, place)

    def _group(self, at: int) -> list[int]:
        """Places of a group's children, data marked by the highest bit."""
        if at & _DATA:
            raise ValueError("data where a group was expected")
        if at == 0:
            return []
        count = self._numbers("<Q", at)[0]
        if count > _MOST:
            raise ValueError("damaged")
        return list(self._numbers(f"<{count}Q", at + 8))

    def _block(self, at: int) -> bytes:
        if not at & _DATA:
            raise ValueError("a group where data was expected")
        at &= ~_DATA
        if at == 0:
            return b""
        size = self._numbers("<Q", at)[0]
        out = self.data[at + 8 : at + 8 + size]
        if len(out) != size:
            raise ValueError("cut off")
        return out

    def _numbers(self, kind: str, at: int) -> tuple[Any, ...]:
        return struct.unpack_from(kind, self.data, at)
