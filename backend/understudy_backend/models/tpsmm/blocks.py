"""The convolution blocks of both image networks, and the low-pass filter before shrinking.

All norms are instance norms with a learned scale: they use the statistics of the image at hand, in training and after.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _norm(channels: int) -> nn.InstanceNorm2d:
    return nn.InstanceNorm2d(channels, affine=True)


class Same(nn.Module):
    """Convolution, norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        self.norm = _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        return F.relu(self.norm(self.conv(x)))


class Down(Same):
    """`Same` with a 3x3 kernel, then half the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H/2, W/2)."""
        return F.avg_pool2d(super().forward(x), 2)


class Up(Same):
    """Twice the resolution, then `Same` with a 3x3 kernel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, 2H, 2W)."""
        return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))


class Res(nn.Module):
    """Residual block, norm and ReLU before each of its two 3x3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _norm(channels), _norm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same."""
        y = self.conv1(F.relu(self.norm1(x)))
        return x + self.conv2(F.relu(self.norm2(y)))


class Shrink(nn.Module):
    """A Gaussian, then every `factor`-th pixel from the first on."""

    weight: Tensor

    def __init__(self, factor: int, channels: int = 3) -> None:
        super().__init__()
        self.factor = factor
        sigma = (factor - 1) / 2
        radius = round(4 * sigma)
        at = torch.arange(-radius, radius + 1, dtype=torch.float32)
        curve = torch.exp(-(at**2) / (2 * sigma**2))
        kernel = curve[:, None] * curve
        self.register_buffer("weight", (kernel / kernel.sum()).expand(channels, 1, -1, -1).clone())

    def forward(self, image: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, channels, H/factor, W/factor), zeros being outside."""
        # only the pixels that are kept are filtered
        padding = self.weight.shape[-1] // 2
        return F.conv2d(image, self.weight, stride=self.factor, padding=padding, groups=len(self.weight))
