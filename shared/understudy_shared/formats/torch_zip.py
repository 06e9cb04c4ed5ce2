"""Values and arrays out of a file that `torch.save` wrote, without torch and without running it.

Since torch 1.6 that is a zip: `NAME/data.pkl`, a pickle whose tensors name their storage by a key, and `NAME/data/KEY`,
the bytes of each. Before, and still inside pickles that know nothing of torch (`numpy.save` of a dictionary of
tensors), everything stood in one stream: four pickles and a list of keys, then the bytes of every storage. Tensors
come back as numpy arrays on the CPU; bfloat16 as float32. See `safe_pickle` for how the pickles are read.
"""

from __future__ import annotations

import io
import pickle
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from understudy_shared.formats.reading import FormatError, existing
from understudy_shared.formats.safe_pickle import MAX_BYTES, NAMES, Names, Record, Unpickler, one_line, plain

_MAGIC = 0x1950A86A20F9469CFC6C
_STREAM_VERSION = 1001
_MAX_PICKLE_BYTES = 1 << 26
_DTYPES = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "BFloat16Storage": "bf", "LongStorage": "i8",
    "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip


class _StorageClass(Record):
    """torch.FloatStorage and the others: only their names count."""

    dtype = ""


class _Storage(Record):
    """Where the numbers of tensors lie: `read` gives the bytes."""

    dtype = ""
    numel = 0
    raw: bytes | None = None
    open: Callable[[], bytes] | None = None

    def numbers(self) -> NDArray:
        """(numel,) of it."""
        if self.raw is None:
            self.raw = self.open() if self.open else b""
        wide = 2 if self.dtype == "bf" else np.dtype(self.dtype).itemsize
        if len(self.raw) < self.numel * wide:
            raise ValueError("a storage is cut off")
        if self.dtype == "bf":  # the upper half of a float32
            return (np.frombuffer(self.raw, "<u2", self.numel).astype(np.uint32) << 16).view(np.float32)
        return np.frombuffer(self.raw, np.dtype(self.dtype).newbyteorder("<"), self.numel)

    def value(self, plain: Callable[[Any], Any]) -> NDArray:
        return self.numbers().copy()


class _Tensor(Record):
    """torch._utils._rebuild_tensor_v2: made from (storage, offset, size, stride, ...)."""

    def value(self, plain: Callable[[Any], Any]) -> NDArray:
        storage, offset, size, stride = self.made_from[:4]
        if isinstance(storage, _Embedded):
            storage = storage.storage()
        size, stride = tuple(int(n) for n in size), tuple(int(n) for n in stride)
        if len(size) > 8 or len(stride) != len(size) or min((offset, *size, *stride), default=0) < 0:
            raise ValueError("no shape of a tensor")
        numbers = storage.numbers()
        count = int(np.prod([max(n, 1) for n in size], dtype=object))
        if count * numbers.itemsize > MAX_BYTES:
            raise ValueError("a tensor too large")
        if 0 in size:
            return np.zeros(size, numbers.dtype)
        if offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) >= len(numbers):
            raise ValueError("a tensor beyond its storage")
        steps = tuple(s * numbers.itemsize for s in stride)
        view = np.lib.stride_tricks.as_strided(numbers[offset:], size, steps, writeable=False)
        return view.astype(view.dtype.newbyteorder("="))


class _Parameter(Record):
    """torch._utils._rebuild_parameter: made from (tensor, ...)."""

    def value(self, plain: Callable[[Any], Any]) -> Any:
        return plain(self.made_from[0])


class _Embedded(Record):
    """torch.storage._load_from_bytes: made from the whole of a file in the old layout, which holds one storage."""

    def storage(self) -> _Storage:
        """The storage in it."""
        if self.state is None:
            self.state = _stream(self.made_from[0])
        if not isinstance(self.state, _Storage):
            raise ValueError("no storage")
        return self.state

    def value(self, plain: Callable[[Any], Any]) -> Any:
        return plain(self.storage())


class _Nothing(Record):
    """torch.device, torch.Size and the like, of which nothing is needed."""

    def value(self, plain: Callable[[Any], Any]) -> Any:
        return plain(list(self.made_from))


TORCH_NAMES: Names = {
    **NAMES,
    ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
    ("torch._utils", "_rebuild_tensor"): _Tensor,
    ("torch._utils", "_rebuild_parameter"): _Parameter,
    ("torch.storage", "_load_from_bytes"): _Embedded,
    ("torch", "Size"): _Nothing,
    ("torch", "device"): _Nothing,
    **{("torch", name): type(name, (_StorageClass,), {"dtype": dtype}) for name, dtype in _DTYPES.items()},
}
"""What a pickle with tensors may name."""


