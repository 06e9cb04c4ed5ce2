"""The main job on what the repository ships: a photo, a CMU clip and an orbiting camera become frames in a sequencer.

    make demo
    make demo ARGS="--photo me.jpg --motion walk.npz --camera path.json --frames 24 --size 384x384"

A backend is started as a process of its own; Blender (the `bpy` module) takes an artist's way through the extension.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
from pictures import beside, contact_sheet, read_image, write_film, write_image
from understudy_backend.jobs.local import LocalBackend
from understudy_shared.body import free_body
from understudy_shared.formats.detect import load_camera, load_motion
from understudy_shared.protocol.blocking import JobError

HERE = Path(__file__).resolve().parent
SAMPLES = HERE / "samples"
STAGES = {
    "fit": "Fitting the body to the photo",
    "texture": "Completing the texture (in-filling diffusion)",
    "render": "Rendering the frames (rendering diffusion)",
    "intermediate": "Writing the intermediate frames (Blender)",
}


def main() -> int:
    """Runs the demo; 0 if everything was written."""
    options = read_options()
    try:
        check(options)
        return run(options)
    except (ValueError, OSError, JobError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="From one photo to frames in Blender's sequencer.")
    parser.add_argument("--photo", type=Path, default=SAMPLES / "photos" / "openpeople_P001.jpg")
    parser.add_argument("--motion", type=Path, default=SAMPLES / "motions" / "cmu_13_26_wave_point.npz")
    parser.add_argument("--camera", type=Path, default=SAMPLES / "cameras" / "orbit.json")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--size", default="256x256", help="WIDTHxHEIGHT in pixels")
    parser.add_argument("--skip", type=int, default=0, help="frames of the motion to skip at its start")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/demo"))
    parser.add_argument("--blender-python", default=sys.executable, help="a Python that has bpy and understudy-shared")
    return parser.parse_args()


def check(options: argparse.Namespace) -> None:
    """Reads every input before anything long begins.

    Raises:
        ValueError: one cannot be used; it says which and why.
    """
    read_image(options.photo)
    motion, camera = load_motion(options.motion, free_body()), load_camera(options.camera)
    width, cross, height = options.size.partition("x")
    if not (cross and width.isdigit() and height.isdigit() and int(width) >= 64 and int(height) >= 64):
        raise ValueError(f"--size {options.size} is no size; write it as 256x256, at least 64 each")
    options.size = (int(width), int(height))
    if options.frames < 1 or options.skip < 0:
        raise ValueError("--frames must be at least 1, --skip at least 0")
    available = int((len(motion) - 1) * camera.fps / motion.fps + 1e-6) + 1 - options.skip
    if options.frames > available:
        raise ValueError(
            f"{options.motion} has {max(available, 0)} frames at {camera.fps:g} frames per second after the "
            f"{options.skip} skipped; ask for no more than that"
        )


def run(options: argparse.Namespace) -> int:
    """Backend, Blender, pictures."""
    started = time.monotonic()
    out = options.out.resolve()
    if (out / "demo.blend").exists():  # then these are an earlier demo's, and nobody else's
        for old in ("frames", "intermediate", "understudy", "backend"):
            shutil.rmtree(out / old, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    with LocalBackend(out / "backend") as backend:
        outcome = in_blender(options, out, backend.address)
    if outcome is None:
        return 1
    numbers = collect(out, Path(outcome["folder"]))
    write_pictures(options, out, numbers, outcome)
    print("Fit: " + ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in outcome["report"].items()))
    print(f"\nThe strip '{outcome['strip']}' in demo.blend holds {outcome['length']} frames.")
    print(f"Done in {(time.monotonic() - started) / 60:.1f} minutes. Written to {out}:")
    for name in ("fit.png", "texture_partial.png", "texture_complete.png", "intermediate/", "frames/", "demo.mp4",
                 "contact_sheet.png", "demo.blend"):  # fmt: skip
        print(f"  {name}")
    return 0


def in_blender(options: argparse.Namespace, out: Path, address: str) -> dict | None:
    """Runs `in_blender.py` and shows its progress; what it reports at its end, None if it failed."""
    request = {
        "address": address, "out": str(out), "photo": str(options.photo.resolve()),
        "motion": str(options.motion.resolve()), "camera": str(options.camera.resolve()), "frames": options.frames,
        "size": options.size, "skip": options.skip, "seed": options.seed,
    }  # fmt: skip
    command = [options.blender_python, str(HERE / "in_blender.py"), json.dumps(request)]
    line, outcome, said, told = ProgressLine(), None, [], False
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as blender:
        assert blender.stdout is not None
        for text in blender.stdout:
            if not text.startswith("@"):
                said.append(text)
                continue
            message = json.loads(text[1:])
            if "stage" in message:
                line.show(**message)
            elif "error" in message:
                line.end()
                print(f"error: {message['error']}", file=sys.stderr)
                told = True
            else:
                outcome = message
    line.end()
    if outcome is None and not told:
        (out / "blender.log").write_text("".join(said))
        print(f"Blender stopped with code {blender.returncode}; its log is {out / 'blender.log'}", file=sys.stderr)
    return outcome


class ProgressLine:
    """One line on a terminal, a line per stage elsewhere."""

    def __init__(self) -> None:
        self._stage, self._started, self._live = "", 0.0, sys.stdout.isatty()

    def show(self, stage: str, fraction: float, text: str, left: float | None) -> None:
        """Shows a stage's progress in [0, 1]; `left` are seconds, if known."""
        if stage != self._stage:
            self.end()
            self._stage, self._started = stage, time.monotonic()
            if not self._live:
                print(STAGES[stage], end=" ... ", flush=True)
        if self._live:
            rest = f"{left:.0f} s left" if left else text
            print(f"\r\x1b[K{STAGES[stage]}  {fraction:4.0%}  {rest}", end="", flush=True)

    def end(self) -> None:
        """Ends the line with the stage's time."""
        if self._stage:
            seconds = time.monotonic() - self._started
            print(f"\r\x1b[K{STAGES[self._stage]}  {seconds:.1f} s" if self._live else f"{seconds:.1f} s", flush=True)
            self._stage = ""


