"""Animate Anyone or Champ against diffusers' AnimateDiff with a ControlNet: one size, the same clip, one run.

    python tests/bench/bench_animators.py                                  small networks, on a CPU, in a minute
    python tests/bench/bench_animators.py --device cuda [--kind champ]     full size: 24 frames of 512 x 768, 20 steps

The weights are random: only the time counts, and on a GPU the memory. Both make the clip from its guidance pictures to
frames, with classifier-free guidance; loading is left out. Where ours has a reference network, theirs has a prompt's
embedding, given. On a CPU the processor's time counts, so that other programs do not. Exit code 1: ours is not faster.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch
from diffusers import (
    AnimateDiffControlNetPipeline,
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    MotionAdapter,
    UNet2DConditionModel,
)
from diffusers.utils import logging
from PIL import Image
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from understudy_backend.models.animate_anyone.animation import Clip, ClipSettings
from understudy_backend.models.animate_anyone.denoising import noise_schedule
from understudy_backend.models.animate_anyone.guider import PoseGuider
from understudy_backend.models.animate_anyone.networks import (
    PUBLISHED,
    SMALL,
    NetworkConfig,
    build_denoiser,
    build_reference_net,
)
from understudy_backend.models.animate_anyone.parts import AnimatorParts
from understudy_backend.models.champ.guidance_encoders import GuidanceEncoders

SCALE = 3.5
"""Of classifier-free guidance."""


@dataclass(frozen=True)
class Setting:
    """What both make, and how large their networks are."""

    config: NetworkConfig
    vae: tuple[int, ...]
    clip_width: int
    clip_layers: int
    size: tuple[int, int]
    frames: int
    steps: int
    rounds: int
    dtype: torch.dtype


CPU = Setting(SMALL, (32, 32, 32, 32), 32, 2, (64, 96), 6, 6, 3, torch.float32)
GPU = Setting(PUBLISHED, (128, 256, 512, 512), 1024, 24, (512, 768), 24, 20, 2, torch.float16)


def main() -> int:
    """Prints seconds a frame of both, their ratio, and peak memory."""
    parser = argparse.ArgumentParser(description="Animate Anyone or Champ against diffusers' AnimateDiff + ControlNet.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--kind", choices=("animate_anyone", "champ"), default="animate_anyone")
    parser.add_argument("--frames", type=int)
    parser.add_argument("--steps", type=int)
    options = parser.parse_args()
    logging.set_verbosity_error()
    setting = GPU if options.device.startswith("cuda") else CPU
    frames, steps = options.frames or setting.frames, options.steps or setting.steps
    rng = np.random.default_rng(0)
    width, height = setting.size
    pictures = rng.integers(0, 256, (frames, height, width, 3), np.uint8)
    vae = _placed(make_vae(setting), setting, options.device)
    ways = {
        "diffusers": theirs(setting, vae, pictures, steps, options.device),
        "ours": ours(setting, vae, options.kind, pictures, steps, options.device),
    }
    for make in ways.values():
        make(1)  # kernels are chosen, caches filled
    times: dict[str, list[float]] = {name: [] for name in ways}
    memory = dict.fromkeys(ways, 0)
    for _ in range(setting.rounds):
        for name, make in ways.items():
            seconds, peak = measured(make, steps, options.device)
            times[name].append(seconds / frames)
            memory[name] = max(memory[name], peak)
    ratio = median(a / b for a, b in zip(times["diffusers"], times["ours"], strict=True))
    where = torch.cuda.get_device_name() if setting is GPU else f"CPU, {torch.get_num_threads()} thread(s)"
    print(f"{options.kind}: {frames} frames of {width} x {height}, {steps} steps, {setting.dtype}, {where}")
    for name in ways:
        peak = f", {memory[name] / 2**30:.1f} GiB at its peak above the weights" if memory[name] else ""
        print(f"{name:<10} {median(times[name]):7.3f} s a frame{peak}")
    print(f"ours is {ratio:.2f} times as fast")
    return int(ratio <= 1)


def measured(make: Callable[[int], None], steps: int, device: str) -> tuple[float, int]:
    """Seconds (on a CPU, of the processor), and bytes of the device's memory that came on top of what was there."""
    cuda = device.startswith("cuda")
    before = 0
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    clock = time.perf_counter if cuda else time.process_time
    begun = clock()
    make(steps)
    if cuda:
        torch.cuda.synchronize()
    return clock() - begun, torch.cuda.max_memory_allocated() - before if cuda else 0


