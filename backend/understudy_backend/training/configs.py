"""The published settings, `sd15` as in the paper and `small`, ours: all that a run depends on besides its data."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from dataclasses import dataclass
from typing import Literal

import msgspec

from understudy_backend.models.threedhm.networks import SMALL, NetworkConfig
from understudy_backend.training import setting_files

Part = Literal["refine", "infill", "render", "outline"]
"""What can be trained: the autoencoder's refiner, stage 1, stage 2, and the outline of its frames."""


@dataclass(frozen=True)
class Training:
    """How one part is trained."""

    steps: int = 4000
    """Optimiser steps in all."""
    minutes: float | None = None
    """Stop after this wall time, the learning rate reaching its end then; a run with it is not the same run twice."""
    batch: int = 8
    """Samples per optimiser step, over all devices and accumulated parts."""
    accumulate: int = 1
    """Parts that a device works its share of a batch off in, one after another; more need less memory."""
    learning_rate: float = 5e-4
    """Peak of the learning rate (AdamW)."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """What the learning rate does after the warm-up: stay, or fall along a cosine to `final_rate` of its peak."""
    final_rate: float = 0.02
    """Where the cosine ends, as a share of `learning_rate`."""
    warmup: int = 50
    """Steps over which the learning rate rises from nothing."""
    weight_decay: float = 1e-3
    """AdamW's pull of the weights to zero."""
    clip: float = 1.0
    """Largest norm of a step's gradient; longer ones are shortened to it."""
    ema: float = 0.998
    """Decay of the moving average of the weights, which is what is kept; young averages forget faster."""
    last_step_share: float = 0.0
    """How often training sees the very last diffusion step, beyond its turn: sampling in one step is all there."""
    picture_loss: bool = False
    """At the very last diffusion step, compare pictures in place of latents (see `picture_loss`); ours only."""
    mirror: bool = False
    """Show every frame mirrored, too: twice the data (stage 2 and its outline only)."""
    background_weight: float = 1.0
    """Weight in the loss of what shows no person: texels off the body, pixels away from it."""
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    """Number format inside the networks; weights and optimiser stay in 32 bits."""
    gradient_checkpointing: bool = False
    """Compute activations again on the way back rather than keep them: a third slower, far less memory."""
    seed: int = 0
    """Order of the data, noise and diffusion steps all follow from it."""
    save_every: int = 250
    """Steps between checkpoints, each with figures and pictures from validation."""
    keep: int = 2
    """Checkpoints that stay; older ones go."""
    log_every: int = 50
    """Steps between lines of the log."""
    validation_samples: int = 32
    """Samples that the validation figures are taken from."""
    validation_pictures: int = 8
    """Rows of the validation grid."""


@dataclass(frozen=True)
class Setting:
    """One published setting."""

    name: str
    """What `--config` calls it."""
    image_size: int
    """Side of the images and textures that training sees, in pixels; data of another size are scaled to it."""
    sampling_steps: int
    """Denoising steps that suit the weights; stored with them, and used for validation."""
    train_unet: bool
    """Whether stage 2's UNet learns with its branch. The paper freezes it; from nothing there is nothing to protect."""
    networks: NetworkConfig | None
    """Hyper-parameters of networks that are trained from nothing; none where the start is Stable Diffusion."""
    refine: Training
    """The autoencoder's refiner (only where `networks` are ours)."""
    infill: Training
    """Stage 1, in-filling diffusion (3DHM section 3.1)."""
    render: Training
    """Stage 2, rendering diffusion (3DHM section 3.2)."""
    window: tuple[int, int] | None = None
    """Stage 2 sees the person's window of this (width, height) in pixels; none: the whole frame, as in the paper."""
    detail: float = 0.0
    """How much fine structure stage 1's texels take from the nearest visible ones; stored with the weights."""
    outline: Training = Training()
    """The outline network that follows stage 2 (only where `networks` are ours)."""


SMALL_SETTING = Setting(
    name="small",
    image_size=SMALL.image_size,
    # A network that is trained for hours, not weeks, paints best in one step: more bring back noise it cannot remove.
    sampling_steps=1,
    train_unet=True,
    networks=SMALL,
    refine=Training(learning_rate=1e-3, steps=1500),
    infill=Training(steps=6000, last_step_share=0.8, picture_loss=True, background_weight=0.1),
    render=Training(steps=8000, last_step_share=0.8, picture_loss=True, mirror=True, background_weight=0.2),
    window=(160, 256),
    detail=0.35,
    outline=Training(steps=8000, batch=12, learning_rate=2e-3, weight_decay=1e-2, mirror=True, validation_samples=160),
)
"""Ours, for a CPU or a small GPU, from nothing."""

_FINE_TUNING = Training(
    steps=50_000, batch=32, accumulate=8, learning_rate=1e-5, schedule="constant", warmup=500, weight_decay=1e-2,
    ema=0.9999, mixed_precision="bf16", gradient_checkpointing=True, save_every=1000, validation_samples=8,
)  # fmt: skip

SD15_SETTING = Setting(
    name="sd15",
    image_size=512,
    sampling_steps=50,
    train_unet=False,
    networks=None,
    refine=Training(),
    infill=_FINE_TUNING,
    render=_FINE_TUNING,
)
"""The paper's: stage 1 fine-tunes Stable Diffusion inpainting; stage 2 freezes Stable Diffusion 1.5 and trains a branch
that starts as a copy of its encoder. 512 px, prompts locked. The optimiser's figures are those customary for
fine-tuning Stable Diffusion and for ControlNets."""

SETTINGS = {setting.name: setting for setting in (SMALL_SETTING, SD15_SETTING)}


def read_setting(name: str) -> Setting:
    """A setting by its name, or a file of one; see `setting_files.read_setting`."""
    return setting_files.read_setting(name, SETTINGS, Setting)


def with_changes(setting: Setting, part: Part, changes: dict[str, object]) -> Setting:
    """The setting with some fields of one part's training changed.

    Raises:
        ValueError: no such field, or a value that does not fit it.
    """
    return dataclasses.replace(setting, **{part: changed_training(getattr(setting, part), changes)})


def changed_training(training: Training, changes: dict[str, object]) -> Training:
    """A training with some fields changed.

    Raises:
        ValueError: no such field, or a value that does not fit it.
    """
    try:
        changed = msgspec.convert(dataclasses.asdict(training) | changes, Training, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    for name in ("steps", "batch", "accumulate", "save_every", "keep", "log_every", "validation_samples"):
        if getattr(changed, name) < 1:
            raise ValueError(f"{name.replace('_', '-')} must be at least 1")
    return changed


def explanations(kind: type) -> dict[str, str]:
    """The one-line docstrings below a dataclass's fields, by field."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            found[field.target.id] = str(ast.literal_eval(text.value))
    return found
