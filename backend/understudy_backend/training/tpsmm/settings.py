"""The published schedules of TPSMM, and `small`, ours: all that a run depends on besides its clips."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import msgspec

from understudy_backend.models.tpsmm.config import PUBLISHED, TPSMMConfig
from understudy_backend.training import setting_files

Stage = Literal["train", "avd"]
"""The networks that animate, together; then AVD's, on the keypoints of the others."""


@dataclass(frozen=True)
class Schedule:
    """How one stage is trained, with Adam of betas (0.5, 0.999)."""

    epochs: int = 100
    """Epochs in all."""
    repeats: int = 1
    """How often an epoch visits each identity (or clip)."""
    batch: int = 28
    """Pairs of frames per optimiser step, over all devices and accumulated parts."""
    accumulate: int = 1
    """Parts that a device works its share of a batch off in, one after another; batch norms see one part."""
    learning_rate: float = 2e-4
    """Until the first milestone."""
    milestones: tuple[int, ...] = (70, 90)
    """Epochs from which on the learning rate is a tenth of what it was before."""
    weight_decay: float = 1e-4
    """Pull of the weights to zero, as a part of the gradient."""
    clip: float = 10.0
    """Largest component of the gradient of detector, dense motion and background predictor, each scaled as a whole."""
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    """Number format of the networks' activations; weights stay in float32."""
    minutes: float | None = None
    """Stop after this wall time; the same command goes on from there."""
    seed: int = 0
    """Order of the clips, frames, colours and warps all follow from it."""
    save_every: int = 1000
    """Steps between checkpoints, each with figures and pictures from validation."""
    keep: int = 2
    """Checkpoints that stay; older ones go."""
    log_every: int = 50
    """Steps between lines of the log."""
    validation_samples: int = 32
    """Pairs of frames that the validation figures are taken from."""
    validation_pictures: int = 6
    """Rows of the validation grid."""

    def steps_per_epoch(self, count: int) -> int:
        """Optimiser steps of an epoch over `count` identities (or clips)."""
        return max(1, count * self.repeats // self.batch)

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, counted from 0."""
        return self.learning_rate * 0.1 ** sum(epoch >= milestone for milestone in self.milestones)


@dataclass(frozen=True)
class Dropout:
    """Of the thin-plate splines (section 3.2, equations 7 and 8): each must be useful without the others."""

    start: float
    """Probability in epoch 0, if that is less than `most`."""
    most: float
    """Probability after the rise, which takes 10 epochs from nothing."""
    until: int = 35
    """Epoch from which on no spline is dropped."""

    def probability(self, epoch: int) -> float | None:
        """Of each spline to be dropped in an epoch, counted from 0; None where nothing is dropped any more."""
        if epoch >= self.until:
            return None
        return min(epoch / 10 * self.most + self.start, self.most)


@dataclass(frozen=True)
class Augmentation:
    """What is done to both frames of a pair alike."""

    flips: bool = True
    """Half of the pairs run backwards; of the others, half are mirrored."""
    resize: tuple[float, float] | None = None
    """Range of a factor by which frames are enlarged; a random square is then cut out."""
    brightness: float = 0.1
    """Largest change, as a share."""
    contrast: float = 0.1
    """Largest change, as a share."""
    saturation: float = 0.1
    """Largest change, as a share."""
    hue: float = 0.1
    """Largest turn, of the whole circle."""


@dataclass(frozen=True)
class Setting:
    """One setting."""

    name: str
    """What `--config` calls it."""
    networks: TPSMMConfig
    """Hyper-parameters of the networks; the side of the images is among them."""
    by_identity: bool
    """Whether an epoch visits identities, taking a random clip of each; otherwise clips."""
    background_from: int | None
    """Epoch from which on the background predictor takes part; none: never."""
    dropout: Dropout
    """Of the splines."""
    train: Schedule
    """Of the networks that animate."""
    avd: Schedule
    """Of the AVD network."""
    augmentation: Augmentation = Augmentation()
    """Of the pairs."""
    reconstruction: Literal["vgg", "pixels"] = "vgg"
    """What the result is compared with the truth by: features of VGG-19 as in the paper, or colours and edges."""


def _published(
    name: str, background: int | None, dropout: Dropout, batch: int, repeats: int,
    avd: tuple[int, int, tuple[int, int]], augmentation: Augmentation = Augmentation(), by_identity: bool = True,
) -> Setting:  # fmt: skip
    epochs, avd_repeats, milestones = avd
    return Setting(
        name,
        PUBLISHED[name],
        by_identity,
        background,
        dropout,
        Schedule(repeats=repeats, batch=batch),
        Schedule(epochs, avd_repeats, 256, learning_rate=1e-3, milestones=milestones, weight_decay=0.0),
        augmentation,
    )


_MGIF = Augmentation(resize=(0.9, 1.1), brightness=0, contrast=0, saturation=0, hue=0.5)

SMALL = Setting(
    name="small",
    networks=TPSMMConfig(
        background=False, encoder_width=24, motion_width=24, motion_limit=128, inpainting_width=24, inpainting_limit=96,
        avd_widths=(128, 256, 256), avd_code=64,
    ),
    by_identity=True,
    background_from=None,
    dropout=Dropout(0.0, 0.3, until=20),
    train=Schedule(epochs=60, repeats=60, batch=8, milestones=(40, 52)),
    avd=Schedule(epochs=20, repeats=60, batch=64, learning_rate=1e-3, milestones=(14, 18), weight_decay=0.0),
)  # fmt: skip
"""Ours: 256 px, 11 MB in half precision, for a body's renders and people before a plain ground."""

SETTINGS = {
    setting.name: setting
    for setting in (
        _published("vox", 10, Dropout(0.1, 0.3), 28, 75, (200, 300, (140, 180))),
        _published("taichi", 0, Dropout(0.0, 0.7), 28, 150, (100, 150, (70, 90))),
        _published("ted", 0, Dropout(0.0, 0.5), 12, 150, (30, 500, (20, 25))),
        _published("mgif", None, Dropout(0.2, 0.5), 28, 50, (100, 50, (70, 90)), _MGIF, by_identity=False),
        SMALL,
    )
}
"""The four published schedules (section 4.1 and the published configurations), and ours."""


def read_setting(name: str) -> Setting:
    """A setting by its name, or a file of one; see `setting_files.read_setting`."""
    return setting_files.read_setting(name, SETTINGS, Setting)


def with_changes(setting: Setting, stage: Stage, changes: dict[str, object]) -> Setting:
    """The setting with some fields of one stage's schedule changed.

    Raises:
        ValueError: a value that does not fit its field, in one line.
    """
    try:
        changed = msgspec.convert(dataclasses.asdict(getattr(setting, stage)) | changes, Schedule, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    for name in ("epochs", "repeats", "accumulate", "save_every", "keep", "log_every", "validation_samples"):
        if getattr(changed, name) < 1:
            raise ValueError(f"{name.replace('_', '-')} must be at least 1")
    if changed.batch < 2:
        raise ValueError("batch must be at least 2: the keypoint detector's norms compare the images of a batch")
    return dataclasses.replace(setting, **{stage: changed})
