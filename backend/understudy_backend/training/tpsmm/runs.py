"""Runs from folder to folder: `RUN/train/`, `RUN/avd/`, and the file of weights made of both."""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import Accelerator

from understudy_backend.models.tpsmm.config import TPSMMConfig
from understudy_backend.models.tpsmm.model import TPSMM
from understudy_backend.training.checkpoints import TrainingError, checkpoints
from understudy_backend.training.setting_files import write_setting
from understudy_backend.training.tpsmm.clips import INDEX, find_clips
from understudy_backend.training.tpsmm.loop import start, train
from understudy_backend.training.tpsmm.perceptual import comparison
from understudy_backend.training.tpsmm.settings import Setting, read_setting
from understudy_backend.training.tpsmm.stages import Clips, disentangling, reconstruction
from understudy_backend.training.tpsmm.state import load_module
from understudy_backend.weights.tpsmm import load_tpsmm, save_tpsmm

SETTING_FILE = "config.json"


def train_networks(
    setting: Setting,
    data: Path,
    out: Path,
    vgg: str | None,
    earlier: Path | None,
    *,
    megabytes: float,
    cpu: bool,
) -> None:
    """The first stage, begun or gone on with.

    Args:
        setting: all hyper-parameters.
        data: folder with `train` and `test`.
        out: folder of the run.
        vgg: see `perceptual.comparison`.
        earlier: weights to start from.
        megabytes: see `Frames`.
        cpu: leave a GPU alone.

    Raises:
        TrainingError, ClipError, MethodError: see their messages.
    """
    folder = out / "train"
    compare = comparison(setting, vgg)
    torch.manual_seed(setting.train.seed)
    model = TPSMM(setting.networks, background=setting.background_from is not None, avd=False)
    if earlier is not None:
        _take_over(model, load_tpsmm(earlier, training=True), earlier)
    accelerator = start(setting.train, folder, cpu=cpu)
    clips, others = _clips(data, out, setting.networks, megabytes, accelerator)
    if accelerator.is_main_process:
        write_setting(setting, folder / SETTING_FILE)
    train(reconstruction(setting, model, compare, clips, others), setting.train, folder, accelerator)
    accelerator.end_training()


def train_avd(setting: Setting, data: Path, out: Path, weights: Path | None, *, megabytes: float, cpu: bool) -> None:
    """The second stage, begun or gone on with, on the run's own networks or on `weights`.

    Raises:
        TrainingError, ClipError, MethodError: see their messages.
    """
    model, folder = networks_of(out, weights), out / "avd"
    torch.manual_seed(setting.avd.seed)
    model.avd_network = TPSMM(model.config, background=False).avd_network
    accelerator = start(setting.avd, folder, cpu=cpu)
    clips, others = _clips(data, out, model.config, megabytes, accelerator)
    if accelerator.is_main_process:
        write_setting(setting, folder / SETTING_FILE)
    train(disentangling(setting, model, clips, others), setting.avd, folder, accelerator)
    accelerator.end_training()


def networks_of(out: Path, weights: Path | None) -> TPSMM:
    """The networks of a run's newest checkpoint, or those of a file; in evaluation mode.

    Raises:
        TrainingError: neither is there, or a damaged checkpoint.
        MethodError: the file cannot be read.
    """
    found = checkpoints(out / "train" / "checkpoints")
    if weights is not None:
        return load_tpsmm(weights, training=True)
    if not found:
        raise TrainingError(f"{out} has no checkpoints of train: train first, or give --weights")
    setting = read_setting(str(out / "train" / SETTING_FILE))
    model = TPSMM(setting.networks, background=setting.background_from is not None, avd=False)
    load_module(found[-1], model)
    return model.eval().requires_grad_(False)


def export(out: Path, to: Path, weights: Path | None, *, compact: bool = False) -> str:
    """Writes a run's newest weights as the backend loads them, also while the run goes on.

    Args:
        out: folder of the run.
        to: the file, ending in `.safetensors`.
        weights: of the networks that AVD was trained for, where they are not the run's own.
        compact: half precision, and no background predictor, which animation does without.

    Returns:
        The names of the networks written.

    Raises:
        TrainingError: nothing to export, or a damaged checkpoint.
    """
    if to.suffix != ".safetensors":
        raise TrainingError(f"weights go into a .safetensors file, not {to.name}")
    model = networks_of(out, weights)
    trained = checkpoints(out / "avd" / "checkpoints")
    if trained:
        model.avd_network = TPSMM(model.config, background=False).avd_network
        assert model.avd_network is not None
        load_module(trained[-1], model.avd_network)
    if compact:
        model.bg_predictor = None
        model.half()
    save_tpsmm(model.eval(), to)
    return ", ".join(name for name, _ in model.named_children())


def _clips(
    data: Path, out: Path, config: TPSMMConfig, megabytes: float, accelerator: Accelerator
) -> tuple[Clips, Clips]:
    """The clips of both splits; those of training serve validation as well where there are no others."""
    made = []
    for split in ("train", "test"):
        if split == "test" and not (data / split).is_dir():
            accelerator.print(f"{data} has no {split}: validation shows clips of training", flush=True)
            continue
        with accelerator.main_process_first():  # the others then find its index
            found = find_clips(data / split, out / f"{split}-{INDEX}")
        accelerator.print("\n  ".join([found.said(), *found.problems]), flush=True)
        made.append(Clips.of(found, config.image_size, megabytes))
    return made[0], made[-1]


def _take_over(model: TPSMM, other: TPSMM, path: Path) -> None:
    for name, module in model.named_children():
        start_from = getattr(other, name)
        if start_from is None:
            continue  # the background predictor starts anew
        try:
            module.load_state_dict(start_from.state_dict())
        except RuntimeError:
            raise TrainingError(f"{path} does not fit the setting: its {name} is of another size") from None
