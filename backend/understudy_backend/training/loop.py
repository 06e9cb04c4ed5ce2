"""The training loop that all trainings share, on accelerate: one CPU, one GPU or several, through the same lines."""

from __future__ import annotations

import json
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import psutil
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from diffusers.training_utils import EMAModel
from numpy.typing import NDArray
from torch import Tensor, nn

from understudy_backend.atomic import write_atomically
from understudy_backend.training import draws
from understudy_backend.training.checkpoints import Progress, State, TrainingError, checkpoints
from understudy_backend.training.configs import Training
from understudy_backend.training.draws import Draw
from understudy_backend.training.grid import write_png

Modules = Mapping[str, nn.Module]
Batch = dict[str, Tensor]
LOADERS = 2
"""Threads that prepare batches while the networks work on others."""


class Resumable(Protocol):
    """The tensors of a run."""

    def load(self, path: Path) -> Progress:
        """Restores a checkpoint in place."""
        ...


@dataclass(frozen=True)
class Report:
    """What validation found."""

    figures: dict[str, float] = field(default_factory=dict)
    grid: NDArray[np.uint8] | None = None
    """(H, W, 3) uint8: samples below each other, what went in, what came out and the truth beside each other."""


@dataclass(frozen=True)
class Lesson:
    """What is learnt from what."""

    trained: Modules
    """Networks that learn, in float32."""
    frozen: Sequence[nn.Module]
    """Networks that only take part; they are moved to the device."""
    count: int
    """Samples there are."""
    prepare: Callable[[Draw], Batch]
    """What a part of a batch needs, on the CPU; called in a thread."""
    loss: Callable[[Modules, Batch], Tensor]
    """Mean loss of a part of a batch, which is on the networks' device."""
    validate: Callable[[Modules, torch.device], Report] = lambda modules, device: Report()
    """Called with the averaged weights in place, on the first process only."""


def start(training: Training, out: Path, *, cpu: bool = False) -> Accelerator:
    """The devices of this run, as `accelerate launch` or the machine says.

    Raises:
        TrainingError: a number format that the device lacks.
    """
    try:
        # accelerate counts the parts of a batch itself, and divides the loss by their number
        accelerator = Accelerator(
            mixed_precision=training.mixed_precision,
            gradient_accumulation_steps=training.accumulate,
            cpu=cpu,
            log_with="tensorboard",
            project_dir=out,
        )
    except ValueError as error:
        raise TrainingError(f"{str(error).splitlines()[0]}; choose another --mixed-precision") from None
    if training.batch % (training.accumulate * accelerator.num_processes):
        raise TrainingError(
            f"a batch of {training.batch} cannot be shared by {accelerator.num_processes} devices in "
            f"{training.accumulate} parts each: choose a multiple of {training.accumulate * accelerator.num_processes}"
        )
    return accelerator


