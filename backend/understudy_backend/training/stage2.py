"""Stage 2, rendering diffusion (3DHM section 3.2): the textured body and a photo to the frame of a real person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import ControlNetModel
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

from understudy_backend.models.threedhm import denoising, networks
from understudy_backend.models.threedhm.latents import decode, decompose, encode, has_alpha, size_multiple
from understudy_backend.models.threedhm.patch_autoencoder import PatchAutoencoder
from understudy_backend.training import objective, picture_loss
from understudy_backend.training.arrays import Samples
from understudy_backend.training.bases import Base
from understudy_backend.training.cells import Cache, any_in_cell, images, take, windows
from understudy_backend.training.configs import Setting
from understudy_backend.training.draws import Draw
from understudy_backend.training.grid import grid
from understudy_backend.training.loop import Batch, Lesson, Modules, Report


@dataclass(frozen=True)
class Frames:
    """What stage 2 reads at each step. C channels, h x w cells, N samples, memory-mapped."""

    target: NDArray[np.float16]
    """(N, C, h, w) latents of real frames."""
    body: NDArray[np.float16]
    """(N, C, h, w) latents of the intermediate frames: the textured body in the same pose."""
    photo: NDArray[np.float16]
    """(N, C, h, w) latents of the appearance photos, from another time."""
    person: NDArray[np.uint8]
    """(N, 1, h, w), 1 where a cell of the real frame, or one beside it, shows the person."""
    pictures: Callable[[str, NDArray[np.integer]], Tensor]
    """Gives "target" or "body" of some samples as pictures, composed (N, 4, H, W) in [-1, 1]."""


def read(samples: Samples, setting: Setting, base: Base, cache: Path, accelerator: Accelerator) -> Frames:
    """Computes, or finds in `cache`, what stage 2 reads."""
    device, vae = accelerator.device, base.vae.to(accelerator.device)
    (width, height), multiple, channels = frame_size(setting), size_multiple(vae), vae.config["latent_channels"]
    cells = (height // multiple, width // multiple)
    store = Cache(cache, samples, vae, accelerator, "render", width, height)

    def latents(name: str) -> NDArray:
        def rows(indices: NDArray[np.int64]) -> Tensor:
            return encode(vae, pictures(samples, name, indices, setting).to(device))

        return store.array(name, (channels, *cells), np.float16, rows)

    def person(indices: NDArray[np.int64]) -> Tensor:
        shown = pictures(samples, "target", indices, setting)[:, 3:] > -1
        return max_pool2d(any_in_cell(shown, cells), 3, 1, 1)

    target, body, photo = latents("target"), latents("body"), latents("photo")
    shown = store.array("person", (1, *cells), np.uint8, person)
    return Frames(target, body, photo, shown, lambda name, indices: pictures(samples, name, indices, setting))


def frame_size(setting: Setting) -> tuple[int, int]:
    """(width, height) in pixels of what stage 2 sees: the person's window, or a whole frame."""
    return setting.window or (setting.image_size, setting.image_size)


def pictures(samples: Samples, name: str, indices: NDArray[np.integer], setting: Setting) -> Tensor:
    """What stage 2 is shown of frames, composed (N, 4, height, width) in [-1, 1]: "target", "body" or "photo"."""
    if setting.window is None:
        return images(samples, name, indices, setting.image_size)
    return windows(samples, name, indices, setting.window)


def new_branch(setting: Setting, base: Base) -> ControlNetModel:
    """The branch before training: a copy of a trained UNet's encoder, or where the UNet is new, as new."""
    if setting.networks is None:
        return networks.branch_from_unet(base.unet)
    return networks.build_branch(setting.networks)


