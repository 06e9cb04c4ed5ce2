"""Champ's guider: one encoder for each picture of the body, and their sum (arXiv 2403.14781, equation 4)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from diffusers import Transformer2DModel
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import silu

from understudy_backend.models.animate_anyone.guider import over_frames
from understudy_backend.models.animate_anyone.networks import PUBLISHED, NetworkConfig

KINDS = ("depth", "normal", "semantic_map", "dwpose")
"""The pictures, in the order in which their features are added."""
HEADS = 8


class GuidanceEncoder(nn.Module):
    """A picture (N, 3, H, W) in [0, 1] to features (N, C, H/8, W/8): convolutions, then self-attention over all cells.

    The last layer starts at zero.
    """

    def __init__(self, config: NetworkConfig = PUBLISHED) -> None:
        super().__init__()
        trunk = ControlNetConditioningEmbedding(config.channels[0], 3, config.guider_channels)
        self.conv_in, self.blocks, self.conv_out = trunk.conv_in, trunk.blocks, trunk.conv_out
        width = config.guider_channels[-1]
        self.attention = Transformer2DModel(
            num_attention_heads=HEADS,
            attention_head_dim=width // HEADS,
            in_channels=width,
            norm_num_groups=config.groups,
        )

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, C, H/8, W/8)."""
        hidden = silu(self.conv_in(image))
        for block in self.blocks:
            hidden = silu(block(hidden))
        return self.conv_out(self.attention(hidden, return_dict=False)[0])


class GuidanceEncoders(nn.Module):
    """The four encoders; they share no weights."""

    kinds = KINDS
    resampling = Image.Resampling.BICUBIC

    def __init__(self, config: NetworkConfig = PUBLISHED) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({kind: GuidanceEncoder(config) for kind in KINDS})

    def forward(self, pictures: Mapping[str, Tensor]) -> Tensor:
        """Pictures (B, 3, F, H, W) in [0, 1] by kind, to the sum of their features (B, C, F, H/8, W/8)."""
        features = [over_frames(self.encoders[kind], pictures[kind]) for kind in KINDS]
        return torch.stack(features).sum(0)
