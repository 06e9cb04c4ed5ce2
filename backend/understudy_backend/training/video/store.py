"""What is known of each frame so far, on disk, so that a run that was cut off goes on where it was."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from understudy_shared.formats.reading import FormatError, read_npz

from understudy_backend.atomic import write_atomically
from understudy_backend.photo.result import Estimate
from understudy_backend.training.video import sighting
from understudy_backend.training.video.sighting import Sighting


def fingerprint(values: Any) -> str:
    """12 hexadecimal digits of anything that JSON can write: other values, other digits."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


class Store:
    """One folder for one clip and one way of reading it; a file is there whole or not at all."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def sighting(self, number: int) -> Sighting | str | None:
        """What was found in a frame: the person, the reason why not, or None if nobody has looked yet."""
        data = self._read("sighting", number)
        if data is None:
            return None
        return str(data["reason"]) if "reason" in data else sighting.from_arrays(data)

    def put_sighting(self, number: int, found: Sighting | str) -> None:
        """Keeps a sighting or the reason why there is none."""
        self._write("sighting", number, {"reason": np.array(found)} if isinstance(found, str) else found.arrays())

    def fit(self, stage: str, number: int) -> dict[str, NDArray] | None:
        """The arrays of a fit, or None."""
        return self._read(stage, number)

    def put_fit(self, stage: str, number: int, estimate: Estimate, quality: tuple[float, float]) -> dict[str, NDArray]:
        """Keeps a fit: body, and (keypoint error in px, overlap); and gives its arrays."""
        arrays = {
            "betas": estimate.betas,
            "global_orient": estimate.global_orient,
            "body_pose": estimate.body_pose,
            "transl": estimate.transl,
            "quality": np.array(quality, np.float64),
        }
        self._write(stage, number, arrays)
        return arrays

    def _path(self, kind: str, number: int) -> Path:
        return self.folder / f"{kind}-{number:06d}.npz"

    def _read(self, kind: str, number: int) -> dict[str, NDArray] | None:
        path = self._path(kind, number)
        if not path.exists():
            return None
        try:
            return read_npz(path)
        except FormatError:  # of another program: made anew
            return None

    def _write(self, kind: str, number: int, arrays: dict[str, NDArray]) -> None:
        def write(file: BinaryIO) -> None:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

        write_atomically(self._path(kind, number), write)
