"""One step of sampling, as plain functions of a latent: nothing is kept between steps but what is handed over."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from diffusers import DDIMScheduler
from torch import Tensor

Solver = Literal["DDIM", "DPM++"]
"""DDIM (arXiv 2010.02502, eta 0), as published, or DPM-Solver++ of second order (arXiv 2211.01095, 2M)."""

Step = Callable[[Tensor, Tensor, Tensor | None], tuple[Tensor, Tensor]]
"""From a latent, the network's velocity for it and the last step's clean estimate (None at the first), to the next
latent and this step's clean estimate."""


def step_of(scheduler: DDIMScheduler, step: int, solver: Solver = "DDIM") -> Step:
    """The function of one step.

    Args:
        scheduler: its noise schedule, with its timesteps set.
        step: number of the step, from 0.
        solver: which one.
    """
    return _ddim(scheduler, step) if solver == "DDIM" else _dpm(scheduler, step)


def _signal(scheduler: DDIMScheduler, timestep: int) -> tuple[float, float]:
    """Signal and noise, whose squares sum to 1; before the first timestep there is no noise."""
    left = float(scheduler.alphas_cumprod[timestep]) if timestep >= 0 else 1.0
    return math.sqrt(left), math.sqrt(1 - left)


def _ddim(scheduler: DDIMScheduler, step: int) -> Step:
    times = scheduler.timesteps
    a, s = _signal(scheduler, int(times[step]))
    # The published step is always as long as the shortest, though trailing timesteps are sometimes one apart more.
    a_next, s_next = _signal(scheduler, int(times[step]) - scheduler.config["num_train_timesteps"] // len(times))

    def solve(latent: Tensor, velocity: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        clean = a * latent - s * velocity
        return a_next * clean + s_next * (a * velocity + s * latent), clean

    return solve


def _dpm(scheduler: DDIMScheduler, step: int) -> Step:
    times = [int(t) for t in scheduler.timesteps] + [-1]
    a, s = _signal(scheduler, times[step])
    a_next, s_next = _signal(scheduler, times[step + 1])
    now = _half_log_snr(a, s)
    length = _half_log_snr(a_next, s_next) - now
    share = 0.0  # of the change since the last step: none where either step is infinite
    if step and math.isfinite(length):
        share = length / (2 * (now - _half_log_snr(*_signal(scheduler, times[step - 1]))))

    def solve(latent: Tensor, velocity: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        clean = a * latent - s * velocity
        ahead = clean if before is None else clean + share * (clean - before)
        return (s_next / s) * latent - a_next * math.expm1(-length) * ahead, clean

    return solve


def _half_log_snr(a: float, s: float) -> float:
    if a == 0:
        return -math.inf
    return math.inf if s == 0 else math.log(a / s)
