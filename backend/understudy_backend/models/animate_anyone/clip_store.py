"""A clip's state on disk: memory holds one window of it, and nothing finished is lost.

What a clip consists of grows with its length - guidance features, latents, predictions - so it lies in files, of which
a window's frames are read. Every file is either complete or not there, and what is computed from files does not depend
on when it is: a clip that was interrupted and goes on ends with the same bits as one that was not.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FINGERPRINT = "clip.json"


class FrameFile:
    """Tensors of one shape and dtype in a file, one after the other."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        self.path, self.shape, self.dtype = path, shape, dtype
        self._bytes = torch.empty(shape, dtype=dtype, device="meta").nbytes

    def read(self, indices: Sequence[int]) -> Tensor:
        """The tensors of some indices, (len(indices), *shape)."""
        out = np.empty((len(indices), self._bytes), np.uint8)
        with self.path.open("rb") as file:
            for row, index in zip(out, indices, strict=True):
                file.seek(index * self._bytes)
                if file.readinto(row.data) != self._bytes:  # pyright: ignore[reportArgumentType]
                    raise OSError(f"{self.path} is shorter than it should be")
        return torch.from_numpy(out).view(self.dtype).unflatten(1, self.shape)

    def write(self, first: int, tensors: Tensor) -> None:
        """Puts tensors (n, *shape) at index `first` and after."""
        raw = tensors.detach().to("cpu", self.dtype).contiguous().flatten().view(torch.uint8).numpy()
        with self.path.open("r+b" if self.path.exists() else "w+b") as file:
            file.seek(first * self._bytes)
            file.write(raw.data)


class ClipStore:
    """The files of one clip.

    Args:
        folder: made where it is missing. Files of a clip with another fingerprint are removed.
        fingerprint: says of which clip, in all that its frames depend on.
        count: frames.
        latent: (C, h, w).
    """

    def __init__(self, folder: Path, fingerprint: bytes, count: int, latent: tuple[int, int, int]) -> None:
        self.folder, self.count, self._latent = folder, count, latent
        note = folder / FINGERPRINT
        if not note.is_file() or note.read_bytes() != fingerprint:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            _write_whole(note, fingerprint)

    def features(self, shape: tuple[int, ...], dtype: torch.dtype) -> FrameFile:
        """The guider's features, one tensor (C', h, w) per frame."""
        return FrameFile(self.folder / "features", shape, dtype)

    def guided(self) -> list[bool]:
        """Which frames have their features."""
        path = self.folder / "guided"
        have = path.read_bytes() if path.is_file() else b""
        return [bool(b) for b in have.ljust(self.count, b"\0")]

    def mark_guided(self, index: int) -> None:
        """Notes that a frame's features are written."""
        FrameFile(self.folder / "guided", (1,), torch.uint8).write(index, torch.ones(1, 1))

    def latents(self, step: int) -> FrameFile:
        """Latents (C, h, w) of all frames after `step` steps; complete where `has_latents`."""
        return FrameFile(self.folder / f"latents-{step}", self._latent, torch.float32)

    def has_latents(self, step: int) -> bool:
        """Whether that many steps are finished."""
        return self.latents(step).path.is_file()

    def prediction(self, step: int, window: int) -> FrameFile:
        """What the network said of a window's frames at a step."""
        return FrameFile(self.folder / f"prediction-{step}-{window}", self._latent, torch.float32)

    def has_prediction(self, step: int, window: int) -> bool:
        """Whether that window is finished."""
        return self.prediction(step, window).path.is_file()

    def save_prediction(self, step: int, window: int, tensors: Tensor) -> None:
        """Finishes a window: predictions (n, C, h, w) of its frames."""
        target = self.prediction(step, window)
        FrameFile(part := _unfinished(target.path), self._latent, torch.float32).write(0, tensors)
        part.replace(target.path)

    def clean(self, step: int) -> FrameFile:
        """How all frames (C, h, w) looked without their noise, at the last of `step` steps."""
        return FrameFile(self.folder / f"clean-{step}", self._latent, torch.float32)

    def begin_clean(self, step: int) -> FrameFile:
        """A new file for `clean`; it counts when the step's latents do."""
        path = self.clean(step).path
        path.unlink(missing_ok=True)
        return self.clean(step)

    def begin_latents(self, step: int) -> FrameFile:
        """A file for latents that count only after `finish_latents`."""
        path = _unfinished(self.latents(step).path)
        path.unlink(missing_ok=True)
        return FrameFile(path, self._latent, torch.float32)

    def finish_latents(self, step: int) -> None:
        """Finishes a step: its latents count, and what they were made from goes."""
        target = self.latents(step).path
        _unfinished(target).replace(target)
        for name in (f"latents-{step - 1}", f"clean-{step - 1}", f"prediction-{step - 1}-*"):
            for path in self.folder.glob(name):
                path.unlink()

    def remove(self) -> None:
        """Removes all files."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _unfinished(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _write_whole(path: Path, content: bytes) -> None:
    part = _unfinished(path)
    part.write_bytes(content)
    part.replace(path)
