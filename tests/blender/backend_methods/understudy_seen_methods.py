"""TPSMM as the catalogue has it, in whose place it stands; it also keeps the driving frames as they arrive."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from understudy_backend.methods.contract import Result, Task
from understudy_backend.methods.tpsmm import TPSMMMethod
from understudy_shared.frames import Channel, Frame


class SeenTPSMM(TPSMMMethod):
    """Writes frame N to `UNDERSTUDY_TEST_SEEN/N.npy`, the reference to `reference.npy`."""

    def run(self, task: Task, frames: Iterable[Frame]) -> Iterator[Result]:
        folder = Path(os.environ["UNDERSTUDY_TEST_SEEN"])
        if "reference" in task.inputs:
            np.save(folder / "reference.npy", task.inputs["reference"])
        return super().run(task, (self._kept(folder, frame) for frame in frames))

    def _kept(self, folder: Path, frame: Frame) -> Frame:
        np.save(folder / f"{frame.index}.npy", frame.channels[Channel.RGBA])
        return frame
