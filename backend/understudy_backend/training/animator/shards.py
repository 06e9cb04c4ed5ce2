"""Clips on disk, a row a frame, in shards that `training.arrays` reads: OUT/shard-00000/{NAME}.npy.

    picture                 (N, H, W, 4) the person, straight alpha; opaque where the frame keeps its own background
    skeleton depth normal semantic_map    (N, H, W, 3) what guides (see `guidance.body_pictures`)
    clip                    (N,) int32 number of the clip within its shard; its frames follow each other in time

`dataset.json` is written last, so a shard without it is not complete, and is made again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from understudy_backend.atomic import write_atomically
from understudy_backend.guidance.body_pictures import PICTURES
from understudy_backend.training.arrays import ABOUT, DataError, Samples

KIND = "clips"
"""Folder of such data sets: DATA/clips/train, DATA/clips/val."""
PICTURE, CLIP = "picture", "clip"
NAMES = (PICTURE, *PICTURES)
"""Arrays that hold pictures."""
FrameRow = dict[str, NDArray[np.uint8]]
"""A frame's pictures by `NAMES`."""


def write_shard(folder: Path, clips: Iterable[list[FrameRow]], about: dict[str, object]) -> None:
    """Writes clips, each a list of frames; what a stopped run left goes first.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows, numbers = [], []
    for number, clip in enumerate(clips):
        rows += clip
        numbers += [number] * len(clip)
    for name in NAMES:
        np.save(folder / f"{name}.npy", np.stack([row[name] for row in rows]))
    np.save(folder / f"{CLIP}.npy", np.array(numbers, np.int32))
    text = json.dumps({**about, "kind": KIND, "count": len(rows)}, indent=1) + "\n"
    write_atomically(folder / ABOUT, lambda file: file.write(text.encode()))


def shard_about(folder: Path) -> dict[str, object] | None:
    """What a complete shard says of itself."""
    try:
        about = json.loads((folder / ABOUT).read_text())
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) else None


class Clips:
    """The clips of data sets, read frame by frame.

    Raises:
        DataError: they are damaged, or of another kind.
    """

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self.ranges: list[range] = []
        """Rows of each clip."""
        first = 0
        for part in samples.parts:
            numbers = Samples([part]).constant(CLIP)
            ends = [*(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
            starts = [0, *ends[:-1]]
            self.ranges += [range(first + a, first + b) for a, b in zip(starts, ends, strict=True)]
            first += len(numbers)
        if first != len(samples):
            raise DataError(f"{samples.parts[0].parent} does not hold as many frames as it says; make it again")

    def __len__(self) -> int:
        return len(self.ranges)

    def rows(self, name: str, clip: int, frames: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Pictures (T, H, W, C) of some frames of a clip, counted from its first."""
        return self._samples.rows(name, np.asarray(frames) + self.ranges[clip].start)
