"""The UNets, built from diffusers' classes; `NetworkConfig()` is the size that is published.

All are Stable Diffusion 1.5's UNet: the *reference network* looks at the photo; the *denoiser* makes a clip and has a
temporal layer after every spatial one; the *image denoiser* is the denoiser without them, for training on single
frames. Build them under `torch.device("meta")` where only their layout matters.
"""

from __future__ import annotations

import msgspec
from diffusers import UNet2DConditionModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D, UNetMotionModel
from torch import Tensor, nn

from understudy_backend.models.animate_anyone.reference import install_reader, install_writer


class NetworkConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hyper-parameters of a set of networks; the defaults are the published weights'."""

    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    """Width of each UNet level; attention in all but the deepest."""
    layers: int = 2
    """Residual blocks per UNet level on the way down; one more on the way up."""
    heads: int = 8
    """Heads of spatial attention."""
    token_width: int = 768
    """Width of the photo's CLIP token."""
    groups: int = 32
    """Groups of every GroupNorm."""
    latent_channels: int = 4
    """Channels of a latent; its height and width are an eighth of the picture's."""
    motion_heads: int = 8
    """Heads of temporal attention."""
    motion_length: int = 32
    """Length of the table of temporal positions: a window has at most so many frames."""
    motion_in_middle: bool = True
    """Whether the middle block has a temporal layer too, as AnimateDiff has from version 2 on."""
    guider_channels: tuple[int, ...] = (16, 32, 96, 256)
    """Width of the guider's levels; each halves the picture's sides."""


PUBLISHED = NetworkConfig()
SMALL = NetworkConfig(channels=(32, 64, 96, 96), heads=4, token_width=32)
"""Runs on a CPU."""


class PerFrameGroupNorm(nn.GroupNorm):
    """GroupNorm of clips (B, C, F, H, W) whose statistics are each frame's own.

    The published temporal layers were trained so; diffusers' own take one mean over all frames.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, F, H, W) to the same."""
        frames = input.transpose(1, 2)
        return super().forward(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]).transpose(1, 2)


def build_reference_net(config: NetworkConfig = PUBLISHED) -> UNet2DConditionModel:
    """The network whose features the denoiser attends to. It has no head: what it would say of the picture is unused.

    Its output is that of its last block, (N, channels[0], h, w).
    """
    unet = _build_unet2d(config)
    unet.conv_norm_out = None
    unet.conv_out = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
    install_writer(unet)
    return unet


def build_image_denoiser(config: NetworkConfig = PUBLISHED) -> UNet2DConditionModel:
    """The denoiser of single frames, without temporal layers (stage 1 of training)."""
    unet = _build_unet2d(config)
    install_reader(unet)
    return unet


def build_denoiser(config: NetworkConfig = PUBLISHED) -> UNetMotionModel:
    """The denoiser of clips."""
    unet = UNetMotionModel(
        in_channels=config.latent_channels,
        out_channels=config.latent_channels,
        block_out_channels=config.channels,
        layers_per_block=config.layers,
        down_block_types=_repeated("CrossAttnDownBlockMotion", "DownBlockMotion", config),
        up_block_types=_repeated("CrossAttnUpBlockMotion", "UpBlockMotion", config)[::-1],
        num_attention_heads=config.heads,
        cross_attention_dim=config.token_width,
        norm_num_groups=config.groups,
        motion_num_attention_heads=config.motion_heads,
        motion_max_seq_length=config.motion_length,
        use_motion_mid_block=config.motion_in_middle,
    )
    for module in unet.modules():
        if isinstance(module, AnimateDiffTransformer3D):
            # The class itself is exchanged, so that weights and devices stay what they are.
            module.norm.__class__ = PerFrameGroupNorm
    install_reader(unet)
    return unet


def _build_unet2d(config: NetworkConfig) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        in_channels=config.latent_channels,
        out_channels=config.latent_channels,
        block_out_channels=config.channels,
        layers_per_block=config.layers,
        down_block_types=_repeated("CrossAttnDownBlock2D", "DownBlock2D", config),
        up_block_types=_repeated("CrossAttnUpBlock2D", "UpBlock2D", config)[::-1],
        attention_head_dim=config.heads,  # its name in diffusers means the number of heads
        cross_attention_dim=config.token_width,
        norm_num_groups=config.groups,
    )


def _repeated(attending: str, deepest: str, config: NetworkConfig) -> tuple[str, ...]:
    return (attending,) * (len(config.channels) - 1) + (deepest,)
