"""Training data from made people, as memory-mapped arrays in a folder.

`texture`: what one photo shows of a body texture, and the complete texture in that photo's light: the first stage
of 3DHM (arXiv 2401.10889). `frames`: the textured body alone, the appearance photo, and the person as they should
look: its second stage.

    python -m understudy_backend.training.dataset --kind texture --out DIR --count 3000 --split train --seed 0
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import free_body

from understudy_backend.training.people import photograph as ph
from understudy_backend.training.people import poses, render, shading
from understudy_backend.training.people.person import TEXTURE_SIZE, Person, random_person
from understudy_backend.training.people.surface import texels

VERSION = 2
"""Raise it when the same seed gives other data."""
SIZE = 256
SAMPLES_PER_PERSON = 4
"""Painting a person costs as much as several pictures of them."""
Kind = Literal["texture", "frames"]
SPLITS = {"train": 0, "val": 1, "test": 2}
Sample = dict[str, NDArray[np.uint8]]

SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "texture": {"target": (SIZE, SIZE, 3), "partial": (SIZE, SIZE, 3), "visible": (SIZE, SIZE)},
    "frames": {"target": (SIZE, SIZE, 4), "body": (SIZE, SIZE, 4), "photo": (SIZE, SIZE, 4)},
}


@dataclass(frozen=True)
class Plan:
    """What one run writes."""

    kind: Kind
    out: Path
    count: int
    split: str
    seed: int
    motions: tuple[Path, ...]

    def generator(self, person: int) -> np.random.Generator:
        """The randomness of one person: splits never share one."""
        return np.random.default_rng([self.seed, SPLITS[self.split], person])


def small(texture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A texture at the size of the samples."""
    return cast(NDArray[np.uint8], cv2.resize(texture, (SIZE, SIZE), interpolation=cv2.INTER_AREA))


def photo_view(rng: np.random.Generator, points: NDArray[np.float32], size: tuple[int, int], back: bool) -> render.View:
    """A photographer's camera: from the front, sometimes three quarters, at the height of chest or eyes."""
    azimuth = rng.normal(0, 0.15) if rng.random() < 0.75 else rng.uniform(-0.9, 0.9)
    return render.frame(
        points,
        azimuth + (np.pi if back else 0.0),
        float(np.clip(rng.normal(0.04, 0.06), -0.1, 0.3)),
        float(rng.uniform(1.2, 2.8)),
        float(rng.uniform(0.85, 0.97)),
        rng.normal(0, 0.008, 2),
        size,
    )


def texture_samples(rng: np.random.Generator, person: Person, count: int) -> Iterator[Sample]:
    """Photos of one person in other poses, cameras and lights, read back into texture space."""
    plain, openness = small(person.texture), None
    for _ in range(count):
        pose = poses.standing(rng)
        vertices = ph.to_world(person.posed(pose))
        if openness is None:
            openness = shading.openness(vertices, person.faces)
        light = shading.random_light(rng, np.array([0.0, -1.0, 0.0]))
        fit = ph.random_fit(rng, person.betas)
        draw = rng.random()
        sides = [False, True] if draw < 0.1 else [draw > 0.94]
        partial, visible, tints = None, np.zeros((SIZE, SIZE), bool), []
        for back in sides:
            photo = ph.take(person, vertices, light, openness, photo_view(rng, vertices, (448, 640), back), 1)
            image, mask = ph.photographic(rng, photo.image)
            wrong, view = ph.misjudged(rng, pose, photo.view)
            read, seen = ph.read_texture(image, mask, view, fit.vertices(wrong), SIZE)
            partial = read if partial is None else np.where((seen & ~visible)[..., None], read, partial)
            visible |= seen
            tints.append(photo.tint)
        assert partial is not None
        target = ph.tinted(plain, np.mean(tints, axis=0))
        target[texels_far()] = 128
        yield {"target": target, "partial": partial, "visible": visible.astype(np.uint8) * 255}


def texels_far() -> NDArray[np.bool_]:
    """(SIZE, SIZE) texels so far from every island that they stay grey."""
    return texels(SIZE).near < 0


