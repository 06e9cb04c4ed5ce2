"""Two frames of one clip: which, and what is done to both of them alike."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from understudy_backend.training.draws import Draw
from understudy_backend.training.tpsmm import colours
from understudy_backend.training.tpsmm.clips import Frames
from understudy_backend.training.tpsmm.settings import Augmentation

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of frames by the draws of a step."""

    frames: Frames
    counts: list[int]
    """Frames of each clip."""
    groups: list[list[int]]
    """Clips of each identity; a draw's indices count these."""
    augmentation: Augmentation
    size: int
    """Side of the images in pixels."""

    def __len__(self) -> int:
        return len(self.groups)

    def take(self, draw: Draw) -> tuple[Tensor, Tensor]:
        """Source and driving frames (N, 3, S, S) in [0, 1]."""
        made = [
            self._pair(int(index), np.random.default_rng(int(seed)))
            for index, seed in zip(draw.indices, draw.below(1 << 62), strict=True)
        ]
        return tuple(as_tensor([pair[i] for pair in made]) for i in (0, 1))  # type: ignore[return-value]

    def _pair(self, group: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        clip = self.groups[group][rng.integers(len(self.groups[group]))]
        numbers = sorted(int(n) for n in rng.integers(self.counts[clip], size=2))
        source, driving = (np.asarray(frame / np.float32(255), np.float32) for frame in self.frames.take(clip, numbers))
        return augmented(rng, source, driving, self.augmentation)


def augmented(rng: np.random.Generator, source: Floats, driving: Floats, how: Augmentation) -> tuple[Floats, Floats]:
    """Both frames (S, S, 3) turned round in time or space, resized and cut, recoloured, in this order."""
    if how.flips:
        if rng.random() < 0.5:
            source, driving = driving, source
        elif rng.random() < 0.5:
            source, driving = source[:, ::-1], driving[:, ::-1]
    pair = np.ascontiguousarray(np.stack([source, driving]), np.float32)
    if how.resize is not None:
        pair = cut(rng, pair, float(rng.uniform(*how.resize)))
    pair = colours.jittered(rng, pair, how.brightness, how.contrast, how.saturation, how.hue)
    return pair[0], pair[1]


def cut(rng: np.random.Generator, pair: Floats, factor: float) -> Floats:
    """Frames (2, S, S, 3) enlarged by a factor, of which a random square of the old size; outermost pixels go on."""
    size = pair.shape[1]
    side = max(1, round(size * factor))
    short = max(0, size - side)
    around = (short // 2, short - short // 2)
    top, left = (int(rng.integers(max(side, size) - size + 1)) for _ in range(2))
    out = []
    for frame in pair:
        enlarged = np.asarray(cv2.resize(frame, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
        padded = np.pad(enlarged, (around, around, (0, 0)), "edge")
        out.append(padded[top : top + size, left : left + size])
    return np.stack(out)


def as_tensor(frames: list[Floats] | list[NDArray[np.uint8]]) -> Tensor:
    """Frames (S, S, 3), uint8 or in [0, 1], as (N, 3, S, S) in [0, 1]."""
    stacked = np.stack(frames)
    unit = stacked.astype(np.float32) / 255 if stacked.dtype == np.uint8 else stacked
    return torch.from_numpy(np.ascontiguousarray(unit.transpose(0, 3, 1, 2)))
