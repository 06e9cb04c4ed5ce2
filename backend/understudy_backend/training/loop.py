"""The training loop that all three trainings share: optimiser, schedule, moving average, checkpoints, log."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training."""

    steps: int = 4000
    """Optimiser steps in all."""
    minutes: float = math.inf
    """Stop after this wall time; the learning rate reaches its end then, too."""
    batch: int = 8
    learning_rate: float = 5e-4
    """Peak; rises over `warmup` steps, then falls along a cosine to a fiftieth."""
    warmup: int = 50
    weight_decay: float = 1e-3
    ema: float = 0.998
    """Decay of the moving average of the weights, which is what is kept."""
    seed: int = 0
    checkpoint_minutes: float = 5.0


class MovingAverage:
    """Exponential moving average of the trained parameters; young averages forget faster."""

    def __init__(self, parameters: dict[str, nn.Parameter], decay: float) -> None:
        self.values = {name: p.detach().clone() for name, p in parameters.items()}
        self.decay = decay

    @torch.no_grad()
    def update(self, parameters: dict[str, nn.Parameter], step: int) -> None:
        """Takes in the weights after a step."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, p in parameters.items():
            self.values[name].lerp_(p.detach(), 1 - decay)


def train(
    modules: dict[str, nn.Module],
    loss_of: Callable[[Tensor], Tensor],
    count: int,
    config: TrainConfig,
    out: Path,
    on_checkpoint: Callable[[int], dict[str, float]] = lambda step: {},
) -> None:
    """Minimises `loss_of(indices)` over batches of indices below `count`; ends with the averaged weights in `modules`.

    A checkpoint in `out` is picked up: weights, averages, optimiser and step. `on_checkpoint(step)` is called with the
    averaged weights in place and returns figures for the log (`out/log.jsonl`).
    """
    out.mkdir(parents=True, exist_ok=True)
    parameters = {
        f"{prefix}.{name}": p
        for prefix, module in modules.items()
        for name, p in module.named_parameters()
        if p.requires_grad
    }
    optimiser = torch.optim.AdamW(parameters.values(), lr=config.learning_rate, weight_decay=config.weight_decay)
    average = MovingAverage(parameters, config.ema)
    step, spent = _resume(out, parameters, average, optimiser)
    start, saved, recent = time.monotonic() - spent, time.monotonic(), []
    for indices in _batches(count, config, step):
        elapsed = (time.monotonic() - start) / 60
        progress = max(step / config.steps, elapsed / config.minutes)
        if progress >= 1:
            break
        rate = config.learning_rate * min(1, (step + 1) / config.warmup)
        rate *= 0.02 + 0.98 * (1 + math.cos(math.pi * progress)) / 2
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = loss_of(indices)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimiser.step()
        step += 1
        average.update(parameters, step)
        recent.append(float(loss.detach()))
        if step % 50 == 0:
            print(f"step {step}  loss {sum(recent) / len(recent):.4f}  {elapsed:.1f} min", flush=True)
            recent.clear()
        if time.monotonic() - saved > config.checkpoint_minutes * 60:
            _checkpoint(out, parameters, average, optimiser, step, time.monotonic() - start, on_checkpoint)
            saved = time.monotonic()
    _checkpoint(out, parameters, average, optimiser, step, time.monotonic() - start, on_checkpoint)
    _swap(parameters, average)
    (out / "config.json").write_text(json.dumps(asdict(config) | {"steps_done": step}, indent=1))


def _batches(count: int, config: TrainConfig, first: int) -> Iterable[Tensor]:
    """Batches of shuffled indices for ever; those before step `first` are skipped, so that resuming sees the rest."""
    generator = torch.Generator().manual_seed(config.seed)
    number = 0
    while True:
        order = torch.randperm(count, generator=generator)
        for chunk in order.split(config.batch):
            if len(chunk) < min(config.batch, count):
                continue
            number += 1
            if number > first:
                yield chunk


@torch.no_grad()
def _swap(parameters: dict[str, nn.Parameter], average: MovingAverage) -> None:
    """Exchanges the trained and the averaged weights, in place."""
    for name, p in parameters.items():
        other = average.values[name].clone()
        average.values[name].copy_(p)
        p.copy_(other)


def _checkpoint(
    out: Path,
    parameters: dict[str, nn.Parameter],
    average: MovingAverage,
    optimiser: torch.optim.Optimizer,
    step: int,
    spent: float,
    on_checkpoint: Callable[[int], dict[str, float]],
) -> None:
    tensors = {f"now/{n}": p.detach().contiguous() for n, p in parameters.items()}
    tensors |= {f"mean/{n}": v.contiguous() for n, v in average.values.items()}
    names = list(parameters)
    for i, state in enumerate(optimiser.state_dict()["state"].values()):
        tensors |= {f"first/{names[i]}": state["exp_avg"], f"second/{names[i]}": state["exp_avg_sq"]}
    # clone: tied storage is refused by safetensors, and a conv in channels-last must be laid out plainly
    tensors = {n: t.clone(memory_format=torch.contiguous_format) for n, t in tensors.items()}
    partial = out / "state.partial"
    save_file(tensors, partial, metadata={"step": str(step), "spent": str(spent)})
    partial.replace(out / "state.safetensors")
    _swap(parameters, average)
    figures = on_checkpoint(step)
    _swap(parameters, average)
    with (out / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": step, "minutes": round(spent / 60, 2), **figures}) + "\n")
    print(f"step {step}: {figures}", flush=True)


def _resume(
    out: Path, parameters: dict[str, nn.Parameter], average: MovingAverage, optimiser: torch.optim.Optimizer
) -> tuple[int, float]:
    """Restores a checkpoint: (steps done, seconds spent), zeros where there is none."""
    from safetensors import safe_open

    path = out / "state.safetensors"
    if not path.exists():
        return 0, 0.0
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        meta = file.metadata()
    step = int(meta["step"])
    with torch.no_grad():
        for name, p in parameters.items():
            p.copy_(tensors[f"now/{name}"])
            average.values[name].copy_(tensors[f"mean/{name}"])
    state = {
        i: {
            "step": torch.tensor(float(step)),
            "exp_avg": tensors[f"first/{name}"],
            "exp_avg_sq": tensors[f"second/{name}"],
        }
        for i, name in enumerate(parameters)
    }
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return step, float(meta["spent"])