def frame_samples(rng: np.random.Generator, person: Person, count: int, clips: list[NDArray]) -> Iterator[Sample]:
    """One photo's appearance, and frames of the person elsewhere under the same light."""
    body = free_body()
    stand = poses.standing(rng)
    vertices = ph.to_world(person.posed(stand))
    openness = shading.openness(vertices, person.faces)
    light = shading.random_light(rng, np.array([0.0, -1.0, 0.0]))
    view = photo_view(rng, vertices, (SIZE, SIZE), back=False)
    photo = ph.take(person, vertices, light, openness, view, 2)
    large = np.asarray(cv2.resize(photo.image, (2 * SIZE, 2 * SIZE), interpolation=cv2.INTER_LINEAR), np.uint8)
    image, mask = ph.photographic(rng, large)
    fit = ph.random_fit(rng, person.betas)
    wrong, wrong_view = ph.misjudged(rng, stand, view.scaled(2))
    partial, visible = ph.read_texture(image, mask, wrong_view, fit.vertices(wrong), SIZE)
    lit = ph.tinted(person.texture, photo.tint)
    uvs = (body.uvs * [1, -1] + [0, 1]).astype(np.float32)
    for _ in range(count):
        pose = poses.random_pose(rng, clips)
        moved = ph.to_world(person.posed(pose))
        target_view = frame_view(rng, moved)
        target = ph.take(person, moved, light, openness, target_view, 2)
        if rng.random() < 0.5:
            texture = ph.imperfect(rng, small(lit), partial, visible)
            bare = fit.vertices(pose)
        else:
            texture = lit
            bare = ph.Fit(person.betas, fit.thickness).vertices(pose)
        raster = render.look(target_view.scaled(2), bare, body.faces)
        textured = render.picture(
            raster, body.faces, uvs * len(texture), body.face_uvs, texture, np.ones(3, np.float32), 2
        )
        yield {"target": target.image, "body": textured, "photo": photo.image}


def frame_view(rng: np.random.Generator, points: NDArray[np.float32]) -> render.View:
    """A camera anywhere around a posed person: mostly the whole body, sometimes a closer crop."""
    close = rng.random() < 0.15
    fill = rng.uniform(1.1, 1.9) if close else rng.uniform(0.55, 0.95)
    shift = np.array([rng.normal(0, 0.03), rng.uniform(0.1, 0.5) * (fill - 0.9) if close else rng.normal(0, 0.02)])
    azimuth, elevation = rng.uniform(-np.pi, np.pi), np.radians(rng.uniform(-15, 35))
    return render.frame(points, azimuth, elevation, rng.uniform(1.0, 2.5), fill, shift, (SIZE, SIZE))


def samples(plan: Plan, person_index: int, count: int, clips: list[NDArray]) -> Iterator[Sample]:
    """The samples of one person."""
    rng = plan.generator(person_index)
    person = random_person(rng)
    if plan.kind == "texture":
        return texture_samples(rng, person, count)
    return frame_samples(rng, person, count, clips)


def fill(plan: Plan, worker: int, workers: int) -> None:
    """Writes every `workers`-th person's samples into the arrays that `create` has made."""
    cv2.setNumThreads(1)
    clips = [poses.read_clip(path) for path in plan.motions] if plan.kind == "frames" else []
    arrays = {name: np.load(plan.out / f"{name}.npy", mmap_mode="r+") for name in SHAPES[plan.kind]}
    people = -(-plan.count // SAMPLES_PER_PERSON)
    start = time.monotonic()
    for done, person in enumerate(range(worker, people, workers)):
        first = person * SAMPLES_PER_PERSON
        last = min(first + SAMPLES_PER_PERSON, plan.count)
        for i, sample in enumerate(samples(plan, person, last - first, clips), first):
            for name, array in sample.items():
                arrays[name][i] = array
        if worker == 0 and (done % 25 == 24 or person + workers >= people):
            rate = (done + 1) * SAMPLES_PER_PERSON * workers / (time.monotonic() - start)
            left = (people - person) * SAMPLES_PER_PERSON / rate
            print(
                f"{plan.kind} {plan.split}: {last} of {plan.count}, {rate:.1f} a second, {left:.0f} s left", flush=True
            )


def create(plan: Plan, workers: int) -> None:
    """Makes a dataset in `plan.out`.

    Raises:
        ValueError: an unknown split, or no readable motion where the kind needs one.
        OSError: the folder cannot be written.
    """
    if plan.split not in SPLITS:
        raise ValueError(f"the split is one of {', '.join(SPLITS)}, not {plan.split}")
    if plan.count < 1:
        raise ValueError("a dataset needs at least one sample")
    plan.out.mkdir(parents=True, exist_ok=True)
    for name, shape in SHAPES[plan.kind].items():
        np.lib.format.open_memmap(plan.out / f"{name}.npy", mode="w+", dtype=np.uint8, shape=(plan.count, *shape))
    persons = np.arange(plan.count, dtype=np.int32) // SAMPLES_PER_PERSON
    np.save(plan.out / "person.npy", persons)
    if plan.kind == "texture":
        np.save(plan.out / "body_mask.npy", texels(SIZE).mask)
    texels(TEXTURE_SIZE)
    if workers <= 1:
        fill(plan, 0, 1)
    else:
        context = multiprocessing.get_context("spawn")
        children = [context.Process(target=fill, args=(plan, w, workers)) for w in range(workers)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        if any(child.exitcode for child in children):
            raise RuntimeError("a worker of the dataset failed; its message is above")
    about = {
        "kind": plan.kind,
        "split": plan.split,
        "seed": plan.seed,
        "count": plan.count,
        "size": SIZE,
        "version": VERSION,
        "samples_per_person": SAMPLES_PER_PERSON,
        "motions": [path.name for path in plan.motions],
    }
    (plan.out / "dataset.json").write_text(json.dumps(about, indent=1) + "\n")


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make training data from made people.")
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
