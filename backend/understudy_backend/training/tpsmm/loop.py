"""The training loop of TPSMM, on accelerate: epochs, milestones, and gradients limited network by network.

The published code has a second optimiser for the background predictor, with the settings of the first. Adam passes over
parameters without a gradient and counts each one's steps, so that one optimiser for all does the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list
from torch import Tensor, nn

from understudy_backend.training import draws
from understudy_backend.training.checkpoints import Progress, TrainingError, checkpoints
from understudy_backend.training.draws import Draw
from understudy_backend.training.loop import Log, Report, ahead, resume
from understudy_backend.training.tpsmm.settings import Schedule
from understudy_backend.training.tpsmm.state import State

Batch = dict[str, Tensor]
BETAS = (0.5, 0.999)


@dataclass(frozen=True)
class Task:
    """What is learnt from what."""

    learner: nn.Module
    """Called with a batch and the epoch; gives losses by name, whose sum is minimised."""
    trained: nn.Module
    """The part of it that learns, and that checkpoints hold."""
    clipped: tuple[nn.Module, ...]
    """Parts of it whose gradients are limited, each for itself."""
    count: int
    """Identities (or clips) there are."""
    prepare: Callable[[Draw], Batch]
    """A part of a batch, on the CPU; called in a thread."""
    validate: Callable[[torch.device], Report]
    """Called on the first process only."""


def start(schedule: Schedule, out: Path, *, cpu: bool = False) -> Accelerator:
    """The devices of this run, as `accelerate launch` or the machine says.

    Raises:
        TrainingError: a number format that the device lacks, or a batch that cannot be shared out.
    """
    try:
        accelerator = Accelerator(
            mixed_precision=schedule.mixed_precision,
            gradient_accumulation_steps=schedule.accumulate,
            cpu=cpu,
            log_with="tensorboard",
            project_dir=out,
            # the background predictor rests at first
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
    except ValueError as error:
        raise TrainingError(f"{str(error).splitlines()[0]}; choose another --mixed-precision") from None
    parts = schedule.accumulate * accelerator.num_processes
    if schedule.batch % parts or schedule.batch < 2 * parts:
        raise TrainingError(
            f"a batch of {schedule.batch} cannot be shared by {accelerator.num_processes} devices in "
            f"{schedule.accumulate} parts each: choose a multiple of {parts}, at least {2 * parts}"
        )
    return accelerator


def train(task: Task, schedule: Schedule, out: Path, accelerator: Accelerator) -> Progress:
    """Trains; checkpoints, log and grids go to `out`, and what lies there is picked up.

    Raises:
        TrainingError: a damaged checkpoint, or a run that diverges.
    """
    parameters = [p for p in task.trained.parameters() if p.requires_grad]
    plain = torch.optim.Adam(parameters, schedule.learning_rate, BETAS, weight_decay=schedule.weight_decay)
    learner, optimiser = accelerator.prepare(task.learner, plain)
    learner.train()
    state = State(task.trained, plain)
    done = resume(state, out, accelerator)
    log = Log(out, accelerator, done.step)
    began, step, saved = time.monotonic() - done.seconds, done.step, done.step
    losses: dict[str, list[Tensor]] = {}
    length = schedule.steps_per_epoch(task.count)
    for parts in _batches(task, schedule, accelerator, step, schedule.epochs * length):
        if _time_is_up(time.monotonic() - began, schedule):
            break
        epoch = step // length
        for group in plain.param_groups:
            group["lr"] = schedule.rate(epoch)
        draws.seed_model(schedule.seed, step, accelerator.process_index)
        for part in parts:
            batch = {n: t.to(accelerator.device) for n, t in part.result().items()}
            with accelerator.accumulate(learner), accelerator.autocast():
                found: dict[str, Tensor] = learner(batch, epoch)
                accelerator.backward(torch.stack(list(found.values())).sum())
                if accelerator.sync_gradients:
                    accelerator.unscale_gradients()
                    for module in task.clipped:
                        nn.utils.clip_grad_norm_(module.parameters(), schedule.clip, norm_type=math.inf)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
            for name, loss in found.items():
                losses.setdefault(name, []).append(loss.detach())
        step += 1
        if step % schedule.log_every == 0:
            means = {name: torch.stack(values).float().mean() for name, values in losses.items()}
            figures = {"epoch": float(epoch), **{name: float(mean) for name, mean in means.items()}}
            seconds, rate = time.monotonic() - began, schedule.rate(epoch)
            log.losses(step, seconds, [torch.stack(list(means.values())).sum()], rate, figures)
            losses.clear()
        if step % schedule.save_every == 0:
            _save(task, state, schedule, out, accelerator, log, step, time.monotonic() - began)
            saved = step
    seconds = time.monotonic() - began
    if saved != step or not checkpoints(out / "checkpoints"):
        _save(task, state, schedule, out, accelerator, log, step, seconds)
    log.close()
    return Progress(step, seconds)


def _save(
    task: Task, state: State, schedule: Schedule, out: Path, accelerator: Accelerator, log: Log, step: int,
    seconds: float,
) -> None:  # fmt: skip
    if accelerator.is_main_process:
        progress = Progress(step, seconds, step)
        if accelerator.scaler is not None:
            scaler = accelerator.scaler.state_dict()
            progress = Progress(step, seconds, step, float(scaler["scale"]), int(scaler["_growth_tracker"]))
        state.save(out / "checkpoints", progress, schedule.keep)
        task.learner.eval()
        with torch.no_grad():
            report = task.validate(accelerator.device)
        task.learner.train()
        log.report(step, seconds, report)
    accelerator.wait_for_everyone()


def _time_is_up(seconds: float, schedule: Schedule) -> bool:
    if schedule.minutes is None:
        return False
    agreed = [seconds / 60 >= schedule.minutes]
    broadcast_object_list(agreed)  # clocks differ, and all processes must stop at the same step
    return agreed[0]


def _batches(
    task: Task, schedule: Schedule, accelerator: Accelerator, first: int, end: int
) -> Iterator[list[Future[Batch]]]:
    """This process's parts of the batches of steps `first` to `end`, prepared a few parts ahead."""
    size = schedule.batch // (schedule.accumulate * accelerator.num_processes)

    def part(step: int, number: int) -> Batch:
        begin = (number * accelerator.num_processes + accelerator.process_index) * size
        places = range(begin, begin + size)
        return task.prepare(draws.draw(schedule.seed, step, places, schedule.batch, task.count))

    return ahead(part, range(first, end), schedule.accumulate)
