"""The state of a run in one safetensors file per checkpoint: weights, running statistics, the optimiser's moments.

Names are `now/…`, `buffer/…`, `first/…`, `second/…` and `steps/…` before those of the module. Parameters may have
taken different numbers of steps: those of the background predictor start late.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from understudy_backend.training.checkpoints import Progress, TrainingError, read_progress, write_checkpoint

NOW, BUFFER = "now/", "buffer/"
MOMENTS = {"first/": "exp_avg", "second/": "exp_avg_sq", "steps/": "step"}


@dataclass(frozen=True)
class State:
    """The tensors of a run, in place: saving reads them, loading writes into them."""

    module: nn.Module
    """What is trained."""
    optimiser: torch.optim.Optimizer

    def save(self, folder: Path, progress: Progress, keep: int) -> Path:
        """Writes a checkpoint, whole or not at all, and removes all but the last `keep`.

        Raises:
            TrainingError: weights that are not finite, a full disk, or a folder that cannot be written.
        """
        tensors = {BUFFER + name: buffer for name, buffer in self.module.named_buffers()}
        for name, parameter in self.module.named_parameters():
            tensors[NOW + name] = parameter.detach()
            moments = self.optimiser.state.get(parameter) or {}
            tensors |= {prefix + name: moments[key] for prefix, key in MOMENTS.items() if key in moments}
        return write_checkpoint(folder, progress, tensors, self.module.parameters(), keep)

    @torch.no_grad()
    def load(self, path: Path) -> Progress:
        """Restores a checkpoint in place.

        Raises:
            TrainingError: the file is damaged, or of other networks.
        """
        progress = read_progress(path)
        tensors = load_module(path, self.module)
        for name, parameter in self.module.named_parameters():
            if "steps/" + name in tensors:
                # laid out like the weights, as the optimiser itself does: sums then come out the same to the last bit
                moments = {
                    key: torch.empty_like(parameter).copy_(tensors[prefix + name])
                    for prefix, key in MOMENTS.items()
                    if key != "step"
                }
                self.optimiser.state[parameter] = {"step": tensors["steps/" + name], **moments}
        return progress


@torch.no_grad()
def load_module(path: Path, module: nn.Module) -> dict[str, Tensor]:
    """Puts a checkpoint's weights and statistics into a module; returns all that the checkpoint holds.

    Raises:
        TrainingError: the file is damaged, or of other networks.
    """
    tensors = _read(path)
    for prefix, targets in ((NOW, module.named_parameters()), (BUFFER, module.named_buffers())):
        for name, target in targets:
            value = tensors.get(prefix + name)
            if value is None or value.shape != target.shape:
                said = "has no" if value is None else "has another shape of"
                raise TrainingError(f"{path} is of other networks: it {said} {name}")
            target.copy_(value)
    return tensors


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"the checkpoint {path} is damaged ({error}): delete it to go on without") from None
