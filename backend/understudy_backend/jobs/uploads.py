"""An input on its way in: written to disk as it comes, hashed as it comes, kept only if it is what it should be."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from understudy_shared.job import array_preamble
from understudy_shared.protocol.messages import InputChunk
from understudy_shared.protocol.wire import DTYPES, MAX_DIMENSIONS

from .check import Refused

MAX_INPUT_BYTES = 2 << 30


class Upload:
    """The file of one input. Memory stays that of one piece, whatever the header claims.

    Raises:
        Refused: the array is of a kind or size that is not taken.
        OSError: the disk is full, say.
    """

    def __init__(self, path: Path, first: InputChunk) -> None:
        if first.dtype not in DTYPES or len(first.shape) > MAX_DIMENSIONS or any(n < 0 for n in first.shape):
            raise Refused("bad_inputs", "an input has a type or shape that does not travel")
        dtype = np.dtype(first.dtype).newbyteorder("<")
        self.total = math.prod(first.shape) * dtype.itemsize
        if self.total > MAX_INPUT_BYTES:
            raise Refused(
                "bad_inputs", f"an input has {self.total / 1e9:.3g} GB", "2 GB are the limit: make it smaller"
            )
        self.path, self._digest, self._received = path, first.digest, 0
        self._state = hashlib.sha256(array_preamble(first.dtype, first.shape))
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        head = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": first.shape}
        npy.write_array_header_2_0(self._file, head)

    def add(self, chunk: InputChunk, data: memoryview) -> bool:
        """Takes the next piece; returns whether the input is whole, on disk and verified.

        Raises:
            Refused: it is not the next piece, or the whole is not what its digest says.
            OSError: the disk is full, say.
        """
        if chunk.offset != self._received or self._received + data.nbytes > self.total:
            raise Refused("bad_inputs", "an input came out of order", "submit the job again")
        self._file.write(data)
        self._state.update(data)
        self._received += data.nbytes
        if self._received < self.total:
            return False
        if self._state.hexdigest() != self._digest:
            raise Refused("bad_inputs", "an input is not what its digest says", "submit the job again")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return True

    def abandon(self) -> None:
        """Removes what has come so far."""
        with contextlib.suppress(OSError):  # what could not be flushed to a full disk is removed with the rest
            self._file.close()
        self.path.unlink(missing_ok=True)
