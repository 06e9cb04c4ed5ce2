"""Images to latents and back, through a frozen VAE of three (RGB) or four (RGBA) channels."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from understudy_backend.models.threedhm.patch_autoencoder import PatchAutoencoder

Vae = AutoencoderKL | PatchAutoencoder
"""Stable Diffusion's, or ours; both are used in the same way."""

BACKGROUND = 0.5
"""What lies behind a person (and outside the islands of a texture): mid grey, in [0, 1]."""


def has_alpha(vae: Vae) -> bool:
    """Whether the VAE carries transparency besides colour."""
    return vae.config["in_channels"] == 4


def size_multiple(vae: Vae) -> int:
    """Image sides must be multiples of this many pixels per latent cell."""
    if isinstance(vae, PatchAutoencoder):
        return vae.config["patch"]
    return 2 ** (len(vae.config["block_out_channels"]) - 1)


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


def encode(vae: Vae, composed: Tensor) -> Tensor:
    """Composed images (N, 4, H, W) to scaled latents (N, C, H/8, W/8): the posterior's mean, so no noise enters."""
    image = composed if has_alpha(vae) else composed[:, :3]
    mean = vae.encode(image).latent_dist.mode()  # pyright: ignore[reportAttributeAccessIssue]
    return (mean - _shift(vae)) * _scale(vae)


def decode(vae: Vae, latents: Tensor) -> Tensor:
    """Scaled latents to composed images (N, 4, H, W); alpha is 1 everywhere where the VAE knows none."""
    image = vae.decode(latents / _scale(vae) + _shift(vae)).sample  # pyright: ignore
    return image if has_alpha(vae) else torch.cat([image, torch.ones_like(image[:, :1])], 1)


def _shift(vae: Vae) -> float:
    return vae.config.get("shift_factor") or 0.0


def _scale(vae: Vae) -> float:
    return vae.config.get("scaling_factor") or 1.0
