"""Animate Anyone and Champ as they are, but that the pictures which guide them are kept for the tests to look at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from understudy_backend.methods import animate_anyone, champ, clips
from understudy_backend.methods.animate_anyone import AnimateAnyone
from understudy_backend.methods.champ import Champ
from understudy_backend.methods.contract import Result, Task
from understudy_backend.models.animate_anyone.parts import AnimatorParts
from understudy_shared.frames import Frame

__all__ = ["AnimateAnyone", "Champ"]


def _watched(
    task: Task,
    frames: Iterable[Frame],
    parts: AnimatorParts,
    weights: str,
    guidance: Callable[[Frame], Mapping[str, clips.Image]],
) -> Iterator[Result]:
    folder = Path(os.environ["UNDERSTUDY_TEST_PICTURES"])

    def look(frame: Frame) -> Mapping[str, clips.Image]:
        pictures = guidance(frame)
        np.savez(folder / f"{task.spec.id}_{frame.index}.npz", **pictures)
        return pictures

    return clips.make_clip(task, frames, parts, weights, look)


animate_anyone.make_clip = champ.make_clip = _watched
