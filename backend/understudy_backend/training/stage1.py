"""Stage 1, in-filling diffusion (3DHM section 3.1): a partial texture to the complete one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from understudy_backend.models.threedhm import denoising
from understudy_backend.models.threedhm.infilling import masked_texture, shrink
from understudy_backend.models.threedhm.latents import decode, decompose, encode, size_multiple
from understudy_backend.models.threedhm.patch_autoencoder import PatchAutoencoder
from understudy_backend.texture.spread import nearest_visible
from understudy_backend.training import objective, picture_loss
from understudy_backend.training.arrays import Samples
from understudy_backend.training.bases import Base
from understudy_backend.training.cells import Cache, any_in_cell, images, scaled, take
from understudy_backend.training.configs import Setting
from understudy_backend.training.draws import Draw
from understudy_backend.training.grid import grid
from understudy_backend.training.loop import Batch, Lesson, Modules, Report

FAINT = 0.2
"""Weight of cells that the photo shows, in pictures: their texels are put back in any case."""


@dataclass(frozen=True)
class Textures:
    """What stage 1 reads at each step. C channels, c cells a side, N samples, memory-mapped."""

    target: NDArray[np.float16]
    """(N, C, c, c) latents of complete textures."""
    partial: NDArray[np.float16]
    """(N, C, c, c) latents of what one photo shows."""
    unseen: NDArray[np.uint8]
    """(N, 1, c, c), 1 where any texel of a cell is unseen in the photo."""
    known: NDArray[np.uint8]
    """(N, 1, c, c), 1 where the complete texture is known everywhere in a cell: all of it in made data, in data from
    video what any frame has shown."""
    body: Tensor
    """(1, 1, c, c), 1 where a cell holds body."""


def read(samples: Samples, setting: Setting, base: Base, cache: Path, accelerator: Accelerator) -> Textures:
    """Computes, or finds in `cache`, what stage 1 reads. Textures that have `known` were not seen everywhere."""
    side, device, vae = setting.image_size, accelerator.device, base.vae.to(accelerator.device)
    cells, channels = side // size_multiple(vae), vae.config["latent_channels"]
    store = Cache(cache, samples, vae, accelerator, "infill", side)
    body = samples.constant("body_mask") > 0

    def unknown(indices: NDArray[np.int64]) -> NDArray[np.bool_]:
        return ~known_texels(samples, indices) & body

    def target(indices: NDArray[np.int64]) -> Tensor:
        if not samples.has("known"):
            return encode(vae, images(samples, "target", indices, side).to(device))
        # what was never seen must not leak into the cells beside it, so it holds a guess from what was
        rows, missing = samples.rows("target", indices), unknown(indices)
        rows[missing] = 128
        rows = np.stack([nearest_visible(r, ~m) if m.any() else r for r, m in zip(rows, missing, strict=True)])
        image = torch.from_numpy(rows).permute(0, 3, 1, 2).float() / 255
        opaque = torch.cat([image, torch.ones_like(image[:, :1])], 1)
        return encode(vae, scaled(opaque * 2 - 1, side).to(device))

    def partial(indices: NDArray[np.int64]) -> Tensor:
        seen = (samples.rows("visible", indices) > 127) & body
        color = samples.rows("partial", indices)
        if body.shape[0] == side:
            return encode(vae, masked_texture(vae, (color / 255).astype(np.float32), seen).to(device))
        pairs = [shrink(c, s, side) for c, s in zip(color, seen, strict=True)]
        image = masked_texture(vae, np.stack([c for c, _ in pairs]), np.stack([s for _, s in pairs]))
        return encode(vae, image.to(device))

    def unseen(indices: NDArray[np.int64]) -> Tensor:
        return any_in_cell(torch.from_numpy(samples.rows("visible", indices) < 128)[:, None], (cells, cells))

    def known(indices: NDArray[np.int64]) -> Tensor:
        return 1 - any_in_cell(torch.from_numpy(unknown(indices))[:, None], (cells, cells))

    latent, mask = (channels, cells, cells), (1, cells, cells)
    return Textures(
        store.array("target", latent, np.float16, target),
        store.array("partial", latent, np.float16, partial),
        store.array("unseen", mask, np.uint8, unseen),
        store.array("known", mask, np.uint8, known),
        any_in_cell(torch.from_numpy(body)[None, None], (cells, cells)),
    )


def known_texels(samples: Samples, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Texels (N, S, S) whose truth is known: all where a data set does not say otherwise, with `known`."""
    if not samples.has("known"):
        return np.ones((len(indices), *samples.row_shape("visible")), bool)
    return samples.rows("known", indices, absent=255) > 127


