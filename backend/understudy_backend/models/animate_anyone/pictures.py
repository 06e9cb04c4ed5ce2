"""The photo and the guidance as the networks take them: sizes, ranges, and latents.

The resampling filters are Pillow's, and the aspect is not kept where a picture has another than the clip: so were the
published weights trained and run. Crop before, where that is not wanted.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from understudy_backend.models.threedhm.latents import Vae

CLIP_SIZE = 224
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
CELL = 8
"""Pixels per latent cell and side."""


def picture_tensor(picture: NDArray[np.uint8], size: tuple[int, int], resampling: Image.Resampling) -> Tensor:
    """A picture (H, W, 3) to (3, height, width) float32 in [0, 1], of `size` (width, height)."""
    image = Image.fromarray(np.ascontiguousarray(picture[..., :3]))
    if image.size != size:
        image = image.resize(size, resampling)
    return torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)


def clip_pixels(photo: NDArray[np.uint8]) -> Tensor:
    """The photo (H, W, 3) as CLIP sees it, (1, 3, 224, 224) float32."""
    pixels = picture_tensor(photo, (CLIP_SIZE, CLIP_SIZE), Image.Resampling.BICUBIC)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return ((pixels - mean) / std)[None]


def photo_pixels(photo: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """The photo (H, W, 3) as the VAE sees it, (1, 3, height, width) float32 in [-1, 1]."""
    return picture_tensor(photo, size, Image.Resampling.LANCZOS)[None] * 2 - 1


def scaling(vae: Vae) -> float:
    """What the VAE's codes are multiplied by."""
    return vae.config.get("scaling_factor") or 1.0


def encode_image(vae: Vae, pixels: Tensor) -> Tensor:
    """Pixels (N, 3, H, W) in [-1, 1] to scaled latents (N, C, H/8, W/8): the posterior's mean."""
    return vae.encode(pixels).latent_dist.mode() * scaling(vae)  # pyright: ignore


def decode_image(vae: Vae, latents: Tensor) -> Tensor:
    """Scaled latents (N, C, h, w) to images (N, 3, 8h, 8w) float32 in [0, 1]."""
    image = vae.decode(latents / scaling(vae)).sample  # pyright: ignore
    return (image.float() / 2 + 0.5).clamp(0, 1)
