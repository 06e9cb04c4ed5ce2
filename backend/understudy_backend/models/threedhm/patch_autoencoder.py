"""A frozen VAE's place for networks that are trained without a GPU: principal components of patches, and a refiner.

Training a convolutional VAE takes days on two cores; the best linear code of square patches takes seconds and keeps
more (see the model card). It has the methods of diffusers' `AutoencoderKL` that 3DHM uses, and saves like it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle, silu


@dataclass(frozen=True)
class Code:
    """What `encode` gives: the code is exact, so its distribution is one point."""

    latents: Tensor

    @property
    def latent_dist(self) -> Code:
        """Itself, where an `AutoencoderKL` has a Gaussian."""
        return self

    def mode(self) -> Tensor:
        """(N, C, H/patch, W/patch)."""
        return self.latents


@dataclass(frozen=True)
class Decoded:
    """What `decode` gives."""

    sample: Tensor
    """(N, 4, H, W)."""


class PatchAutoencoder(ModelMixin, ConfigMixin):
    """Images (N, 4, H, W) to latents (N, C, H/patch, W/patch) and back.

    Args:
        in_channels: colour and alpha.
        patch: side of a patch in pixels; sides of images are multiples of it.
        latent_channels: principal components that are kept.
        hidden: width of the refiner.
        depth: residual blocks of the refiner.
    """

    @register_to_config
    def __init__(
        self, in_channels: int = 4, patch: int = 8, latent_channels: int = 32, hidden: int = 64, depth: int = 3
    ) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(in_channels, latent_channels, patch, patch)
        self.decoder = nn.ConvTranspose2d(latent_channels, in_channels, patch, patch, bias=False)
        self.mean = nn.Parameter(torch.zeros(1, in_channels, patch, patch))
        self.refiner = Refiner(in_channels, hidden, depth)

    def encode(self, image: Tensor) -> Code:
        """Images in [-1, 1] to latents; see `fit` for their scale."""
        return Code(self.encoder(image))

    def decode(self, latents: Tensor) -> Decoded:
        """Latents to images."""
        return Decoded(self.refiner(self.expand(latents)))

    def expand(self, latents: Tensor) -> Tensor:
        """The linear part of `decode`: the picture that the principal components give."""
        height, width = latents.shape[-2:]
        return self.decoder(latents) + self.mean.repeat(1, 1, height, width)

    @torch.no_grad()
    def fit(self, mean: Tensor, components: Tensor, spread: Tensor) -> None:
        """Takes over a principal component analysis of patches, P = in_channels * patch^2 pixels each.

        Latents are scaled halfway to unit variance: the first components stay the strongest, as in a picture, so that
        diffusion settles what is large first; their mean square is 1.

        Args:
            mean: (P,) mean patch, channels first.
            components: (P, C) orthonormal columns.
            spread: (C,) standard deviation along each.
        """
        shape = self.encoder.weight.shape
        scale = spread.sqrt()
        scale = scale * (spread / scale).pow(2).mean().sqrt()
        self.encoder.weight.copy_((components / scale).T.reshape(shape))
        assert self.encoder.bias is not None
        self.encoder.bias.copy_(-(mean @ components) / scale)
        self.decoder.weight.copy_((components * scale).T.reshape(shape))
        self.mean.copy_(mean.reshape(self.mean.shape))


class Refiner(nn.Module):
    """Removes the seams between patches and sharpens; at its start it changes nothing."""

    def __init__(self, channels: int, hidden: int, depth: int) -> None:
        super().__init__()
        pixels = channels * 16
        self.enter = nn.Conv2d(pixels, hidden, 3, padding=1)
        self.blocks = nn.ModuleList(Block(hidden) for _ in range(depth))
        self.leave = nn.Conv2d(hidden, pixels, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, image: Tensor) -> Tensor:
        """(N, channels, H, W) to the same, H and W multiples of 4."""
        x = self.enter(pixel_unshuffle(image, 4))
        for block in self.blocks:
            x = block(x)
        return image + pixel_shuffle(self.leave(x), 4)


class Block(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) to the same."""
        return x + self.second(silu(self.first(silu(x))))
