"""Measures TPSMM as its literature does: test clips made anew of their first frame (section 4 of arXiv 2203.14367).

    python -m understudy_backend.evaluation.tpsmm --data DATA --weights vox --out DIR

L1 is always measured. AKD and MKR need a detector of landmarks: ours, named in the report, so figures compare within it
and not with those of papers, whose detectors are others. AED needs an identity network that the user gives.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from understudy_backend.evaluation.tpsmm_detectors import DETECTORS, IDENTITIES, Identity, Landmarks, detector, identity
from understudy_backend.methods.contract import MethodError
from understudy_backend.models.tpsmm.model import TPSMM
from understudy_backend.training.grid import grid, write_png
from understudy_backend.training.tpsmm.clips import ClipError, ClipSet, decode, find_clips, square
from understudy_backend.weights.tpsmm import find_weights, load_tpsmm

Picture = NDArray[np.uint8]

BATCH = 8
COPY = "first frame, unmoved"
"""Name of the row of doing nothing."""


@dataclass(frozen=True, eq=False)
class Tools:
    """What measures besides L1; None where it is left out."""

    landmarks: Landmarks | None
    identity: Identity | None


def reconstruct(model: TPSMM, frames: Sequence[Picture], device: str = "cpu") -> list[Picture]:
    """A clip's frames (S, S, 3) made of the first, with absolute keypoints, as the literature does."""
    stacked = torch.from_numpy(np.stack(frames).transpose(0, 3, 1, 2)).float() / 255
    made: list[Picture] = []
    with torch.inference_mode():
        for part in stacked.split(BATCH):
            source = stacked[:1].expand(len(part), -1, -1, -1).to(device)
            image = model.reconstruct(source, part.to(device)).prediction
            made += list((image * 255 + 0.5).byte().permute(0, 2, 3, 1).cpu().numpy())
    return made


def clip_scores(results: Sequence[Picture], truths: Sequence[Picture], tools: Tools) -> dict[str, NDArray[np.float64]]:
    """Values by metric, to be averaged over all clips: one a frame for `l1` and `aed`, one a landmark for the others.

    `l1`: mean absolute difference, the range of a channel being 1. `akd`: distance of landmarks found in both, in
    pixels; `akd_axis`: the same as the mean of |dx| and |dy|, which is what the published tools average. `mkr`: 1 for
    each landmark of the truth that the result lacks, else 0. `aed`: distance of identity features, in frames where
    they can be had of both.
    """
    pairs = list(zip(results, truths, strict=True))
    scores: dict[str, NDArray[np.float64]] = {
        "l1": np.array([np.abs(a.astype(np.float64) - b).mean() / 255 for a, b in pairs])
    }
    if tools.landmarks is not None:
        wanted = np.stack([tools.landmarks(image) for image in truths])
        found = np.stack([tools.landmarks(image) for image in results])
        known, seen = np.isfinite(wanted[..., 0]), np.isfinite(found[..., 0])
        apart = (found - wanted)[known & seen]
        scores["akd"] = np.asarray(np.sqrt(np.square(apart).sum(1)), np.float64)
        scores["akd_axis"] = np.asarray(np.abs(apart).mean(1), np.float64)
        scores["mkr"] = (~seen[known]).astype(np.float64)
    if tools.identity is not None:
        features = [(tools.identity(a), tools.identity(b)) for a, b in pairs]
        scores["aed"] = np.array(
            [np.linalg.norm(a - b) for a, b in features if a is not None and b is not None], np.float64
        )
    return scores


