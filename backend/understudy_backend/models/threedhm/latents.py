"""Images to latents and back, through a frozen VAE of three (RGB) or four (RGBA) colour channels."""

from __future__ import annotations

import math

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

BACKGROUND = 0.5
"""What lies behind a person (and outside the islands of a texture): mid grey, in [0, 1]."""


def patch_size(vae: AutoencoderKL) -> int:
    """Side of the squares of pixels that the VAE sees as channels; 1 for every published VAE."""
    channels = vae.config["in_channels"]
    return 1 if channels in (3, 4) else math.isqrt(channels // 4)


def has_alpha(vae: AutoencoderKL) -> bool:
    """Whether the VAE carries transparency besides colour."""
    return vae.config["in_channels"] != 3


def size_multiple(vae: AutoencoderKL) -> int:
    """Image sides must be multiples of this many pixels per latent cell."""
    return patch_size(vae) * 2 ** (len(vae.config["block_out_channels"]) - 1)


def compose(rgba: Tensor) -> Tensor:
    """Straight-alpha images (N, 4, H, W) in [0, 1] to what a VAE sees: over `BACKGROUND`, alpha kept, in [-1, 1]."""
    alpha = rgba[:, 3:]
    return torch.cat([rgba[:, :3] * alpha + BACKGROUND * (1 - alpha), alpha], 1) * 2 - 1


def decompose(composed: Tensor) -> Tensor:
    """The inverse of `compose`, for RGBA (N, 4, H, W): straight alpha in [0, 1], clipped."""
    image = (composed + 1) / 2
    # Rounded ends: a VAE never says exactly 0 or 1, and a compositor shows a veil of 1 %.
    alpha = ((image[:, 3:] - 0.04) / 0.92).clamp(0, 1)
    colour = (image[:, :3] - BACKGROUND * (1 - alpha)) / alpha.clamp(min=0.05)
    return torch.cat([colour.clamp(0, 1), alpha], 1)


def encode(vae: AutoencoderKL, composed: Tensor) -> Tensor:
    """Composed images (N, 4, H, W) to scaled latents (N, C, H/8, W/8): the posterior's mean, so no noise enters."""
    image = composed if has_alpha(vae) else composed[:, :3]
    mean = vae.encode(pixel_unshuffle(image, patch_size(vae))).latent_dist.mode()  # pyright: ignore
    offset, scale = _normalisation(vae, mean)
    return (mean - offset) * scale


def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Scaled latents to composed images (N, 4, H, W); alpha is 1 everywhere where the VAE knows none."""
    offset, scale = _normalisation(vae, latents)
    image = pixel_shuffle(vae.decode(latents / scale + offset).sample, patch_size(vae))  # pyright: ignore
    return image if has_alpha(vae) else torch.cat([image, torch.ones_like(image[:, :1])], 1)


def _normalisation(vae: AutoencoderKL, like: Tensor) -> tuple[Tensor | float, Tensor | float]:
    mean, std = vae.config.get("latents_mean"), vae.config.get("latents_std")
    if mean is None or std is None:
        return vae.config.get("shift_factor") or 0.0, vae.config["scaling_factor"]
    offset = torch.tensor(mean, device=like.device, dtype=like.dtype).view(1, -1, 1, 1)
    spread = torch.tensor(std, device=like.device, dtype=like.dtype).view(1, -1, 1, 1)
    return offset, 1 / spread
