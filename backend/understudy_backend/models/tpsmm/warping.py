"""Where each pixel comes from: grids, thin-plate splines, affine maps, and sampling.

Coordinates are (x, y) in [-1, 1], -1 and 1 being the centres of the outermost pixels. Every warp is a backward one: it
takes a place in the driving frame to a place in the source.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

RIDGE = 0.01
"""Added to the whole diagonal of the splines' equations, that of the affine part included: published weights rest on
it. A spline therefore does not quite meet its points."""


def pixel_grid(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """The place of each pixel, (height, width, 2) float32."""
    y = torch.linspace(-1, 1, height, device=device)
    x = torch.linspace(-1, 1, width, device=device)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def bend(squared_distance: Tensor) -> Tensor:
    """U(r²) = r² ln(r² + 1e-9), the thin plate's answer to a poke at distance r."""
    return squared_distance * torch.log(squared_distance + 1e-9)


class Splines(NamedTuple):
    """K thin-plate splines of N points each, for each of B images."""

    points: Tensor
    """(B, K, N, 2) in the driving frame."""
    affine: Tensor
    """(B, K, 2, 3)."""
    weights: Tensor
    """(B, K, N, 2) of the bending at each point."""

    @classmethod
    def through(cls, driving: Tensor, source: Tensor) -> Splines:
        """The splines that take points (B, K, N, 2) of the driving frame (nearly) to those of the source."""
        batch, count, n, _ = driving.shape
        bending = bend((driving[..., :, None, :] - driving[..., None, :, :]).square().sum(-1))
        ones = driving.new_ones(batch, count, n, 1)
        plane = torch.cat([driving, ones], -1)
        corner = driving.new_zeros(batch, count, 3, 3)
        system = torch.cat([torch.cat([bending, plane], -1), torch.cat([plane.mT, corner], -1)], -2)
        system = system + RIDGE * torch.eye(n + 3, device=driving.device, dtype=driving.dtype)
        wanted = torch.cat([source, source.new_zeros(batch, count, 3, 2)], -2)
        solution = torch.linalg.solve(system, wanted)
        return cls(driving, solution[..., n:, :].mT, solution[..., :n, :])

    def at(self, places: Tensor) -> Tensor:
        """Where places (H, W, 2) come from by each spline: (B, K, H, W, 2)."""
        height, width, _ = places.shape
        flat = places.reshape(1, 1, -1, 2).to(self.points)
        squared = (flat[..., None, 0] - self.points[..., None, :, 0]).square()
        squared = squared + (flat[..., None, 1] - self.points[..., None, :, 1]).square()
        moved = flat @ self.affine[..., :2].mT + self.affine[..., None, :, 2] + bend(squared) @ self.weights
        return moved.unflatten(2, (height, width))


def homography_at(matrix: Tensor, places: Tensor) -> Tensor:
    """Where places (H, W, 2) come from by a matrix (B, 3, 3) in homogeneous coordinates: (B, H, W, 2)."""
    moved = places.to(matrix) @ matrix[:, None, :, :2].mT + matrix[:, None, None, :, 2]
    return moved[..., :2] / moved[..., 2:]


def sample(image: Tensor, warp: Tensor, padding: str = "zeros") -> Tensor:
    """An image (B, C, H, W) at a warp (B, H', W', 2), bilinear; `padding` says what is outside."""
    return F.grid_sample(image, warp.to(image.dtype), mode="bilinear", padding_mode=padding, align_corners=True)


def at_least_single(x: Tensor) -> Tensor:
    """A tensor in float32 where it was in half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """A flow (B, H, W, 2) at another (height, width)."""
    if flow.shape[1:3] == size:
        return flow
    return resize(flow.permute(0, 3, 1, 2), size).permute(0, 2, 3, 1)


def resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    """An image (B, C, H, W) at another (height, width), bilinear, corners staying where they are."""
    return F.interpolate(image, size=size, mode="bilinear", align_corners=True)
