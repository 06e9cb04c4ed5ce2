"""The pose guider: a picture of the skeleton to a feature map of a latent's size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from PIL import Image
from torch import Tensor

from understudy_backend.models.animate_anyone.networks import PUBLISHED, NetworkConfig


class Guider(Protocol):
    """What turns a frame's pictures into the features that guide the denoiser."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the pictures that it needs."""
        ...

    @property
    def resampling(self) -> Image.Resampling:
        """How its pictures were brought to size in training."""
        ...

    def __call__(self, pictures: Mapping[str, Tensor]) -> Tensor:
        """Pictures (B, 3, F, H, W) in [0, 1] by kind, to features (B, C, F, H/8, W/8)."""
        ...


class PoseGuider(ControlNetConditioningEmbedding):
    """Animate Anyone's guider: ControlNet's embedding of a condition. Its last layer starts at zero."""

    kinds = ("pose",)
    resampling = Image.Resampling.LANCZOS

    def __init__(self, config: NetworkConfig = PUBLISHED) -> None:
        super().__init__(config.channels[0], 3, config.guider_channels)

    def forward(self, pictures: Mapping[str, Tensor]) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A skeleton `pose` (B, 3, F, H, W) in [0, 1] to features (B, C, F, H/8, W/8)."""
        return over_frames(super().forward, pictures["pose"])


def over_frames(image_function, clip: Tensor) -> Tensor:
    """A function of images (N, ...) on the frames of clips (B, C, F, H, W)."""
    frames = clip.transpose(1, 2)
    return image_function(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]).transpose(1, 2)
