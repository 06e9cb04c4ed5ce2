"""From keypoints to one dense flow and the occlusion masks (sections 3.1 to 3.3)."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from understudy_backend.models.tpsmm.blocks import Down, Shrink, Up
from understudy_backend.models.tpsmm.config import POINTS, SHRINK, TPSMMConfig
from understudy_backend.models.tpsmm.warping import Splines, at_least_single, homography_at, pixel_grid, sample

VARIANCE = 0.01
"""Of the Gaussian that stands for a keypoint in a heat map."""


class Motion(NamedTuple):
    """What the dense motion network finds; h and w are a quarter of the image's."""

    flow: Tensor
    """(B, h, w, 2): where each pixel of the driving frame is in the source."""
    masks: list[Tensor]
    """Occlusion masks (B, 1, ., .) in [0, 1], coarse to fine: how much of what the flow brings is to be trusted."""
    maps: Tensor
    """(B, 1 + K, h, w): what each warp contributes; the first is the background's."""
    warps: Tensor
    """(B, 1 + K, h, w, 2)."""
    heat: Tensor
    """(B, 1 + 5 K, h, w): heat maps of the driving frame less those of the source; the first is zero."""
    deformed: Tensor
    """(B, 1 + K, 3, h, w): the small source under each warp."""
    decoded: list[Tensor]
    """The hourglass's features, coarse to fine."""


class _Encoder(nn.Module):
    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.down_blocks = nn.ModuleList(Down(a, b) for a, b in pairwise(channels))

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [x]
        for down in self.down_blocks:
            features.append(down(features[-1]))
        return features


class _Decoder(nn.Module):
    def __init__(self, shapes: list[tuple[int, int]]) -> None:
        super().__init__()
        self.up_blocks = nn.ModuleList(Up(a, b) for a, b in shapes)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        x, decoded = features[-1], []
        for up, skip in zip(self.up_blocks, features[-2::-1], strict=True):
            x = torch.cat([up(x), skip], 1)
            decoded.append(x)
        return decoded


class Hourglass(nn.Module):
    """A U-Net that gives the features of every resolution."""

    def __init__(self, inputs: int, config: TPSMMConfig) -> None:
        super().__init__()
        width, limit, levels = config.motion_width, config.motion_limit, config.motion_levels
        channels = [inputs] + [min(limit, width * 2 ** (i + 1)) for i in range(levels)]
        self.encoder = _Encoder(channels)
        shapes: list[tuple[int, int]] = []
        self.channels: list[int] = []
        """Of the decoder's outputs, coarse to fine."""
        below = channels[-1]
        for i in reversed(range(levels)):
            out = min(limit, width * 2**i)
            shapes.append((below, out))
            below = out + channels[i]
            self.channels.append(below)
        self.decoder = _Decoder(shapes)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, inputs, h, w) to features of each resolution from (h, w) / 2^(levels - 1) to (h, w)."""
        return self.decoder(self.encoder(x))


class DenseMotionNetwork(nn.Module):
    """Blends K thin-plate splines and the background's motion, pixel by pixel, into one flow."""

    def __init__(self, config: TPSMMConfig) -> None:
        super().__init__()
        slots = config.splines + 1
        self.down = Shrink(SHRINK)
        self.hourglass = Hourglass(config.keypoints + 1 + 3 * slots, config)
        features = self.hourglass.channels
        self.maps = nn.Conv2d(features[-1], slots, 7, padding=3)
        self.up = nn.ModuleList()
        at = [features[-1]]
        if config.multi_mask:
            # The inpainting network ends two halvings above the hourglass.
            finer = [features[-1] // 2, features[-1] // 4]
            self.up.extend(Up(a, b) for a, b in zip([features[-1], finer[0]], finer, strict=True))
            self.first_mask = len(features) - (config.inpainting_levels - 1)
            at = features[self.first_mask :] + finer
        else:
            self.first_mask = len(features) - 1
        self.occlusion = nn.ModuleList(nn.Conv2d(channels, 1, 7, padding=3) for channels in at)

    def forward(
        self,
        small: Tensor,
        source: Tensor,
        driving: Tensor,
        background: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> Motion:
        """Finds the motion from the source to a driving frame.

        Args:
            small: (B, 3, h, w) the source image through `down`.
            source: (B, 5 K, 2) keypoints of the source.
            driving: (B, 5 K, 2) keypoints of the driving frame.
            background: (B, 3, 3) from the driving frame's coordinates to the source's; the identity by default.
            keep: (B, 1 + K) bool, the warps that dropout keeps; all by default.
        """
        grid = pixel_grid(small.shape[2], small.shape[3], small.device)
        heat = heat_maps(driving, grid) - heat_maps(source, grid)
        heat = torch.cat([torch.zeros_like(heat[:, :1]), heat], 1)
        still = grid.expand(len(small), -1, -1, -1) if background is None else homography_at(background, grid)
        splines = Splines.through(driving.unflatten(1, (-1, POINTS)), source.unflatten(1, (-1, POINTS)))
        warps = torch.cat([still[:, None], splines.at(grid)], 1)
        deformed = deform(small, warps)

        decoded = self.hourglass(torch.cat([heat, deformed.flatten(1, 2)], 1))
        maps = contributions(at_least_single(self.maps(decoded[-1])), keep)
        flow = (maps[..., None] * warps).sum(1)
        return Motion(flow, self._masks(decoded), maps, warps, heat, deformed, decoded)

    def _masks(self, decoded: list[Tensor]) -> list[Tensor]:
        features = decoded[self.first_mask :]
        for up in self.up:
            features.append(up(features[-1]))
        return [torch.sigmoid(conv(x)) for conv, x in zip(self.occlusion, features, strict=True)]


def heat_maps(points: Tensor, grid: Tensor) -> Tensor:
    """A Gaussian at each of the points (B, N, 2), on a grid (H, W, 2): (B, N, H, W)."""
    # a Gaussian of the plane is the product of two of the line
    x = (grid[0, :, 0] - points[..., 0, None]).square()
    y = (grid[:, 0, 1] - points[..., 1, None]).square()
    return torch.exp(y * (-0.5 / VARIANCE))[..., None] * torch.exp(x * (-0.5 / VARIANCE))[..., None, :]


def deform(image: Tensor, warps: Tensor) -> Tensor:
    """An image (B, C, H, W) under each of the warps (B, S, h, w, 2): (B, S, C, h, w)."""
    height, width = warps.shape[2:4]
    # the warps of an image stand below each other, so that the image is sampled where it lies
    return sample(image, warps.flatten(1, 2)).unflatten(2, (-1, height)).transpose(1, 2).reshape(
        len(image), -1, image.shape[1], height, width
    )  # fmt: skip


def contributions(logits: Tensor, keep: Tensor | None) -> Tensor:
    """Softmax over the warps (B, 1 + K, h, w), with those that dropout drops left out.

    The paper (equation 8) also enlarges what is kept by 1 / (1 - P). Published weights were trained without.
    """
    if keep is None:
        return F.softmax(logits, 1)
    kept = torch.exp(logits - logits.amax(1, keepdim=True)) * keep[..., None, None]
    return kept / (kept.sum(1, keepdim=True) + 1e-6)


def dropout_keep(uniform: Tensor, probability: float) -> Tensor:
    """Which warps (B, 1 + K) are kept, from uniform numbers in [0, 1); the background's always is (equation 7)."""
    keep = uniform < 1 - probability
    keep[:, 0] = True
    return keep
