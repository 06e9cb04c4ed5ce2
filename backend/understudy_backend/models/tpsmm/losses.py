"""What TPSMM is trained on (section 3.4): each loss a mean of absolute differences, without its weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from understudy_backend.models.tpsmm.blocks import Shrink
from understudy_backend.models.tpsmm.dense_motion import Motion
from understudy_backend.models.tpsmm.inpainting import Inpainted, InpaintingNetwork, mask_at, warp_masked
from understudy_backend.models.tpsmm.model import TPSMM
from understudy_backend.models.tpsmm.vgg import VGG19
from understudy_backend.models.tpsmm.warping import bend, pixel_grid, sample

WEIGHT = 10.0
"""Of every loss, and of every layer of the perceptual one."""


class PerceptualLoss(nn.Module):
    """VGG-19's opinion of two images at four scales."""

    def __init__(self, vgg: VGG19, shrink: tuple[int, ...] = (2, 4, 8)) -> None:
        super().__init__()
        self.vgg = vgg
        self.scales = nn.ModuleList([nn.Identity(), *(Shrink(factor) for factor in shrink)])

    def forward(self, prediction: Tensor, truth: Tensor) -> Tensor:
        """Two images (B, 3, H, W) to a scalar; the truth gets no gradient."""
        total = prediction.new_zeros(())
        for scale in self.scales:
            with torch.no_grad():
                wanted = self.vgg(scale(truth))
            for have, want in zip(self.vgg(scale(prediction)), wanted, strict=True):
                total = total + (have - want).abs().mean()
        return total


class RandomWarp(NamedTuple):
    """An affine map and a bending by a 5 x 5 grid of points, for the equivariance of the keypoints."""

    affine: Tensor
    """(B, 2, 3)."""
    control: Tensor
    """(B, 25): how far both coordinates are pushed at each point of the grid, row by row."""

    @classmethod
    def draw(cls, batch: int, generator: torch.Generator | None = None, device: str = "cpu") -> RandomWarp:
        """A new warp for each image."""
        return cls.of(torch.randn(batch, 31, generator=generator).to(device))

    @classmethod
    def of(cls, noise: Tensor) -> RandomWarp:
        """The warps of unit Gaussian noise (B, 31)."""
        return cls(torch.eye(2, 3, device=noise.device) + 0.05 * noise[:, :6].view(-1, 2, 3), 0.005 * noise[:, 6:])

    def at(self, places: Tensor) -> Tensor:
        """Where places (B, N, 2) go: (B, N, 2)."""
        side = round(self.control.shape[1] ** 0.5)
        grid = pixel_grid(side, side, places.device).to(places).view(1, 1, -1, 2)
        squared = (places[:, :, None] - grid).square().sum(-1)
        pushed = (bend(squared) * self.control[:, None]).sum(-1, keepdim=True)
        return places @ self.affine[..., :2].mT + self.affine[:, None, :, 2] + pushed

    def image(self, image: Tensor) -> Tensor:
        """An image (B, 3, H, W) under the warp, mirrored at its borders."""
        height, width = image.shape[2:]
        places = pixel_grid(height, width, image.device).to(image).view(1, -1, 2).expand(len(image), -1, -1)
        return sample(image, self.at(places).unflatten(1, (height, width)), "reflection")


def equivariance_loss(driving: Tensor, warped: Tensor, warp: RandomWarp) -> Tensor:
    """Keypoints (B, 5 K, 2) of a frame against those of the warped frame, warped back."""
    return (driving - warp.at(warped)).abs().mean()


def background_loss(there: Tensor, back: Tensor) -> Tensor:
    """The background's motion (B, 3, 3) from one frame to the other and back is none."""
    return (torch.eye(3, device=there.device) - there @ back).abs().mean()


def warp_loss(network: InpaintingNetwork, source_features: list[Tensor], driving: Tensor, motion: Motion) -> Tensor:
    """Features of the source, moved, against those of the driving frame (B, 3, H, W).

    It trains the flow alone: features and masks get no gradient.
    """
    with torch.no_grad():
        wanted = network.encode(driving)
    fixed = motion._replace(masks=[mask.detach() for mask in motion.masks])
    total = driving.new_zeros(())
    for level, (have, want) in enumerate(zip(source_features, wanted, strict=True)):
        moved = warp_masked(have.detach(), fixed, level)
        total = total + (moved - want * mask_at(fixed, level, want.shape[2:])).abs().mean()
    return total


class Step(NamedTuple):
    """One pass of training."""

    losses: dict[str, Tensor]
    """Scalars by name (`perceptual`, `equivariance`, `warp`, `background`), weights included; minimise their sum."""
    motion: Motion
    frame: Inpainted
    warped_driving: Tensor
    """(B, 3, H, W) the driving frame under the random warp."""
    warped_keypoints: Tensor
    """(B, 5 K, 2) what the detector sees in it."""


def training_step(
    model: TPSMM,
    perceptual: Callable[[Tensor, Tensor], Tensor],
    source: Tensor,
    driving: Tensor,
    warp: RandomWarp,
    *,
    keep: Tensor | None = None,
    background: bool = False,
) -> Step:
    """All losses for pairs of frames (B, 3, H, W) of the same videos.

    Args:
        model: in training mode, so that the detectors' norms use the batch.
        perceptual: `PerceptualLoss`, or whatever else compares two images (B, 3, H, W) in its place.
        source: frames that are moved.
        driving: frames that they are to become.
        warp: random, one for each pair.
        keep: (B, 1 + K) bool, the splines that dropout keeps.
        background: whether the background predictor takes part yet.
    """
    source_points, driving_points = model.kp_detector(source), model.kp_detector(driving)
    matrix = None
    losses: dict[str, Tensor] = {}
    if background and model.bg_predictor is not None:
        matrix = model.bg_predictor(source, driving)
        losses["background"] = WEIGHT * background_loss(matrix, model.bg_predictor(driving, source))
    motion, features, frame = model.move(source, source_points, driving_points, matrix, keep)
    warped_driving = warp.image(driving)
    warped_points = model.kp_detector(warped_driving)
    losses["perceptual"] = WEIGHT * perceptual(frame.prediction, driving)
    losses["equivariance"] = WEIGHT * equivariance_loss(driving_points, warped_points, warp)
    losses["warp"] = WEIGHT * warp_loss(model.inpainting_network, features, driving, motion)
    return Step(losses, motion, frame, warped_driving, warped_points)
