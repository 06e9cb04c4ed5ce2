"""The folder of a run, from its stages to a set of weights.

RUN/sources.json    what it started from
RUN/stand_ins/      VAE and image encoder, where they are ours
RUN/stage1/         checkpoints, log, grids, config.json (see `loop`)
RUN/stage2/         the same, and begun_from.txt: the checkpoint of stage 1 that it stands on
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers.models.unets.unet_motion_model import UNetMotionModel

from understudy_backend.models.animate_anyone.denoising import noise_schedule
from understudy_backend.models.animate_anyone.parts import AnimatorParts
from understudy_backend.training.animator.lessons import NAME, lesson
from understudy_backend.training.animator.settings import AnimatorSetting, Stage, read_setting
from understudy_backend.training.animator.shards import KIND, Clips
from understudy_backend.training.animator.start import Sources, Start, add_time, begin, keep_sources
from understudy_backend.training.animator.trainee import choose_trained
from understudy_backend.training.arrays import DataError, Samples, split_of
from understudy_backend.training.checkpoints import Progress, TrainingError, checkpoints, load_averages
from understudy_backend.training.loop import start as start_devices
from understudy_backend.training.loop import train
from understudy_backend.training.setting_files import write_setting
from understudy_backend.weights.animate_anyone import Kind, save_animator

SETTING_FILE = "config.json"
BEGUN_FILE = "begun_from.txt"


def train_stage(
    stage: Stage, setting: AnimatorSetting, given: Sources, data: list[Path], run: Path, *, cpu: bool = False
) -> Progress:
    """Trains a stage, or goes on with it.

    Args:
        stage: which; stage 2 needs stage 1, or a set of weights to start from.
        setting: all hyper-parameters.
        given: what to start from.
        data: folders of data sets.
        run: folder of the run.
        cpu: leave a GPU alone.

    Raises:
        TrainingError, DataError, MethodError: see their messages.
    """
    training, folder = setting.training(stage), run / stage
    clips = clips_of(data, "train")
    others = clips_of(data, "val") if any(split_of(data, KIND, "val")) else clips
    accelerator = start_devices(training, folder, cpu=cpu)
    with accelerator.main_process_first():  # which makes what is missing; the others find it
        sources = keep_sources(run, given)
        networks = _before(stage, setting, sources, run, clips)
    made = lesson(setting, stage, networks, clips, others)
    if accelerator.is_main_process:
        write_setting(setting, folder / SETTING_FILE)
    progress = train(made, training, folder, accelerator)
    accelerator.end_training()
    return progress


def clips_of(data: list[Path], split: str) -> Clips:
    """The clips of a split, those of all folders together.

    Raises:
        DataError: nothing there, or a data set is incomplete.
    """
    folders = split_of(data, KIND, split)
    if not folders:
        places = ", ".join(str(root) for root in data) or "--data"
        raise DataError(f"no clips: {places} has no {KIND}/{split}")
    return Clips(Samples(folders))


def export(run: Path, kind: Kind, to: Path, *, half: bool = False) -> Stage:
    """Writes the newest averaged weights as a set that the methods load; also while the run goes on.

    Args:
        run: folder of the run.
        kind: of the method that it trains.
        to: folder of the set, such as `~/.understudy/weights/champ-mine`.
        half: in 16 bits rather than 32.

    Returns:
        The stage that they are of; without stage 2 the temporal layers change nothing.

    Raises:
        TrainingError: nothing to export, or a damaged checkpoint.
        MethodError: the folder cannot be written.
    """
    stage: Stage = "stage2" if checkpoints(run / "stage2" / "checkpoints") else "stage1"
    if not checkpoints(run / stage / "checkpoints"):
        raise TrainingError(f"{run} has no checkpoints to export: train stage 1 first")
    setting = read_setting(kind, str(run / stage / SETTING_FILE))
    sources = keep_sources(run, Sources(kind))
    start = _trained(stage, setting, sources, run)
    if stage == "stage1":
        start = add_time(start, sources)
    trainee = start.trainee
    assert isinstance(trainee.denoiser, UNetMotionModel)
    parts = AnimatorParts(
        start.vae, start.image_encoder, trainee.reference_net, trainee.denoiser, trainee.guider, noise_schedule()
    )
    for module in parts.modules:
        module.to(torch.float16 if half else torch.float32)
    save_animator(parts, start.config, to, kind)
    return stage


def _before(stage: Stage, setting: AnimatorSetting, sources: Sources, run: Path, clips: Clips | None) -> Start:
    """The networks before a stage, as when it began."""
    if stage == "stage1":
        return begin(setting, sources, run, clips)
    found = checkpoints(run / "stage1" / "checkpoints")
    if not found:
        if sources.start is None:
            raise TrainingError(f"{run} has no checkpoint of stage 1: train it first, or name a set with --start-from")
        return add_time(begin(setting, sources, run, clips), sources)
    note = run / "stage2" / BEGUN_FILE
    if note.is_file() and checkpoints(note.parent / "checkpoints"):
        if (began := note.read_text().strip()) != found[-1].name:
            raise TrainingError(
                f"stage 2 began from stage 1's {began}, and the last one is {found[-1].name}: delete {note.parent} to "
                "begin it anew"
            )
    else:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(found[-1].name + "\n")
    return add_time(_trained("stage1", setting, sources, run), sources)


def _trained(stage: Stage, setting: AnimatorSetting, sources: Sources, run: Path) -> Start:
    """The networks after a stage, so far: the averaged weights of its last checkpoint."""
    start = _before(stage, setting, sources, run, None)
    choose_trained(start.trainee, stage)
    load_averages(checkpoints(run / stage / "checkpoints")[-1], {NAME: start.trainee}, trained_only=True)
    return start
