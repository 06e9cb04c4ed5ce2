"""Memory that both ends of a connection see: arrays then travel as the number of a slot.

The client makes it and tells the backend where it is (`SharedMemory.create`, `Hello.memory`); a backend on the same
machine opens it (`SharedMemory.attach`) and says so (`Welcome.memory`). Each direction has its own slots. The sender
copies a message's arrays into a free slot, the receiver reads them where they are, and the slot is free again when the
last array that lies in it is gone. Where there is no room, arrays travel as buffers, as they always do: nothing waits.

It is anonymous and sealed (Linux: memfd): the system frees it when both processes have gone, however they went, and
neither end can shrink it under the other's feet. Other systems have nothing like it; there `create` gives None.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import stat
import sys
import weakref
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

SLOTS = 8
"""For each direction. As many as ZeroMQ keeps messages in flight."""
SLOT_BYTES = 64 << 20
"""1080p RGBA float32 is half of it. Memory is used for what was ever written, not for this."""
SMALLEST = 64 << 10
"""Bytes below which a buffer is as fast."""
ALIGNMENT = 64

_PAGE = 4096
_STATES = 256
"""Where the slots' states begin in the first page, one byte each; the token is before them."""
_SIZE = _PAGE + 2 * SLOTS * SLOT_BYTES
_FREE, _FILLED, _TAKEN = 0, 1, 2
_TOKEN_BYTES = 32

End = Literal["client", "backend"]


class MemoryAddress(msgspec.Struct, frozen=True):
    """Where another process of the same user finds the memory."""

    pid: int
    fd: int
    """The maker's descriptor of it."""
    token: str
    """What its first bytes say, in hexadecimal: the same numbers may name another file elsewhere (in a container)."""


class SharedMemory:
    """One mapping, as one of its two ends sees it."""

    def __init__(self, memory: mmap.mmap, end: End) -> None:
        self._bytes = np.frombuffer(memory, np.uint8)
        self._ours, self._theirs = (0, SLOTS) if end == "client" else (SLOTS, 0)

    @classmethod
    def create(cls) -> tuple[SharedMemory, MemoryAddress] | None:
        """New memory for the client's end. The address is good until `forget` is called with it; None where the
        system has no such memory."""
        if sys.platform != "linux":
            return None
        import fcntl

        try:
            fd = os.memfd_create("understudy", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError:
            return None
        try:
            os.ftruncate(fd, _SIZE)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            memory = mmap.mmap(fd, _SIZE)
        except OSError:
            os.close(fd)
            return None
        token = secrets.token_bytes(_TOKEN_BYTES)
        memory[:_TOKEN_BYTES] = token
        return cls(memory, "client"), MemoryAddress(os.getpid(), fd, token.hex())

    @staticmethod
    def forget(address: MemoryAddress) -> None:
        """Closes the maker's descriptor; those who have the memory by then keep it."""
        with contextlib.suppress(OSError):
            os.close(address.fd)

    @classmethod
    def attach(cls, address: MemoryAddress) -> SharedMemory | None:
        """The backend's end of what a client has made; None if it cannot be had, or is not what it should be."""
        if sys.platform != "linux" or not (0 < address.pid < 1 << 31 and 0 <= address.fd < 1 << 31):
            return None
        import fcntl

        try:
            # Whatever the numbers name, opening it must not block.
            fd = os.open(f"/proc/{address.pid}/fd/{address.fd}", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            state = os.fstat(fd)
            if not stat.S_ISREG(state.st_mode) or state.st_size != _SIZE:
                return None
            if not fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK:
                return None
            memory = mmap.mmap(fd, _SIZE)
        except OSError:
            return None
        finally:
            os.close(fd)
        if memory[:_TOKEN_BYTES].hex() != address.token:
            return None
        return cls(memory, "backend")

    def put(self, buffers: Sequence[NDArray[np.uint8]]) -> int | None:
        """Copies buffers into a free slot, one after another (see `spans`), and returns its number; None if there is
        none, or it is not worth while. From one thread at a time."""
        ends = spans([buffer.size for buffer in buffers])
        total = ends[-1][1] if ends else 0
        if not SMALLEST <= total <= SLOT_BYTES:
            return None
        # Always the first: few slots are then used, and their memory stays in the caches.
        for slot in range(self._ours, self._ours + SLOTS):
            if self._bytes[_STATES + slot] == _FREE:
                break
        else:
            return None
        start = _PAGE + slot * SLOT_BYTES
        for (first, last), buffer in zip(ends, buffers, strict=True):
            self._bytes[start + first : start + last] = buffer
        self._bytes[_STATES + slot] = _FILLED
        return slot - self._ours

    def take(self, slot: int) -> NDArray[np.uint8] | None:
        """The bytes (SLOT_BYTES,) of a slot that the other end has filled; it is free again when they, and all arrays
        made of them, are gone. None if it was not filled."""
        if not 0 <= slot < SLOTS:
            return None
        state = _STATES + self._theirs + slot
        if self._bytes[state] != _FILLED:
            return None
        self._bytes[state] = _TAKEN
        start = _PAGE + (self._theirs + slot) * SLOT_BYTES
        # By way of a memoryview: arrays made of this one then refer to it, and not to the whole memory.
        content = np.frombuffer(self._bytes.data[start : start + SLOT_BYTES], np.uint8)
        weakref.finalize(content, _free, self._bytes, state).atexit = False
        return content


def spans(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """First and last (exclusive) byte of each of a slot's buffers: one after another, each on an aligned place."""
    found, start = [], 0
    for size in sizes:
        found.append((start, start + size))
        start += -(-size // ALIGNMENT) * ALIGNMENT
    return found


def _free(memory: NDArray[np.uint8], state: int) -> None:
    memory[state] = _FREE
