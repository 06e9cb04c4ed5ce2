"""The outline of the person in a finished frame, to the pixel: where the body ends, and how far cloth goes on.

Rendering diffusion works on cells of eight pixels, and paints an outline as well as such cells can. What the photo says
of the outline is known more finely: `photo.stand_off` measured it, and the geometry carries it to every frame. A small
network that sees pixels puts both together. This goes beyond 3DHM.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pixel_shuffle, pixel_unshuffle, silu

from understudy_backend.models.threedhm.latents import BACKGROUND

SURENESS = 3.0
"""Contrast of a frame's alpha around the body: below a third is nothing, above two thirds is the person."""
FAR = 32.0
"""Pixels from the body beyond which all is equally far."""
_BLOCK = 4
"""The network works on blocks of this many pixels a side."""


def reach(ahead: NDArray[np.floating], cover: NDArray[np.bool_]) -> Tensor:
    """What is known of the outline in each pixel of a picture, (3, H, W) float32: the stand-off at the nearest pixel of
    the body, the distance to that pixel, both in pixels, and 1.

    Args:
        ahead: (H, W) pixels by which the person's outline lies outside the body, where the body is.
        cover: (H, W), where that is.
    """
    out = np.zeros((3, *cover.shape), np.float32)
    out[1] = FAR
    if cover.any():
        away, nearest = cv2.distanceTransformWithLabels(
            (~cover).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        index = np.asarray(nearest, np.int32)
        value = np.zeros(int(index.max()) + 1, np.float32)
        value[index[cover]] = ahead[cover]
        out[0], out[1], out[2] = value[index], np.clip(away - 0.5, 0, FAR), 1
    return torch.from_numpy(out)


def unknown(height: int, width: int) -> Tensor:
    """In place of `reach`, where nothing is known: (3, H, W) zeros."""
    return torch.zeros(3, height, width)


class OutlineNetwork(ModelMixin, ConfigMixin):
    """Alpha of finished frames. Untrained, it gives what the frame and the body cover.

    Args:
        width: channels.
        dilations: one residual block each.
    """

    @register_to_config
    def __init__(self, width: int = 48, dilations: tuple[int, ...] = (1, 2, 4, 1)) -> None:
        super().__init__()
        self.enter = nn.Conv2d(13 * _BLOCK**2, width, 1)
        self.blocks = nn.ModuleList(_Block(width, dilation) for dilation in dilations)
        self.leave = nn.Conv2d(width, _BLOCK**2, 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, frame: Tensor, body: Tensor, known: Tensor) -> Tensor:
        """Args:
            frame: (N, 4, H, W) what stage 2 made, composed, in [-1, 1]; H and W are multiples of 4.
            body: (N, 4, H, W) the intermediate frame, likewise.
            known: (N, 3, H, W) from `reach`.

        Returns:
            (N, 1, H, W) logits of alpha.
        """
        frame, body = ((frame + 1) / 2).clamp(0, 1), (body + 1) / 2
        first = torch.maximum(body[:, 3:], sure(frame[:, 3:]))
        ahead, away, given = known.split(1, 1)
        about = torch.cat([ahead / 8, away / 16, ((ahead - away) / 2).clamp(-1, 1), given], 1) * given
        x = self.enter(pixel_unshuffle(torch.cat([frame, body, first, about], 1), _BLOCK))
        for block in self.blocks:
            x = block(x)
        return 6 * (first - 0.5) + 4 * pixel_shuffle(self.leave(x), _BLOCK)


class _Block(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(silu(self.first(silu(x))))


def sure(alpha: Tensor) -> Tensor:
    """Alpha with a steeper edge, at the same place."""
    return ((alpha - 0.5) * SURENESS + 0.5).clamp(0, 1)


def with_alpha(frame: Tensor, alpha: Tensor) -> Tensor:
    """A composed frame (N, 4, H, W) in [-1, 1] with another alpha (N, 1, H, W) in [0, 1].

    Where it had none, it takes the colour of the person nearby.
    """
    image = (frame + 1) / 2
    before = image[:, 3:].clamp(0, 1)
    straight = (image[:, :3] - BACKGROUND * (1 - before)) / before.clamp(min=0.05)
    weight = before**2
    nearby = straight.clamp(0, 1)
    for size in (15, 7, 3):  # from far to near, each laid over the last where it knows more
        share = avg_pool2d(weight, size, 1, size // 2)
        colour = avg_pool2d(straight.clamp(0, 1) * weight, size, 1, size // 2) / share.clamp(min=1e-4)
        nearby = colour if size == 15 else nearby + (share * 8).clamp(0, 1) * (colour - nearby)
    colour = nearby + before * (straight - nearby).clamp(-1, 1)
    colour = colour.clamp(0, 1)
    return torch.cat([colour * alpha + BACKGROUND * (1 - alpha), alpha], 1) * 2 - 1
