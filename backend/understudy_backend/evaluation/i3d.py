"""Features for FVD (Unterthiner et al., arXiv 1812.01717): the logits of the inflated 3D Inception (I3D, Carreira and
Zisserman, arXiv 1705.07750) that was trained on Kinetics-400."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, interpolate, max_pool3d, pad, relu

from understudy_backend.evaluation.metric_weights import FVD, weights_file
from understudy_backend.inert_pickle import read_pickled_tree

SIDE = 224
SHORTEST = 9
"""Frames that a clip must have, so that two steps of time are left for the last mean."""

MIXED: dict[str, tuple[int, int, int, int, int, int]] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
"""Widths of each Inception block: the 1x1 branch; 1x1 then 3x3; 1x1 then 3x3; pooling then 1x1."""


class Clips:
    """Clips to features.

    Args:
        folder: holds the weights.
        device: where the network runs.

    Raises:
        MissingWeights: they are not there.
        FormatError: they cannot be read.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self._device = device
        self._network = I3D()
        self._network.load_state_dict(_state(read_pickled_tree(weights_file(folder, FVD))))
        self._network.requires_grad_(False).eval().to(device)

    def __call__(self, clips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits (N, 400) of clips (N, T, H, W, 3), T at least 9.

        Raises:
            ValueError: the clips are too short.
        """
        if clips.shape[1] < SHORTEST:
            raise ValueError(f"FVD needs clips of {SHORTEST} frames or more, not {clips.shape[1]}")
        out = []
        for clip in clips:
            frames = torch.from_numpy(np.ascontiguousarray(clip)).permute(0, 3, 1, 2).float()
            frames = interpolate(frames, (SIDE, SIDE), mode="bilinear", align_corners=False) / 127.5 - 1
            with torch.no_grad():
                out.append(self._network(frames.permute(1, 0, 2, 3)[None].to(self._device)).cpu().numpy())
        return np.concatenate(out)


class I3D(nn.Module):
    """Clips (N, 3, T, 224, 224) in [-1, 1] to logits (N, 400)."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, 2)
        self.Conv3d_2b_1x1 = Unit(64, 64, 1)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        width = 192
        for name, widths in MIXED.items():
            setattr(self, name, Mixed(width, widths))
            width = widths[0] + widths[2] + widths[4] + widths[5]
        self.logits = nn.Conv3d(width, 400, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The mean of the logits over time."""
        x = _pool(self.Conv3d_1a_7x7(x), (1, 3, 3), (1, 2, 2))
        x = _pool(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))
        for name in MIXED:
            if name == "Mixed_4b":
                x = _pool(x, (3, 3, 3), (2, 2, 2))
            if name == "Mixed_5b":
                x = _pool(x, (2, 2, 2), (2, 2, 2))
            x = getattr(self, name)(x)
        return self.logits(avg_pool3d(x, (2, 7, 7), 1)).mean((2, 3, 4))


class Mixed(nn.Module):
    """An Inception block: four branches side by side in channels."""

    def __init__(self, inside: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        a, b0, b1, c0, c1, d = widths
        self.branch_0 = Unit(inside, a, 1)
        self.branch_1 = nn.Sequential(Unit(inside, b0, 1), Unit(b0, b1, 3))
        self.branch_2 = nn.Sequential(Unit(inside, c0, 1), Unit(c0, c1, 3))
        self.branch_3 = Unit(inside, d, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, T, H, W) to as many channels as the branches have."""
        pooled = _pool(x, (3, 3, 3), (1, 1, 1))
        return torch.cat([self.branch_0(x), self.branch_1(x), self.branch_2(x), self.branch_3(pooled)], 1)


class Unit(nn.Module):
    """Convolution, batch normalisation without a scale, rectifier."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inside, outside, kernel, stride, bias=False)
        self.norm = nn.BatchNorm3d(outside, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inside, T, H, W) to (N, outside, T', H', W')."""
        return relu(self.norm(self.conv(_padded(x, self.conv.kernel_size, self.conv.stride, 0.0))))


def _padded(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], value: float) -> Tensor:
    """TensorFlow's SAME padding: as many outputs as strides begin, what is odd goes behind."""
    around: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        around += [total // 2, total - total // 2]
    return pad(x, around, value=value) if any(around) else x


def _pool(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    return max_pool3d(_padded(x, kernel, stride, -torch.inf), kernel, stride)


UNITS = {
    "Branch_0/Conv3d_0a_1x1": "branch_0",
    "Branch_1/Conv3d_0a_1x1": "branch_1.0",
    "Branch_1/Conv3d_0b_3x3": "branch_1.1",
    "Branch_2/Conv3d_0a_1x1": "branch_2.0",
    "Branch_2/Conv3d_0b_3x3": "branch_2.1",
    "Branch_3/Conv3d_0b_1x1": "branch_3",
}
"""The checkpoint's name of each unit of a block, and ours."""


def _state(arrays: dict[str, NDArray]) -> dict[str, Tensor]:
    """The checkpoint's arrays under our names; its kernels are (T, H, W, in, out)."""
    names = {unit: unit for unit in ("Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3")}
    names |= {f"{block}/{theirs}": f"{block}.{ours}" for block in MIXED for theirs, ours in UNITS.items()}
    out: dict[str, Tensor] = {}

    def take(name: str, source: str) -> None:
        array = arrays[source]
        kernel = source.endswith("kernel")  # everything else is a vector, some with empty dimensions before it
        out[name] = torch.from_numpy((array.transpose(4, 3, 0, 1, 2) if kernel else array.reshape(-1)).copy())

    for theirs, ours in names.items():
        take(f"{ours}.conv.weight", f"params/{theirs}/Conv_0/kernel")
        take(f"{ours}.norm.bias", f"params/{theirs}/BatchNorm_0/bias")
        take(f"{ours}.norm.running_mean", f"batch_stats/{theirs}/BatchNorm_0/mean")
        take(f"{ours}.norm.running_var", f"batch_stats/{theirs}/BatchNorm_0/var")
        out[f"{ours}.norm.weight"] = torch.ones_like(out[f"{ours}.norm.bias"])
        out[f"{ours}.norm.num_batches_tracked"] = torch.tensor(0)
    take("logits.weight", "params/Logits/Conv3d_0c_1x1/Conv_0/kernel")
    take("logits.bias", "params/Logits/Conv3d_0c_1x1/Conv_0/bias")
    return out
