"""Sets of weights for tests: networks of a few channels with random numbers, in the files as they are published.

`python tiny_animators.py FOLDER` writes animate_anyone-tiny and champ-tiny.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from understudy_backend.models.animate_anyone.denoising import noise_schedule
from understudy_backend.models.animate_anyone.guider import PoseGuider
from understudy_backend.models.animate_anyone.networks import NetworkConfig, build_denoiser, build_reference_net
from understudy_backend.models.animate_anyone.parts import AnimatorParts
from understudy_backend.models.champ.guidance_encoders import GuidanceEncoders
from understudy_backend.weights.animate_anyone import Kind, save_animator

NAME = "tiny"
KINDS: tuple[Kind, ...] = ("animate_anyone", "champ")
TINY = NetworkConfig(channels=(8, 8, 8, 8), heads=2, token_width=16, groups=8, motion_heads=2)


def tiny_parts(kind: Kind, config: NetworkConfig = TINY, seed: int = 1) -> AnimatorParts:
    """All networks of a method, with random numbers."""
    torch.manual_seed(seed)
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=8,
    )
    clip = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, projection_dim=16, num_hidden_layers=1, num_attention_heads=2,
        image_size=224, patch_size=56,
    )  # fmt: skip
    guider = PoseGuider(config) if kind == "animate_anyone" else GuidanceEncoders(config)
    return AnimatorParts(
        vae, CLIPVisionModelWithProjection(clip), build_reference_net(config), build_denoiser(config), guider,
        noise_schedule(),
    )  # fmt: skip


def write_weights(folder: Path, kind: Kind) -> None:
    """Writes a set into `folder`, the user's folder of weights. No parameter is zero, so that every path counts."""
    parts = tiny_parts(kind)
    for module in parts.modules:
        for parameter in module.parameters():
            if not parameter.any():
                parameter.data.normal_(0, 0.02)
    save_animator(parts, TINY, folder / f"{kind}-{NAME}", kind)


if __name__ == "__main__":
    for each in KINDS:
        write_weights(Path(sys.argv[1]), each)
