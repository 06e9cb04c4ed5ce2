"""Measures both stages of 3DHM on people that training never saw.

python -m understudy_backend.training.dataset --kind texture --split test --count 96 --out DATA/texture
python -m understudy_backend.training.dataset --kind frames  --split test --count 96 --out DATA/frames --motions CLIPS
python -m understudy_backend.evaluation.threedhm --data DATA [--weights FOLDER] [--pictures FOLDER]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from understudy_backend.evaluation.baselines import BASELINES
from understudy_backend.models.threedhm.infilling import generate
from understudy_backend.models.threedhm.rendering import BATCH, FrameRenderer
from understudy_backend.models.threedhm.stages import Infill, Render
from understudy_backend.weights.locations import weights_folder
from understudy_backend.weights.threedhm import load_infill, load_render


@dataclass(frozen=True)
class FrameScores:
    """Means over frames of one way to make them."""

    psnr_inside: float
    """dB inside the true silhouette, both pictures over mid grey."""
    silhouette_iou: float


def psnr(result: NDArray, truth: NDArray, mask: NDArray[np.bool_]) -> float:
    """Peak signal to noise ratio in dB of uint8 pictures (H, W, 3) where the mask (H, W) is set."""
    error = (result[mask].astype(np.float64) - truth[mask]) ** 2
    return float(10 * np.log10(255**2 / max(error.mean(), 1e-9)))


def evaluate_infill(model: Infill, data: Path, *, steps: int = 0, limit: int = 10**9) -> dict[str, float]:
    """Mean PSNR in dB of unseen body texels, ours and each baseline's, over a `texture` data set."""
    target, partial, visible = (np.load(data / f"{n}.npy", mmap_mode="r") for n in ("target", "partial", "visible"))
    body = np.load(data / "body_mask.npy") > 0
    scores: dict[str, list[float]] = {"ours": [], **{name: [] for name in BASELINES}}
    for i in range(min(limit, len(target))):
        seen = (visible[i] > 127) & body
        unseen = body & ~seen
        known = np.ascontiguousarray(partial[i])
        ours = generate(model, (known[None] / 255).astype(np.float32), seen[None], seed=0, steps=steps or model.steps)[
            0
        ]
        scores["ours"].append(psnr(ours * 255, target[i], unseen))
        for name, fill in BASELINES.items():
            scores[name].append(psnr(fill(known, seen), target[i], unseen))
    return {name: float(np.mean(values)) for name, values in scores.items()}


def evaluate_render(
    model: Render, data: Path, *, steps: int = 0, detail: float = 1.0, limit: int = 10**9, pictures: Path | None = None
) -> dict[str, FrameScores]:
    """Scores of the finished frames ("ours") and of the intermediate frames as they are, over a `frames` data set."""
    target, body, photo = (np.load(data / f"{n}.npy", mmap_mode="r") for n in ("target", "body", "photo"))
    person = np.load(data / "person.npy")
    count = min(limit, len(target))
    size = (target.shape[2], target.shape[1])
    results: list[NDArray[np.uint8]] = []
    for first in _runs(person[:count]):
        renderer = FrameRenderer(
            model, np.asarray(photo[first[0]]), size, seed=0, steps=steps or model.steps, detail=detail
        )
        for start in range(0, len(first), BATCH):
            results += renderer.render([np.asarray(body[i]) for i in first[start : start + BATCH]])
    scores = {
        "ours": _frame_scores(results, target),
        "intermediate frame": _frame_scores([np.asarray(body[i]) for i in range(count)], target),
    }
    if pictures is not None:
        _write_sheet(pictures, photo, body, results, target)
    return scores


def _runs(person: NDArray[np.integer]) -> list[list[int]]:
    """Indices grouped by person, in order."""
    return [np.flatnonzero(person == p).tolist() for p in np.unique(person)]


def over_grey(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 4) straight alpha over mid grey, (H, W, 3)."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return (rgba[..., :3] * alpha + 127.5 * (1 - alpha) + 0.5).astype(np.uint8)


def _frame_scores(results: list[NDArray[np.uint8]], truth: NDArray[np.uint8]) -> FrameScores:
    inside, overlap = [], []
    for result, real in zip(results, truth, strict=False):
        a, b = result[..., 3] > 127, real[..., 3] > 127
        inside.append(psnr(over_grey(result), over_grey(real), b))
        overlap.append((a & b).sum() / max((a | b).sum(), 1))
    return FrameScores(float(np.mean(inside)), float(np.mean(overlap)))


def _write_sheet(
    folder: Path, photo: NDArray, body: NDArray, results: list[NDArray[np.uint8]], target: NDArray
) -> None:
    """Photo, intermediate frame, ours and the truth, one person a column."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = [
        np.vstack([over_grey(np.asarray(a)) for a in (photo[i], body[i], results[i], target[i])])
        for i in np.linspace(0, len(results) - 1, min(8, len(results))).astype(int)
    ]
    cv2.imwrite(str(folder / "render.png"), np.hstack(columns)[..., ::-1])


def main(arguments: list[str] | None = None) -> None:
    """The command line: prints and returns JSON."""
    parser = argparse.ArgumentParser(description="Measure 3DHM on people that training never saw")
    parser.add_argument("--data", type=Path, required=True, help="holds the folders texture and frames")
    parser.add_argument(
        "--weights", type=Path, default=None, help="folder with infill and render; default: the shipped"
    )
    parser.add_argument("--steps", type=int, default=0, help="0: as many as suit the weights")
    parser.add_argument("--detail", type=float, default=1.0)
    parser.add_argument("--limit", type=int, default=10**9)
    parser.add_argument("--pictures", type=Path, default=None)
    a = parser.parse_args(arguments)
    torch.set_grad_enabled(False)
    infill = a.weights / "infill" if a.weights else weights_folder("small", "infill")
    render = a.weights / "render" if a.weights else weights_folder("small", "render")
    report = {
        "psnr_unseen_texels": evaluate_infill(load_infill(infill), a.data / "texture", steps=a.steps, limit=a.limit),
        "frames": {
            name: vars(scores)
            for name, scores in evaluate_render(
                load_render(render),
                a.data / "frames",
                steps=a.steps,
                detail=a.detail,
                limit=a.limit,
                pictures=a.pictures,
            ).items()
        },
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
