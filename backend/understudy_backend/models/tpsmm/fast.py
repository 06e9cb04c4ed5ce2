"""The same networks for a CPU, at a fraction of the arithmetic; results differ by rounding.

Most of a frame's time goes into 3x3 convolutions of many channels. Winograd's minimal filtering (Lavin and Gray, CVPR
2016, F(4x4, 3x3)) makes 16 outputs of 36 products in place of 144, as 36 matrix products. A convolution after nearest
up-sampling is one at the low resolution with four times the channels, of which each is every other pixel of the result;
so it too is of this kind, on a quarter of the pixels. Batch norms go into the convolutions before them.

Inside, images lie channels last: (B, H, W, C).
"""

from __future__ import annotations

from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from understudy_backend.models.tpsmm.blocks import Res, Up
from understudy_backend.models.tpsmm.model import TPSMM
from understudy_backend.models.tpsmm.resnet import BasicBlock, ResNet18

TILE = 4
"""Side of a tile of outputs; it is made of 6 x 6 inputs."""
WINDOW = TILE + 2

INPUT = torch.tensor(
    [
        [4.0, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
KERNEL = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
OUTPUT = torch.tensor([[1.0, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
"""The transforms of a line of inputs, of a kernel's line, and back to a line of outputs; a square needs each twice."""


class WinogradConv(nn.Module):
    """A 3x3 convolution of images whose sides are multiples of 4."""

    kernels: Tensor
    from_inputs: Tensor
    to_outputs: Tensor

    def __init__(self, weight: Tensor) -> None:
        """Takes the kernels (outputs, inputs, 3, 3); a bias is the caller's affair."""
        super().__init__()
        line = KERNEL.double()
        kernels = torch.einsum("ai,ocij,bj->abco", line, weight.double(), line).flatten(0, 1)
        self.register_buffer("kernels", kernels.to(weight.dtype).contiguous(), persistent=False)
        self.register_buffer("from_inputs", torch.kron(INPUT, INPUT), persistent=False)
        self.register_buffer("to_outputs", torch.kron(OUTPUT, OUTPUT), persistent=False)

    def forward(self, padded: Tensor) -> Tensor:
        """(B, H + 2, W + 2, inputs) contiguous, zeros around, to (B, H/4, 4, W/4, 4, outputs)."""
        batch, height, width, channels = padded.shape
        rows, columns = (height - 2) // TILE, (width - 2) // TILE
        b, y, x, _ = padded.stride()
        shape = (WINDOW, WINDOW, batch, rows, columns, channels)
        windows = padded.as_strided(shape, (y, x, b, TILE * y, TILE * x, 1))
        inputs = self.from_inputs @ windows.reshape(WINDOW**2, -1)
        products = torch.bmm(inputs.view(WINDOW**2, -1, channels), self.kernels)
        outputs = self.to_outputs @ products.view(WINDOW**2, -1)
        return outputs.view(TILE, TILE, batch, rows, columns, -1).permute(2, 3, 0, 4, 1, 5)


class _Norm(nn.Module):
    """Instance norm and ReLU, channels last."""

    def __init__(self, norm: nn.InstanceNorm2d) -> None:
        super().__init__()
        self.weight, self.bias, self.epsilon = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """(B, H, W, C) to the same, into `out` if that is given."""
        flat = x.flatten(1, 2)
        average = x.new_full((len(x), 1, flat.shape[1]), 1 / flat.shape[1])
        mean = average @ flat
        variance = average @ flat.square() - mean.square()
        scale = self.weight * torch.rsqrt(variance.clamp_min(0) + self.epsilon)
        shift = (self.bias - mean * scale)[:, None]
        return torch.addcmul(shift, x, scale[:, None], out=out).clamp_min_(0)


class FastRes(nn.Module):
    """`Res`."""

    def __init__(self, block: Res) -> None:
        super().__init__()
        self.norm1, self.norm2 = _Norm(block.norm1), _Norm(block.norm2)
        # the first convolution's bias is taken out again by the norm that follows
        self.conv1, self.conv2 = WinogradConv(block.conv1.weight), WinogradConv(block.conv2.weight)
        self.bias = block.conv2.bias

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same, channels last in memory."""
        x = x.permute(0, 2, 3, 1).contiguous()
        frame = _frame(x)
        inside = frame[:, 1:-1, 1:-1]
        self.norm1(x, inside)
        self.norm2(self.conv1(frame).reshape(x.shape), inside)
        y = self.conv2(frame).reshape(x.shape)
        return y.add_(x).add_(self.bias).permute(0, 3, 1, 2)


class FastUp(nn.Module):
    """`Up`."""

    def __init__(self, block: Up) -> None:
        super().__init__()
        weight = block.conv.weight
        # A row of the large image sees rows -1, 0, 0 or 0, 0, 1 of the small one, as it is even or odd.
        pull = weight.new_tensor([[[1, 0, 0], [0, 1, 1], [0, 0, 0]], [[0, 0, 0], [1, 1, 0], [0, 0, 1]]])
        phases = torch.einsum("pik,qjl,ockl->pqocij", pull, pull, weight)
        self.conv = WinogradConv(phases.flatten(0, 2))
        self.norm = _Norm(block.norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, 2H, 2W), channels last in memory."""
        x = x.permute(0, 2, 3, 1)
        batch, height, width, _ = x.shape
        frame = _frame(x)
        frame[:, 1:-1, 1:-1] = x
        phases = self.conv(frame).unflatten(-1, (2, 2, -1))  # B, H/4, 4, W/4, 4, row, column, outputs
        y = phases.permute(0, 1, 2, 5, 3, 4, 6, 7).reshape(batch, 2 * height, 2 * width, -1)
        return self.norm(y, y).permute(0, 3, 1, 2)


def _frame(x: Tensor) -> Tensor:
    """Room for an image like x (B, H, W, C) with zeros around it."""
    batch, height, width, channels = x.shape
    return x.new_zeros(batch, height + 2, width + 2, channels)


def quicken(model: TPSMM) -> TPSMM:
    """A copy of a model in evaluation mode that animates faster on a CPU, in float32 and without gradients."""
    fast = deepcopy(model).eval().requires_grad_(False)
    painter, dense = fast.inpainting_network, fast.dense_motion_network
    painter.resblock = nn.ModuleList(FastRes(cast(Res, block)) for block in painter.resblock)
    painter.up_blocks = nn.ModuleList(FastUp(cast(Up, block)) for block in painter.up_blocks)
    dense.up = nn.ModuleList(FastUp(cast(Up, block)) for block in dense.up)
    # The hourglass's other levels are a few pixels of many channels: transformed kernels would be most of the work.
    ups = dense.hourglass.decoder.up_blocks
    ups[-1] = FastUp(cast(Up, ups[-1]))
    _fold(fast.kp_detector.fg_encoder)
    return fast


def _fold(network: ResNet18) -> None:
    """Puts batch norms into the convolutions before them."""
    network.conv1, network.bn1 = _fused(network.conv1, network.bn1)
    for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
        for block in stage:
            assert isinstance(block, BasicBlock)
            block.conv1, block.bn1 = _fused(block.conv1, block.bn1)
            block.conv2, block.bn2 = _fused(block.conv2, block.bn2)
            if block.downsample is not None:
                conv, norm = block.downsample
                block.downsample = nn.Sequential(*_fused(cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, norm)))


def _fused(conv: nn.Conv2d, norm: nn.Module) -> tuple[nn.Conv2d, nn.Module]:
    return fuse_conv_bn_eval(conv, cast(nn.BatchNorm2d, norm)), nn.Identity()