def ours(
    setting: Setting, vae: AutoencoderKL, kind: str, pictures: np.ndarray, steps: int, device: str
) -> Callable[[int], None]:
    """The clip as the methods make it."""
    config = setting.config
    clip = CLIPVisionConfig(
        hidden_size=setting.clip_width, intermediate_size=4 * setting.clip_width, projection_dim=config.token_width,
        num_hidden_layers=setting.clip_layers, num_attention_heads=setting.clip_width // 16, image_size=224,
        patch_size=32 if setting.clip_width < 1024 else 14,
    )  # fmt: skip
    guider = PoseGuider(config) if kind == "animate_anyone" else GuidanceEncoders(config)
    built = (CLIPVisionModelWithProjection(clip), build_reference_net(config), build_denoiser(config), guider)
    encoder, reference, denoiser, guider = (_placed(module, setting, device) for module in built)
    parts = AnimatorParts(vae, encoder, reference, denoiser, guider, noise_schedule(), device, setting.dtype)
    photo = np.random.default_rng(1).integers(0, 256, (*setting.size[::-1], 3), np.uint8)

    def make(count: int) -> None:
        settings = ClipSettings(setting.size, len(pictures), steps=count, guidance=SCALE)
        with tempfile.TemporaryDirectory() as folder:
            made = Clip(parts, photo, settings, Path(folder))
            for index, picture in enumerate(pictures):
                made.guide(index, dict.fromkeys(parts.guider.kinds, picture))
            made.denoise()
            for _ in made.frames():
                pass

    return make


def theirs(
    setting: Setting, vae: AutoencoderKL, pictures: np.ndarray, steps: int, device: str
) -> Callable[[int], None]:
    """The clip as diffusers' pipeline makes it, with its defaults."""
    config = setting.config
    unet = UNet2DConditionModel(
        block_out_channels=config.channels, layers_per_block=config.layers, attention_head_dim=config.heads,
        cross_attention_dim=config.token_width, norm_num_groups=config.groups,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    )  # fmt: skip
    adapter = MotionAdapter(
        block_out_channels=config.channels, motion_layers_per_block=config.layers,
        motion_num_attention_heads=config.motion_heads, motion_norm_num_groups=config.groups,
        use_motion_mid_block=config.motion_in_middle,
    )  # fmt: skip
    control = ControlNetModel.from_unet(unet)
    with torch.no_grad():  # its way out starts at zero; that is no less work, but no signal
        for parameter in control.parameters():
            if not parameter.any():
                parameter.normal_(0, 0.02)
    pipeline = AnimateDiffControlNetPipeline(
        vae=vae, text_encoder=None, tokenizer=None, unet=unet, motion_adapter=adapter, controlnet=control,  # pyright: ignore
        scheduler=DDIMScheduler(beta_schedule="linear", clip_sample=False, timestep_spacing="linspace", steps_offset=1),
    )  # fmt: skip
    pipeline.to(device, setting.dtype)
    pipeline.set_progress_bar_config(disable=True)
    images = [Image.fromarray(picture) for picture in pictures]
    prompt = torch.zeros(1, 77, config.token_width, device=device, dtype=setting.dtype)

    def make(count: int) -> None:
        pipeline(
            prompt_embeds=prompt, negative_prompt_embeds=prompt, num_frames=len(images), conditioning_frames=images,
            width=setting.size[0], height=setting.size[1], num_inference_steps=count, guidance_scale=SCALE,
            generator=torch.Generator().manual_seed(0), output_type="np",
        )  # fmt: skip

    return make


def make_vae(setting: Setting) -> AutoencoderKL:
    """Stable Diffusion's, of the setting's width."""
    levels = len(setting.vae)
    return AutoencoderKL(
        block_out_channels=setting.vae, layers_per_block=2, latent_channels=setting.config.latent_channels,
        down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
    )  # fmt: skip


def _placed(module: nn.Module, setting: Setting, device: str):
    return module.requires_grad_(False).eval().to(device, setting.dtype)


if __name__ == "__main__":
    sys.exit(main())
