"""A sheet to look at: what was read from some frames of a clip, and the samples made of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from understudy_backend.training.people.samples import SIZE, Sample
from understudy_backend.training.video.reading import Reading

COLUMNS = ("frame", "body over it", "partial", "complete", "known", "target", "body", "photo")
GROUND = np.array([70, 90, 80], np.float32)
"""Behind what is transparent."""


def draw_sheet(path: Path, readings: list[Reading], pairs: list[Sample], triples: list[Sample], rows: int = 6) -> None:
    """Writes a PNG with one row for each of some frames, spread over the clip.

    Args:
        path: the picture.
        readings: of a clip.
        pairs: the stage-1 sample of each.
        triples: the stage-2 sample of each.
        rows: how many.
    """
    chosen = np.unique(np.linspace(0, len(readings) - 1, rows).round().astype(int))
    lines = [_heading()]
    for i in chosen:
        reading, pair, triple = readings[i], pairs[i], triples[i]
        known = np.where(pair["known"][..., None] > 0, pair["target"], np.uint8(0))
        tiles = [
            _labelled(reading.frame, f"{reading.number}"),
            _labelled(reading.overlay, f"overlap {reading.overlap:.2f}"),
            pair["partial"],
            pair["target"],
            known,
            *(_on_ground(triple[name]) for name in ("target", "body", "photo")),
        ]
        lines.append(np.hstack(tiles))
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.vstack(lines)[..., ::-1])


def _on_ground(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    alpha = image[..., 3:] / np.float32(255)
    return (image[..., :3] * alpha + GROUND * (1 - alpha)).astype(np.uint8)


def _heading() -> NDArray[np.uint8]:
    line = np.zeros((20, SIZE * len(COLUMNS), 3), np.uint8)
    for i, text in enumerate(COLUMNS):
        cv2.putText(line, text, (i * SIZE + 6, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (230, 230, 230), 1)
    return line


def _labelled(image: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    out = image.copy()
    cv2.putText(out, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 3)
    return cv2.putText(out, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1).astype(np.uint8)
