# SPDX-License-Identifier: GPL-3.0-or-later
"""Which frames of a shot need not be made again, because nothing that they depend on has changed since another take.

What a frame depends on is one key, kept beside the frames: of the method with its settings, the inputs, the size, and
what the scene looked like at that frame (its conditions). So it is told frame by frame, also in a take whose frames
come from several others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from understudy_shared.job import JobSpec, digest, scene_digest
from understudy_shared.protocol.description import MethodDescription

from . import take_files

NO_CONDITIONS = ""
"""In place of the digest of what the scene looked like, for methods that are not shown it."""


def frame_keys(
    spec: JobSpec, numbers: Iterable[int], conditions: Mapping[int, str], method: MethodDescription | None
) -> dict[int, str]:
    """The key of what each frame of a job is made from.

    Args:
        spec: the job's.
        numbers: of which frames.
        conditions: frame number to `job.frame_digest`; empty for a method that is not shown the scene.
        method: where the backend has told of it: its defaults, and whether a frame depends on its neighbours.
    """
    defaults = {param.name: param.default for param in method.params} if method else {}
    weights = [(weight.name, weight.sha256) for weight in method.weights] if method else []
    shared = digest(
        {
            "method": spec.method,
            "params": {**defaults, **spec.params},
            "weights": weights,
            "seed": spec.seed,
            "size": spec.size,
            "inputs": spec.inputs,
            # A frame that depends on its neighbours depends on the whole clip.
            "scene": "" if method is None or method.independent_frames else scene_digest(conditions),
        }
    )
    return {n: digest([n, shared, conditions.get(n, NO_CONDITIONS)]) for n in numbers}


def keep(folder: Path, keys: Mapping[int, str], base: Path | None) -> set[int]:
    """Notes what the frames of a take are made from, and takes over those of `base` that are made from the same.

    Runs in the writer's thread. Returns the numbers of the frames that were taken over.

    Raises:
        OSError: something cannot be written.
    """
    taken: set[int] = set()
    if base is not None:
        theirs = take_files.load_keys(base)
        taken = take_files.take_over(base, folder, [n for n, key in keys.items() if theirs.get(n) == key])
    take_files.save_keys(folder, keys)
    return taken
