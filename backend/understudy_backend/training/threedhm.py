"""Trains 3DHM's small networks from nothing: the autoencoder, and both diffusions on its latents.

    python -m understudy_backend.training.threedhm vae    --data DATA --out RUN
    python -m understudy_backend.training.threedhm refine --data DATA --out RUN --minutes 10
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
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, l1_loss, max_pool2d, mse_loss, pixel_unshuffle

from understudy_backend.models.threedhm import denoising, networks
from understudy_backend.models.threedhm.infilling import masked_texture
from understudy_backend.models.threedhm.latents import Vae, compose, decode, decompose, encode, size_multiple
from understudy_backend.models.threedhm.patch_autoencoder import PatchAutoencoder
from understudy_backend.training.loop import TrainConfig, train

VAE, INFILL, RENDER = "vae", "infill", "render"
SAMPLING_STEPS = 1
"""Denoising steps that suit networks trained as briefly as these: more bring back noise that they cannot remove."""


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the small networks of 3DHM")
    parser.add_argument("what", choices=[VAE, "refine", INFILL, RENDER, "export"])
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
        fit_vae(a.data, a.out)
    elif a.what == "refine":
        train_refiner(a.data, a.out, config)
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


# ----------------------------------------------------------------------------------------------------- autoencoder


def _sources(data: Path, split: str) -> list[tuple[NDArray, NDArray | None]]:
    """Every kind of picture that the autoencoder meets, with its alpha where that is stored apart."""
    frames, textures = Images(data / "frames" / split), Images(data / "texture" / split)
    return [
        (frames["target"], None), (frames["body"], None), (frames["photo"], None),
        (textures["target"], None), (textures["partial"], textures["visible"]),
    ]  # fmt: skip


@torch.no_grad()
def fit_vae(data: Path, out: Path) -> None:
    """Principal components of patches of all kinds of pictures, from some 200 pictures of each."""
    vae = networks.build_vae(networks.SMALL)
    side = vae.config["patch"]
    total, moment, count = torch.zeros(4 * side**2).double(), torch.zeros(4 * side**2, 4 * side**2).double(), 0
    for source, alpha in _sources(data, "train"):
        for rows in torch.arange(0, len(source), max(1, len(source) // 200)).split(4):
            patches = pixel_unshuffle(images(source, rows, alpha), side).permute(0, 2, 3, 1).flatten(0, 2).double()
            total += patches.sum(0)
            moment += patches.T @ patches
            count += len(patches)
    mean = total / count
    values, vectors = torch.linalg.eigh(moment / count - mean.outer(mean))
    keep = networks.SMALL.latent_channels
    vae.fit(mean.float(), vectors.flip(1)[:, :keep].float(), values.flip(0)[:keep].clamp(min=1e-12).sqrt().float())
    vae.save_pretrained(out / VAE / "weights")


def train_refiner(data: Path, out: Path, config: TrainConfig) -> None:
    """Trains what follows the linear decoder; latents stay as they are, so the order to stages 1 and 2 is free."""
    vae = load_vae(out)
    vae.refiner.requires_grad_(True)
    sources = _sources(data, "train")
    lengths = [len(source) for source, _ in sources]
    crops, crop = torch.Generator().manual_seed(config.seed), 128

    def pick(index: int) -> Tensor:
        for (source, alpha), length in zip(sources, lengths, strict=True):
            if index < length:
                return images(source, torch.tensor([index]), alpha)
            index -= length
        raise IndexError(index)

    def loss_of(indices: Tensor) -> Tensor:
        batch = []
        for i in indices.tolist():
            y, x = (torch.randint(0, (256 - crop) // 8 + 1, (2,), generator=crops) * 8).tolist()
            batch.append(pick(i)[..., y : y + crop, x : x + crop])
        image = torch.cat(batch)
        with torch.no_grad():
            code = encode(vae, image)
            code = code + 0.05 * torch.randn_like(code)  # diffusion does not hit a code exactly
            linear = vae.expand(code)
        result = vae.refiner(linear)
        return l1_loss(result, image) + 2 * mse_loss(result, image) + 0.5 * l1_loss(_edges(result), _edges(image))

    def measure(step: int) -> dict[str, float]:
        frames, textures = Images(data / "frames" / "val"), Images(data / "texture" / "val")
        with torch.no_grad():
            real, texture = images(frames["target"], torch.arange(24)), images(textures["target"], torch.arange(24))
            return {
                "psnr_inside": _masked_psnr(
                    decode(vae, encode(vae, real))[:, :3] / 2, real[:, :3] / 2, real[:, 3:] > 0
                ),
                "psnr_textures": _masked_psnr(
                    decode(vae, encode(vae, texture))[:, :3] / 2, texture[:, :3] / 2, texture[:, 3:] > 0
                ),
            }

    train({"refiner": vae.refiner}, loss_of, sum(lengths), config, out / VAE, measure)
    vae.save_pretrained(out / VAE / "weights")


def _edges(image: Tensor) -> Tensor:
    """Differences to the neighbours below and to the right, (N, 2C, H-1, W-1)."""
    here = image[..., :-1, :-1]
    return torch.cat([image[..., 1:, :-1] - here, image[..., :-1, 1:] - here], 1)


# --------------------------------------------------------------------------------------------------- latent caches


@torch.no_grad()
def cached_latents(vae: Vae, count: int, composed: Callable[[Tensor], Tensor], path: Path) -> NDArray[np.float16]:
    """Latents (N, C, h, w) of the images `composed(indices)`, computed once and kept in `path`."""
    if path.exists():
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        if len(stored) == count:
            return stored
    path.parent.mkdir(parents=True, exist_ok=True)
    side = networks.SMALL.image_size // size_multiple(vae)
    stored = np.empty((count, vae.config["latent_channels"], side, side), np.float16)
    for first in range(0, count, 16):
        rows = torch.arange(first, min(first + 16, count))
        stored[first : first + len(rows)] = encode(vae, composed(rows)).numpy()
    np.save(path, stored)
    return stored


def load_vae(out: Path) -> PatchAutoencoder:
    """The trained VAE of a run."""
    vae = PatchAutoencoder.from_pretrained(out / VAE / "weights")
    return vae.requires_grad_(False).eval()  # pyright: ignore


def _batch(array: NDArray, indices: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(array[indices.numpy()], np.float32)).contiguous(
        memory_format=torch.channels_last
    )


LAST_STEP_SHARE = {INFILL: 0.25, RENDER: 0.6}
"""How often training sees the very last step, where sampling starts from noise alone. A network that can be trained for
an hour only does best when sampled in one step, so most of stage 2's hour goes there."""


