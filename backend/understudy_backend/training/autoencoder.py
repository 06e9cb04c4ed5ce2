"""The small autoencoder from nothing: principal components in seconds, then what follows the linear decoder."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss, pixel_unshuffle

from understudy_backend.models.threedhm import networks
from understudy_backend.models.threedhm.latents import compose, decode, encode
from understudy_backend.models.threedhm.networks import NetworkConfig
from understudy_backend.models.threedhm.patch_autoencoder import PatchAutoencoder
from understudy_backend.training import objective
from understudy_backend.training.arrays import Samples
from understudy_backend.training.cells import images, scaled
from understudy_backend.training.configs import Setting
from understudy_backend.training.draws import Draw
from understudy_backend.training.grid import grid
from understudy_backend.training.loop import Batch, Lesson, Modules, Report
from understudy_backend.training.picture_loss import edges

Kinds = dict[str, Samples]
"""Samples by kind, "texture" and "frames"; one of them may be missing."""
PICTURES = 200
"""Pictures of each kind that the principal components are taken from."""
CROP = 128
"""Side of the crops that the refiner learns on, in pixels."""
MISS = 0.05
"""Noise on the codes that the refiner learns on: diffusion does not hit a code exactly."""

_PICTURES = {"frames": ("target", "body", "photo"), "texture": ("target", "partial")}


def sources(kinds: Kinds) -> list[tuple[Samples, str]]:
    """Every kind of picture that the autoencoder meets."""
    return [(samples, name) for kind, samples in kinds.items() for name in _PICTURES[kind]]


def pictures(samples: Samples, name: str, indices: np.ndarray, side: int) -> Tensor:
    """Composed pictures (N, 4, side, side); those of partial textures have what is visible for their alpha."""
    if name != "partial":
        return images(samples, name, indices, side)
    color = torch.from_numpy(samples.rows(name, indices)).permute(0, 3, 1, 2).float() / 255
    visible = torch.from_numpy(samples.rows("visible", indices)).float()[:, None] / 255
    return scaled(compose(torch.cat([color, visible], 1)), side)


@torch.no_grad()
def fit(config: NetworkConfig, kinds: Kinds) -> PatchAutoencoder:
    """Principal components of patches of all kinds of pictures."""
    vae = networks.build_vae(config)
    fit_patches(
        vae,
        (
            pictures(samples, name, rows.numpy(), config.image_size)
            for samples, name in sources(kinds)
            for rows in torch.arange(0, len(samples), max(1, len(samples) // PICTURES)).split(4)
        ),
    )
    return vae


@torch.no_grad()
def fit_patches(vae: PatchAutoencoder, batches: Iterable[Tensor]) -> None:
    """Principal components of the patches of pictures (N, C, H, W) in [-1, 1], batch by batch, into an autoencoder."""
    side, size = vae.config["patch"], vae.config["in_channels"] * vae.config["patch"] ** 2
    total, moment, count = torch.zeros(size).double(), torch.zeros(size, size).double(), 0
    for image in batches:
        patches = pixel_unshuffle(image, side).permute(0, 2, 3, 1).flatten(0, 2).double()
        total += patches.sum(0)
        moment += patches.T @ patches
        count += len(patches)
    mean = total / count
    values, vectors = torch.linalg.eigh(moment / count - mean.outer(mean))
    keep = vae.config["latent_channels"]
    vae.fit(mean.float(), vectors.flip(1)[:, :keep].float(), values.flip(0)[:keep].clamp(min=1e-12).sqrt().float())


def lesson(setting: Setting, vae: PatchAutoencoder, kinds: Kinds, validation: Kinds) -> Lesson:
    """What the refiner learns; latents stay as they are, so the order to stages 1 and 2 is free."""
    vae.refiner.requires_grad_(True)
    places = sources(kinds)
    ends = np.cumsum([len(samples) for samples, _ in places])
    crop = min(CROP, setting.image_size)
    steps = (setting.image_size - crop) // vae.config["patch"] + 1

    def prepare(draw: Draw) -> Batch:
        corners = (draw.below(steps) * vae.config["patch"], draw.below(steps) * vae.config["patch"])
        crops = []
        for index, top, left in zip(draw.indices, *(c.tolist() for c in corners), strict=True):
            which = int(np.searchsorted(ends, index, side="right"))
            row = index - (ends[which - 1] if which else 0)
            image = pictures(*places[which], np.array([row]), setting.image_size)
            crops.append(image[..., top : top + crop, left : left + crop])
        image = torch.cat(crops)
        cells = crop // vae.config["patch"]
        return {"image": image, "noise": draw.normal(vae.config["latent_channels"], cells, cells)}

    def loss(modules: Modules, batch: Batch) -> Tensor:
        vae.to(batch["image"].device)  # pyright: ignore[reportArgumentType]
        with torch.no_grad():
            linear = vae.expand(encode(vae, batch["image"]) + MISS * batch["noise"])
        result, image = modules["refiner"](linear), batch["image"]
        return l1_loss(result, image) + 2 * mse_loss(result, image) + 0.5 * l1_loss(edges(result), edges(image))

    def validate(modules: Modules, device: torch.device) -> Report:
        figures, shown = {}, []
        vae.to(device)  # pyright: ignore[reportArgumentType]
        for kind, samples in validation.items():
            count = min(setting.refine.validation_samples, len(samples))
            rows = np.linspace(0, len(samples) - 1, count).astype(np.int64)
            image = images(samples, "target", rows, setting.image_size)
            result = decode(vae, encode(vae, image.to(device))).cpu()
            inside = image[:, 3:] > 0
            figures[f"psnr_{kind}"] = objective.masked_psnr(result[:, :3] / 2, image[:, :3] / 2, inside)
            shown += [(x[: setting.refine.validation_pictures, :3] + 1) / 2 for x in (result, image)]
        alike = bool(shown) and len({len(column) for column in shown}) == 1
        return Report(figures, grid(shown) if alike else None)

    return Lesson({"refiner": vae.refiner}, (), int(ends[-1]), prepare, loss, validate)


def save(vae: PatchAutoencoder, folder: Path) -> None:
    """Writes the autoencoder in place of the one in `folder`."""
    unfinished, old = folder.with_suffix(".partial"), folder.with_suffix(".old")
    for leftover in (unfinished, old):
        shutil.rmtree(leftover, ignore_errors=True)
    vae.save_pretrained(unfinished)
    if folder.exists():
        folder.rename(old)
    unfinished.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
