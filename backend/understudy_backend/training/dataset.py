"""Training data from made people, as shards of arrays that are written once, by any number of processes.

    OUT/dataset.json            written last: the whole is complete
    OUT/body_mask.npy           texels of the body, kind `texture` only (in every shard too)
    OUT/shard-00000/NAME.npy    what `people.samples.SHAPES` names, and person.npy
    OUT/shard-00000/dataset.json    written last: a shard without it is made again

What a shard holds depends on the plan alone, so stopping and starting again, with more or fewer processes, or asking
for more samples later, gives the same bytes.

    python -m understudy_backend.training.dataset --kind texture --out DIR --count 3000 --split train --seed 0
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from understudy_backend.atomic import write_atomically
from understudy_backend.training.people import poses, skins
from understudy_backend.training.people.person import SPLITS, TEXTURE_SIZE, generator, random_person
from understudy_backend.training.people.samples import (
    SHAPES,
    SIZE,
    Kind,
    Sample,
    frame_samples,
    small,
    texels_far,
    texture_samples,
)
from understudy_backend.training.people.surface import texels

__all__ = ["SHAPES", "SIZE", "SPLITS", "Kind", "Plan", "Sample", "create", "main", "samples", "small", "texels_far"]

VERSION = 3
"""Raise it when the same seed gives other data."""
SAMPLES_PER_PERSON = 4
"""Painting a person costs as much as several pictures of them."""
SHARD = 64
"""Samples in a shard: half a minute's work at most is lost when a run is stopped."""