def lesson(setting: Setting, base: Base, textures: Textures, validation: tuple[Samples, Textures] | None) -> Lesson:
    """What stage 1 learns: the UNet, everything else being locked.

    Args:
        setting: for its loss.
        base: the start; its UNet is trained.
        textures: of training.
        validation: samples of other people, and what is read of them.
    """
    training, unet = setting.infill, base.unet.requires_grad_(True).train()
    weight = training.background_weight + (1 - training.background_weight) * textures.body

    def prepare(draw: Draw) -> Batch:
        clean = take(textures.target, draw.indices)
        return {
            "clean": clean,
            "partial": take(textures.partial, draw.indices),
            "unseen": take(textures.unseen, draw.indices),
            "weight": weight * take(textures.known, draw.indices),
            "t": objective.timesteps(draw, base.scheduler, training.last_step_share),
            "noise": draw.normal(*clean.shape[1:]),
        }

    def loss(modules: Modules, batch: Batch) -> Tensor:
        clean, noise, t = batch["clean"], batch["noise"], batch["t"]
        noisy = objective.add_noise(base.scheduler, clean, noise, t)
        inputs = [x.contiguous(memory_format=torch.channels_last) for x in (noisy, batch["unseen"], batch["partial"])]
        prompt = base.prompt.to(clean.device)
        guess = denoising.predict_infill(modules["unet"], inputs[0], t, inputs[1], inputs[2], prompt)  # pyright: ignore
        wanted = objective.goal(base.scheduler, clean, noise, t)
        errors = objective.weighted_errors(guess, wanted, batch["weight"], weight.to(clean.device))
        if training.picture_loss and isinstance(base.vae, PatchAutoencoder):
            found = objective.signal(base.scheduler, noisy, guess, t).float()
            asked = batch["weight"] * (FAINT + (1 - FAINT) * batch["unseen"])
            pictures = picture_loss.texture_errors(base.vae, found, clean, asked)
            errors = torch.where(objective.is_last(base.scheduler, t), pictures, picture_loss.LATENT * errors)
        return errors.mean()

    def validate(modules: Modules, device: torch.device) -> Report:
        if validation is None:
            return Report()
        unet.eval()
        report = measure(setting, base, *validation, device)
        unet.train()
        return report

    return Lesson({"unet": unet}, (), len(textures.target), prepare, loss, validate)


def measure(setting: Setting, base: Base, samples: Samples, textures: Textures, device: torch.device) -> Report:
    """PSNR on texels that the photo does not show but the truth knows, and pictures: photo's part, result, truth."""
    side, vae = setting.image_size, base.vae.to(device)  # pyright: ignore[reportArgumentType]
    count = min(setting.infill.validation_samples, len(samples))
    indices = np.linspace(0, len(samples) - 1, count).astype(np.int64)
    partial, unseen = take(textures.partial, indices).to(device), take(textures.unseen, indices).to(device)
    prompt = base.prompt.to(device)
    latents = denoising.sample(
        lambda x, t: denoising.predict_infill(base.unet, x, t, unseen, partial, prompt),
        base.scheduler,
        denoising.seeded_noise(0, tuple(partial.shape)).to(device),
        setting.sampling_steps,
    )
    result = decompose(decode(vae, latents.float()))[:, :3].float().cpu()
    truth = (images(samples, "target", indices, side)[:, :3] + 1) / 2
    body = samples.constant("body_mask") > 0
    seen = samples.rows("visible", indices) > 127
    asked = ~seen & known_texels(samples, indices) & body
    mask = scaled(torch.from_numpy(asked).float()[:, None], side) > 0.99
    few = slice(setting.infill.validation_pictures)
    shown = scaled(torch.from_numpy(samples.rows("partial", indices[few])).permute(0, 3, 1, 2).float() / 255, side)
    shown = torch.cat([shown, scaled(torch.from_numpy(seen[few] & body).float()[:, None], side)], 1)
    return Report({"psnr_unseen": objective.masked_psnr(result, truth, mask)}, grid([shown, result[few], truth[few]]))
