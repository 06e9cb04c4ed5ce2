"""Files of tensors, as published: safetensors, or pickles of which only tensors are taken."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from understudy_backend.methods.contract import MethodError

ENDINGS = (".safetensors", ".pth", ".ckpt", ".pt", ".bin")
"""In the order in which they are preferred."""


def find_tensors(folder: Path, name: str) -> Path | None:
    """The file of that name with any of the endings."""
    return next((path for ending in ENDINGS if (path := folder / f"{name}{ending}").is_file()), None)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, by name, without what training wrappers put around them.

    Raises:
        MethodError: the file is damaged, or holds more than tensors.
    """
    try:
        content = load_file(path) if path.suffix == ".safetensors" else unpickle(path)
    except pickle.UnpicklingError:
        raise _bad(path, "is damaged or holds more than weights; it was not run") from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        what = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise _bad(path, f"cannot be read: {what}") from None
    for wrapper in ("state_dict", "module"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise _bad(path, "does not hold named tensors")
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}


def unpickle(path: Path) -> object:
    """What a pickle of torch holds, by torch's own reader of weights: it builds tensors and runs nothing else.

    Raises:
        UnpicklingError: it names more than tensors and what they are in.
        Exception: it is damaged, which can show in any way.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError:  # written before torch 1.6: such a file cannot be mapped
        return torch.load(path, map_location="cpu", weights_only=True)


def convert(path: Path, dtype: torch.dtype | None = None) -> Path:
    """Writes a file's tensors as safetensors beside it, names unchanged, and returns where.

    Args:
        path: the file.
        dtype: of the floating-point tensors; as they are where it is None.

    Raises:
        MethodError: as `read_tensors`, or the folder cannot be written.
    """
    target = path.with_suffix(".safetensors")
    if target == path:
        return path
    write_tensors(target, read_tensors(path), dtype)
    return target


def write_tensors(path: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> None:
    """Writes safetensors, whole or not at all.

    Raises:
        MethodError: the disk is full or the folder cannot be written.
    """
    # Tensors may share memory in a pickle, which safetensors do not know.
    own = {n: t.detach().to("cpu", dtype if t.is_floating_point() else None).clone() for n, t in tensors.items()}
    part = path.with_name(path.name + ".part")
    try:
        save_file({n: t.contiguous() for n, t in own.items()}, part)
        part.replace(path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise MethodError(f"{path} cannot be written: {error}", code="disk", fix="Make room on the disk.") from None


def _bad(path: Path, what: str) -> MethodError:
    return MethodError(f"{path} {what}", code="bad_weights", fix="Download or copy the file again.")
