"""The command `understudy animate`: photo, motion and camera files to frames, without Blender."""

from __future__ import annotations

import argparse
import json
import re
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of `understudy animate`."""
    command.add_argument("--photo", type=Path, required=True, help="PNG or JPEG of one person, from head to foot")
    command.add_argument("--motion", type=Path, required=True, help="AMASS-like .npz or .bvh")
    command.add_argument("--camera", type=Path, required=True, help="nerfstudio camera_path.json or transforms.json")
    command.add_argument("--frames", type=_count, default=48, help="how many (default: %(default)s)")
    command.add_argument("--clip-start", type=float, default=0.0, metavar="SECONDS", help="skip so much of the motion")
    command.add_argument("--size", type=_size, default=(256, 256), metavar="WxH", help="in pixels (default: 256x256)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--out", type=Path, required=True, help="folder for frames, textures and the fit's overlay")


def run(options: argparse.Namespace) -> int:
    """Fits, completes the texture, renders; 0 when all frames are written."""
    from understudy_shared.protocol.blocking import run_job
    from understudy_shared.protocol.security import load_client_keys

    from .jobs.files import ProgressLine, read_inputs
    from .jobs.local import LocalBackend, default_data, own_name
    from .pipeline import make_imitator, open_shot, render_shot

    photo = read_inputs([f"photo={options.photo}"])["photo"]
    shot = open_shot(options.motion, options.camera, options.size, clip_start=options.clip_start)
    shot.check_length(options.frames)  # before the minute that a fit takes
    data = options.data or default_data()
    options.out.mkdir(parents=True, exist_ok=True)
    line = ProgressLine()
    backend = nullcontext() if options.address else LocalBackend(data, device=options.device)
    with backend as local:
        submit = (
            local.render_job
            if local
            else partial(
                run_job,
                options.address,
                owner=own_name(data),
                keys=load_client_keys(options.keys) if options.keys else None,
            )
        )

        def runner(spec, inputs, frames, on_result, on_progress):
            return submit(spec, inputs, frames, on_result, on_progress=on_progress)

        imitator = make_imitator(runner, photo, seed=options.seed, on_progress=line.show)
        _write(options.out / "fit.png", imitator.overlay)
        _write(options.out / "texture_partial.png", imitator.partial)
        _write(options.out / "texture_complete.png", imitator.texture)
        (options.out / "fit.json").write_text(json.dumps(imitator.report, indent=1) + "\n")
        render_shot(
            runner,
            imitator,
            shot.worn_by(imitator.fit["betas"]),
            options.frames,
            options.size,
            lambda number, rgba: _write(options.out / f"{number:04d}.png", rgba),
            seed=options.seed,
            on_progress=line.show,
        )
    line.end()
    print(f"wrote {options.frames} frames to {options.out}")
    return 0


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"write a number of frames from 1 on, not {text}")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None or not (int(match[1]) and int(match[2])):
        raise argparse.ArgumentTypeError(f"write a size as 256x256, not {text}")
    return int(match[1]), int(match[2])


def _write(path: Path, image: NDArray[np.uint8]) -> None:
    from PIL import Image

    Image.fromarray(image).save(path, compress_level=1)
