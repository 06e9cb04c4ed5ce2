"""A run's averaged weights as fp16 safetensors in diffusers' folders, as `weights.threedhm` reads them."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from understudy_backend.models.threedhm.outline import OutlineNetwork
from understudy_backend.training.bases import base_of, load_vae
from understudy_backend.training.checkpoints import TrainingError, checkpoints, load_averages
from understudy_backend.training.configs import read_setting
from understudy_backend.training.stage2 import new_branch
from understudy_backend.weights.threedhm import Sampling, save_prompt, save_sampling

STAGES = ("infill", "render")
SETTING_FILE = "config.json"
"""In a stage's folder of a run: the setting that it was trained with."""
SOURCE_FILE = "weights.txt"
"""In a stage's folder of a run: the Stable Diffusion weights that it started from."""


def export(run: Path, to: Path) -> list[str]:
    """Writes every stage that has a checkpoint, also while the run goes on.

    Args:
        run: folder of the run.
        to: where `infill/`, `render/` and, for networks of ours, `vae/` go: a set of weights as the backend loads it.

    Returns:
        Names of the stages written.

    Raises:
        TrainingError: nothing to export, or a damaged checkpoint.
    """
    written = [stage for stage in STAGES if checkpoints(run / stage / "checkpoints")]
    if not written:
        raise TrainingError(f"{run} has no checkpoints of {' or '.join(STAGES)} to export")
    for stage in written:
        _export_stage(run, stage, to)
    return written


def _export_stage(run: Path, stage: str, to: Path) -> None:
    newest, source = checkpoints(run / stage / "checkpoints")[-1], run / stage / SOURCE_FILE
    setting = read_setting(str(run / stage / SETTING_FILE))
    base = base_of(stage, setting, run, source.read_text().strip() if source.is_file() else None)
    if stage == "infill":
        load_averages(newest, {"unet": base.unet})
    else:
        branch = new_branch(setting, base)
        load_averages(newest, {"branch": branch} | ({"unet": base.unet} if setting.train_unet else {}))
        _save(branch, to / stage / "branch")
        if found := checkpoints(run / "outline" / "checkpoints"):
            network = OutlineNetwork()
            load_averages(found[-1], {"outline": network})
            _save(network, to / stage / "outline")
    _save(base.unet, to / stage / "unet")
    base.scheduler.save_pretrained(to / stage / "scheduler")
    save_prompt(base.prompt, to / stage)
    if stage == "infill":
        save_sampling(Sampling(setting.sampling_steps, detail=setting.detail), to / stage)
    else:
        save_sampling(Sampling(setting.sampling_steps, setting.window), to / stage)
    if setting.networks is None:
        _save(base.vae, to / stage / "vae")
    else:
        _save(load_vae(run), to / "vae")


def _save(module: nn.Module, folder: Path) -> None:
    module.half().save_pretrained(folder)  # pyright: ignore[reportCallIssue]