def _timesteps(count: int, stage: str) -> Tensor:
    """Uniform, but for the share of `LAST_STEP_SHARE`."""
    t = torch.randint(0, 1000, (count,))
    return torch.where(torch.rand(count) < LAST_STEP_SHARE[stage], torch.full_like(t, 999), t)


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
        clean, masked = _batch(arrays["target"], indices), _batch(arrays["partial"], indices)
        unseen = unseen_cells(arrays["visible"], indices)
        noise, t = torch.randn_like(clean), _timesteps(len(clean), INFILL)
        noisy = scheduler.add_noise(clean, noise, t)  # pyright: ignore
        guess = denoising.predict_infill(unet, noisy, t, unseen, masked, prompt)
        error = (guess - scheduler.get_velocity(clean, noise, t)).pow(2)  # pyright: ignore
        return (error * weight).sum() / (weight.mean() * error.numel())

    def measure(step: int) -> dict[str, float]:
        arrays, rows = sets["val"], torch.arange(min(32, len(sets["val"]["target"])))
        with torch.no_grad():
            masked, unseen = _batch(arrays["partial"], rows), unseen_cells(arrays["visible"], rows)
            noise = denoising.seeded_noise(0, tuple(masked.shape))
            latents = denoising.sample(
                lambda x, t: denoising.predict_infill(unet, x, t, unseen, masked, prompt),
                scheduler,
                noise,
                SAMPLING_STEPS,
            )
            result = decompose(decode(vae, latents))[:, :3]
        truth = (images(arrays["pixels"], rows)[:, :3] + 1) / 2
        missing = torch.from_numpy((arrays["visible"][rows.numpy()] < 128) & (arrays["body_mask"] > 0))[:, None]
        return {"psnr_unseen": _masked_psnr(result, truth, missing)}

    train({"unet": unet}, loss_of, len(sets["train"]["target"]), config, out / INFILL, measure)
    unet.save_pretrained(out / INFILL / "weights")


def _infill_arrays(vae: Vae, data: Images, cache: Path) -> dict[str, NDArray]:
    count, body = len(data["target"]), data["body_mask"] > 0

    def masked(rows: Tensor) -> Tensor:
        seen = (np.asarray(data["visible"][rows.numpy()]) > 127) & body
        return masked_texture(vae, (data["partial"][rows.numpy()] / 255).astype(np.float32), seen)

    return {
        "target": cached_latents(vae, count, partial(images, data["target"]), cache / "target.npy"),
        "partial": cached_latents(vae, count, masked, cache / "masked.npy"),
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
            name: cached_latents(
                vae,
                len(source[name]),
                partial(images, source[name]),
                out / "latents" / f"frames_{split}" / f"{name}.npy",
            )
            for name in ("target", "body", "photo")
        }
        sets[split]["pixels"] = source["target"]
    unet, branch = _render_networks()
    prompt = networks.constant_prompt(networks.SMALL, seed=2)

    def loss_of(indices: Tensor) -> Tensor:
        arrays = sets["train"]
        clean = _batch(arrays["target"], indices)
        condition = torch.cat([_batch(arrays["body"], indices), _batch(arrays["photo"], indices)], 1)
        noise, t = torch.randn_like(clean), _timesteps(len(clean), RENDER)
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
                lambda x, t: denoising.predict_render(unet, branch, x, t, condition, prompt),
                scheduler,
                noise,
                SAMPLING_STEPS,
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
    from understudy_backend.weights.threedhm import save_prompt, save_steps

    scheduler = denoising.training_scheduler()
    vae = PatchAutoencoder.from_pretrained(out / VAE / "weights")
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
        save_steps(SAMPLING_STEPS, to / stage)


def _save_half(module: nn.Module, folder: Path) -> None:
    module.half().save_pretrained(folder)  # pyright: ignore


if __name__ == "__main__":
    main()
