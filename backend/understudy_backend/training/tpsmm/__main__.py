"""Trains TPSMM (arXiv 2203.14367) on clips.

    python -m understudy_backend.training.tpsmm made   --data DATA --people 40
    python -m understudy_backend.training.tpsmm train  --data DATA --out RUN --config vox --vgg FILE
    python -m understudy_backend.training.tpsmm avd    --data DATA --out RUN
    python -m understudy_backend.training.tpsmm export --out RUN --to FILE.safetensors

DATA holds `train` and `test`, each with videos, GIFs, strips of frames or folders of frames; `made` makes some of made
people. A run that was stopped goes on when its command is given again. `accelerate launch -m
understudy_backend.training.tpsmm ...` trains on several devices.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import get_args, get_type_hints

import cv2
import torch

from understudy_backend.methods.contract import MethodError
from understudy_backend.training.checkpoints import TrainingError
from understudy_backend.training.configs import explanations
from understudy_backend.training.tpsmm import made
from understudy_backend.training.tpsmm.runs import export, train_avd, train_networks
from understudy_backend.training.tpsmm.settings import SETTINGS, Schedule, read_setting, with_changes

MEGABYTES = 4000.0


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m understudy_backend.training.tpsmm", description="Train the networks of TPSMM"
    )
    parser.add_argument("what", choices=["made", "train", "avd", "export"])
    parser.add_argument("--data", type=Path, help="folder with `train` and `test`")
    parser.add_argument("--out", type=Path, help="folder of the run")
    parser.add_argument("--to", type=Path, help="export: the file, for example ~/.understudy/weights/tpsmm/mine"
                        ".safetensors")  # fmt: skip
    parser.add_argument("--compact", action="store_true", help="export: half precision, no background predictor")
    parser.add_argument("--config", help=f"{', '.join(SETTINGS)}, or a JSON file of a setting; the run's own otherwise")
    parser.add_argument("--vgg", metavar="FILE", help="VGG-19's weights, or `torchvision` to have that package fetch "
                        "them")  # fmt: skip
    parser.add_argument("--reconstruction", choices=["vgg", "pixels"], help="compare images by VGG-19, or without it")
    parser.add_argument("--weights", type=Path, help="a checkpoint of TPSMM: what train starts from, and what avd and "
                        "export use where the run has no networks of its own")  # fmt: skip
    parser.add_argument("--cache-mb", type=float, default=MEGABYTES, help="keep frames in memory if all fit into this")
    parser.add_argument("--threads", type=int, help="CPU threads; torch chooses where it is not given")
    parser.add_argument("--cpu", action="store_true", help="leave a GPU alone")
    group = parser.add_argument_group("made people")
    for name, value in (("people", 40), ("clips", 4), ("frames", 16), ("size", 256)):
        group.add_argument(f"--{name}", type=int, default=value, help="(default: %(default)s)")
    group.add_argument("--fill", type=float, default=0.92, help="share of the frame's height that people fill; above 1 "
                       "frames show them from the head downwards (default: %(default)s)")  # fmt: skip
    add_fields(parser.add_argument_group("in place of the setting's own"))
    a = parser.parse_args(arguments)
    if a.threads:
        torch.set_num_threads(a.threads)
        cv2.setNumThreads(a.threads)
    try:
        run(a)
    except MethodError as error:
        parser.exit(1, f"error: {error}. {error.fix}\n")
    except (ValueError, OSError) as error:
        parser.exit(1, f"error: {error}\n")


def run(a: argparse.Namespace) -> None:
    """What the command line asks for."""
    if a.what == "export":
        if a.to is None or a.out is None:
            raise TrainingError("say with --out which run, and with --to which file")
        print(f"wrote {export(a.out, a.to, a.weights, compact=a.compact)} to {a.to}")
        return
    if a.data is None:
        raise TrainingError("say with --data where the clips are")
    if a.what == "made":
        if min(a.people, a.clips, a.size) < 1 or a.frames < 2:
            raise TrainingError("made people need at least one person, one clip, one pixel and two frames")
        for split, people in (("train", a.people), ("test", max(1, a.people // 10))):
            made.write(a.data, split, people, a.clips, a.frames, a.size, a.seed or 0, a.fill)
        return
    if a.out is None:
        raise TrainingError("say with --out where the run goes")
    own = a.out / "train" / "config.json"
    setting = read_setting(a.config or (str(own) if own.is_file() else "small"))
    changes = {f.name: getattr(a, f.name) for f in dataclasses.fields(Schedule) if getattr(a, f.name) is not None}
    setting = with_changes(setting, a.what, changes)
    if a.reconstruction is not None:
        setting = dataclasses.replace(setting, reconstruction=a.reconstruction)
    if a.what == "train":
        train_networks(setting, a.data, a.out, a.vgg, a.weights, megabytes=a.cache_mb, cpu=a.cpu)
    else:
        train_avd(setting, a.data, a.out, a.weights, megabytes=a.cache_mb, cpu=a.cpu)


def add_fields(group: argparse._ArgumentGroup) -> None:
    """One option for each field of `Schedule`, explained by its own docstring."""
    hints, texts = get_type_hints(Schedule), explanations(Schedule)
    for f in dataclasses.fields(Schedule):
        option, text, kind = "--" + f.name.replace("_", "-"), texts[f.name].replace("%", "%%"), hints[f.name]
        if f.name == "mixed_precision":
            group.add_argument(option, choices=get_args(kind), help=text)
        elif f.name == "milestones":
            group.add_argument(option, type=int, nargs="*", help=text)
        else:
            group.add_argument(option, type=int if kind is int else float, help=text)


if __name__ == "__main__":
    main()