class _Unpickler(Unpickler):
    """Hands out the storages that the pickle mentions by key."""

    def __init__(self, file: io.BytesIO, storage: Callable[[Any], _Storage]) -> None:
        super().__init__(file, TORCH_NAMES)
        self._storage = storage

    def persistent_load(self, pid: Any) -> _Storage:
        """The storage of ("storage", class, key, location, numel, ...)."""
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise pickle.UnpicklingError("something other than a storage")
        made_by, numel = pid[1], pid[4]
        if not (isinstance(made_by, type) and issubclass(made_by, _StorageClass) and isinstance(numel, int)):
            raise pickle.UnpicklingError("a storage of an unknown kind")
        if not 0 <= numel <= MAX_BYTES:
            raise pickle.UnpicklingError("a storage too large")
        storage = self._storage(pid)
        storage.dtype, storage.numel = made_by.dtype, numel
        return storage


def is_torch_zip(path: Path | str) -> bool:
    """Whether the file is a zip by `torch.save`."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False


def load(path: Path | str, names: set[str] | None = None) -> Any:
    """The content: dictionaries, lists, tuples, text, numbers, and numpy arrays in place of tensors.

    Args:
        path: written by `torch.save`, of any version.
        names: which entries of a dictionary at the top, if it is one; the others are not read.

    Raises:
        FormatError: no such file, damaged, too large, or it names more than data.
    """
    path = existing(path)
    refused = "holds more than data ({}); it was not run; save plain tensors only"
    with one_line(path, refused, "is damaged or not a file of torch; make or download it again"):
        return plain(_chosen(_top(path), names))


def _chosen(top: Any, names: set[str] | None) -> Any:
    if names is None or not isinstance(top, dict) or not names & {k for k in top if isinstance(k, str)}:
        return top
    return {k: v for k, v in top.items() if isinstance(k, str) and k in names}


def _top(path: Path) -> Any:
    if not zipfile.is_zipfile(path):
        if path.stat().st_size > MAX_BYTES:
            raise FormatError(path, f"is larger than {MAX_BYTES >> 20} MB; cut it into shorter pieces")
        return _stream(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        inside = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
        folder = inside.removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder").strip() != b"little":
            raise FormatError(path, "was written on another kind of computer (big-endian); save it again on this one")
    storages: dict[str, _Storage] = {}

    def storage(pid: Any) -> _Storage:
        key = str(pid[2])
        if key not in storages:
            storages[key] = _Storage()
            storages[key].open = lambda: _member(path, f"{folder}data/{key}", MAX_BYTES)
        return storages[key]

    return _Unpickler(io.BytesIO(_member(path, inside, _MAX_PICKLE_BYTES)), storage).load()


def _member(path: Path, name: str, limit: int) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as member:
            raw = member.read(limit + 1)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, OSError, NotImplementedError, RuntimeError):
        raise FormatError(path, "is damaged; make or download it again") from None
    if len(raw) > limit:
        raise FormatError(path, f"holds more than {limit >> 20} MB in one piece; cut it into shorter pieces")
    return raw


def _stream(raw: Any) -> Any:
    """The object of a file in the old layout, its storages filled."""
    if not isinstance(raw, (bytes, bytearray)):
        raw = str(raw).encode("latin1") if isinstance(raw, str) else plain(raw)
    file = io.BytesIO(raw)
    storages: dict[str, _Storage] = {}

    def storage(pid: Any) -> _Storage:
        if len(pid) > 5 and pid[5] is not None:
            raise pickle.UnpicklingError("a view into a storage")
        return storages.setdefault(str(pid[2]), _Storage())

    if (Unpickler(file).load(), Unpickler(file).load()) != (_MAGIC, _STREAM_VERSION):
        raise ValueError("not the old layout of torch")
    Unpickler(file).load()  # about the system it was made on
    top = _Unpickler(file, storage).load()
    for key in Unpickler(file).load():
        found = storages[str(key)]
        wide = 2 if found.dtype == "bf" else np.dtype(found.dtype).itemsize
        if int.from_bytes(file.read(8), "little") != found.numel:
            raise ValueError("a storage of another size")
        found.raw = file.read(found.numel * wide)
    return top
