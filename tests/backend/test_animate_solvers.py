"""The solvers against the exact solution, and DDIM against diffusers'."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from understudy_backend.models.animate_anyone.denoising import noise_schedule
from understudy_backend.models.animate_anyone.solvers import Solver, step_of

SPREAD = 0.5
"""Deviation of the data in one dimension; then the best velocity is known, and where every latent must end too."""


def sampled(solver: Solver, steps: int, start: Tensor) -> Tensor:
    scheduler = noise_schedule("scaled_linear")
    scheduler.set_timesteps(steps)
    latent, clean = start, None
    for step, t in enumerate(scheduler.timesteps):
        signal = float(scheduler.alphas_cumprod[int(t)])
        a, s = math.sqrt(signal), math.sqrt(1 - signal)
        variance = signal * SPREAD**2 + s**2
        velocity = a * (s / variance) * latent - s * (a * SPREAD**2 / variance) * latent
        latent, clean = step_of(scheduler, step, solver)(latent, velocity, clean)
    return latent


def test_second_order_needs_fewer_steps() -> None:
    start = torch.linspace(-2, 2, 9, dtype=torch.float64)
    exact = SPREAD * start
    error = {s: float((sampled(s, 40, start) - exact).abs().max()) for s in ("DDIM", "DPM++")}
    assert error["DPM++"] < 0.6 * error["DDIM"]
    many = {s: float((sampled(s, 250, start) - exact).abs().max()) for s in ("DDIM", "DPM++")}
    assert max(many.values()) < 0.02


@pytest.mark.parametrize("steps", [1, 4, 30, 50])
def test_ddim_is_diffusers(steps: int) -> None:
    scheduler = noise_schedule()
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(0)
    latent, velocity = torch.randn((2, 4, 3, 3), generator=generator), torch.randn((2, 4, 3, 3), generator=generator)
    for step, t in enumerate(scheduler.timesteps):
        theirs = scheduler.step(velocity, int(t), latent, eta=0.0)
        ours, clean = step_of(scheduler, step)(latent, velocity, None)
        torch.testing.assert_close(ours, theirs.prev_sample, atol=1e-5, rtol=0)
        torch.testing.assert_close(clean, theirs.pred_original_sample, atol=1e-5, rtol=0)
