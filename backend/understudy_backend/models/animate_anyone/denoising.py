"""What the denoiser is asked at one step, and the noise schedules. Training and sampling both call these."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.unets.unet_motion_model import UNetMotionModel
from torch import Tensor

from understudy_backend.models.animate_anyone.reference import KeysAndValues

Denoiser = UNet2DConditionModel | UNetMotionModel
"""Of single frames, or of clips."""
BetaSchedule = Literal["linear", "scaled_linear"]


def predict(
    unet: Denoiser,
    noisy: Tensor,
    timestep: Tensor | int,
    token: Tensor,
    features: Tensor | None = None,
    reference: KeysAndValues | None = None,
) -> Tensor:
    """The denoiser's velocity (B, C, F, h, w).

    Args:
        unet: the image denoiser takes each frame for itself, the other one the clip.
        noisy: (B, C, F, h, w) latents with noise.
        timestep: one number, or (B,).
        token: (B, 1, D) CLIP embedding of the photo, zeros in the unconditional half.
        features: (B or 1, C', F, h, w) of the guider, or None without guidance.
        reference: of the last clips of the batch; those before, or all where it is None, see no photo.
    """
    clips, _, frames, _, _ = noisy.shape
    tokens = token.repeat_interleave(frames, 0)
    arguments = {"reference": reference, "num_frames": frames}
    with _guided(unet, features, clips):
        if isinstance(unet, UNetMotionModel):
            return unet(noisy, timestep, tokens, cross_attention_kwargs=arguments, return_dict=False)[0]
        if isinstance(timestep, Tensor) and timestep.ndim:
            timestep = timestep.repeat_interleave(frames)
        images = noisy.transpose(1, 2).flatten(0, 1)
        out = unet(images, timestep, tokens, cross_attention_kwargs=arguments, return_dict=False)[0]
        return out.unflatten(0, (clips, frames)).transpose(1, 2)


@contextmanager
def _guided(unet: Denoiser, features: Tensor | None, clips: int) -> Iterator[None]:
    """Adds the guider's features to the first convolution's output, before anything else sees it; diffusers' networks
    have no argument for that."""
    if features is None:
        yield
        return
    added = features.transpose(1, 2).expand(clips, -1, -1, -1, -1).flatten(0, 1)
    handle = unet.conv_in.register_forward_hook(lambda module, given, out: out + added)  # pyright: ignore[reportOperatorIssue]
    try:
        yield
    finally:
        handle.remove()


def guide(unconditional: Tensor, conditional: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance."""
    return unconditional + scale * (conditional - unconditional)


def noise_schedule(betas: BetaSchedule = "linear") -> DDIMScheduler:
    """Velocity, and no signal left at the last step. The published weights were trained with `scaled_linear`, and are
    sampled with `linear`."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule=betas,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=True,
    )


def min_snr_weights(scheduler: DDIMScheduler, timesteps: Tensor, most: float = 5.0) -> Tensor:
    """Weight (N,) of a velocity's squared error at the steps (N,): min(SNR + 1, most) / (SNR + 1) (arXiv 2303.09556).

    Without any signal left SNR is zero, so the weight is one.
    """
    signal = scheduler.alphas_cumprod.to(timesteps.device, torch.float64)[timesteps]
    snr_plus_one = 1 / (1 - signal)
    return snr_plus_one.clamp(max=most) / snr_plus_one