def collect(out: Path, take: Path) -> list[int]:
    """Copies the take's frames to `frames/`; their numbers."""
    (out / "frames").mkdir(exist_ok=True)
    numbers = []
    for path in sorted(take.glob("[0-9]*.png")):
        number = int(path.stem)
        shutil.copyfile(path, out / "frames" / f"{number:04d}.png")
        numbers.append(number)
    return sorted(numbers)


def write_pictures(options: argparse.Namespace, out: Path, numbers: list[int], outcome: dict) -> None:
    """Film, contact sheet, and the stages' pictures as PNG."""
    photo = read_image(options.photo)
    bodies, frames = [], []
    for number in numbers:
        body = np.load(out / "intermediate" / f"{number:04d}.npy", allow_pickle=False)
        write_image(out / "intermediate" / f"{number:04d}.png", body)
        (out / "intermediate" / f"{number:04d}.npy").unlink()
        bodies.append(body)
        frames.append(read_image(out / "frames" / f"{number:04d}.png"))
    fps = Fraction(load_camera(options.camera).fps).limit_denominator(1001)
    write_film(out / "demo.mp4", [beside(photo, b, f) for b, f in zip(bodies, frames, strict=True)], fps)
    chosen = np.linspace(0, len(numbers) - 1, min(8, len(numbers))).astype(int)
    with np.load(Path(outcome["fit"]) / "result.npz", allow_pickle=False) as result:
        write_image(out / "fit.png", result["overlay"])
    with np.load(Path(outcome["texture"]) / "result.npz", allow_pickle=False) as result:
        write_image(out / "texture_partial.png", result["partial"])
        write_image(out / "texture_complete.png", result["texture"])
    stages = ("fit.png", "texture_partial.png", "texture_complete.png")
    rows = [
        [photo, *(read_image(out / name) for name in stages)],
        [bodies[i] for i in chosen],
        [frames[i] for i in chosen],
    ]
    write_image(out / "contact_sheet.png", contact_sheet(rows))


if __name__ == "__main__":
    sys.exit(main())
