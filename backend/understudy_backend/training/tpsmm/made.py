"""Clips of made people, to begin with: each goes to and fro, turns, and moves between two poses, before a grey ground.

A person has clips of themselves, and clips of the bare textured body, which is what the product shows as its driving
frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from understudy_backend.training.people import poses, render, samples, skins
from understudy_backend.training.people.person import generator, random_person
from understudy_backend.training.people.stage import DressedPerson

TURN = 0.7
"""Radians: most that somebody turns in a clip, to either side."""
REACH = 0.25
"""Metres: most that somebody goes in a clip, to either side."""
SPLITS = {"train": "train", "test": "val"}
"""Folder by split of the made people; those of the evaluation stay unseen."""


def write(
    out: Path, split: str, people: int, clips: int, frames: int, size: int, seed: int, fill: float = 0.92
) -> None:
    """Writes strips `OUT/SPLIT/pNNNN#K.png`, (size, frames * size, 4), every second clip of the bare body.

    Args:
        out: folder of the data.
        split: `train` or `test`.
        people: how many.
        clips: of each.
        frames: of each clip.
        size: side of a frame in pixels.
        seed: of people and motion.
        fill: share of the frame's height that a person fills; above 1 the frame shows them from the head downwards.
    """
    folder = out / split
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(people):
        rng = generator(SPLITS[split], number, seed)
        person = DressedPerson(random_person(rng, skins.HELD_OUT if split == "test" else None))
        for k in range(clips):
            strip = np.concatenate(list(_frames(rng, person, k % 2 == 1, frames, size, fill)), 1)
            good, data = cv2.imencode(".png", cv2.cvtColor(strip, cv2.COLOR_RGBA2BGRA))
            assert good
            (folder / f"p{number:04d}#{k}.png").write_bytes(data.tobytes())


def _frames(
    rng: np.random.Generator, person: DressedPerson, bare: bool, count: int, size: int, fill: float
) -> Iterator[NDArray[np.uint8]]:
    ends = [poses.random_pose(rng, []) for _ in range(2)]
    first, turn = rng.uniform(-TURN, TURN, 2)
    share = (1 - np.cos(2 * np.pi * np.arange(count) / count)) / 2
    moments = [(1 - s) * ends[0] + s * ends[1] for s in share]
    angles = first + turn * np.sin(2 * np.pi * np.arange(count) / count)
    places = np.outer(np.cos(2 * np.pi * np.arange(count) / count), [rng.uniform(-REACH, REACH), 0, 0])
    look = person.body_vertices if bare else person.vertices
    points = [
        _turned(look(pose.astype(np.float32)), angle) + place.astype(np.float32)
        for pose, angle, place in zip(moments, angles, places, strict=True)
    ]
    shift = np.array([0, max(0.0, 0.47 * (fill - 1))])
    # one camera for the whole clip, in which all of it fits
    view = render.frame(np.concatenate(points), 0.0, rng.uniform(-0.1, 0.2), 2.0, fill, shift, (size, size))
    texture = person.texture_truth() if bare else None
    for vertices in points:
        yield samples.textured(vertices, texture, view) if texture is not None else person.picture(vertices, view)


def _turned(vertices: NDArray[np.floating], angle: float) -> NDArray[np.float32]:
    """World vertices (N, 3) turned about the vertical axis."""
    c, s = np.cos(angle), np.sin(angle)
    return np.asarray(vertices @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]), np.float32)
