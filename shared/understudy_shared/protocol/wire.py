"""Framing: one small typed header, then one raw buffer per array. Knows nothing of what a message means.

A message on the wire is a ZeroMQ multipart message:

    part 0   JSON: {"protocol": 1, "body": {...}, "arrays": [{"name", "dtype", "shape"}, ...]}
    part 1…  the bytes of each array, C order, little endian, sent and received without a copy

Between two processes of one machine the arrays may lie in shared memory instead (see `shared_memory`); the header then
names the slot, and part 0 is all there is.

The header is JSON because it has no length prefixes: a hostile header cannot ask for more memory than it has bytes.
Buffers are checked against the header before an array is made of them; nothing is ever unpickled.

The header's `protocol` is read before the body, so that two versions that understand nothing else of each other can
still tell each other so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
import zmq
from numpy.typing import NDArray

from .shared_memory import SLOT_BYTES, SharedMemory, spans

PROTOCOL = 1
"""Changes whenever an old and a new end could misunderstand each other."""

DTYPES = frozenset(
    ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32", "float64"]
)
"""What an array on the wire may be made of."""

MAX_DIMENSIONS = 8

M = TypeVar("M")
Part = Any
"""bytes, memoryview or `zmq.Frame`: whatever holds a contiguous buffer."""


class WireError(ValueError):
    """A message that cannot be what it claims to be. One line."""


class VersionError(WireError):
    """The other end speaks another version of the protocol."""

    def __init__(self, theirs: int, software: str = "") -> None:
        self.theirs, self.software = theirs, software
        named = f" (version {software})" if software else ""
        super().__init__(
            f"the other end speaks protocol {theirs}{named}, this end protocol {PROTOCOL}: update the older of the two"
        )


@dataclass(frozen=True)
class Limits:
    """What a receiver accepts."""

    header_bytes: int = 8 << 20
    arrays: int = 64
    part_bytes: int = 512 << 20
    """Largest array; also what ZeroMQ itself refuses to receive (`MAXMSGSIZE`). 8K RGBA in float16 fits."""
    message_bytes: int = 1 << 30
    """All arrays of one message together."""


class ArrayMeta(msgspec.Struct, frozen=True):
    """How to read one buffer."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Header(msgspec.Struct, frozen=True):
    """Part 0. Its first field must never move."""

    protocol: int
    body: msgspec.Raw
    arrays: tuple[ArrayMeta, ...] = ()
    slot: int | None = None
    """Where the arrays lie in shared memory; None if they follow as parts."""


_header_decoder = msgspec.json.Decoder(Header)
_encoder = msgspec.json.Encoder()


