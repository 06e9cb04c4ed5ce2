"""What both diffusions learn: to tell noise from signal at random steps of the noise schedule."""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from understudy_backend.training.draws import Draw


def timesteps(draw: Draw, scheduler: DDIMScheduler, last_step_share: float) -> Tensor:
    """Diffusion steps (N,), uniform but for a share that is at the very last, where sampling starts."""
    end = scheduler.config["num_train_timesteps"]
    t = draw.below(end)
    return torch.where(draw.uniform() < last_step_share, torch.full_like(t, end - 1), t)


def is_last(scheduler: DDIMScheduler, t: Tensor) -> Tensor:
    """Which of the steps t (N,) are the very last."""
    return t == scheduler.config["num_train_timesteps"] - 1


def add_noise(scheduler: DDIMScheduler, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Latents (N, C, h, w) with as much of the noise as belongs to the steps t (N,)."""
    return scheduler.add_noise(clean, noise, t)  # pyright: ignore[reportArgumentType]


def goal(scheduler: DDIMScheduler, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """What the network shall say (N, C, h, w): what the scheduler takes its output for.

    Raises:
        ValueError: a kind of prediction that is neither noise nor velocity nor sample.
    """
    kind = scheduler.config["prediction_type"]
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        return scheduler.get_velocity(clean, noise, t)  # pyright: ignore[reportArgumentType]
    if kind == "sample":
        return clean
    raise ValueError(f"the scheduler's prediction type {kind} cannot be trained")


def signal(scheduler: DDIMScheduler, noisy: Tensor, guess: Tensor, t: Tensor) -> Tensor:
    """The clean latents (N, C, h, w) that a network's output stands for; the inverse of `goal`."""
    share = scheduler.alphas_cumprod.to(noisy.device)[t].view(-1, 1, 1, 1)
    kind = scheduler.config["prediction_type"]
    if kind == "sample":
        return guess
    if kind == "v_prediction":
        return share.sqrt() * noisy - (1 - share).sqrt() * guess
    return (noisy - (1 - share).sqrt() * guess) / share.sqrt()


def weighted_errors(guess: Tensor, wanted: Tensor, weight: Tensor, whole: Tensor) -> Tensor:
    """Weighted mean square error (N,) of each sample.

    Its mean is a batch's loss, and so the mean of the losses of its parts, however it is divided.

    Args:
        guess: (N, C, h, w).
        wanted: (N, C, h, w).
        weight: (N or 1, 1, h, w).
        whole: (N or 1, 1, h, w), the weights whose sum counts as 1; differs from `weight` where cells are left out.
    """
    error = (guess.float() - wanted.float()).pow(2).mean(1, keepdim=True)
    return (error * weight).sum((1, 2, 3)) / whole.sum((1, 2, 3))


def masked_psnr(result: Tensor, truth: Tensor, mask: Tensor) -> float:
    """PSNR in dB of images (N, 3, H, W) in [0, 1] where a mask (N, 1, H, W) is 1, over all of them together."""
    error = ((result - truth).pow(2).mean(1, keepdim=True) * mask).sum() / mask.sum().clamp(min=1)
    return float(-10 * torch.log10(error.clamp(min=1e-10)))
