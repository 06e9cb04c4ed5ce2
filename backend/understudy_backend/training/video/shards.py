"""Samples on disk, in shards that `training.arrays` reads: OUT/{texture,frames}/{train,val}/shard-00000/{name}.npy.

`dataset.json` is written last, so a shard without it is not complete, and is made again. A shard holds samples of one
clip only, and says of which. Beside the samples are `person.npy` (N,) int32, a number for who it is, and of kind
`texture` `body_mask.npy` (256, 256) bool, the texels of the body.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from understudy_shared.formats.reading import FormatError, read_json

from understudy_backend.atomic import write_atomically
from understudy_backend.training.people.samples import SIZE, Kind, Sample
from understudy_backend.training.people.surface import texels
from understudy_backend.training.video.clip import ClipError
from understudy_backend.training.video.samples import VIDEO_SHAPES

SHARD = 256
"""Samples in a shard at most: about 200 MB."""


@dataclass(frozen=True)
class Origin:
    """Where samples come from."""

    clip: str
    person: str
    split: str
    seed: int
    fingerprint: str
    """Of everything that the samples depend on."""


def write_shards(out: Path, kind: Kind, origin: Origin, frames: list[int], samples: list[Sample]) -> list[Path]:
    """Writes the samples of a clip, those shards being left alone that are complete already.

    Args:
        out: the data set.
        kind: which samples.
        origin: of all of them.
        frames: the frame of each.
        samples: as many.

    Raises:
        ClipError: the data set holds samples of this clip that were made otherwise.
        OSError: it cannot be written.
    """
    folder = out / kind / origin.split
    folder.mkdir(parents=True, exist_ok=True)
    there = _complete(out, kind)
    for path, about in there.items():
        stale = about.get("clip") == origin.clip and about.get("fingerprint") != origin.fingerprint
        if stale:
            raise ClipError(
                f"{path} holds samples of {origin.clip} that were made with other frames or settings: "
                "delete it, or choose another folder"
            )
    paths = []
    for part, first in enumerate(range(0, len(samples), SHARD)):
        done = [p for p, a in there.items() if a.get("clip") == origin.clip and a.get("part") == part]
        if done:
            paths.append(done[0])
            continue
        path = _free(folder)
        rows = slice(first, first + SHARD)
        _write(path, kind, origin, part, frames[rows], samples[rows])
        paths.append(path)
    return paths


def _write(path: Path, kind: Kind, origin: Origin, part: int, frames: list[int], samples: list[Sample]) -> None:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    for name, shape in VIDEO_SHAPES[kind].items():
        rows = np.stack([s[name] for s in samples])
        if rows.shape[1:] != shape or rows.dtype != np.uint8:
            raise ValueError(f"'{name}' has shape {rows.shape[1:]} and type {rows.dtype}")
        np.save(path / f"{name}.npy", rows)
    np.save(path / "person.npy", np.full(len(samples), crc32(origin.person.encode()) >> 1, np.int32))
    if kind == "texture":
        np.save(path / "body_mask.npy", texels(SIZE).mask)
    about = {
        "kind": kind,
        "source": "video",
        "split": origin.split,
        "seed": origin.seed,
        "count": len(samples),
        "size": SIZE,
        "arrays": sorted(VIDEO_SHAPES[kind]),
        "clip": origin.clip,
        "person": origin.person,
        "part": part,
        "frames": frames,
        "fingerprint": origin.fingerprint,
    }
    text = json.dumps(about, indent=1) + "\n"
    write_atomically(path / "dataset.json", lambda file: file.write(text.encode()))


def _complete(out: Path, kind: Kind) -> dict[Path, dict[str, Any]]:
    """The complete shards of every split, with what they say of themselves."""
    found = {}
    for about in sorted((out / kind).glob("*/shard-*/dataset.json")):
        try:
            found[about.parent] = read_json(about)
        except FormatError:
            continue  # not complete
    return found


def _free(folder: Path) -> Path:
    """The first shard that is not complete."""
    number = 0
    while (folder / f"shard-{number:05d}" / "dataset.json").exists():
        number += 1
    return folder / f"shard-{number:05d}"