class Codec(Generic[M]):
    """Encodes and decodes the messages of one direction.

    Args:
        types: a union of tagged `msgspec.Struct` classes.
        limits: what `decode` accepts.
    """

    def __init__(self, types: Any, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._decoder: msgspec.json.Decoder[M] = msgspec.json.Decoder(types)

    def decode(self, parts: Sequence[Part], memory: SharedMemory | None = None) -> tuple[M, dict[str, NDArray]]:
        """The message and its arrays: read-only views of the parts, or of the memory shared with the sender.

        Raises:
            VersionError: the other end speaks another protocol.
            WireError: anything else that is wrong with it.
        """
        header = _read_header(parts, self.limits)
        buffers = parts[1:] if header.slot is None else _in_slot(header, memory, len(parts), self.limits)
        try:
            message = self._decoder.decode(header.body)
        except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
            raise WireError(f"the message cannot be read: {_one_line(error)}") from None
        return message, _read_arrays(header.arrays, buffers, self.limits)

    @staticmethod
    def encode(
        message: msgspec.Struct, arrays: Mapping[str, NDArray] | None = None, memory: SharedMemory | None = None
    ) -> list[Part]:
        """The parts of a message. The arrays must not change until they are sent: contiguous ones are not copied.

        Args:
            memory: shared with the receiver. Arrays are put there if there is room.

        Raises:
            WireError: an array of a type that does not travel.
        """
        return encode(message, arrays, memory)


def encode(
    message: msgspec.Struct, arrays: Mapping[str, NDArray] | None = None, memory: SharedMemory | None = None
) -> list[Part]:
    """See `Codec.encode`; encoding needs to know no message types."""
    metas, buffers = [], []
    for name, array in (arrays or {}).items():
        array = portable(array)
        metas.append(ArrayMeta(name, array.dtype.name, array.shape))
        buffers.append(array_bytes(array))
    slot = memory.put(buffers) if memory is not None else None
    header = _encoder.encode(Header(PROTOCOL, msgspec.Raw(_encoder.encode(message)), tuple(metas), slot))
    return [header, *(buffer.data for buffer in buffers)] if slot is None else [header]


def portable(array: NDArray) -> NDArray:
    """The array in C order and little endian; itself if it already is.

    Raises:
        WireError: its type does not travel.
    """
    array = np.asarray(array)
    check_travels(array)
    # `ascontiguousarray` would make a scalar one-dimensional.
    return np.require(array, dtype=array.dtype.newbyteorder("<"), requirements="C")


def check_travels(array: NDArray) -> None:
    """Raises WireError if its type does not travel, or it has too many dimensions."""
    if array.dtype.name not in DTYPES or array.ndim > MAX_DIMENSIONS:
        raise WireError(f"an array of {array.dtype} with {array.ndim} dimensions does not travel")


def array_bytes(array: NDArray) -> NDArray[np.uint8]:
    """The bytes of a `portable` array as a flat view, not copied."""
    return array.reshape(-1).view(np.uint8)


def array_from(meta: ArrayMeta, part: Part) -> NDArray:
    """A read-only view of a buffer as an array; every number is checked before numpy sees it.

    Raises:
        WireError: type, shape and bytes do not fit together.
    """
    view = memoryview(part)
    if _byte_count(meta) != view.nbytes:
        raise WireError("an array's shape does not fit its bytes")
    dtype = np.dtype(meta.dtype).newbyteorder("<")
    if any(n > np.iinfo(np.int64).max for n in meta.shape):
        raise WireError("an array has an impossible shape")
    try:
        array = np.frombuffer(view, dtype=dtype).reshape(meta.shape)
    except ValueError:
        raise WireError("an array has an impossible shape") from None
    if array.flags.writeable:
        array.flags.writeable = False
    return array


def _byte_count(meta: ArrayMeta) -> int:
    if meta.dtype not in DTYPES:
        raise WireError(f"an array of type {meta.dtype[:40]!r} does not travel")
    if len(meta.shape) > MAX_DIMENSIONS or any(n < 0 for n in meta.shape):
        raise WireError("an array has an impossible shape")
    # Python's integers do not overflow, so no product of dimensions can pass for a small number.
    return math.prod(meta.shape) * np.dtype(meta.dtype).itemsize


def bound(socket: zmq.Socket, *, messages: int, limits: Limits | None = None) -> None:
    """Gives a socket its high-water marks and the largest part it will receive; no lingering at its end."""
    limits = limits or Limits()
    socket.setsockopt(zmq.SNDHWM, messages)
    socket.setsockopt(zmq.RCVHWM, messages)
    socket.setsockopt(zmq.MAXMSGSIZE, max(limits.part_bytes, limits.header_bytes))
    socket.setsockopt(zmq.LINGER, 0)


def _read_header(parts: Sequence[Part], limits: Limits) -> Header:
    if not parts:
        raise WireError("an empty message")
    head = memoryview(parts[0])
    if head.nbytes > limits.header_bytes:
        raise WireError(f"a header of {head.nbytes} bytes; {limits.header_bytes} are allowed")
    try:
        header = _header_decoder.decode(head)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
        raise WireError(f"the header cannot be read: {_one_line(error)}") from None
    if header.protocol != PROTOCOL:
        raise VersionError(header.protocol, _software(header.body))
    return header


def _read_arrays(metas: Sequence[ArrayMeta], buffers: Sequence[Part], limits: Limits) -> dict[str, NDArray]:
    if len(metas) > limits.arrays or len(metas) != len(buffers):
        raise WireError(f"{len(metas)} arrays in the header, {len(buffers)} came; {limits.arrays} are allowed")
    sizes = [memoryview(part).nbytes for part in buffers]
    if any(size > limits.part_bytes for size in sizes) or sum(sizes) > limits.message_bytes:
        raise WireError(f"arrays of {sum(sizes)} bytes are more than is allowed")
    arrays = {meta.name: array_from(meta, part) for meta, part in zip(metas, buffers, strict=True)}
    if len(arrays) != len(metas):
        raise WireError("two arrays of one message have the same name")
    return arrays


def _in_slot(header: Header, memory: SharedMemory | None, parts: int, limits: Limits) -> list[Part]:
    if memory is None or parts != 1 or len(header.arrays) > limits.arrays:
        raise WireError("arrays in shared memory, where there is none")
    ends = spans([_byte_count(meta) for meta in header.arrays])
    if not ends or ends[-1][1] > SLOT_BYTES:
        raise WireError("arrays that do not fit into shared memory")
    content = memory.take(header.slot) if header.slot is not None else None
    if content is None:
        raise WireError("arrays in a place of the shared memory where nothing was put")
    return [content[first:last] for first, last in ends]


def _software(body: msgspec.Raw) -> str:
    """The version that a body of an unknown protocol may name; empty if it does not."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""
    software = found.get("software", "") if isinstance(found, dict) else ""
    return software[:40] if isinstance(software, str) else ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