def evaluate(model: TPSMM, clips: ClipSet, tools: Tools, out: Path, name: str, *, most: int, device: str) -> dict:
    """Measures all clips, and writes `report.json`, `report.md` and a sheet of each of the first clips.

    Args:
        model: in evaluation mode, on the device.
        clips: of the test split.
        tools: see there.
        out: folder of the report.
        name: of the weights, as the table shows it.
        most: frames of a clip at most, from its beginning.
        device: where the networks run.

    Returns:
        What `report.json` holds.
    """
    size = model.config.image_size
    gathered: dict[str, dict[str, list[NDArray[np.float64]]]] = {f"TPSMM {name}": {}, COPY: {}}
    for number, clip in enumerate(clips.clips):
        frames = [square(frame, size) for _, frame in zip(range(most), _frames(clips, number), strict=False)]
        made = {f"TPSMM {name}": reconstruct(model, frames, device), COPY: [frames[0]] * len(frames)}
        for row, results in made.items():
            for metric, values in clip_scores(results, frames, tools).items():
                gathered[row].setdefault(metric, []).append(values)
        if number < 8:
            chosen = np.linspace(0, len(frames) - 1, 6).astype(int)
            both = zip((made[f"TPSMM {name}"][i] for i in chosen), (frames[i] for i in chosen), strict=True)
            columns = [torch.from_numpy(np.stack(pair)).permute(0, 3, 1, 2) / 255 for pair in both]
            write_png(out / "sheets" / f"{number:02d}_{Path(clip.name).stem}.png", grid(columns))
    return _write(out, gathered, clips, tools)


def _frames(clips: ClipSet, number: int) -> Iterator[Picture]:
    clip = clips.clips[number]
    return decode(clips.folder / clip.name, clip.files)


COLUMNS = (("l1", "L1 ↓", 4), ("akd", "AKD, px ↓", 2), ("akd_axis", "AKD by axis, px ↓", 2), ("mkr", "MKR ↓", 3),
           ("aed", "AED ↓", 3))  # fmt: skip


def _write(out: Path, gathered: dict[str, dict[str, list[NDArray[np.float64]]]], clips: ClipSet, tools: Tools) -> dict:
    means = {
        row: {m: float(all_.mean()) for m, v in scores.items() if (all_ := np.concatenate(v)).size}
        for row, scores in gathered.items()
    }
    notes = [clips.said(), *clips.problems]
    if tools.landmarks is None:
        notes.append("AKD and MKR are left out: no detector was asked for (--detector)")
    else:
        notes.append(f"AKD and MKR by {tools.landmarks.name}: ours, so not to be compared with figures of papers")
    if tools.identity is None:
        notes.append("AED is left out: no identity network was given (--identity)")
    else:
        notes.append(f"AED by {tools.identity.name}")
    report = {"rows": means, "notes": notes}
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    lines = ["| | " + " | ".join(title for _, title, _ in COLUMNS) + " |", "| --- |" + " --- |" * len(COLUMNS)]
    for row, scores in means.items():
        cells = [f"{scores[key]:.{digits}f}" if key in scores else "-" for key, _, digits in COLUMNS]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    text = "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"
    (out / "report.md").write_text(text)
    print(text, end="")
    return report


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m understudy_backend.evaluation.tpsmm", description="Measure TPSMM on test clips"
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with `test`")
    parser.add_argument("--weights", required=True, help="name of a set (vox, ...), or a file")
    parser.add_argument("--out", type=Path, required=True, help="folder for the report")
    parser.add_argument("--detector", choices=["none", *DETECTORS], default="none", help="for AKD and MKR: ours")
    parser.add_argument("--identity", type=Path, metavar="FILE.onnx", help="for AED: a network of identity features")
    parser.add_argument(
        "--identity-sees", choices=list(IDENTITIES), default="person", help="what that network is shown"
    )
    parser.add_argument("--most", type=int, default=200, help="frames of a clip (default: %(default)s)")
    parser.add_argument("--device", default="cpu")
    a = parser.parse_args(arguments)
    try:
        named = Path(a.weights)
        path = named if named.is_file() else find_weights(a.weights)
        model = load_tpsmm(path, training=True).to(a.device)
        tools = Tools(
            detector(a.detector) if a.detector != "none" else None,
            identity(a.identity, a.identity_sees) if a.identity is not None else None,
        )
        if a.most < 2:
            raise ClipError("a clip needs at least two frames")
        clips = find_clips(a.data / "test")
        evaluate(model, clips, tools, a.out, path.name.partition(".")[0], most=a.most, device=a.device)
    except MethodError as error:
        parser.exit(1, f"error: {error}. {error.fix}\n")
    except (ValueError, OSError) as error:
        parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    main()
