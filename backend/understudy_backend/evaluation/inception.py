"""Features for FID (Heusel et al., arXiv 1706.08500): the Inception network that published figures were made with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from understudy_backend.evaluation.metric_weights import FID, weights_file

SIDE = 299
BATCH = 10


class Inception:
    """Pictures to features.

    Args:
        folder: holds the weights, a TorchScript file. Its code is part of the file, which is why only the known file
            is opened.
        device: where the network runs.

    Raises:
        MissingWeights: they are not there.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self._device = device
        self._network = torch.jit.load(weights_file(folder, FID), map_location=device).eval()

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (N, 2048) of pictures (N, H, W, 3)."""
        out = []
        for start in range(0, len(pictures), BATCH):
            image = torch.from_numpy(np.ascontiguousarray(pictures[start : start + BATCH])).permute(0, 3, 1, 2).float()
            image = interpolate(image, (SIDE, SIDE), mode="bilinear", align_corners=False)
            with torch.no_grad():
                out.append(self._network(((image - 128) / 128).to(self._device)).cpu().numpy())
        return np.concatenate(out)
