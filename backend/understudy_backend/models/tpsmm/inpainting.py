"""The source's features, moved by the flow, masked where it cannot know, and filled in (section 3.3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from understudy_backend.models.tpsmm.blocks import Down, Res, Same, Up
from understudy_backend.models.tpsmm.config import TPSMMConfig
from understudy_backend.models.tpsmm.dense_motion import Motion
from understudy_backend.models.tpsmm.warping import resize, resize_flow, sample


class Inpainted(NamedTuple):
    """A frame of the moved source."""

    prediction: Tensor
    """(B, 3, H, W) in [0, 1]."""
    warped_source: Tensor
    """(B, 3, H, W): the source moved, nothing filled in."""


class InpaintingNetwork(nn.Module):
    """An encoder of the source; a decoder that takes the encoder's features moved and masked."""

    def __init__(self, config: TPSMMConfig) -> None:
        super().__init__()
        width, limit, levels = config.inpainting_width, config.inpainting_limit, config.inpainting_levels
        channels = [min(limit, width * 2**i) for i in range(levels + 1)]
        self.first = Same(3, width, 7)
        self.down_blocks = nn.ModuleList(Down(channels[i], channels[i + 1]) for i in range(levels))
        self.resblock = nn.ModuleList()
        self.up_blocks = nn.ModuleList()
        for i in range(levels):
            entering = channels[-1] if i == 0 else 2 * channels[levels - i]
            self.resblock.extend(Res(entering) for _ in range(2))
            self.up_blocks.append(Up(entering, channels[levels - 1 - i]))
        self.final = nn.Conv2d(width, 3, 7, padding=3)

    def encode(self, image: Tensor) -> list[Tensor]:
        """An image (B, 3, H, W) in [0, 1] to its features, coarse to fine."""
        features = [self.first(image)]
        for down in self.down_blocks:
            features.append(down(features[-1]))
        return features[::-1]

    def forward(self, source: Tensor, features: list[Tensor], motion: Motion) -> Inpainted:
        """The driving frame, made of the source.

        Args:
            source: (B, 3, H, W) in [0, 1].
            features: of the source, from `encode`.
            motion: from the dense motion network.
        """
        moved = [warp_masked(feature, motion, level) for level, feature in enumerate(features)]
        x = moved[0]
        for i, (up, skip) in enumerate(zip(self.up_blocks, moved[1:], strict=True)):
            x = up(self.resblock[2 * i + 1](self.resblock[2 * i](x)))
            if i < len(self.up_blocks) - 1:
                x = torch.cat([x, skip], 1)
        mask = mask_at(motion, len(features) - 1, source.shape[2:])
        invented = torch.sigmoid(self.final(x * (1 - mask) + moved[-1]))
        warped = sample(source, resize_flow(motion.flow, _size(source)))
        return Inpainted(invented * (1 - mask) + warped * mask, warped)


def warp_masked(feature: Tensor, motion: Motion, level: int) -> Tensor:
    """A feature (B, C, ., .) moved by the flow and masked; `level` counts the masks from the coarsest."""
    moved = sample(feature, resize_flow(motion.flow, _size(feature)))
    return moved * mask_at(motion, level, feature.shape[2:])


def mask_at(motion: Motion, level: int, size: torch.Size | tuple[int, int]) -> Tensor:
    """The mask of a level; where there is but one, that one at (height, width)."""
    if len(motion.masks) > 1:
        return motion.masks[level]
    return resize(motion.masks[0], (size[0], size[1]))


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[2], image.shape[3]
