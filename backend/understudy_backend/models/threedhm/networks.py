"""The networks of both stages, built from diffusers' classes. `SMALL` is ours and runs on a CPU.

Stable Diffusion's networks come with their configurations and weights (see `weights.threedhm`); what those are at
version 1.5 is noted here, to measure and test at that size without any weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel

from understudy_backend.models.threedhm.patch_autoencoder import PatchAutoencoder


@dataclass(frozen=True)
class NetworkConfig:
    """Hyper-parameters of a set of networks that is trained from nothing."""

    latent_channels: int = 32
    """Channels of a latent; its height and width are an eighth of the image's."""
    unet_channels: tuple[int, ...] = (48, 96, 160)
    """Width of each UNet level, in both stages; attention from the second level on."""
    layers: int = 1
    """Residual blocks per UNet level on the way down."""
    prompt_width: int = 32
    """Width of the prompt's one token, which is a constant: the text branch is locked."""
    groups: int = 16
    """Groups of GroupNorm."""
    image_size: int = 256
    """Side of the images and textures that the networks are trained at, in pixels."""


SMALL = NetworkConfig()


def build_vae(config: NetworkConfig) -> PatchAutoencoder:
    """The autoencoder of RGBA images, not yet fitted."""
    return PatchAutoencoder(latent_channels=config.latent_channels)


def _unet_arguments(config: NetworkConfig) -> dict:
    attending = len(config.unet_channels) - 1
    return {
        "block_out_channels": config.unet_channels,
        "layers_per_block": config.layers,
        "down_block_types": ("DownBlock2D",) + ("CrossAttnDownBlock2D",) * attending,
        "cross_attention_dim": config.prompt_width,
        "attention_head_dim": tuple(max(1, c // 32) for c in config.unet_channels),
        "norm_num_groups": config.groups,
    }


def build_unet(config: NetworkConfig, in_channels: int) -> UNet2DConditionModel:
    """A denoising UNet that gives as many channels as a latent has."""
    attending = len(config.unet_channels) - 1
    return UNet2DConditionModel(
        sample_size=config.image_size // 8,
        in_channels=in_channels,
        out_channels=config.latent_channels,
        up_block_types=("CrossAttnUpBlock2D",) * attending + ("UpBlock2D",),
        **_unet_arguments(config),
    )


def build_infill_unet(config: NetworkConfig) -> UNet2DConditionModel:
    """Stage 1: noisy latents, mask and masked latents go in (3DHM section 3.1; the layout of SD-inpainting)."""
    return build_unet(config, 2 * config.latent_channels + 1)


def build_branch(config: NetworkConfig) -> ControlNetModel:
    """Stage 2's trainable branch: a copy of the UNet's encoder whose condition is two latents, side by side in channels
    (3DHM section 3.2): the texture-mapped body and the photo."""
    return ControlNetModel(
        in_channels=config.latent_channels,
        conditioning_channels=2 * config.latent_channels,
        # One width means no down-sampling: the condition already has the size of a latent. Its last layer is zero.
        conditioning_embedding_out_channels=(2 * config.unet_channels[0],),
        **_unet_arguments(config),
    )


def branch_from_unet(unet: UNet2DConditionModel) -> ControlNetModel:
    """A fresh branch for a trained UNet of any size: its encoder's weights are copied, its outputs start at zero."""
    latents = unet.config["in_channels"]
    return ControlNetModel.from_unet(
        unet,
        conditioning_channels=2 * latents,
        conditioning_embedding_out_channels=(unet.config["block_out_channels"][0],),
    )


def constant_prompt(config: NetworkConfig, seed: int) -> torch.Tensor:
    """The locked text embedding (1, 1, prompt_width) of networks that never saw a text encoder."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, 1, config.prompt_width, generator=generator)


def build_sd15_unet(in_channels: int = 4) -> UNet2DConditionModel:
    """Stable Diffusion 1.5's UNet (860 million parameters) with random weights; 9 channels go into the inpainting one.

    Build it under `torch.device("meta")` where only its layout matters.
    """
    return UNet2DConditionModel(
        sample_size=64,
        in_channels=in_channels,
        out_channels=4,
        block_out_channels=(320, 640, 1280, 1280),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        attention_head_dim=8,
        cross_attention_dim=SD15_PROMPT_SHAPE[2],
    )


def build_sd15_vae() -> AutoencoderKL:
    """Stable Diffusion 1.5's VAE (84 million parameters) with random weights."""
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),  # pyright: ignore[reportArgumentType]
        down_block_types=("DownEncoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * 4,  # pyright: ignore[reportArgumentType]
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
        scaling_factor=0.18215,
    )


SD15_PROMPT_SHAPE = (1, 77, 768)
"""Shape of a prompt's embedding by the text encoder of Stable Diffusion 1.5, CLIP ViT-L/14."""
