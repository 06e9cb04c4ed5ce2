"""The outline network (see `models.threedhm.outline`): from stage 2's frames, and what the photo tells of the outline,
to the true alpha. Stage 2 is trained before it and stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from understudy_backend.models.threedhm import denoising
from understudy_backend.models.threedhm.framing import person_box, pixels
from understudy_backend.models.threedhm.latents import decode, decompose, encode, has_alpha
from understudy_backend.models.threedhm.outline import OutlineNetwork, reach, unknown, with_alpha
from understudy_backend.models.threedhm.stages import Render
from understudy_backend.training import stage2
from understudy_backend.training.arrays import Samples
from understudy_backend.training.bases import base_of
from understudy_backend.training.cells import Cache, windows
from understudy_backend.training.checkpoints import TrainingError, checkpoints, load_averages
from understudy_backend.training.configs import Setting
from understudy_backend.training.draws import Draw
from understudy_backend.training.grid import grid
from understudy_backend.training.loop import Batch, Lesson, Modules, Report
from understudy_backend.training.people.samples import decode_ahead

UNTOLD = 0.08
"""How often training shows a frame of which the photo tells nothing, as where no fit of it is known."""
CERTAINTY = 0.5
"""Weight of the cross-entropy of alpha, beside the overlap of the silhouettes."""


@dataclass(frozen=True)
class Finished:
    """What the outline network reads at each step. N samples; the person's windows, h x w pixels."""

    frame: NDArray[np.uint8]
    """(N, 4, h, w) what stage 2 made, composed, memory-mapped."""
    pictures: Callable[[str, NDArray[np.integer]], Tensor]
    """Gives "target" or "body" of some samples, composed (N, 4, h, w) in [-1, 1]."""
    known: Callable[[NDArray[np.integer]], Tensor]
    """Gives what the photo tells of some samples, (N, 3, h, w)."""

    def shown(self, indices: NDArray[np.integer]) -> Tensor:
        """Stage 2's frames, composed (N, 4, h, w) in [-1, 1]."""
        return torch.from_numpy(np.asarray(self.frame[indices], np.float32)) / 127.5 - 1


def trained_render(setting: Setting, run: Path) -> Render:
    """Stage 2 as a run has trained it so far.

    Raises:
        TrainingError: it has not, or its frames have no alpha or no window.
    """
    found = checkpoints(run / "render" / "checkpoints")
    if not found:
        raise TrainingError(
            f"{run} has no checkpoint of render: train that first, the outline is learnt from its frames"
        )
    base = base_of("render", setting, run, None)
    if setting.window is None or not has_alpha(base.vae):
        raise TrainingError(f"the setting {setting.name} has no outline: its networks see no alpha, or no window")
    branch = stage2.new_branch(setting, base)
    load_averages(found[-1], {"branch": branch} | ({"unet": base.unet} if setting.train_unet else {}))
    for module in (base.unet, branch):
        module.requires_grad_(False).eval()
    return Render(base.vae, base.unet, branch, base.scheduler, base.prompt, setting.sampling_steps, setting.window)


def read(samples: Samples, setting: Setting, render: Render, cache: Path, accelerator: Accelerator) -> Finished:
    """Has stage 2 make its frames of all samples, or finds them in `cache`.

    Raises:
        DataError: samples that do not tell the outline in the photo, as those of older versions.
    """
    window = setting.window
    assert window is not None
    width, height = window
    samples.row_shape("ahead")
    about = sum(float(p.double().abs().sum()) for m in (render.unet, render.branch) for p in m.parameters())
    store = Cache(cache, samples, render.vae, accelerator, "outline", width, height, about)

    def frames(indices: NDArray[np.int64]) -> Tensor:
        body, photo = (encode(render.vae, windows(samples, name, indices, window)) for name in ("body", "photo"))
        condition = torch.cat([body, photo], 1)
        noise = torch.cat([denoising.seeded_noise(int(i), (1, *body.shape[1:])) for i in indices])
        latents = denoising.sample(
            lambda x, t: denoising.predict_render(render.unet, render.branch, x, t, condition, render.prompt),
            render.scheduler,
            noise,
            render.steps,
        )
        return ((decode(render.vae, latents) + 1) * 127.5).round().clamp(0, 255)

    return Finished(
        store.array("finished", (4, height, width), np.uint8, frames),
        lambda name, indices: windows(samples, name, indices, window),
        lambda indices: known(samples, indices, window),
    )


