"""How fast training data is made: samples a second, and processor milliseconds a sample by stage.

    python tests/bench/bench_people.py [--people 16] [--workers 2] [--motions FOLDER]

Times are of processor time, so that they hold on a busy machine too; the rate is what `workers` idle cores would make.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from understudy_backend.training import dataset
from understudy_backend.training.people import poses
from understudy_backend.training.people.samples import SHAPES, Kind

STAGES = {
    "person": "person.py:random_person",
    "  painting": "person.py:dress",
    "  cloth": "drapery.py:drapery",
    "  footwear": "footwear.py:shoe_parts",
    "  assembly": "person.py:_assemble",
    "openness": "shading.py:openness",
    "posing": "person.py:skin_vertices",
    "camera": "render.py:frame",
    "pictures with light": "photograph.py:take",
    "  of which light": "shading.py:shade",
    "body in its texture": "samples.py:textured",
    "photo's noise and mask": "photograph.py:photographic",
    "reading the photo": "photograph.py:read_texture",
    "imperfect texture": "photograph.py:imperfect",
}


def measure(kind: Kind, people: int, motions: tuple[Path, ...], workers: int) -> None:
    plan = dataset.Plan(kind, Path(), people * dataset.SAMPLES_PER_PERSON, "train", 0, motions)
    clips = [poses.read_clip(path) for path in plan.clips]
    list(dataset.samples(plan, people, dataset.SAMPLES_PER_PERSON, clips))  # compiles
    times = []
    for person in range(people):
        start = time.process_time()
        list(dataset.samples(plan, person, dataset.SAMPLES_PER_PERSON, clips))
        times.append((time.process_time() - start) / dataset.SAMPLES_PER_PERSON)
    mean = float(np.mean(times))
    print(f"{kind}: {mean * 1e3:.1f} ms a sample, {workers / mean:.1f} a second with {workers} workers")
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    for person in range(people):
        list(dataset.samples(plan, person, dataset.SAMPLES_PER_PERSON, clips))
    profile.disable()
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    found = {f"{Path(file).name}:{name}": times[3] for (file, _, name), times in stats.items()}
    for label, function in STAGES.items():
        if function in found:
            print(f"  {label:24s} {found[function] / people / dataset.SAMPLES_PER_PERSON * 1e3:6.2f} ms")


def wall(kind: Kind, people: int, motions: tuple[Path, ...], workers: int) -> None:
    """What the command really makes, on as idle a machine as there is."""
    with tempfile.TemporaryDirectory() as folder:
        count = people * dataset.SAMPLES_PER_PERSON
        plan = dataset.Plan(kind, Path(folder), count, "train", 0, motions, shard=count // workers // 4 * 4)
        start = time.monotonic()
        dataset.create(plan, workers)
        print(f"{kind}: {count / (time.monotonic() - start):.1f} a second by the clock, start included")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=16)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--motions", type=Path, default=Path("packaging/demo/samples/motions"))
    parser.add_argument("--clock", action="store_true", help="also write a data set, and time that")
    a = parser.parse_args()
    cv2.setNumThreads(1)
    motions = tuple(sorted(a.motions.glob("*.npz")))
    kinds: tuple[Kind, ...] = ("frames", "texture")
    for kind in kinds:
        assert kind in SHAPES
        measure(kind, a.people, motions, a.workers)
        if a.clock:
            wall(kind, a.people, motions, a.workers)


if __name__ == "__main__":
    main()
