"""The two stages: the networks that animate (section 3.4), and AVD, which takes pose and shape apart afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from understudy_backend.models.tpsmm.animation import animation_keypoints
from understudy_backend.models.tpsmm.dense_motion import dropout_keep
from understudy_backend.models.tpsmm.losses import RandomWarp, training_step
from understudy_backend.models.tpsmm.model import TPSMM
from understudy_backend.training.draws import Draw
from understudy_backend.training.grid import grid
from understudy_backend.training.loop import Report
from understudy_backend.training.tpsmm.clips import ClipSet, Frames
from understudy_backend.training.tpsmm.loop import Batch, Task
from understudy_backend.training.tpsmm.pairs import Pairs, as_tensor
from understudy_backend.training.tpsmm.settings import Schedule, Setting

SCALING = (0.75, 1.25)
"""By what the driving keypoints are stretched along each axis before AVD sees them."""
NOISE = 31
"""Numbers that a random warp is made of."""


@dataclass(frozen=True, eq=False)
class Clips:
    """Clips of one split with their frames at the networks' size."""

    found: ClipSet
    frames: Frames

    @classmethod
    def of(cls, found: ClipSet, size: int, megabytes: float) -> Clips:
        """See `Frames`."""
        return cls(found, Frames(found, size, megabytes))

    def pairs(self, setting: Setting) -> Pairs:
        """Pairs to learn from."""
        counts = [clip.count for clip in self.found.clips]
        groups = self.found.groups(setting.by_identity)
        return Pairs(self.frames, counts, groups, setting.augmentation, setting.networks.image_size)

    def spread(self, count: int) -> tuple[Tensor, Tensor]:
        """First frames of clips and later ones, (N, 3, S, S) in [0, 1], spread evenly over all clips."""
        sources, drivings = [], []
        for i, place in enumerate(np.linspace(0, len(self.found.clips), count, endpoint=False).astype(int)):
            # further and further into the clips, so that the end of the motion is there, too
            last = self.found.clips[place].count - 1
            pair = self.frames.take(int(place), [0, max(1, round(last * ((i * 0.618 + 0.5) % 1)))])
            sources.append(pair[0])
            drivings.append(pair[1])
        return as_tensor(sources), as_tensor(drivings)