def known(samples: Samples, indices: NDArray[np.integer], window: tuple[int, int]) -> Tensor:
    """What the photo tells of the outline in the person's windows, (N, 3, h, w), see `outline.reach`."""
    out = []
    for ahead, cover in zip(samples.rows("ahead", indices), samples.rows("body", indices)[..., 3], strict=True):
        box = person_box(cover, window)
        rows, columns, inside = pixels(box, window, (ahead.shape[1], ahead.shape[0]))
        found, where = decode_ahead(ahead[rows[:, None], columns])
        where &= inside
        scale = window[1] / (box.bottom - box.top)
        out.append(reach(found * scale, where) if where.any() else unknown(window[1], window[0]))
    return torch.stack(out)


def lesson(setting: Setting, network: OutlineNetwork, data: Finished, validation: Finished) -> Lesson:
    """What the outline network learns; validation may be of other people."""

    def prepare(draw: Draw) -> Batch:
        told = (draw.uniform() >= UNTOLD).float().view(-1, 1, 1, 1)
        return {
            "frame": data.shown(draw.indices),
            "body": data.pictures("body", draw.indices),
            "known": data.known(draw.indices) * told,
            "alpha": (data.pictures("target", draw.indices)[:, 3:] + 1) / 2,
        }

    def loss(modules: Modules, batch: Batch) -> Tensor:
        logits = modules["outline"](batch["frame"], batch["body"], batch["known"])
        found, truth = torch.maximum(torch.sigmoid(logits), (batch["body"][:, 3:] + 1) / 2), batch["alpha"]
        both, either = (f(found, truth).sum((1, 2, 3)) for f in (torch.minimum, torch.maximum))
        return (1 - both / either.clamp(min=1)).mean() + CERTAINTY * binary_cross_entropy_with_logits(logits, truth)

    def validate(modules: Modules, device: torch.device) -> Report:
        return measure(setting, network.eval(), validation, device)

    return Lesson({"outline": network}, (), len(data.frame), prepare, loss, validate)


@torch.no_grad()
def measure(setting: Setting, network: OutlineNetwork, data: Finished, device: torch.device) -> Report:
    """Mean IoU of silhouettes with the truth: the network's, and those of the frames that it was given.

    The pictures: body, frame, result, truth.
    """
    count = min(setting.outline.validation_samples, len(data.frame))
    indices = np.linspace(0, len(data.frame) - 1, count).astype(np.int64)
    body, truth = (data.pictures(name, indices) for name in ("body", "target"))
    frame, told = data.shown(indices), data.known(indices)
    alpha = torch.sigmoid(network(frame.to(device), body.to(device), told.to(device))).cpu()
    cover = (body[:, 3:] + 1) / 2
    alpha, inside = torch.maximum(alpha, cover), truth[:, 3:] > 0
    figures = {
        "iou": _overlap(alpha > 0.5, inside),
        "iou_before": _overlap(torch.maximum(cover, (frame[:, 3:] + 1) / 2) > 0.5, inside),
    }
    few = slice(setting.outline.validation_pictures)
    shown = (body[few], frame[few], with_alpha(frame[few], alpha[few]), truth[few])
    return Report(figures, grid([decompose(x) for x in shown]))


def _overlap(found: Tensor, truth: Tensor) -> float:
    both, either = ((f(found, truth)).sum((1, 2, 3)) for f in (torch.logical_and, torch.logical_or))
    return float((both / either.clamp(min=1)).mean())
