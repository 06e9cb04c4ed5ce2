"""The two stages as values: everything that one of them needs to run."""

from __future__ import annotations

from dataclasses import dataclass

from diffusers import ControlNetModel, DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from understudy_backend.models.threedhm.latents import Vae
from understudy_backend.models.threedhm.outline import OutlineNetwork


@dataclass(frozen=True)
class Infill:
    """Stage 1, ready to run."""

    vae: Vae
    unet: UNet2DConditionModel
    scheduler: DDIMScheduler
    prompt: Tensor
    """(1, L, D) embedding of the fixed prompt."""
    steps: int
    """Denoising steps that suit the weights."""
    detail: float = 0.0
    """From 0 to 1, how much fine structure generated texels take from the nearest visible ones; 0 for weights that make
    their own."""


@dataclass(frozen=True)
class Render:
    """Stage 2, ready to run."""

    vae: Vae
    unet: UNet2DConditionModel
    branch: ControlNetModel
    scheduler: DDIMScheduler
    prompt: Tensor
    """(1, L, D) embedding of the fixed prompt."""
    steps: int
    """Denoising steps that suit the weights."""
    window: tuple[int, int] | None = None
    """(width, height) in pixels of the person's window in a frame (see `framing`) that the weights were trained on;
    None for weights that see whole frames, as the paper's."""
    outline: OutlineNetwork | None = None
    """Finds the person's outline to the pixel; None for weights that have none."""
