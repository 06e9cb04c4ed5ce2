"""The `sd15` setting's whole route on networks of Stable Diffusion's layout at a fraction of its width."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from understudy_backend.training.configs import SD15_SETTING
from understudy_backend.training.setting_files import write_setting
from understudy_backend.weights.threedhm import load_infill, load_render, save_prompt

COUNT, DATA_SIDE, SIDE = 4, 32, 64
"""Data of another size than the setting's are scaled to it."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("sd15"), np.random.default_rng(0)
    body = np.ones((DATA_SIDE, DATA_SIDE), bool)
    colours = rng.integers(0, 255, (3, COUNT, DATA_SIDE, DATA_SIDE, 4), np.uint8)
    visible = np.zeros((COUNT, DATA_SIDE, DATA_SIDE), np.uint8)
    visible[:, :16] = 255
    write(root / "texture" / "train", target=colours[0, ..., :3], partial=colours[0, ..., :3], visible=visible,
          body_mask=body)  # fmt: skip
    write(root / "frames" / "train", target=colours[0], body=colours[1], photo=colours[2])
    for name, channels in (("inpainting", 9), ("plain", 4)):
        torch.manual_seed(channels)
        unet = UNet2DConditionModel(
            sample_size=8, in_channels=channels, out_channels=4, block_out_channels=(8, 8, 16, 16),
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
            cross_attention_dim=16, attention_head_dim=4, norm_num_groups=4,
        )  # fmt: skip
        vae = AutoencoderKL(
            block_out_channels=(8, 8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4, norm_num_groups=4, scaling_factor=0.18215,
        )  # fmt: skip
        unet.save_pretrained(root / name / "unet")
        vae.save_pretrained(root / name / "vae")
        DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False,
                      set_alpha_to_one=False, steps_offset=1).save_pretrained(root / name / "scheduler")  # fmt: skip
        save_prompt(torch.randn(1, 77, 16), root / name)
    quick = dataclasses.replace(SD15_SETTING.infill, steps=3, batch=4, accumulate=2, learning_rate=1e-3, warmup=1,
                                ema=0.5, log_every=1, validation_samples=2)  # fmt: skip
    setting = dataclasses.replace(SD15_SETTING, image_size=SIDE, sampling_steps=2, infill=quick, render=quick)
    assert quick.mixed_precision == "bf16" and quick.gradient_checkpointing
    write_setting(setting, root / "config.json")
    return root


def write(folder: Path, **arrays: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    (folder / "dataset.json").write_text(json.dumps({"count": COUNT}))


def command(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    """In a process of its own: accelerate keeps one number format for a process's life."""
    return subprocess.run([sys.executable, "-m", "understudy_backend.training.threedhm", *arguments, "--out",
                           str(root / "run")], capture_output=True, text=True, timeout=280, check=False)  # fmt: skip


def train(root: Path, what: str, weights: str) -> subprocess.CompletedProcess:
    return command(root, what, "--data", str(root), "--config", str(root / "config.json"), "--weights",
                   str(root / weights), "--cpu", "--threads", "1")  # fmt: skip


def changed(before: torch.nn.Module, after: torch.nn.Module) -> float:
    """Largest change of any weight."""
    other = after.state_dict()
    return max(float((value - other[name]).abs().max()) for name, value in before.state_dict().items())


def test_both_stages_train_and_are_exported(root: Path) -> None:
    for what, weights in (("infill", "inpainting"), ("render", "plain")):
        done = train(root, what, weights)
        assert done.returncode == 0, done.stderr[-2000:]
    done = command(root, "export", "--to", str(root / "out"))
    assert done.returncode == 0 and "infill and render" in done.stdout, done.stderr[-2000:]
    start = {n: UNet2DConditionModel.from_pretrained(root / n / "unet") for n in ("inpainting", "plain")}
    infill, render = load_infill(root / "out" / "infill"), load_render(root / "out" / "render")
    half = 1e-3  # exported in 16 bits
    assert changed(start["inpainting"], infill.unet) > half, "stage 1 fine-tunes its UNet"
    assert changed(start["plain"], render.unet) < half, "stage 2 leaves it alone"
    zero = [p for n, p in render.branch.named_parameters() if n.startswith("controlnet_down_blocks")]
    assert any(p.abs().max() > half for p in zero), "the branch's outputs have left zero"
    assert render.branch.config["conditioning_channels"] == 8 and render.window is None
    assert infill.steps == render.steps == 2 and infill.prompt.shape == (1, 77, 16)


def test_weights_of_the_wrong_kind_are_one_line(root: Path) -> None:
    done = train(root, "infill", "plain")
    assert done.returncode == 1 and "is no inpainting model" in done.stderr
    assert "Traceback" not in done.stderr
