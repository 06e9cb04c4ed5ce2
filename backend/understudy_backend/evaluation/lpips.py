"""LPIPS (Zhang et al., arXiv 1801.03924), version 0.1 with AlexNet: how different two pictures look."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from understudy_backend.evaluation.metric_weights import LPIPS, weights_file
from understudy_backend.inert_pickle import read_pickled_tree

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""ImageNet's mean and spread, for pictures in [-1, 1]."""
BATCH = 16


class Lpips:
    """The metric, with its weights.

    Args:
        folder: holds the weights.
        device: where the network runs.

    Raises:
        MissingWeights: they are not there.
        FormatError: they cannot be read.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self._device = device
        arrays = read_pickled_tree(weights_file(folder, LPIPS))
        self._network = AlexNetFeatures()
        for i, layer in enumerate(self._network.layers):
            _fill(layer, arrays[f"AlexNet_0/Conv_{i}/kernel"], arrays[f"AlexNet_0/Conv_{i}/bias"])
        self._network.requires_grad_(False).eval().to(device)
        self.heads = [
            torch.from_numpy(arrays[f"NetLinLayer_{i}/Conv_0/kernel"].reshape(-1).copy()).to(device) for i in range(5)
        ]

    def __call__(self, results: NDArray[np.uint8], truths: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Distances (N,) of pictures (N, H, W, 3) from their truths, one by one."""
        return self.between(self.features(results), self.features(truths))

    def features(self, pictures: NDArray[np.uint8]) -> list[Tensor]:
        """The five layers (N, C, h, w), every pixel's channels normalised, of pictures (N, H, W, 3)."""
        parts = [self._layers(pictures[start : start + BATCH]) for start in range(0, len(pictures), BATCH)]
        return [torch.cat(layers) for layers in zip(*parts, strict=True)]

    def between(self, a: list[Tensor], b: list[Tensor]) -> NDArray[np.float64]:
        """Distances (N,) of pictures whose `features` are known."""
        total = torch.zeros(len(a[0]), device=self._device)
        for x, y, head in zip(a, b, self.heads, strict=True):
            total += ((x - y).pow(2) * head.view(1, -1, 1, 1)).sum(1).mean((1, 2))
        return total.double().cpu().numpy()

    def _layers(self, pictures: NDArray[np.uint8]) -> list[Tensor]:
        image = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
        image = (image - torch.tensor(SHIFT).view(1, 3, 1, 1)) / torch.tensor(SCALE).view(1, 3, 1, 1)
        with torch.no_grad():
            layers = self._network(image.to(self._device))
        return [layer / (layer.pow(2).sum(1, keepdim=True).sqrt() + 1e-10) for layer in layers]


class AlexNetFeatures(nn.Module):
    """AlexNet's five convolutions; gives what each leaves behind its rectifier."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(3, 64, 11, 4, 2),
                nn.Conv2d(64, 192, 5, 1, 2),
                nn.Conv2d(192, 384, 3, 1, 1),
                nn.Conv2d(384, 256, 3, 1, 1),
                nn.Conv2d(256, 256, 3, 1, 1),
            ]
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) to five layers."""
        out = []
        for i, layer in enumerate(self.layers):
            if i in (1, 2):
                x = max_pool2d(x, 3, 2)
            x = relu(layer(x))
            out.append(x)
        return out


def _fill(layer: nn.Module, kernel: NDArray, bias: NDArray) -> None:
    """Takes over a JAX kernel (H, W, in, out)."""
    assert isinstance(layer, nn.Conv2d) and layer.bias is not None
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))))
        layer.bias.copy_(torch.from_numpy(bias.copy()))