class Reconstruction(nn.Module):
    """The losses of a batch: the driving frame made of the source, and what keeps the motion sound."""

    def __init__(self, model: TPSMM, setting: Setting, comparison: nn.Module) -> None:
        super().__init__()
        self.model, self.comparison, self._setting = model, comparison, setting

    def forward(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """Losses by name.

        Args:
            batch: `source`, `driving` (B, 3, S, S), `noise` (B, 31) of the warp, `uniform` (B, 1 + K) of the dropout.
            epoch: from 0.
        """
        probability = self._setting.dropout.probability(epoch)
        since = self._setting.background_from
        step = training_step(
            self.model,
            self.comparison,
            batch["source"],
            batch["driving"],
            RandomWarp.of(batch["noise"]),
            keep=None if probability is None else dropout_keep(batch["uniform"], probability),
            background=since is not None and epoch >= since,
        )
        return step.losses


class Disentangling(nn.Module):
    """The loss of a batch for AVD: a stretched pose is put back into the person's own shape."""

    def __init__(self, model: TPSMM) -> None:
        super().__init__()
        assert model.avd_network is not None
        self.network = model.avd_network
        self.detector = model.kp_detector.requires_grad_(False)

    def train(self, mode: bool = True) -> Disentangling:
        """The detector stays as it is."""
        super().train(mode)
        self.detector.eval()
        return self

    def forward(self, batch: Batch, epoch: int) -> dict[str, Tensor]:
        """The loss by name.

        Args:
            batch: `source`, `driving` (B, 3, S, S), `scale` (B, 2) for x and y.
            epoch: unused.
        """
        with torch.no_grad():
            source, driving = self.detector(batch["source"]), self.detector(batch["driving"])
        return {"avd": (self.network(source, driving * batch["scale"][:, None]) - driving).abs().mean()}


def reconstruction(setting: Setting, model: TPSMM, comparison: nn.Module, clips: Clips, others: Clips) -> Task:
    """The first stage.

    Args:
        setting: see there.
        model: without AVD network; it is trained in place.
        comparison: see `perceptual.comparison`.
        clips: to learn from.
        others: for validation.
    """
    pairs, slots = clips.pairs(setting), setting.networks.splines + 1

    def prepare(draw: Draw) -> Batch:
        source, driving = pairs.take(draw)
        noise, chance = draw.normal(NOISE), torch.stack([torch.rand(slots, generator=g) for g in draw.generators])
        return {"source": source, "driving": driving, "noise": noise, "uniform": chance}

    def validate(device: torch.device) -> Report:
        return reconstructed(model, others, setting.train, device)

    clipped = [model.kp_detector, model.dense_motion_network, model.bg_predictor]
    model.requires_grad_(True)
    return Task(
        Reconstruction(model, setting, comparison),
        model,
        tuple(module for module in clipped if module is not None),
        len(pairs),
        prepare,
        validate,
    )


def reconstructed(model: TPSMM, clips: Clips, schedule: Schedule, device: torch.device) -> Report:
    """Mean absolute error of reconstruction, of the source moved by the flow alone, and of the source as it is; the
    pictures are source, driving, moved, result."""
    source, driving = clips.spread(schedule.validation_samples)
    moved, made = [], []
    for a, b in zip(source.split(8), driving.split(8), strict=True):
        frame = model.reconstruct(a.to(device), b.to(device))
        moved.append(frame.warped_source.float().cpu())
        made.append(frame.prediction.float().cpu())
    results, warped = torch.cat(made), torch.cat(moved)
    images = {"l1": results, "l1_moved": warped, "l1_copy": source}
    figures = {name: float((image - driving).abs().mean()) for name, image in images.items()}
    few = slice(schedule.validation_pictures)
    return Report(figures, grid([source[few], driving[few], warped[few], results[few]]))


def disentangling(setting: Setting, model: TPSMM, clips: Clips, others: Clips) -> Task:
    """The second stage; everything but the AVD network stays as it is.

    Args:
        setting: see there.
        model: with an AVD network, which is trained in place.
        clips: to learn from.
        others: for validation.
    """
    pairs, learner = clips.pairs(setting), Disentangling(model)
    learner.network.requires_grad_(True)

    def prepare(draw: Draw) -> Batch:
        source, driving = pairs.take(draw)
        chance = torch.stack([torch.rand(2, generator=g) for g in draw.generators])
        return {"source": source, "driving": driving, "scale": SCALING[0] + (SCALING[1] - SCALING[0]) * chance}

    def validate(device: torch.device) -> Report:
        return crossed(model.to(device), others, setting.avd, device)

    return Task(learner, learner.network, (), len(pairs), prepare, validate)


def crossed(model: TPSMM, clips: Clips, schedule: Schedule, device: torch.device) -> Report:
    """How far a driving pose of half or one and a half times the width is off after AVD, and without it, as mean
    distance along an axis; and people moved by other people with standard keypoints and with AVD."""
    source, driving = (x.to(device) for x in clips.spread(schedule.validation_samples))
    assert model.avd_network is not None
    found = [torch.cat([model.kp_detector(part) for part in x.split(8)]) for x in (source, driving)]
    scale = torch.tensor([[SCALING[0], 1.0], [SCALING[1], 1.0]], device=device).repeat(len(source), 1)[: len(source)]
    stretched = found[1] * scale[:, None]
    figures = {
        "avd_error": float((model.avd_network(found[0], stretched) - found[1]).abs().mean()),
        "error_without": float((stretched - found[1]).abs().mean()),
    }
    few = slice(schedule.validation_pictures)
    other, actor, pose = source.roll(1, 0)[few], driving[few], found[1][few]
    standing = found[0].roll(1, 0)[few]
    both = (pose, animation_keypoints("avd", standing, pose, avd=model.avd_network))
    made = [model.move(other, standing, points)[2].prediction for points in both]
    return Report(figures, grid([other, actor, *made]))
