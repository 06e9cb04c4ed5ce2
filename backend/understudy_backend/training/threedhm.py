"""Trains 3DHM's small networks from nothing: the VAE, then the in-filling and the rendering diffusion on its latents.

    python -m understudy_backend.training.threedhm vae    --data DATA --out RUN --minutes 20
    python -m understudy_backend.training.threedhm infill --data DATA --out RUN --minutes 30
    python -m understudy_backend.training.threedhm render --data DATA --out RUN --minutes 40
    python -m understudy_backend.training.threedhm export --out RUN --to FOLDER

DATA is what `python -m understudy_backend.training.dataset` makes (folders `texture` and `frames`, each with
`train` and `val`). Stage 2's UNet and its branch are trained together: with no published weights to freeze,
there is nothing yet to protect.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, l1_loss, max_pool2d, mse_loss

from understudy_backend.models.threedhm import denoising, networks
from understudy_backend.models.threedhm.latents import compose, decode, decompose, encode, patch_size, size_multiple
from understudy_backend.training.loop import TrainConfig, train

VAE, INFILL, RENDER = "vae", "infill", "render"


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the small networks of 3DHM")
    parser.add_argument("what", choices=[VAE, INFILL, RENDER, "export"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--to", type=Path, help="export: where the weights go")
    parser.add_argument("--steps", type=int, default=10**9)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args(arguments)
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    config = TrainConfig(
        steps=a.steps, minutes=a.minutes, batch=a.batch, learning_rate=a.learning_rate, seed=a.seed
    )  # fmt: skip
    if a.what == VAE:
        train_vae(a.data, a.out, config)
    elif a.what == INFILL:
        train_infill(a.data, a.out, config)
    elif a.what == RENDER:
        train_render(a.data, a.out, config)
    else:
        export(a.out, a.to)


def images(array: NDArray[np.uint8], indices: Tensor, alpha: NDArray[np.uint8] | None = None) -> Tensor:
    """Rows `indices` of a memory-mapped array of images as composed tensors (N, 4, H, W) in [-1, 1]."""
    rows = np.asarray(array[indices.numpy()])
    if rows.shape[-1] == 3:
        a = (
            np.full((*rows.shape[:3], 1), 255, np.uint8)
            if alpha is None
            else np.asarray(alpha[indices.numpy()])[..., None]
        )
        rows = np.concatenate([rows, a], -1)
    return compose(torch.from_numpy(rows).permute(0, 3, 1, 2).float() / 255)


class Images:
    """The arrays of one data set folder, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self.arrays = {p.stem: np.load(p, mmap_mode="r", allow_pickle=False) for p in sorted(folder.glob("*.npy"))}

    def __getitem__(self, name: str) -> NDArray:
        return self.arrays[name]


# ------------------------------------------------------------------------------------------------------------- VAE


