"""Trains 3DHM (arXiv 2401.10889): the small networks from nothing, or Stable Diffusion's as in the paper.

    python -m understudy_backend.training.threedhm vae    --data DATA --out RUN
    python -m understudy_backend.training.threedhm refine --data DATA --out RUN
    python -m understudy_backend.training.threedhm infill --data DATA --out RUN --steps 4000
    python -m understudy_backend.training.threedhm render --data DATA --out RUN --minutes 40
    python -m understudy_backend.training.threedhm outline --data DATA --out RUN
    python -m understudy_backend.training.threedhm export --out RUN --to FOLDER

DATA is a folder of data sets (`texture` and `frames`, each with `train` and `val`); several may be named. With
`--config sd15 --weights SD` only `infill` and `render` are trained. A run that was stopped goes on when its command is
given again. `accelerate launch -m understudy_backend.training.threedhm ...` trains on several devices.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import get_args, get_type_hints

import torch

from understudy_backend.methods.contract import MethodError
from understudy_backend.models.threedhm.outline import OutlineNetwork
from understudy_backend.models.threedhm.stages import Render
from understudy_backend.training import autoencoder, outline, stage1, stage2
from understudy_backend.training.arrays import DataError, Mirrored, Samples, split_of
from understudy_backend.training.bases import base_of, load_vae, start_from
from understudy_backend.training.checkpoints import TrainingError
from understudy_backend.training.configs import (
    SETTINGS,
    Part,
    Setting,
    Training,
    explanations,
    read_setting,
    with_changes,
)
from understudy_backend.training.export import SETTING_FILE, SOURCE_FILE, export
from understudy_backend.training.loop import Lesson, start, train
from understudy_backend.training.setting_files import write_setting

PARTS: tuple[Part, ...] = get_args(Part)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the networks of 3DHM")
    parser.add_argument("what", choices=["vae", *PARTS, "export"])
    parser.add_argument("--data", type=Path, nargs="+", default=[], help="folders of data sets, taken together")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--to", type=Path, help="export: where the weights go")
    parser.add_argument("--config", default="small", help=f"{', '.join(SETTINGS)}, or a JSON file of a setting")
    parser.add_argument("--weights", help="Stable Diffusion: a folder in diffusers' layout, or OWNER/NAME on the hub")
    parser.add_argument("--start-from", type=Path, help="weights of an earlier training: a checkpoint or a folder")
    parser.add_argument("--threads", type=int, help="CPU threads; torch chooses where it is not given")
    parser.add_argument("--cpu", action="store_true", help="leave a GPU alone")
    group = parser.add_argument_group("in place of the setting's own")
    add_fields(group)
    a = parser.parse_args(arguments)
    if a.threads:
        torch.set_num_threads(a.threads)
    try:
        run(a)
    except (TrainingError, DataError, ValueError, OSError) as error:
        parser.exit(1, f"error: {error}\n")
    except MethodError as error:
        parser.exit(1, f"error: {error}. {error.fix}\n")


def run(a: argparse.Namespace) -> None:
    """What the command line asks for."""
    if a.what == "export":
        if a.to is None:
            raise TrainingError("say with --to where the weights go")
        print(f"wrote {' and '.join(export(a.out, a.to))} to {a.to}")
        return
    setting = read_setting(a.config)
    if a.what in ("vae", "refine") and setting.networks is None:
        raise TrainingError(f"the setting {setting.name} uses Stable Diffusion's autoencoder, which stays as it is")
    if a.what == "outline" and setting.networks is None:
        raise TrainingError(f"the setting {setting.name} has no outline network: it is part of networks like ours")
    if a.what == "vae":
        assert setting.networks is not None
        autoencoder.save(autoencoder.fit(setting.networks, kinds_of(a.data, "train")), a.out / "vae" / "weights")
        return
    changes = {f.name: getattr(a, f.name) for f in dataclasses.fields(Training) if getattr(a, f.name) is not None}
    train_part(a.what, with_changes(setting, a.what, changes), a.data, a.out, a.weights, a.start_from, cpu=a.cpu)


def train_part(
    what: Part,
    setting: Setting,
    data: list[Path],
    out: Path,
    weights: str | None = None,
    earlier: Path | None = None,
    *,
    cpu: bool = False,
) -> None:
    """Trains one part, or goes on with it.

    Args:
        what: "refine", "infill", "render" or "outline".
        setting: all hyper-parameters.
        data: folders of data sets.
        out: folder of the run.
        weights: Stable Diffusion's, where the setting starts from them.
        earlier: weights of an earlier training to start from.
        cpu: leave a GPU alone.

    Raises:
        TrainingError, DataError, MethodError: see their messages.
    """
    training: Training = getattr(setting, what)
    folder = out / ("vae" if what == "refine" else what)
    lesson: Lesson
    if what == "refine":
        vae, kinds = load_vae(out), kinds_of(data, "train")
        accelerator = start(training, folder, cpu=cpu)
        lesson = autoencoder.lesson(setting, vae, kinds, kinds_of(data, "val", needed=False) or kinds)
        trainee = vae
    else:
        base = outline.trained_render(setting, out) if what == "outline" else base_of(what, setting, out, weights)
        trainee = None
        kind, cache = ("texture" if what == "infill" else "frames"), out / "latents"
        samples, other = kinds_of(data, "train", kind)[kind], kinds_of(data, "val", kind, needed=False).get(kind)
        if what != "infill" and training.mirror:
            samples = Mirrored(split_of(data, kind, "train"))
        accelerator = start(training, folder, cpu=cpu)
        others = samples if other is None else other  # its own people tell nothing of how well it generalises
        if isinstance(base, Render):
            finished, more = (outline.read(s, setting, base, cache, accelerator) for s in (samples, others))
            torch.manual_seed(training.seed)
            lesson = outline.lesson(setting, OutlineNetwork(), finished, more)
        elif what == "infill":
            textures, more = (stage1.read(s, setting, base, cache, accelerator) for s in (samples, others))
            lesson = stage1.lesson(setting, base, textures, (others, more))
        else:
            branch = stage2.new_branch(setting, base)
            frames, more = (stage2.read(s, setting, base, cache, accelerator) for s in (samples, others))
            lesson = stage2.lesson(setting, base, branch, frames, (others, more))
    if earlier is not None:
        start_from(earlier, lesson.trained)
    if accelerator.is_main_process:
        write_setting(setting, folder / SETTING_FILE)
        if weights is not None:
            (folder / SOURCE_FILE).write_text(weights + "\n")
    train(lesson, training, folder, accelerator)
    if trainee is not None and accelerator.is_main_process:
        autoencoder.save(trainee, folder / "weights")
    accelerator.end_training()


def kinds_of(data: list[Path], split: str, *kinds: str, needed: bool = True) -> dict[str, Samples]:
    """Samples of a split by kind, those of all folders together; all kinds that there are, unless named.

    Raises:
        DataError: nothing there, or a data set is incomplete.
    """
    found = {kind: split_of(data, kind, split) for kind in kinds or ("texture", "frames")}
    if needed and not any(found.values()):
        places = ", ".join(str(root) for root in data) or "--data"
        raise DataError(f"no samples: {places} has no {' or '.join(f'{kind}/{split}' for kind in found)}")
    return {kind: Samples(folders) for kind, folders in found.items() if folders}


def add_fields(group: argparse._ArgumentGroup, without: Collection[str] = ()) -> None:
    """One option for each hyper-parameter of `Training` but some, explained by its own docstring."""
    hints, texts = get_type_hints(Training), explanations(Training)
    for f in dataclasses.fields(Training):
        if f.name in without:
            continue
        option, text, kind = "--" + f.name.replace("_", "-"), texts[f.name].replace("%", "%%"), hints[f.name]
        if kind is bool:
            group.add_argument(option, action=argparse.BooleanOptionalAction, default=None, help=text)
        elif f.name in ("schedule", "mixed_precision"):
            group.add_argument(option, choices=get_args(kind), help=text)
        else:
            group.add_argument(option, type=int if kind is int else float, help=text)


if __name__ == "__main__":
    main()
