"""Trains Animate Anyone or Champ: from nothing at small size, or as published, from Stable Diffusion.

    python -m understudy_backend.training.animator people --out DATA/clips/train --people 40
    python -m understudy_backend.training.animator video  CLIPS --tracks TRACKS --out DATA/clips/train
    python -m understudy_backend.training.animator stage1 --kind champ --data DATA --out RUN
    python -m understudy_backend.training.animator stage2 --kind champ --data DATA --out RUN --motion mm_sd_v15_v2.ckpt
    python -m understudy_backend.training.animator export --kind champ --out RUN --to FOLDER

A run that was stopped goes on when its command is given again. `accelerate launch -m
understudy_backend.training.animator ...` trains on several devices.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
from pathlib import Path
from typing import get_args

import cv2
import torch

from understudy_backend.methods.contract import MethodError
from understudy_backend.training.animator import people_clips, video_clips
from understudy_backend.training.animator.run import export, train_stage
from understudy_backend.training.animator.settings import STAGES, read_setting
from understudy_backend.training.animator.start import Sources
from understudy_backend.training.configs import Training, changed_training
from understudy_backend.training.people.person import SPLITS
from understudy_backend.training.threedhm import add_fields
from understudy_backend.training.video.clip import ClipError, find_clips
from understudy_backend.weights.animate_anyone import Kind

UNUSED = ("picture_loss", "mirror", "background_weight")
"""Fields of `Training` that are 3DHM's alone."""


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m understudy_backend.training.animator", description="Train Animate Anyone or Champ"
    )
    a = _options(parser).parse_args(arguments)
    try:
        a.run(a)
    except MethodError as error:
        parser.exit(1, f"error: {error}. {error.fix}\n")
    except (ValueError, OSError) as error:
        parser.exit(1, f"error: {error}\n")


def _options(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    people = commands.add_parser("people", help="make clips of made people")
    people.set_defaults(run=_people)
    people.add_argument("--out", type=Path, required=True)
    people.add_argument("--people", type=int, required=True)
    people.add_argument("--frames", type=int, default=48, help="of a clip (default: %(default)s)")
    people.add_argument("--size", type=_size, default=(128, 192), metavar="WxH", help="in pixels (default: 128x192)")
    people.add_argument("--split", choices=list(SPLITS), default="train")
    people.add_argument("--seed", type=int, default=0)
    people.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    people.add_argument("--motions", type=Path, help="folder of motion clips (npz); people walk without")
    video = commands.add_parser("video", help="make clips of videos whose bodies `training.video` has found")
    video.set_defaults(run=_video)
    video.add_argument("clip", type=Path, metavar="CLIP_OR_FOLDER")
    video.add_argument("--tracks", type=Path, required=True, help="folder of tracks, NAME.npz for each clip")
    video.add_argument("--out", type=Path, required=True)
    video.add_argument("--size", type=_size, default=(128, 192), metavar="WxH", help="in pixels (default: 128x192)")
    for stage in STAGES:
        _stage_options(commands.add_parser(stage, help=f"train {stage[:-1]} {stage[-1]}, or go on"), stage)
    out = commands.add_parser("export", help="write a set of weights that the methods load")
    out.set_defaults(run=_export)
    out.add_argument("--kind", choices=get_args(Kind), required=True)
    out.add_argument("--out", type=Path, required=True, help="folder of the run")
    out.add_argument("--to", type=Path, required=True, help="folder of the set")
    out.add_argument("--half", action="store_true", help="in 16 bits")
    return parser


def _stage_options(command: argparse.ArgumentParser, stage: str) -> None:
    command.set_defaults(run=_train, stage=stage)
    command.add_argument("--kind", choices=get_args(Kind), required=True)
    command.add_argument("--data", type=Path, nargs="+", default=[], help="folders of data sets, taken together")
    command.add_argument("--out", type=Path, required=True, help="folder of the run")
    command.add_argument("--config", default="small", help="small, full, or a JSON file of a setting")
    command.add_argument("--weights", help="Stable Diffusion: a folder with unet/, vae/ and image_encoder/, or "
                         "OWNER/NAME on the hub")  # fmt: skip
    command.add_argument("--vae", help="another VAE: its folder, or OWNER/NAME on the hub")
    command.add_argument("--start-from", dest="start", help="a set of weights to go on from")
    command.add_argument("--motion", help="stage 2: a file of AnimateDiff's motion modules")
    command.add_argument("--controlnet", help="stage 1: a ControlNet's file, to begin the pose guider with")
    command.add_argument("--threads", type=int, help="CPU threads; torch chooses where it is not given")
    command.add_argument("--cpu", action="store_true", help="leave a GPU alone")
    add_fields(command.add_argument_group("in place of the setting's own"), without=UNUSED)


def _people(a: argparse.Namespace) -> None:
    motions = tuple(sorted(a.motions.glob("*.npz"))) if a.motions else ()
    if a.motions and not motions:
        raise ValueError(f"{a.motions} holds no motion clips (npz)")
    plan = people_clips.Plan(a.out, a.people, a.frames, a.size, a.split, a.seed, motions)
    people_clips.create(plan, a.workers, lambda line: print(line, flush=True))


def _video(a: argparse.Namespace) -> None:
    cv2.setNumThreads(1)
    for clip in find_clips(a.clip):
        track = a.tracks / f"{clip.name}.npz"
        if not track.is_file():
            raise ClipError(f"{track} is missing: find the body in {clip.name} with `training.video` first")
        print(f"{clip.name}: {video_clips.add_video(clip, track, a.out, a.size).name}", flush=True)


def _train(a: argparse.Namespace) -> None:
    if a.threads:
        torch.set_num_threads(a.threads)
    setting = read_setting(a.kind, a.config)
    fields = [f.name for f in dataclasses.fields(Training) if f.name not in UNUSED]
    changes: dict[str, object] = {name: getattr(a, name) for name in fields if getattr(a, name) is not None}
    setting = dataclasses.replace(setting, **{a.stage: changed_training(setting.training(a.stage), changes)})
    sources = Sources(a.kind, a.weights, a.vae, a.start, a.motion, a.controlnet)
    train_stage(a.stage, setting, sources, a.data, a.out, cpu=a.cpu)


def _export(a: argparse.Namespace) -> None:
    print(f"wrote {export(a.out, a.kind, a.to, half=a.half)} to {a.to}")


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"write a size as 128x192, not {text}")
    return int(match[1]), int(match[2])


if __name__ == "__main__":
    main()
