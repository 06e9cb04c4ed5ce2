"""Clips of made people: each person on a turntable, and in motion before a camera that stands still.

What a shard holds depends on the plan alone, so stopping and starting again, with more or fewer processes, or asking
for more people later, gives the same bytes.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import Y_UP_TO_Z_UP, free_body, joint_transforms

from understudy_backend.guidance.body_pictures import body_pictures
from understudy_backend.training.animator import motions
from understudy_backend.training.animator.shards import PICTURE, FrameRow, shard_about, write_shard
from understudy_backend.training.people import poses, render, skins
from understudy_backend.training.people.person import SPLITS, generator, random_person
from understudy_backend.training.people.stage import DressedPerson

VERSION = 1
"""Raise it when the same seed gives other data."""
CLIPS = 2
"""Of a person: a turntable and a motion."""


@dataclass(frozen=True)
class Plan:
    """What one run writes."""

    out: Path
    people: int
    frames: int
    """Of a clip."""
    size: tuple[int, int]
    """(width, height) in pixels."""
    split: str = "train"
    seed: int = 0
    motions: tuple[Path, ...] = ()
    """Captured clips; people walk without. Those of `poses.HELD_OUT` serve the test split alone."""

    def clips(self) -> list[Path]:
        """The captured clips that this split may show."""
        return [path for path in self.motions if (path.stem in poses.HELD_OUT) == (self.split == "test")]

    def about(self) -> dict[str, object]:
        """What another run has to share to go on with this one."""
        used = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in self.clips()}
        return {"source": "people", "version": VERSION, "frames": self.frames, "size": list(self.size),
                "split": self.split, "seed": self.seed, "motions": used}  # fmt: skip

    def folder(self, person: int) -> Path:
        """Where a person's clips lie."""
        return self.out / f"shard-{person:05d}"


def create(plan: Plan, workers: int = 1, progress: Callable[[str], None] = lambda line: None) -> None:
    """Makes the clips, or those that are missing.

    Raises:
        ValueError: an unknown split, sizes or counts that do not fit, or a folder with another data set.
        OSError: the folder cannot be written.
    """
    if plan.split not in SPLITS:
        raise ValueError(f"the split is one of {', '.join(SPLITS)}, not {plan.split}")
    if plan.people < 1 or plan.frames < 2 or min(plan.size) < 64:
        raise ValueError("clips need at least one person, two frames and 64 pixels a side")
    about, todo = plan.about(), []
    for person in range(plan.people):
        found = shard_about(plan.folder(person))
        if found is None:
            todo.append(person)
        elif any(found.get(key) != value for key, value in about.items()):
            raise ValueError(f"{plan.out} holds another data set (see {plan.folder(person).name}): choose another one")
    write = _Writer(plan)
    if min(workers, len(todo)) <= 1:
        for done, person in enumerate(todo, 1):
            write(person)
            progress(f"person {person}, {done} of {len(todo)}")
        return
    with multiprocessing.get_context("spawn").Pool(min(workers, len(todo))) as pool:
        for done, person in enumerate(pool.imap_unordered(write, todo), 1):
            progress(f"person {person}, {done} of {len(todo)}")


def person_clips(plan: Plan, number: int) -> list[list[FrameRow]]:
    """The clips of one person."""
    rng = generator(plan.split, number, plan.seed)
    person = DressedPerson(random_person(rng, skins.HELD_OUT if plan.split == "test" else None))
    captured = [poses.read_clip(path) for path in plan.clips()]
    moving = motions.captured(rng, captured, plan.frames) if captured else motions.walk(rng, plan.frames)
    return [_filmed(rng, person, pose, plan.size) for pose in (motions.turntable(rng, plan.frames), moving)]


def _filmed(
    rng: np.random.Generator, dressed: DressedPerson, pose: NDArray[np.floating], size: tuple[int, int]
) -> list[FrameRow]:
    body, betas, still = free_body(), dressed.person.betas, np.zeros((1, 3), np.float32)
    points = [dressed.vertices(p) for p in pose]
    view = render.frame(
        np.concatenate([p[::7] for p in points]), rng.normal(0, 0.2), float(np.radians(rng.uniform(-5, 15))),
        rng.uniform(1.2, 2.5), rng.uniform(0.8, 0.93), rng.normal(0, 0.01, 2), size,
    )  # fmt: skip
    k, extrinsics = view.intrinsics, view.extrinsics
    out = []
    for place, p in zip(points, pose, strict=True):
        joints = joint_transforms(body, betas, p[None, 0], p[None, 1:], still)[0, :, :3, 3] @ Y_UP_TO_Z_UP.T
        pictures = body_pictures(body, dressed.body_vertices(p), joints, k, extrinsics, size)
        out.append({PICTURE: dressed.picture(place, view), **pictures})
    return out


@dataclass(frozen=True)
class _Writer:
    """Writes one person's shard, also in another process."""

    plan: Plan

    def __call__(self, person: int) -> int:
        cv2.setNumThreads(1)
        about = {**self.plan.about(), "person": person}
        write_shard(self.plan.folder(person), person_clips(self.plan, person), about)
        return person
