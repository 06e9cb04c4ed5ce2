"""The state of a run, in one safetensors file per checkpoint: weights, their averages, the optimiser's moments.

Names are `now/…`, `mean/…`, `first/…` and `second/…` before `MODULE.PARAMETER`. Nothing else is needed to go on: data
order and noise follow from the step (see `draws`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

NOW, MEAN, FIRST, SECOND = "now", "mean", "first", "second"
NAME = re.compile(r"step-(\d+)\.safetensors")


class TrainingError(ValueError):
    """What keeps a training from going on, in one line, with what to do about it."""


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    step: int = 0
    """Optimiser steps done."""
    seconds: float = 0.0
    """Wall time spent on them, over all sittings."""
    updates: int = 0
    """Steps that changed the weights: all, but for those that fp16 skips because its scale was too large."""
    scale: float | None = None
    """fp16's loss scale."""
    growth: int = 0
    """Steps since fp16's loss scale last changed."""


@dataclass(frozen=True)
class State:
    """The tensors of a run, in place: saving reads them, loading writes into them. All by the same names."""

    now: Mapping[str, nn.Parameter]
    mean: Mapping[str, Tensor]
    optimiser: torch.optim.Optimizer

    def save(self, folder: Path, progress: Progress, keep: int) -> Path:
        """Writes a checkpoint, whole or not at all, and removes all but the last `keep`.

        Raises:
            TrainingError: weights that are not finite, a full disk, or a folder that cannot be written.
        """
        tensors = {f"{NOW}/{n}": p.detach() for n, p in self.now.items()}
        tensors |= {f"{MEAN}/{n}": v for n, v in self.mean.items()}
        for name, p in self.now.items():
            moments = self.optimiser.state.get(p)
            if moments:
                tensors |= {f"{FIRST}/{name}": moments["exp_avg"], f"{SECOND}/{name}": moments["exp_avg_sq"]}
        return write_checkpoint(folder, progress, tensors, self.now.values(), keep)

    @torch.no_grad()
    def load(self, path: Path) -> Progress:
        """Restores a checkpoint in place.

        Raises:
            TrainingError: the file is damaged, or of other networks.
        """
        progress = read_progress(path)
        with _opened(path) as file:
            names = set(file.keys())
            for name, p in self.now.items():
                _copy(p, file, f"{NOW}/{name}", names, path)
                _copy(self.mean[name], file, f"{MEAN}/{name}", names, path)
                if progress.updates == 0:
                    continue
                # laid out like the weights, as the optimiser itself does: sums then come out the same to the last bit
                moments = {"exp_avg": torch.empty_like(p), "exp_avg_sq": torch.empty_like(p)}
                _copy(moments["exp_avg"], file, f"{FIRST}/{name}", names, path)
                _copy(moments["exp_avg_sq"], file, f"{SECOND}/{name}", names, path)
                self.optimiser.state[p] = {"step": torch.tensor(float(progress.updates)), **moments}
        return progress


def write_checkpoint(
    folder: Path, progress: Progress, tensors: Mapping[str, Tensor], weights: Iterable[Tensor], keep: int
) -> Path:
    """Writes a checkpoint, whole or not at all, and removes all but the last `keep`.

    Args:
        folder: of the run's checkpoints.
        progress: that it belongs to.
        tensors: its content by name.
        weights: what must be finite in it.
        keep: how many checkpoints stay.

    Raises:
        TrainingError: weights that are not finite, a full disk, or a folder that cannot be written.
    """
    if not all(bool(torch.isfinite(p).all()) for p in weights):
        raise TrainingError(
            f"the weights are no longer finite at step {progress.step}: go on from the last checkpoint with a "
            "smaller learning rate, or without mixed precision"
        )
    meta = {"step": str(progress.step), "spent": str(progress.seconds), "updates": str(progress.updates)}
    if progress.scale is not None:
        meta |= {"scale": str(progress.scale), "growth": str(progress.growth)}
    path = folder / f"step-{progress.step:08d}.safetensors"
    unfinished = path.with_suffix(".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # laid out plainly: convolutions in channels-last are refused otherwise
        save_file({n: t.cpu().contiguous() for n, t in tensors.items()}, unfinished, metadata=meta)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except (OSError, SafetensorError) as error:
        unfinished.unlink(missing_ok=True)
        raise TrainingError(f"the checkpoint {path} cannot be written: {error}") from None
    for old in checkpoints(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted(p for p in folder.glob("step-*.safetensors") if NAME.fullmatch(p.name))


def read_progress(path: Path) -> Progress:
    """How far a checkpoint is.

    Raises:
        TrainingError: the file is damaged.
    """
    with _opened(path) as file:
        meta = file.metadata() or {}
    try:
        scale = float(meta["scale"]) if "scale" in meta else None
        step = int(meta["step"])
        updates = int(meta.get("updates", step))
        return Progress(step, float(meta["spent"]), updates, scale, int(meta.get("growth", 0)))
    except (KeyError, ValueError):
        raise _damaged(path, "it does not say its step") from None


@torch.no_grad()
def load_averages(path: Path, modules: Mapping[str, nn.Module], *, trained_only: bool = False) -> None:
    """Puts a checkpoint's averaged weights into modules (by the names they were trained under).

    Args:
        path: of the checkpoint.
        modules: whose parameters are set, in place.
        trained_only: leave parameters alone that take no gradient: a checkpoint holds what was trained.

    Raises:
        TrainingError: the file is damaged, or of other networks.
    """
    with _opened(path) as file:
        names = set(file.keys())
        for prefix, module in modules.items():
            for name, p in module.named_parameters():
                if trained_only and not p.requires_grad:
                    continue
                _copy(p, file, f"{MEAN}/{prefix}.{name}", names, path)


def _opened(path: Path):
    try:
        return safe_open(path, "pt")
    except (OSError, SafetensorError) as error:
        raise _damaged(path, str(error).splitlines()[0]) from None


def _copy(target: Tensor, file, name: str, names: set[str], path: Path) -> None:
    if name not in names:
        raise TrainingError(f"{path} is of other networks: it has no {name}")
    try:
        value = file.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, str(error).splitlines()[0]) from None
    if value.shape != target.shape:
        raise TrainingError(f"{path} is of other networks: {name} is {tuple(value.shape)}, not {tuple(target.shape)}")
    if not torch.isfinite(value).all():
        raise _damaged(path, f"{name} is not finite")
    target.copy_(value)


def _damaged(path: Path, why: str) -> TrainingError:
    older = [p for p in checkpoints(path.parent) if p < path]
    then = f"training goes on from {older[-1].name}" if older else "training starts anew"
    return TrainingError(f"the checkpoint {path} is damaged ({why}): delete it, and {then}")
