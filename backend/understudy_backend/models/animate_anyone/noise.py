"""The noise that a clip starts from."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import torch
from torch import Tensor


class SeedRange(msgspec.Struct, frozen=True):
    """Frames that have a seed of their own."""

    first: int
    """Index of the first frame in the clip."""
    last: int
    """Index of the last frame, included."""
    seed: int


def clip_noise(
    seed: int, count: int, shape: tuple[int, int, int], ranges: Sequence[SeedRange] = ()
) -> Tensor:  # fmt: skip
    """Unit Gaussian noise (count, C, h, w), the same on every device: one draw on the CPU for the whole clip.

    Args:
        seed: of all frames but those of `ranges`.
        count: frames of the clip.
        shape: (C, h, w) of a latent.
        ranges: frames that get the noise they would have if their seed were the clip's; later ranges win.
    """
    noise = _draw(seed, count, shape)
    for r in ranges:
        if not 0 <= r.first <= r.last < count:
            raise ValueError(f"frames {r.first} to {r.last} are not in a clip of {count} frames")
        noise[r.first : r.last + 1] = _draw(r.seed, count, shape)[r.first : r.last + 1]
    return noise


def _draw(seed: int, count: int, shape: tuple[int, int, int]) -> Tensor:
    channels, height, width = shape
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((channels, count, height, width), generator=generator).transpose(0, 1).contiguous()