def lesson(
    setting: Setting, base: Base, branch: ControlNetModel, frames: Frames, validation: tuple[Samples, Frames] | None
) -> Lesson:
    """What stage 2 learns: the branch, and the UNet only where the setting says so.

    Args:
        setting: for its loss.
        base: the start.
        branch: trained.
        frames: of training.
        validation: samples of other people, and what is read of them.
    """
    training, unet = setting.render, base.unet.requires_grad_(setting.train_unet).train(setting.train_unet)
    branch.requires_grad_(True).train().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    trained = {"unet": unet, "branch": branch} if setting.train_unet else {"branch": branch}

    pictured = training.picture_loss and isinstance(base.vae, PatchAutoencoder)

    def prepare(draw: Draw) -> Batch:
        clean = take(frames.target, draw.indices)
        person = take(frames.person, draw.indices)
        return {name: frames.pictures(name, draw.indices) for name in (("target", "body") if pictured else ())} | {
            "clean": clean,
            "condition": torch.cat([take(frames.body, draw.indices), take(frames.photo, draw.indices)], 1),
            "weight": training.background_weight + (1 - training.background_weight) * person,
            "t": objective.timesteps(draw, base.scheduler, training.last_step_share),
            "noise": draw.normal(*clean.shape[1:]),
        }

    def loss(modules: Modules, batch: Batch) -> Tensor:
        clean, noise, t = batch["clean"], batch["noise"], batch["t"]
        noisy = objective.add_noise(base.scheduler, clean, noise, t)
        noisy, condition = (x.contiguous(memory_format=torch.channels_last) for x in (noisy, batch["condition"]))
        prompt = base.prompt.to(clean.device)
        guess = denoising.predict_render(modules.get("unet", unet), modules["branch"], noisy, t, condition, prompt)  # pyright: ignore
        wanted = objective.goal(base.scheduler, clean, noise, t)
        errors = objective.weighted_errors(guess, wanted, batch["weight"], batch["weight"])
        if pictured:
            assert isinstance(base.vae, PatchAutoencoder)
            found = objective.signal(base.scheduler, noisy, guess, t).float()
            shown = picture_loss.frame_errors(base.vae, found, batch["target"], batch["body"], batch["weight"])
            errors = torch.where(objective.is_last(base.scheduler, t), shown, picture_loss.LATENT * errors)
        return errors.mean()

    def validate(modules: Modules, device: torch.device) -> Report:
        if validation is None:
            return Report()
        for module in trained.values():
            module.eval()
        report = measure(setting, base, branch, *validation, device)
        for module in trained.values():
            module.train()
        return report

    return Lesson(trained, () if setting.train_unet else (unet,), len(frames.target), prepare, loss, validate)


def measure(
    setting: Setting, base: Base, branch: ControlNetModel, samples: Samples, frames: Frames, device: torch.device
) -> Report:
    """PSNR inside the true silhouette and, where the VAE knows alpha, the silhouette's IoU.

    The pictures: body, photo, result, truth.
    """
    vae = base.vae.to(device)  # pyright: ignore[reportArgumentType]
    count = min(setting.render.validation_samples, len(samples))
    indices = np.linspace(0, len(samples) - 1, count).astype(np.int64)
    condition = torch.cat([take(frames.body, indices), take(frames.photo, indices)], 1).to(device)
    prompt = base.prompt.to(device)
    noise = denoising.seeded_noise(0, (1, *frames.target.shape[1:])).to(device)
    latents = denoising.sample(
        lambda x, t: denoising.predict_render(base.unet, branch, x, t, condition, prompt),
        base.scheduler,
        noise.expand(count, -1, -1, -1),
        setting.sampling_steps,
    )
    composed, truth = decode(vae, latents.float()).float().cpu(), pictures(samples, "target", indices, setting)
    inside, found = truth[:, 3:] > 0, composed[:, 3:] > 0
    figures = {"psnr_inside": objective.masked_psnr((composed[:, :3] + 1) / 2, (truth[:, :3] + 1) / 2, inside)}
    if has_alpha(vae):
        figures["iou"] = float((inside & found).sum() / (inside | found).sum().clamp(min=1))
    few = slice(setting.render.validation_pictures)
    shown = [pictures(samples, name, indices[few], setting) for name in ("body", "photo")]
    return Report(figures, grid([decompose(x) for x in (*shown, composed[few], truth[few])]))