def train(
    lesson: Lesson, training: Training, out: Path, accelerator: Accelerator, *, keep_state: bool = True
) -> Progress:
    """Minimises the loss; checkpoints, log and grids go to `out`, and what lies there is picked up.

    Args:
        lesson: what to learn. Its trained modules end with the averaged weights.
        training: settings.
        out: folder of this part of the run: `checkpoints/`, `grids/`, `tensorboard/`, `log.jsonl`.
        accelerator: from `start`.
        keep_state: write checkpoints and validate; a measurement does without.

    Raises:
        TrainingError: a damaged checkpoint, or a run that diverges.
    """
    parameters = {
        f"{prefix}.{name}": p
        for prefix, module in lesson.trained.items()
        for name, p in module.named_parameters()
        if p.requires_grad
    }
    for module in lesson.frozen:
        module.to(accelerator.device)
    if training.gradient_checkpointing:
        for module in (*lesson.trained.values(), *lesson.frozen):
            if hasattr(module, "enable_gradient_checkpointing"):
                module.enable_gradient_checkpointing()  # pyright: ignore[reportCallIssue]
    plain = torch.optim.AdamW(parameters.values(), lr=training.learning_rate, weight_decay=training.weight_decay)
    prepared = accelerator.prepare(*lesson.trained.values(), plain)
    modules, optimiser = dict(zip(lesson.trained, prepared[:-1], strict=True)), prepared[-1]
    average = EMAModel(parameters.values(), decay=training.ema, foreach=True)
    state = State(parameters, dict(zip(parameters, average.shadow_params, strict=True)), plain)
    done = resume(state, out, accelerator)
    average.optimization_step = done.step
    log = Log(out, accelerator, done.step)
    began, step, progress, losses = time.monotonic() - done.seconds, done.step, done, []

    def save() -> Progress:
        now = _progress(step, time.monotonic() - began, plain, accelerator)
        if accelerator.is_main_process:
            state.save(out / "checkpoints", now, training.keep)
            average.store(parameters.values())
            average.copy_to(parameters.values())
            with torch.no_grad(), accelerator.autocast():
                report = lesson.validate(lesson.trained, accelerator.device)
            average.restore(parameters.values())
            log.report(step, now.seconds, report)
        accelerator.wait_for_everyone()
        return now

    for parts in _batches(lesson, training, accelerator, step):
        share = _share_done(step, time.monotonic() - began, training, accelerator)
        if share >= 1:
            break
        for group in plain.param_groups:
            group["lr"] = learning_rate(training, step, share)
        draws.seed_model(training.seed, step, accelerator.process_index)
        for part in parts:
            with accelerator.accumulate(*modules.values()), accelerator.autocast():
                loss = lesson.loss(modules, {n: t.to(accelerator.device) for n, t in part.result().items()})
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(parameters.values(), training.clip)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
            losses.append(loss.detach())
        step += 1
        average.step(parameters.values())
        if step % training.log_every == 0:
            log.losses(step, time.monotonic() - began, losses, plain.param_groups[0]["lr"])
            losses.clear()
        if keep_state and step % training.save_every == 0:
            progress = save()
    if keep_state and (progress.step != step or not checkpoints(out / "checkpoints")):
        progress = save()
    average.copy_to(parameters.values())
    log.close()
    return progress


def learning_rate(training: Training, step: int, share: float) -> float:
    """The rate of a step (counted from 0) when `share` of the run is done."""
    rate = training.learning_rate * min(1.0, (step + 1) / max(training.warmup, 1))
    if training.schedule == "cosine":
        rate *= training.final_rate + (1 - training.final_rate) * (1 + math.cos(math.pi * share)) / 2
    return rate


def _share_done(step: int, seconds: float, training: Training, accelerator: Accelerator) -> float:
    share = step / training.steps
    if training.minutes is None:
        return share
    agreed = [max(share, seconds / 60 / training.minutes)]
    broadcast_object_list(agreed)  # clocks differ, and all processes must stop at the same step
    return agreed[0]


def _batches(lesson: Lesson, training: Training, accelerator: Accelerator, first: int) -> Iterator[list[Future[Batch]]]:
    """This process's parts of the batches from step `first` on, prepared a few parts ahead."""
    size = training.batch // (training.accumulate * accelerator.num_processes)

    def part(step: int, number: int) -> Batch:
        begin = (number * accelerator.num_processes + accelerator.process_index) * size
        return lesson.prepare(draws.draw(training.seed, step, range(begin, begin + size), training.batch, lesson.count))

    return ahead(part, range(first, training.steps + 1), training.accumulate)


def ahead(part: Callable[[int, int], Batch], steps: range, parts: int) -> Iterator[list[Future[Batch]]]:
    """The parts of the batches of some steps, prepared in threads a few batches ahead.

    Args:
        part: makes a part of a batch of a step and the part's number.
        steps: which.
        parts: of each batch.
    """
    waiting: deque[list[Future[Batch]]] = deque()
    with ThreadPoolExecutor(LOADERS) as pool:
        try:
            for step in steps:
                waiting.append([pool.submit(part, step, number) for number in range(parts)])
                if len(waiting) > LOADERS:
                    yield waiting.popleft()
            yield from waiting
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def resume(state: Resumable, out: Path, accelerator: Accelerator) -> Progress:
    """Goes on from the last checkpoint in `out`, fp16's loss scale included; from the beginning where there is none."""
    found = checkpoints(out / "checkpoints")
    if not found:
        return Progress()
    progress = state.load(found[-1])
    if accelerator.scaler is not None and progress.scale is not None:
        scaler = accelerator.scaler.state_dict()
        accelerator.scaler.load_state_dict({**scaler, "scale": progress.scale, "_growth_tracker": progress.growth})
    accelerator.print(f"going on from step {progress.step}")
    return progress


