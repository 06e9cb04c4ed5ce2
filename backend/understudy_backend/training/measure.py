"""Time and memory of a training step and of a generated frame, at a setting's real size, with random weights and data.

    python -m understudy_backend.training.measure infill --config small
    python -m understudy_backend.training.measure render --config sd15 --mixed-precision fp16

Needs neither weights nor data: how long a step takes does not depend on them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from understudy_backend.models.threedhm import denoising, networks
from understudy_backend.models.threedhm.latents import decode, size_multiple
from understudy_backend.training import stage1, stage2
from understudy_backend.training.bases import PROMPT_SEEDS, Base
from understudy_backend.training.checkpoints import TrainingError
from understudy_backend.training.configs import SETTINGS, Setting, read_setting, with_changes
from understudy_backend.training.loop import Lesson, peak_memory, start, train

Stage = Literal["infill", "render"]


def random_base(setting: Setting, stage: Stage) -> Base:
    """Networks of a setting's size with random weights; those of Stable Diffusion 1.5 where it starts from them."""
    if setting.networks is None:
        unet = networks.build_sd15_unet(9 if stage == "infill" else 4)
        scheduler = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
        return Base(networks.build_sd15_vae(), unet, scheduler, torch.randn(networks.SD15_PROMPT_SHAPE))
    config = setting.networks
    build = networks.build_infill_unet if stage == "infill" else _plain_unet
    prompt = networks.constant_prompt(config, PROMPT_SEEDS[stage])
    return Base(networks.build_vae(config), build(config), denoising.training_scheduler(), prompt)


def random_lesson(setting: Setting, stage: Stage, base: Base) -> Lesson:
    """A stage's lesson on random latents, as many as a batch has."""
    count = getattr(setting, stage).batch
    shape, rng = _latent_shape(setting, stage, base), np.random.default_rng(0)
    latents = [rng.standard_normal((count, *shape)).astype(np.float16) for _ in range(3)]
    mask = np.ones((count, 1, *shape[1:]), np.uint8)
    if stage == "infill":
        textures = stage1.Textures(latents[0], latents[1], mask, mask, torch.ones(1, 1, *shape[1:]))
        return stage1.lesson(setting, base, textures, None)
    branch = stage2.new_branch(setting, base)
    width, height = stage2.frame_size(setting)
    picture = torch.rand(count, 4, height, width) * 2 - 1
    frames = stage2.Frames(latents[0], latents[1], latents[2], mask, lambda _, indices: picture[indices])
    return stage2.lesson(setting, base, branch, frames, None)


def measure(setting: Setting, stage: Stage, *, cpu: bool) -> dict[str, float | str]:
    """Runs a few steps, then makes one frame (or texture), and says what they took."""
    training = getattr(setting, stage)
    with TemporaryDirectory() as folder:
        accelerator = start(training, Path(folder), cpu=cpu)
        device = accelerator.device
        base = random_base(setting, stage)
        # random encoders are as slow as trained ones, but the base's own layout must be the same
        base.unet.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        lesson = random_lesson(setting, stage, base)
        cpu_time = time.process_time()
        train(lesson, training, Path(folder), accelerator, keep_state=False)
        cpu_time = time.process_time() - cpu_time
        lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
        pace = [line["seconds_per_step"] for line in lines if "seconds_per_step" in line]
        step_memory = peak_memory(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with torch.no_grad(), accelerator.autocast():
            seconds, cpu_seconds = _one_frame(setting, stage, base, lesson, device)
        return {
            "setting": setting.name,
            "stage": stage,
            "device": _name(device),
            "mixed_precision": training.mixed_precision,
            "batch": training.batch,
            "accumulate": training.accumulate,
            "gradient_checkpointing": training.gradient_checkpointing,
            "seconds_per_step": float(np.median(pace[1:] or pace)),  # the first one warms up
            "cpu_seconds_per_step": round(cpu_time / training.steps, 3),  # tells more where other programs run, too
            "step_memory_mb": round(step_memory),
            "sampling_steps": setting.sampling_steps,
            "seconds_per_frame": seconds,
            "cpu_seconds_per_frame": cpu_seconds,
            "frame_memory_mb": round(peak_memory(device)),
        }


def _one_frame(setting: Setting, stage: Stage, base: Base, lesson: Lesson, device: torch.device) -> tuple[float, float]:
    """Seconds that sampling and decoding one image takes: on the clock, and of the CPU's cores together."""
    for module in (*lesson.trained.values(), base.unet, base.vae.to(device)):  # pyright: ignore[reportArgumentType]
        module.eval()
    latent, prompt = torch.randn(1, *_latent_shape(setting, stage, base), device=device), base.prompt.to(device)

    def predict(x: Tensor, t: Tensor) -> Tensor:
        if stage == "infill":
            return denoising.predict_infill(base.unet, x, t, x[:, :1], latent, prompt)
        condition = torch.cat([latent, latent], 1)
        return denoising.predict_render(base.unet, lesson.trained["branch"], x, t, condition, prompt)  # pyright: ignore

    base.unet.to(device)  # pyright: ignore[reportArgumentType]
    predict(latent, torch.tensor([1], device=device))  # the first call chooses its algorithms
    _wait(device)
    began, cpu_began = time.perf_counter(), time.process_time()
    decode(base.vae, denoising.sample(predict, base.scheduler, latent, setting.sampling_steps).float())
    _wait(device)
    return round(time.perf_counter() - began, 4), round(time.process_time() - cpu_began, 4)


def _latent_shape(setting: Setting, stage: Stage, base: Base) -> tuple[int, int, int]:
    width, height = stage2.frame_size(setting) if stage == "render" else (setting.image_size, setting.image_size)
    multiple = size_multiple(base.vae)
    return base.vae.config["latent_channels"], height // multiple, width // multiple


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _plain_unet(config: networks.NetworkConfig):
    return networks.build_unet(config, config.latent_channels)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Time and memory of 3DHM's training and sampling")
    parser.add_argument("stage", choices=["infill", "render"])
    parser.add_argument("--config", default="small", help=f"{', '.join(SETTINGS)}, or a JSON file of a setting")
    parser.add_argument("--steps", type=int, default=10, help="training steps; their median is told")
    parser.add_argument("--batch", type=int, help="samples a step")
    parser.add_argument("--accumulate", type=int, help="parts of a batch")
    parser.add_argument("--mixed-precision", choices=["no", "bf16", "fp16"])
    parser.add_argument("--gradient-checkpointing", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--sampling-steps", type=int)
    parser.add_argument("--cpu", action="store_true", help="leave a GPU alone")
    a = parser.parse_args(arguments)
    options = ("batch", "accumulate", "mixed_precision", "gradient_checkpointing")
    changes: dict[str, object] = {name: getattr(a, name) for name in options if getattr(a, name) is not None}
    try:
        setting = read_setting(a.config)
        setting = dataclasses.replace(setting, sampling_steps=a.sampling_steps or setting.sampling_steps)
        setting = with_changes(setting, a.stage, {**changes, "steps": a.steps, "log_every": 1})
        print(json.dumps(measure(setting, a.stage, cpu=a.cpu), indent=1))
    except (TrainingError, ValueError, OSError) as error:
        parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    main()