@dataclass(frozen=True)
class Plan:
    """What one run writes."""

    kind: Kind
    out: Path
    count: int
    split: str
    seed: int
    motions: tuple[Path, ...]
    """Of these, the clips of `poses.HELD_OUT` serve the test split alone, and the others all but that."""
    shard: int = SHARD
    """Samples in a shard, a multiple of the samples of a person."""

    def generator(self, person: int) -> np.random.Generator:
        """The randomness of one person: splits never share one. Test people 0 to 49 are those of `test_person`."""
        return generator(self.split, person, self.seed)

    @property
    def clips(self) -> tuple[Path, ...]:
        """The motions that this split may show."""
        return tuple(path for path in self.motions if (path.stem in poses.HELD_OUT) == (self.split == "test"))

    @property
    def shards(self) -> int:
        """How many."""
        return -(-self.count // self.shard)

    def folder(self, shard: int) -> Path:
        """Where a shard lies."""
        return self.out / f"shard-{shard:05d}"

    def about(self) -> dict[str, object]:
        """What all shards have in common, and what another run has to share to go on with this one."""
        used = self.clips if self.kind == "frames" else ()
        return {
            "kind": self.kind,
            "split": self.split,
            "seed": self.seed,
            "size": SIZE,
            "version": VERSION,
            "samples_per_person": SAMPLES_PER_PERSON,
            "shard": self.shard,
            "motions": {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in used},
        }


def samples(plan: Plan, person_index: int, count: int, clips: list[NDArray]) -> Iterator[Sample]:
    """The samples of one person."""
    rng = plan.generator(person_index)
    person = random_person(rng, skins.HELD_OUT if plan.split == "test" else None)
    if plan.kind == "texture":
        return texture_samples(rng, person, count)
    return frame_samples(rng, person, count, clips)


def write_shard(plan: Plan, shard: int) -> int:
    """Makes one shard; returns its number. What a stopped run left of it goes first."""
    cv2.setNumThreads(1)
    folder, first = plan.folder(shard), shard * plan.shard
    count = min(plan.shard, plan.count - first)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    clips = [poses.read_clip(path) for path in plan.clips] if plan.kind == "frames" else []
    arrays = {name: np.zeros((count, *shape), np.uint8) for name, shape in SHAPES[plan.kind].items()}
    for start in range(0, count, SAMPLES_PER_PERSON):
        person = (first + start) // SAMPLES_PER_PERSON
        for i, sample in enumerate(samples(plan, person, min(SAMPLES_PER_PERSON, count - start), clips), start):
            for name, array in sample.items():
                arrays[name][i] = array
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "person.npy", np.arange(first, first + count, dtype=np.int32) // SAMPLES_PER_PERSON)
    if plan.kind == "texture":
        np.save(folder / "body_mask.npy", texels(SIZE).mask)
    _write_about(folder, {**plan.about(), "first": first, "count": count})
    return shard


def _write_about(folder: Path, about: dict[str, object]) -> None:
    text = json.dumps(about, indent=1) + "\n"
    write_atomically(folder / "dataset.json", lambda file: file.write(text.encode()))


def missing(plan: Plan) -> list[int]:
    """The shards that are still to be made.

    Raises:
        ValueError: the folder holds shards of another data set.
    """
    out = []
    for shard in range(plan.shards):
        count = min(plan.shard, plan.count - shard * plan.shard)
        try:
            found = json.loads((plan.folder(shard) / "dataset.json").read_text())
        except (OSError, ValueError):
            out.append(shard)
            continue
        if not isinstance(found, dict) or any(found.get(key) != value for key, value in plan.about().items()):
            raise ValueError(
                f"{plan.out} holds another data set (see {plan.folder(shard).name}); choose an empty folder"
            )
        if found.get("count") != count:
            out.append(shard)  # it was the last one of a smaller set
    return out


def create(plan: Plan, workers: int) -> None:
    """Makes a dataset in `plan.out`, or what is missing of it.

    Raises:
        ValueError: an unknown split, no readable motion where the kind needs one, or a folder with another data set.
        OSError: the folder cannot be written.
    """
    if plan.split not in SPLITS:
        raise ValueError(f"the split is one of {', '.join(SPLITS)}, not {plan.split}")
    if plan.count < 1:
        raise ValueError("a dataset needs at least one sample")
    if plan.shard < 1 or plan.shard % SAMPLES_PER_PERSON:
        raise ValueError(f"a shard holds a multiple of {SAMPLES_PER_PERSON} samples, not {plan.shard}")
    plan.out.mkdir(parents=True, exist_ok=True)
    todo = missing(plan)
    (plan.out / "dataset.json").unlink(missing_ok=True)
    if plan.kind == "texture":
        np.save(plan.out / "body_mask.npy", texels(SIZE).mask)
    start = time.monotonic()
    for done, shard in enumerate(_written(plan, todo, workers), 1):
        rate = done * plan.shard / (time.monotonic() - start)
        left = (len(todo) - done) * plan.shard / rate
        said = f"{plan.kind} {plan.split}: shard {shard}, {done} of {len(todo)}"
        print(f"{said}, {rate:.1f} samples a second, {left:.0f} s left", flush=True)
    for extra in plan.out.glob("shard-*"):
        if int(extra.name[6:]) >= plan.shards:
            raise ValueError(f"{plan.out} holds more than {plan.count} samples; choose an empty folder")
    _write_about(plan.out, {**plan.about(), "count": plan.count, "shards": plan.shards})


def _written(plan: Plan, todo: list[int], workers: int) -> Iterator[int]:
    """Writes shards, and yields each when it is complete, in any order."""
    if min(workers, len(todo)) <= 1:
        yield from (write_shard(plan, shard) for shard in todo)
        return
    texels(TEXTURE_SIZE)  # compiles once, before the processes would all do so
    with multiprocessing.get_context("spawn").Pool(min(workers, len(todo))) as pool:
        yield from pool.imap_unordered(_Writer(plan), todo)


@dataclass(frozen=True)
class _Writer:
    """`write_shard` of one plan, for another process."""

    plan: Plan

    def __call__(self, shard: int) -> int:
        return write_shard(self.plan, shard)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make training data from made people; goes on where a run stopped.")
    parser.add_argument("--kind", choices=list(SHAPES), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True, help="samples")
    parser.add_argument("--split", choices=list(SPLITS), default="train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--motions", type=Path, default=None, help="folder of motion clips (npz); poses are procedural without"
    )
    a = parser.parse_args(arguments)
    motions = tuple(sorted(a.motions.glob("*.npz"))) if a.motions else ()
    try:
        create(Plan(a.kind, a.out, a.count, a.split, a.seed, motions), a.workers)
    except (ValueError, OSError) as error:
        parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    main()
