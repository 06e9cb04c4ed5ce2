"""What both stages learn (arXiv 2311.17117, section 3.3; arXiv 2403.14781, section 4.1), and how well they do."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPVisionModelWithProjection

from understudy_backend.guidance.body_pictures import OF_KIND
from understudy_backend.methods.clips import GREEN
from understudy_backend.models.animate_anyone.denoising import guide, min_snr_weights, noise_schedule, predict
from understudy_backend.models.animate_anyone.pictures import decode_image, encode_image, scaling
from understudy_backend.models.animate_anyone.reference import keys_and_values, reference_features
from understudy_backend.models.animate_anyone.solvers import step_of
from understudy_backend.models.threedhm.latents import Vae
from understudy_backend.models.threedhm.patch_autoencoder import Code
from understudy_backend.training import objective
from understudy_backend.training.animator.batches import GUIDE, Choice, batch_of, sample
from understudy_backend.training.animator.settings import AnimatorSetting, Stage
from understudy_backend.training.animator.shards import Clips
from understudy_backend.training.animator.start import Start
from understudy_backend.training.animator.trainee import choose_trained
from understudy_backend.training.checkpoints import TrainingError
from understudy_backend.training.draws import Draw
from understudy_backend.training.grid import grid
from understudy_backend.training.loop import Batch, Lesson, Modules, Report

NAME = "animator"
"""Of the trainee, in checkpoints."""


def lesson(setting: AnimatorSetting, stage: Stage, start: Start, clips: Clips, others: Clips) -> Lesson:
    """A stage's lesson.

    Args:
        setting: for its loss.
        stage: which.
        start: the networks before it.
        clips: of training.
        others: of validation.

    Raises:
        TrainingError, DataError: the data lack what guides.
    """
    trainee, channels = start.trainee, start.config.latent_channels
    if stage == "stage2" and setting.clip_frames > start.config.motion_length:
        raise TrainingError(f"with these temporal layers a clip has at most {start.config.motion_length} frames")
    kinds, scheduler = trainee.guider.kinds, noise_schedule(setting.betas)
    for kind in kinds:  # here rather than in a thread, at the first step
        clips.rows(OF_KIND[kind], 0, np.array([0]))
    choose_trained(trainee, stage)
    trainee.train()

    def prepare(draw: Draw) -> Batch:
        return batch_of(clips, kinds, setting, stage, channels, draw)

    def loss(modules: Modules, batch: Batch) -> Tensor:
        with torch.no_grad():
            token = photo_token(start.image_encoder, batch["clip"], batch["dropped"], setting.dropped_token)
            photo = posterior(start.vae, batch["photo"], batch["sampled_photo"])
            flat = batch["target"].transpose(1, 2)
            drawn = batch["sampled"].transpose(1, 2)
            clean = posterior(start.vae, flat.flatten(0, 1), drawn.flatten(0, 1))
            clean = clean.unflatten(0, flat.shape[:2]).transpose(1, 2).float()
        t, noise = batch["t"], batch["noise"]
        noisy = objective.add_noise(scheduler, clean, noise, t)
        pictures = {name.removeprefix(GUIDE): x for name, x in batch.items() if name.startswith(GUIDE)}
        said = modules[NAME](noisy, t, token, photo, pictures, int(batch["dropped"].sum()))
        error = (said.float() - objective.goal(scheduler, clean, noise, t).float()).pow(2).mean((1, 2, 3, 4))
        return (min_snr_weights(scheduler, t, setting.snr_limit).float() * error).mean()

    def validate(modules: Modules, device: torch.device) -> Report:
        trainee.eval()
        report = measure(setting, stage, start, others, device)
        trainee.train()
        return report

    return Lesson({NAME: trainee}, (start.vae, start.image_encoder), len(clips), prepare, loss, validate)  # pyright: ignore


def photo_token(
    encoder: CLIPVisionModelWithProjection, pixels: Tensor, dropped: Tensor, as_what: str = "zero"
) -> Tensor:
    """CLIP tokens (N, 1, D) of photos (N, 3, 224, 224); where `dropped` (N,), that of an empty one, or zeros."""
    shown = (~dropped).view(-1, 1, 1).to(pixels.dtype)
    if as_what == "black":
        return encoder(pixels * shown[..., None]).image_embeds[:, None]
    return encoder(pixels).image_embeds[:, None] * shown


def posterior(vae: Vae, pixels: Tensor, drawn: Tensor) -> Tensor:
    """Scaled latents (N, C, h, w) of pixels (N, 3, H, W), drawn from the VAE's posterior by unit noise `drawn`."""
    told = vae.encode(pixels).latent_dist  # pyright: ignore[reportAttributeAccessIssue]
    # the stand-in's code is exact
    return (told.mode() if isinstance(told, Code) else told.mean + told.std * drawn) * scaling(vae)