def train_vae(data: Path, out: Path, config: TrainConfig) -> None:
    """Trains the VAE on crops of textures, bodies, photos and frames, then measures its latents' mean and spread."""
    vae = networks.build_vae(networks.SMALL).to(memory_format=torch.channels_last)  # pyright: ignore
    frames, textures = Images(data / "frames" / "train"), Images(data / "texture" / "train")
    held_out, held_textures = Images(data / "frames" / "val"), Images(data / "texture" / "val")
    sources = [
        (frames["target"], None), (frames["target"], None), (frames["body"], None), (frames["photo"], None),
        (textures["target"], None), (textures["partial"], textures["visible"]),
    ]  # fmt: skip
    lengths = [len(s) for s, _ in sources]
    crops = torch.Generator().manual_seed(config.seed)

    def pick(index: int) -> Tensor:
        for (source, alpha), length in zip(sources, lengths, strict=True):
            if index < length:
                return images(source, torch.tensor([index]), alpha)
            index -= length
        raise IndexError(index)

    def loss_of(indices: Tensor) -> Tensor:
        crop, batch = 160, []
        for i in indices.tolist():
            y, x = (torch.randint(0, (256 - crop) // 8 + 1, (2,), generator=crops) * 8).tolist()
            batch.append(pick(i)[..., y : y + crop, x : x + crop])
        image = torch.cat(batch).contiguous(memory_format=torch.channels_last)
        patch = patch_size(vae)
        posterior = vae.encode(torch.nn.functional.pixel_unshuffle(image, patch)).latent_dist  # pyright: ignore
        latents = posterior.mode() + 0.05 * torch.randn_like(posterior.mean)  # small noise: neighbours decode alike
        result = torch.nn.functional.pixel_shuffle(vae.decode(latents).sample, patch)  # pyright: ignore
        size = latents.pow(2).mean()
        return (
            l1_loss(result, image)
            + 2 * mse_loss(result, image)
            + 0.5 * l1_loss(_edges(result), _edges(image))
            + 1e-3 * size
        )

    def measure(step: int) -> dict[str, float]:
        with torch.no_grad():
            figures = {}
            for name, image in (
                ("frames", images(held_out["target"], torch.arange(24))),
                ("textures", images(held_textures["target"], torch.arange(24))),
            ):
                latents = vae.encode(torch.nn.functional.pixel_unshuffle(image, patch_size(vae))).latent_dist.mode()  # pyright: ignore
                result = torch.nn.functional.pixel_shuffle(vae.decode(latents).sample, patch_size(vae))  # pyright: ignore
                figures[f"psnr_{name}"] = _psnr(result[:, :3], image[:, :3])
        return figures

    train({"vae": vae}, loss_of, sum(lengths), config, out / VAE, measure)
    _store_statistics(vae, [images(s, torch.arange(0, len(s), max(1, len(s) // 64)), a) for s, a in sources])
    vae.save_pretrained(out / VAE / "weights")


def _edges(image: Tensor) -> Tensor:
    """Differences to the neighbours below and to the right, (N, 2C, H-1, W-1)."""
    here = image[..., :-1, :-1]
    return torch.cat([image[..., 1:, :-1] - here, image[..., :-1, 1:] - here], 1)


@torch.no_grad()
def _store_statistics(vae: AutoencoderKL, samples: list[Tensor]) -> None:
    latents = torch.cat(
        [
            vae.encode(torch.nn.functional.pixel_unshuffle(chunk, patch_size(vae))).latent_dist.mode()  # pyright: ignore
            for image in samples
            for chunk in image.split(8)
        ]
    )
    mean, spread = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    vae.register_to_config(latents_mean=mean.tolist(), latents_std=spread.tolist(), scaling_factor=1.0)


def _psnr(a: Tensor, b: Tensor, peak: float = 2.0) -> float:
    return float(10 * torch.log10(peak**2 / mse_loss(a, b)))


# --------------------------------------------------------------------------------------------------- latent caches


@torch.no_grad()
def cached_latents(
    vae: AutoencoderKL, source: NDArray, alpha: NDArray | None, path: Path, limit: int | None = None
) -> NDArray[np.float16]:
    """Latents (N, C, h, w) of all images of an array, computed once and kept in `path`."""
    count = len(source) if limit is None else min(limit, len(source))
    if path.exists():
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        if len(stored) == count:
            return stored
    path.parent.mkdir(parents=True, exist_ok=True)
    side = source.shape[1] // size_multiple(vae)
    stored = np.empty((count, vae.config["latent_channels"], side, side), np.float16)
    for first in range(0, count, 16):
        rows = torch.arange(first, min(first + 16, count))
        stored[first : first + len(rows)] = encode(vae, images(source, rows, alpha)).numpy()
    np.save(path, stored)
    return stored


def load_vae(out: Path) -> AutoencoderKL:
    """The trained VAE of a run."""
    vae = AutoencoderKL.from_pretrained(out / VAE / "weights")
    return vae.requires_grad_(False).eval()  # pyright: ignore


def _batch(array: NDArray, indices: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(array[indices.numpy()], np.float32)).contiguous(
        memory_format=torch.channels_last
    )


def _timesteps(count: int) -> Tensor:
    """Uniform, but a quarter at the very last step: sampling starts there, and few steps follow."""
    t = torch.randint(0, 1000, (count,))
    return torch.where(torch.rand(count) < 0.25, torch.full_like(t, 999), t)


# --------------------------------------------------------------------------------------------------------- stage 1


def train_infill(data: Path, out: Path, config: TrainConfig) -> None:
    """Trains the in-filling diffusion (3DHM section 3.1)."""
    vae, scheduler = load_vae(out), denoising.training_scheduler()
    sets = {
        split: _infill_arrays(vae, Images(data / "texture" / split), out / "latents" / f"texture_{split}")
        for split in ("train", "val")
    }
    unet = networks.build_infill_unet(networks.SMALL).to(memory_format=torch.channels_last)  # pyright: ignore
    prompt = networks.constant_prompt(networks.SMALL, seed=1)
    cells = avg_pool2d(torch.from_numpy(sets["train"]["body_mask"][None, None].astype(np.float32)), 8)
    weight = 0.1 + 0.9 * (cells > 0).float()

    def loss_of(indices: Tensor) -> Tensor:
        arrays = sets["train"]
        clean, partial = _batch(arrays["target"], indices), _batch(arrays["partial"], indices)
        unseen = unseen_cells(arrays["visible"], indices)
        noise, t = torch.randn_like(clean), _timesteps(len(clean))
        noisy = scheduler.add_noise(clean, noise, t)  # pyright: ignore
        guess = denoising.predict_infill(unet, noisy, t, unseen, partial, prompt)
        error = (guess - scheduler.get_velocity(clean, noise, t)).pow(2)  # pyright: ignore
        return (error * weight).sum() / (weight.mean() * error.numel())

    def measure(step: int) -> dict[str, float]:
        arrays, rows = sets["val"], torch.arange(min(32, len(sets["val"]["target"])))
        with torch.no_grad():
            partial, unseen = _batch(arrays["partial"], rows), unseen_cells(arrays["visible"], rows)
            noise = denoising.seeded_noise(0, tuple(partial.shape))
            latents = denoising.sample(
                lambda x, t: denoising.predict_infill(unet, x, t, unseen, partial, prompt), scheduler, noise, 4
            )
            result = decompose(decode(vae, latents))[:, :3]
        truth = (images(arrays["pixels"], rows)[:, :3] + 1) / 2
        missing = torch.from_numpy((arrays["visible"][rows.numpy()] < 128) & (arrays["body_mask"] > 0))[:, None]
        return {"psnr_unseen": _masked_psnr(result, truth, missing)}

    train({"unet": unet}, loss_of, len(sets["train"]["target"]), config, out / INFILL, measure)
    unet.save_pretrained(out / INFILL / "weights")


def _infill_arrays(vae: AutoencoderKL, data: Images, cache: Path) -> dict[str, NDArray]:
    return {
        "target": cached_latents(vae, data["target"], None, cache / "target.npy"),
        "partial": cached_latents(vae, data["partial"], data["visible"], cache / "partial.npy"),
        "visible": data["visible"],
        "pixels": data["target"],
        "body_mask": data["body_mask"],
    }


def unseen_cells(visible: NDArray[np.uint8], indices: Tensor) -> Tensor:
    """Latent cells (N, 1, h, w) that hold any unseen texel: 1, else 0."""
    rows = torch.from_numpy((np.asarray(visible[indices.numpy()]) < 128).astype(np.float32))[:, None]
    return max_pool2d(rows, 8)


def _masked_psnr(result: Tensor, truth: Tensor, mask: Tensor) -> float:
    error = ((result - truth).pow(2).mean(1, keepdim=True) * mask).sum() / mask.sum()
    return float(-10 * torch.log10(error))


# --------------------------------------------------------------------------------------------------------- stage 2


def train_render(data: Path, out: Path, config: TrainConfig) -> None:
    """Trains the rendering diffusion (3DHM section 3.2): UNet and branch."""
    vae, scheduler = load_vae(out), denoising.training_scheduler()
    sets: dict[str, dict[str, NDArray]] = {}
    for split in ("train", "val"):
        source = Images(data / "frames" / split)
        sets[split] = {
            name: cached_latents(vae, source[name], None, out / "latents" / f"frames_{split}" / f"{name}.npy")
            for name in ("target", "body", "photo")
        }
        sets[split]["pixels"] = source["target"]
    unet, branch = _render_networks()
    prompt = networks.constant_prompt(networks.SMALL, seed=2)

    def loss_of(indices: Tensor) -> Tensor:
        arrays = sets["train"]
        clean = _batch(arrays["target"], indices)
        condition = torch.cat([_batch(arrays["body"], indices), _batch(arrays["photo"], indices)], 1)
        noise, t = torch.randn_like(clean), _timesteps(len(clean))
        noisy = scheduler.add_noise(clean, noise, t)  # pyright: ignore
        guess = denoising.predict_render(unet, branch, noisy, t, condition, prompt)
        error = (guess - scheduler.get_velocity(clean, noise, t)).pow(2)  # pyright: ignore
        person = avg_pool2d(
            torch.from_numpy(np.asarray(arrays["pixels"][indices.numpy(), ..., 3:])).permute(0, 3, 1, 2).float(), 8
        )
        weight = 0.3 + 0.7 * (max_pool2d(person, 3, 1, 1) > 0).float()
        return (error * weight).sum() / (weight.mean() * error.numel())

    def measure(step: int) -> dict[str, float]:
        arrays, rows = sets["val"], torch.arange(min(32, len(sets["val"]["target"])))
        with torch.no_grad():
            condition = torch.cat([_batch(arrays["body"], rows), _batch(arrays["photo"], rows)], 1)
            noise = denoising.seeded_noise(0, (1, *arrays["target"].shape[1:])).expand(len(rows), -1, -1, -1)
            latents = denoising.sample(
                lambda x, t: denoising.predict_render(unet, branch, x, t, condition, prompt), scheduler, noise, 4
            )
            result = decode(vae, latents)
        truth = images(arrays["pixels"], rows)
        inside = truth[:, 3:] > 0
        found = result[:, 3:] > 0
        return {
            "psnr_inside": _masked_psnr((result[:, :3] + 1) / 2, (truth[:, :3] + 1) / 2, inside),
            "iou": float((inside & found).sum() / (inside | found).sum()),
        }

    train({"unet": unet, "branch": branch}, loss_of, len(sets["train"]["target"]), config, out / RENDER, measure)
    unet.save_pretrained(out / RENDER / "weights" / "unet")
    branch.save_pretrained(out / RENDER / "weights" / "branch")


def _render_networks() -> tuple[UNet2DConditionModel, ControlNetModel]:
    unet = networks.build_unet(networks.SMALL, networks.SMALL.latent_channels)
    branch = networks.build_branch(networks.SMALL)
    for module in (unet, branch):
        module.to(memory_format=torch.channels_last)  # pyright: ignore
    return unet, branch


# ---------------------------------------------------------------------------------------------------------- export


def export(out: Path, to: Path) -> None:
    """Writes a run's averaged weights as fp16 safetensors in diffusers' folders, as `weights.threedhm` reads them."""
    from understudy_backend.weights.threedhm import save_prompt

    scheduler = denoising.training_scheduler()
    vae = AutoencoderKL.from_pretrained(out / VAE / "weights")
    _save_half(vae, to / "vae")
    infill = UNet2DConditionModel.from_pretrained(out / INFILL / "weights")
    _save_half(infill, to / "infill" / "unet")
    save_prompt(networks.constant_prompt(networks.SMALL, seed=1), to / "infill")
    unet = UNet2DConditionModel.from_pretrained(out / RENDER / "weights" / "unet")
    branch = ControlNetModel.from_pretrained(out / RENDER / "weights" / "branch")
    _save_half(unet, to / "render" / "unet")
    _save_half(branch, to / "render" / "branch")
    save_prompt(networks.constant_prompt(networks.SMALL, seed=2), to / "render")
    for stage in ("infill", "render"):
        scheduler.save_pretrained(to / stage / "scheduler")


def _save_half(module: nn.Module, folder: Path) -> None:
    module.half().save_pretrained(folder)  # pyright: ignore


if __name__ == "__main__":
    main()
