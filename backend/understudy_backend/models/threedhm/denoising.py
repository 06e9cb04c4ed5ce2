"""What each stage's network is asked at one step, and the loop over steps. Training and sampling both call these."""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers import ControlNetModel, DDIMScheduler, UNet2DConditionModel
from torch import Tensor

INFILL_PROMPT = "real human"
"""The fixed prompt of stage 1 (3DHM section 3.1)."""
RENDER_PROMPT = "a real human is acting"
"""The fixed prompt of stage 2 (3DHM section 3.2)."""


def predict_infill(
    unet: UNet2DConditionModel, noisy: Tensor, timesteps: Tensor, unseen: Tensor, partial: Tensor, prompt: Tensor
) -> Tensor:
    """Stage 1's prediction (N, C, h, w).

    Args:
        noisy: (N, C, h, w) latents of the complete texture with noise.
        timesteps: (N,).
        unseen: (N, 1, h, w), 1 where texels are to be made, 0 where they are known.
        partial: (N, C, h, w) latents of the texture with its unseen texels blanked.
        prompt: (1, L, D).
    """
    sample = torch.cat([noisy, unseen, partial], 1)
    return unet(sample, timesteps, prompt.expand(len(noisy), -1, -1)).sample


def predict_render(
    unet: UNet2DConditionModel, branch: ControlNetModel, noisy: Tensor, timesteps: Tensor, condition: Tensor,
    prompt: Tensor,
) -> Tensor:  # fmt: skip
    """Stage 2's prediction (N, C, h, w): the branch sees body and photo and adds to the UNet's skips.

    Args:
        noisy: (N, C, h, w) latents of the real frame with noise.
        timesteps: (N,).
        condition: (N, 2C, h, w) latents of the texture-mapped body, then of the photo.
        prompt: (1, L, D).
    """
    text = prompt.expand(len(noisy), -1, -1)
    down, middle = branch(noisy, timesteps, text, controlnet_cond=condition, return_dict=False)
    return unet(
        noisy, timesteps, text, down_block_additional_residuals=down, mid_block_additional_residual=middle
    ).sample


def training_scheduler() -> DDIMScheduler:
    """The noise schedule of the networks we train: velocity, and no signal left at the last step, so that a few steps
    suffice (Lin et al., arXiv 2305.08891)."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )


def sample(
    predict: Callable[[Tensor, Tensor], Tensor],
    scheduler: DDIMScheduler,
    noise: Tensor,
    steps: int,
    on_step: Callable[[int], None] = lambda step: None,
) -> Tensor:
    """Deterministic DDIM from `noise` (N, C, h, w) to clean latents. `predict(noisy, timesteps)` is the network."""
    own = DDIMScheduler.from_config(scheduler.config)
    assert isinstance(own, DDIMScheduler)
    own.set_timesteps(steps, device=noise.device)
    latents = noise * own.init_noise_sigma
    for number, t in enumerate(own.timesteps):
        model_input = own.scale_model_input(latents, int(t))
        output = predict(model_input, t.expand(len(latents)))
        latents = own.step(output, int(t), latents, eta=0.0).prev_sample  # pyright: ignore
        on_step(number + 1)
    return latents


def seeded_noise(seed: int, shape: tuple[int, ...]) -> Tensor:
    """Unit Gaussian noise that is the same on every device: made on the CPU."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
