"""Validation pictures: rows of samples, columns of what belongs together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from understudy_backend.atomic import write_atomically

BACKDROP = 0.85
"""Grey in [0, 1] behind what is transparent; unlike the background of training, so that a halo shows."""
GAP = 2
"""Pixels between pictures."""


def grid(columns: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Columns of images (N, 3 or 4, H, W) in [0, 1], straight alpha, as one picture (N*H, columns*W, 3) uint8."""
    flat = []
    for images in columns:
        images = images.detach().float().cpu()
        if images.shape[1] == 4:
            alpha = images[:, 3:]
            images = images[:, :3] * alpha + BACKDROP * (1 - alpha)
        images = torch.nn.functional.pad(images, (0, GAP, 0, GAP), value=1.0)
        flat.append(torch.cat(list(images), 1))
    picture = torch.cat(flat, 2).clamp(0, 1).permute(1, 2, 0).numpy()
    return np.asarray(picture * 255 + 0.5, np.uint8)


def write_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Writes a picture (H, W, 3) uint8, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    good, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert good
    write_atomically(path, lambda file: file.write(data.tobytes()))