def _progress(step: int, seconds: float, optimiser: torch.optim.Optimizer, accelerator: Accelerator) -> Progress:
    states = list(optimiser.state.values())
    updates = int(states[0]["step"]) if states else 0
    if accelerator.scaler is None:
        return Progress(step, seconds, updates)
    scaler = accelerator.scaler.state_dict()
    return Progress(step, seconds, updates, float(scaler["scale"]), int(scaler["_growth_tracker"]))


class Log:
    """The same figures on the terminal, in `log.jsonl` and for TensorBoard; pictures in `grids/`."""

    def __init__(self, out: Path, accelerator: Accelerator, first: int) -> None:
        """Goes on after step `first`, in the folder `out`."""
        self._out, self._accelerator = out, accelerator
        self._last, self._last_time = first, time.monotonic()
        if accelerator.is_main_process:
            out.mkdir(parents=True, exist_ok=True)
            self._forget(first)
        accelerator.init_trackers("tensorboard", init_kwargs={"tensorboard": {"purge_step": first + 1}})

    def losses(
        self, step: int, seconds: float, losses: list[Tensor], rate: float, parts: Mapping[str, float] | None = None
    ) -> None:
        """Notes the mean of the losses since the last call; raises TrainingError where it is not finite.

        Args:
            step: that is done.
            seconds: of training so far.
            losses: scalars, on this process.
            rate: the learning rate.
            parts: further figures, such as what the loss is the sum of.
        """
        mean = self._accelerator.reduce(torch.stack(losses).float().mean(), "mean")
        assert isinstance(mean, Tensor)
        now = time.monotonic()
        pace = (now - self._last_time) / max(step - self._last, 1)
        self._last, self._last_time = step, now
        figures = {"loss": float(mean), "learning_rate": rate, "seconds_per_step": round(pace, 4),
                   "memory_mb": round(peak_memory(self._accelerator.device)), **(parts or {})}  # fmt: skip
        self._write(step, seconds, figures)
        if not math.isfinite(figures["loss"]):
            raise TrainingError(
                f"the loss is no longer finite at step {step}: go on from the last checkpoint with a smaller learning "
                "rate, or without mixed precision"
            )

    def report(self, step: int, seconds: float, report: Report) -> None:
        """Notes what validation found."""
        if report.figures:
            self._write(step, seconds, report.figures)
        if report.grid is not None:
            write_png(self._out / "grids" / f"step-{step:08d}.png", report.grid)
            for tracker in self._accelerator.trackers:
                tracker.log_images({"validation": report.grid[None]}, step=step, dataformats="NHWC")  # pyright: ignore
        self._last_time = time.monotonic()  # the pace of training leaves validation out

    def close(self) -> None:
        """Lets the trackers finish their files."""
        for tracker in self._accelerator.trackers:
            tracker.finish()

    def _write(self, step: int, seconds: float, figures: dict[str, float]) -> None:
        if not self._accelerator.is_main_process:
            return
        self._accelerator.log(figures, step=step)
        with (self._out / "log.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, "minutes": round(seconds / 60, 3), **figures}) + "\n")
        print(f"step {step}  " + "  ".join(f"{n} {v:.4g}" for n, v in figures.items()), flush=True)

    def _forget(self, step: int) -> None:
        """Drops lines of steps that were lost with a killed run, and will be done again."""
        path = self._out / "log.jsonl"
        if not path.exists():
            return
        kept = []
        for line in path.read_text().splitlines():
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):
                continue  # a line that was being written when the run was killed
        write_atomically(path, lambda file: file.write("".join(kept).encode()))


def peak_memory(device: torch.device) -> float:
    """Most memory in use so far, in MB: the device's, or on a CPU the process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 2**20
    import resource  # Windows has none

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
