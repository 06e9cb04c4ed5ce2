"""The features of VGG-19 (Simonyan and Zisserman, ICLR 2015) that the perceptual loss compares."""

from __future__ import annotations

import torch
from torch import Tensor, nn

STAGES = ((2, 64), (2, 128), (4, 256), (4, 512), (1, 512))
"""Convolutions and channels of each stage, up to the first of the last; a 2x2 maximum comes between stages."""
TAPS = (1, 6, 11, 20, 29)
"""Layers whose outputs are compared: the ReLU after the first convolution of each stage."""


class VGG19(nn.Module):
    """VGG-19 up to relu5_1; its keys are those of the usual ImageNet weights (`features.0.weight`, ...)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for stage, (count, width) in enumerate(STAGES):
            if stage:
                layers.append(nn.MaxPool2d(2))
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
        self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [0, 1] to the five features, fine to coarse."""
        x, taps = (image - self.mean) / self.deviation, []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in TAPS:
                taps.append(x)
        return taps
