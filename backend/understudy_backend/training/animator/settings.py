"""The published settings, `full`, and `small`, ours: all that a run depends on besides its data and its start."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from understudy_backend.models.animate_anyone.denoising import BetaSchedule
from understudy_backend.models.animate_anyone.networks import PUBLISHED, NetworkConfig
from understudy_backend.models.animate_anyone.pictures import CELL
from understudy_backend.training import setting_files
from understudy_backend.training.configs import Training
from understudy_backend.weights.animate_anyone import Kind

Stage = Literal["stage1", "stage2"]
STAGES: tuple[Stage, ...] = ("stage1", "stage2")


@dataclass(frozen=True)
class AnimatorSetting:
    """One setting, of both methods."""

    name: str
    """What `--config` calls it."""
    networks: NetworkConfig
    """Sizes of the networks."""
    from_nothing: bool
    """Whether VAE and image encoder are stand-ins of ours (see `start`), and all else starts with random weights."""
    sizes: tuple[tuple[int, int], tuple[int, int]]
    """(width, height) in pixels of stage 1's pictures and of stage 2's."""
    stage1: Training
    """Single frames: reference network, denoiser without time, guider."""
    stage2: Training
    """Clips: the temporal layers alone."""
    clip_frames: int = 24
    """Frames of a clip in stage 2."""
    clip_rate: int = 4
    """Frames from one of a clip's to the next, where the video is long enough."""
    margin: int = 30
    """Stage 1 takes photo and target so many frames apart, where the video is long enough."""
    crop: float = 0.9
    """Stage 1 shows a random part of a picture, of at least this share of its area and of its aspect."""
    colours: float = 0.5
    """How often people without a background of their own stand before some colour; else it is the methods' green."""
    dropout: float = 0.1
    """How often the photo is not shown, so that guidance has something to start from."""
    dropped_token: Literal["black", "zero"] = "black"
    """What the CLIP token then is: that of an empty picture, as published, or zeros, as sampling has it."""
    noise_offset: float = 0.05
    """Strength of noise that is one number for all cells and frames of a channel."""
    snr_limit: float = 5.0
    """Of the loss weights (see `min_snr_weights`)."""
    betas: BetaSchedule = "scaled_linear"
    """Of the noise schedule in training; sampling has `linear`, as published."""
    sampling_steps: int = 20
    """Denoising steps of validation."""
    guidance: float = 3.5
    """Strength of guidance in validation."""

    def __post_init__(self) -> None:
        if any(side % CELL or side < CELL for size in self.sizes for side in size):
            raise ValueError(f"sizes are multiples of {CELL} pixels")
        if not 1 <= self.clip_frames <= self.networks.motion_length:
            raise ValueError(f"a clip has 1 to {self.networks.motion_length} frames with these networks")
        if not (0 < self.crop <= 1 and 0 <= self.dropout < 1 and self.clip_rate >= 1 and self.margin >= 0):
            raise ValueError("crop lies in (0, 1], dropout in [0, 1), the rate is at least 1 and the margin at least 0")

    def size(self, stage: Stage) -> tuple[int, int]:
        """(width, height) in pixels of a stage's pictures."""
        return self.sizes[STAGES.index(stage)]

    def training(self, stage: Stage) -> Training:
        """How a stage is trained."""
        return self.stage1 if stage == "stage1" else self.stage2


def _published(name: str, first: Training, second: Training) -> AnimatorSetting:
    return AnimatorSetting(name, PUBLISHED, False, ((768, 768), (512, 512)), first, second)


_FIRST = Training(
    steps=30_000, batch=64, accumulate=16, learning_rate=1e-5, schedule="constant", warmup=1, weight_decay=1e-2,
    clip=1.0, ema=0.0, mixed_precision="fp16", save_every=1000, validation_samples=4, validation_pictures=4,
)  # fmt: skip
_SECOND = replace(_FIRST, steps=10_000, batch=4, accumulate=4, gradient_checkpointing=True, validation_samples=1)

SMALL = AnimatorSetting(
    name="small",
    networks=NetworkConfig(
        channels=(64, 128, 192, 192),
        layers=1,
        heads=4,
        token_width=64,
        latent_channels=32,
        motion_heads=4,
        guider_channels=(16, 32, 64, 128),
    ),
    from_nothing=True,
    sizes=((128, 192), (128, 192)),
    stage1=Training(steps=20_000, batch=8, learning_rate=4e-4, warmup=200, ema=0.999, validation_samples=8),
    stage2=Training(
        steps=4000, batch=1, learning_rate=4e-4, warmup=100, ema=0.998, validation_samples=1, validation_pictures=1
    ),
    clip_rate=1,
    margin=8,
    dropped_token="zero",
    betas="linear",
)
"""Ours, for a small GPU or a patient CPU, from nothing."""

SETTINGS: dict[Kind, dict[str, AnimatorSetting]] = {
    "animate_anyone": {"small": SMALL, "full": _published("full", _FIRST, _SECOND)},
    "champ": {
        "small": SMALL,
        "full": _published(
            "full",
            replace(_FIRST, steps=60_000, batch=32, accumulate=8),
            replace(_SECOND, steps=20_000, batch=8, accumulate=8),
        ),
    },
}
"""By method and name. `full` has the papers' figures, and where these are silent those of the code that is published:
four pictures, or one clip, at a time on a device."""


def read_setting(kind: Kind, name: str) -> AnimatorSetting:
    """A method's setting by its name, or a file of one; see `setting_files.read_setting`."""
    return setting_files.read_setting(name, SETTINGS[kind], AnimatorSetting)