@torch.no_grad()
def generate(setting: AnimatorSetting, start: Start, rows: Batch, device: torch.device, seed: int = 0) -> Tensor:
    """Frames (N, 3, F, H, W) in [0, 1] as sampling makes them, of samples as `batches.sample` gives, stacked."""
    trainee, vae, scheduler = start.trainee, start.vae, noise_schedule()
    rows = {name: x.to(device) for name, x in rows.items()}
    count, _, frames = rows["target"].shape[:3]
    nobody = torch.zeros(count, dtype=torch.bool, device=device)
    token = photo_token(start.image_encoder, rows["clip"], nobody)
    photo = encode_image(vae, rows["photo"])
    reference = keys_and_values(trainee.denoiser, reference_features(trainee.reference_net, photo, token))
    features = trainee.guider({n.removeprefix(GUIDE): x for n, x in rows.items() if n.startswith(GUIDE)})
    scheduler.set_timesteps(setting.sampling_steps)
    noise = torch.randn(photo.shape[1], frames, *photo.shape[2:], generator=torch.Generator().manual_seed(seed))
    latent = noise.to(device)[None].repeat(count, 1, 1, 1, 1)
    before: Tensor | None = None
    for step, t in enumerate(scheduler.timesteps.tolist()):
        seeing = predict(trainee.denoiser, latent, t, token, features, reference).float()
        if setting.guidance > 1:
            blind = predict(trainee.denoiser, latent, t, torch.zeros_like(token), features).float()
            seeing = guide(blind, seeing, setting.guidance)
        latent, before = step_of(scheduler, step)(latent, seeing, before)
    images = decode_image(vae, latent.transpose(1, 2).flatten(0, 1))
    return images.unflatten(0, (count, frames)).transpose(1, 2)


def measure(setting: AnimatorSetting, stage: Stage, start: Start, clips: Clips, device: torch.device) -> Report:
    """PSNR of generated frames; in stage 2 also how much neighbouring frames differ beyond the truth's difference.

    The pictures: photo, guidance, result, truth.
    """
    training, results = setting.training(stage), []
    count = min(training.validation_samples, len(clips))
    for clip in np.linspace(0, len(clips) - 1, count).astype(int).tolist():
        row = sample(clips, clip, _shown(clips, clip, setting, stage), start.trainee.guider.kinds, setting.size(stage))
        rows = {name: x[None] for name, x in row.items()}
        results.append((rows, generate(setting, start, rows, device).cpu()))
    found = torch.cat([result for _, result in results])
    truth = torch.cat([(rows["target"] + 1) / 2 for rows, _ in results])
    error = (found - truth).pow(2).mean((1, 2, 3, 4))
    figures = {"psnr": float((-10 * torch.log10(error.clamp(min=1e-10))).mean())}
    if stage == "stage2":
        moved = (found.diff(dim=2) - truth.diff(dim=2)).abs().mean()
        figures["flicker"] = float(moved) * 255
    few = slice(training.validation_pictures)
    kind = start.trainee.guider.kinds[0]
    photos = torch.cat([(rows["photo"] + 1) / 2 for rows, _ in results])
    guides = torch.cat([rows[GUIDE + kind] for rows, _ in results])
    if stage == "stage1":
        return Report(figures, grid([photos[few], guides[few, :, 0], found[few, :, 0], truth[few, :, 0]]))
    clip = [x[0].transpose(0, 1) for x in (guides, found, truth)]  # one clip, a row a frame
    return Report(figures, grid([photos[:1].expand(len(clip[0]), -1, -1, -1), *clip]))


def _shown(clips: Clips, clip: int, setting: AnimatorSetting, stage: Stage) -> Choice:
    """The clip's first frame as photo; a frame half-way on, or the clip from its start."""
    frames = len(clips.ranges[clip])
    if stage == "stage1":
        chosen = np.array([frames // 2], np.int64)
    else:
        chosen = np.minimum(np.arange(setting.clip_frames) * setting.clip_rate, frames - 1)
    return Choice(0, chosen, (0.0, 0.0, 1.0, 1.0), GREEN)
