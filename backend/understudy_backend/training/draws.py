"""Which samples a step sees and with what noise: functions of seed and step alone.

So a run that was killed goes on as if nothing had happened, and the same batch on more devices, or in more parts, is
the same batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_ORDER, _NOISE, _MODEL = range(3)


@dataclass(frozen=True)
class Draw:
    """One part of a batch: N samples, and for each a source of randomness of its own."""

    indices: NDArray[np.int64]
    """(N,) which samples."""
    generators: tuple[torch.Generator, ...]
    """N of them. Each call below goes on with them, so calls must come in the same order every time."""

    def normal(self, *shape: int) -> Tensor:
        """(N, *shape), unit Gaussian, on the CPU."""
        return torch.stack([torch.randn(shape, generator=g) for g in self.generators])

    def uniform(self) -> Tensor:
        """(N,) in [0, 1)."""
        return torch.cat([torch.rand(1, generator=g) for g in self.generators])

    def below(self, end: int) -> Tensor:
        """(N,) whole numbers in [0, end)."""
        return torch.cat([torch.randint(0, end, (1,), generator=g) for g in self.generators])


def draw(seed: int, step: int, places: range, batch: int, count: int) -> Draw:
    """The samples at `places` of the batch of `step` (counted from 0).

    Every sample comes once before any comes again, in an order that changes each time.

    Args:
        seed: of the run.
        step: number of the optimiser step.
        places: which of the batch's places, below `batch`.
        batch: size of the whole batch.
        count: size of the data set.
    """
    positions = [step * batch + place for place in places]
    indices = np.array([_order(seed, p // count, count)[p % count] for p in positions], np.int64)
    generators = tuple(torch.Generator().manual_seed(_number(seed, _NOISE, p)) for p in positions)
    return Draw(indices, generators)


def seed_model(seed: int, step: int, process: int) -> None:
    """Seeds torch's own randomness for one step, for networks that draw from it (dropout)."""
    torch.manual_seed(_number(seed, _MODEL, step, process))


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(count)


def _number(*key: int) -> int:
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1))
