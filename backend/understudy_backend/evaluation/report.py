"""From the figures of people to tables, as JSON and as Markdown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from understudy_backend.evaluation.frechet import frechet_distance
from understudy_backend.evaluation.measure import CLIPS, FRAMES, POSE, TEXTURE, TRUTH, Measured, Scores

Row = dict[str, float]


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    key: str
    title: str
    digits: int


COLUMNS: dict[str, tuple[Column, ...]] = {
    FRAMES: (
        Column("psnr", "PSNR, dB ↑", 2),
        Column("ssim", "SSIM ↑", 4),
        Column("lpips", "LPIPS ↓", 4),
        Column("fid", "FID ↓", 1),
        Column("l1", "L1 ↓", 4),
        Column("iou", "silhouette IoU ↑", 3),
    ),
    CLIPS: (
        Column("fvd", "FVD ↓", 1),
        Column("flicker", "flicker on the dressed surface, of 255 ↓", 2),
        Column("body_flicker", "flicker on the bare body's surface, of 255 ↓", 2),
    ),
    POSE: (
        Column("mpjpe", "MPJPE, mm ↓", 1),
        Column("pa_mpjpe", "PA-MPJPE, mm ↓", 1),
        Column("mpvpe", "MPVPE, mm ↓", 1),
        Column("found", "person found, share ↑", 2),
    ),
    TEXTURE: (
        Column("psnr_unseen", "PSNR of unseen texels, dB ↑", 2),
        Column("lpips_back", "LPIPS of back views ↓", 4),
    ),
}

TITLES = {
    FRAMES: "(a) Frames",
    CLIPS: "(b) Clips",
    POSE: "(c) Pose",
    TEXTURE: "Texture: in-filling against what needs no learning",
}

FID_VID = "FID-VID is left out: no package holds the weights of the 3D ResNet whose features it compares"


def tables(people: list[Measured]) -> dict[str, dict[str, Row]]:
    """Means over people, and distances between all people's features: table, row, column.

    A person in whose pictures the fitter found nobody counts in `found` alone.
    """
    out: dict[str, dict[str, Row]] = {}
    for table, rows in _gather([person.scores for person in people]).items():
        out[table] = {
            name: {column: float(np.mean(values)) for column, values in columns.items()}
            for name, columns in rows.items()
        }
    for table, kind in ((FRAMES, "fid"), (CLIPS, "fvd")):
        for name, distance in _distances(people, kind).items():
            out.setdefault(table, {}).setdefault(name, {})[kind] = distance
    return out


def spreads(people: list[Measured]) -> dict[str, dict[str, Row]]:
    """Standard errors of the means over people, for columns that are such means."""
    return {
        table: {
            name: {c: float(np.std(v, ddof=1) / np.sqrt(len(v))) for c, v in columns.items() if len(v) > 1}
            for name, columns in rows.items()
        }
        for table, rows in _gather([person.scores for person in people]).items()
    }


def _gather(scores: list[Scores]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Table, row, column, people."""
    out: dict[str, dict[str, dict[str, list[float]]]] = {}
    for person in scores:
        for table, rows in person.items():
            for name, columns in rows.items():
                for column, value in columns.items():
                    if np.isfinite(value):
                        out.setdefault(table, {}).setdefault(name, {}).setdefault(column, []).append(value)
    return out


def _distances(people: list[Measured], kind: str) -> dict[str, float]:
    """Frechet distances of every row's features from the truth's."""
    clouds: dict[str, NDArray[np.float32]] = {}
    for key in people[0].features if people else ():
        found, name = key.split("/", 1)
        if found == kind:
            clouds[name] = np.concatenate([person.features[key] for person in people])
    truth = clouds.pop(TRUTH, None)
    if truth is None or len(truth) < 2:
        return {}
    return {name: frechet_distance(cloud, truth) for name, cloud in clouds.items()}


def markdown(found: dict[str, dict[str, Row]], facts: list[str]) -> str:
    """The tables, each metric that was not measured shown by a dash, and notes below them."""
    parts = []
    for table, columns in COLUMNS.items():
        if table not in found:
            continue
        lines = [f"### {TITLES[table]}", ""]
        lines.append("| | " + " | ".join(column.title for column in columns) + " |")
        lines.append("| --- |" + " --- |" * len(columns))
        for name, row in found[table].items():
            cells = [f"{row[c.key]:.{c.digits}f}" if c.key in row else "-" for c in columns]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    parts.append("\n".join(f"- {fact}" for fact in facts))
    return "\n\n".join(parts) + "\n"


def write(out: Path, people: list[Measured], settings: dict, left_out: tuple[str, ...]) -> str:
    """Writes `report.json` and `report.md` into a folder; gives the Markdown."""
    found = tables(people)
    missing = [*left_out, *([FID_VID] if CLIPS in found else [])]
    content = {"people": len(people), "tables": found, "standard_errors": spreads(people), "left_out": missing}
    (out / "report.json").write_text(json.dumps(content | {"settings": settings}, indent=1) + "\n")
    who = f"{len(people)} {'person' if len(people) == 1 else 'people'} that training never saw, seed {settings['seed']}"
    text = markdown(found, [who, *missing])
    (out / "report.md").write_text(text)
    return text
