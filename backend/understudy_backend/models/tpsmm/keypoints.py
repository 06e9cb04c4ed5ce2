"""The networks that look at whole images and give a few numbers: keypoints, and the background's motion."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from understudy_backend.models.tpsmm.config import TPSMMConfig
from understudy_backend.models.tpsmm.resnet import ResNet18
from understudy_backend.models.tpsmm.warping import at_least_single


class KeypointDetector(nn.Module):
    """Finds the keypoints of the splines (section 3.1). Nobody tells it which; it learns what is useful."""

    def __init__(self, config: TPSMMConfig) -> None:
        super().__init__()
        self.fg_encoder = ResNet18(3, 2 * config.keypoints, config.encoder_width)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to (B, 5 K, 2) in [-1, 1]; points 5k to 5k + 4 belong to spline k."""
        # float32: the splines' equations are solved with these, and half precision would show as trembling
        return (2 * torch.sigmoid(at_least_single(self.fg_encoder(image))) - 1).unflatten(1, (-1, 2))


class BackgroundPredictor(nn.Module):
    """The affine motion of what is behind (section 3.4), from the driving frame's coordinates to the source's."""

    def __init__(self, config: TPSMMConfig) -> None:
        super().__init__()
        self.bg_encoder = ResNet18(6, 6, config.encoder_width)
        nn.init.zeros_(self.bg_encoder.fc.weight)
        with torch.no_grad():
            self.bg_encoder.fc.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))

    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        """Two images (B, 3, H, W) to a matrix (B, 3, 3)."""
        rows = at_least_single(self.bg_encoder(torch.cat([source, driving], 1))).unflatten(1, (2, 3))
        last = rows.new_tensor([0, 0, 1]).expand(len(rows), 1, 3)
        return torch.cat([rows, last], 1)
