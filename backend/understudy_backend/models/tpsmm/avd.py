"""AVD: the driving person's pose in the shape of the source person (animation via disentanglement)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from understudy_backend.models.tpsmm.config import TPSMMConfig


class AVDNetwork(nn.Module):
    """Works on keypoints alone."""

    def __init__(self, config: TPSMMConfig) -> None:
        super().__init__()
        numbers = 2 * config.keypoints
        self.id_encoder = _perceptron(numbers, config.avd_widths, config.avd_code)
        self.pose_encoder = _perceptron(numbers, config.avd_widths, config.avd_code)
        self.decoder = _perceptron(2 * config.avd_code, config.avd_widths[::-1], numbers)

    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        """Keypoints (B, 5 K, 2) of both to those with which to animate, (B, 5 K, 2)."""
        pose, identity = self.pose_encoder(driving.flatten(1)), self.id_encoder(source.flatten(1))
        return self.decoder(torch.cat([pose, identity], 1)).unflatten(1, (-1, 2))


def _perceptron(inputs: int, widths: tuple[int, ...], outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise((inputs, *widths)):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], outputs))
