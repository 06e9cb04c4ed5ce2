"""All networks of an animator as one value, and where they are in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.unets.unet_motion_model import UNetMotionModel
from torch import nn
from transformers import CLIPVisionModelWithProjection

from understudy_backend.models.animate_anyone.guider import Guider
from understudy_backend.models.threedhm.latents import Vae


@dataclass(frozen=True)
class AnimatorParts:
    """Everything that animating a photo needs; with `models.champ`'s guider it is Champ, with a pose guider Animate
    Anyone."""

    vae: Vae
    image_encoder: CLIPVisionModelWithProjection
    reference_net: UNet2DConditionModel
    denoiser: UNetMotionModel
    guider: Guider
    """A module."""
    scheduler: DDIMScheduler
    device: str = "cpu"
    """Where the networks compute."""
    dtype: torch.dtype = torch.float32
    """In what they compute."""
    offloaded: bool = False
    """Whether only the network that computes is on the device, and the others wait in main memory."""

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The networks."""
        guider = self.guider
        assert isinstance(guider, nn.Module)
        return (self.vae, self.image_encoder, self.reference_net, self.denoiser, guider)

    @contextmanager
    def on_device(self, module: nn.Module | Guider) -> Iterator[None]:
        """Has one of the networks on the device meanwhile."""
        assert isinstance(module, nn.Module)
        if not self.offloaded:
            yield
            return
        module.to(self.device)
        try:
            yield
        finally:
            module.to("cpu")


def weight_bytes(modules: tuple[nn.Module, ...]) -> int:
    """Memory that networks' weights take."""
    return sum(p.nbytes for m in modules for p in (*m.parameters(), *m.buffers()))


def place(parts: AnimatorParts, budget: int | None = None) -> AnimatorParts:
    """The parts, on their device if all of them fit into `budget` bytes of its memory, else one at a time.

    None means that they fit. What the computation itself takes comes on top.
    """
    offloaded = budget is not None and weight_bytes(parts.modules) > budget
    for module in parts.modules:
        module.to("cpu" if offloaded else parts.device)
    return replace(parts, offloaded=offloaded)
