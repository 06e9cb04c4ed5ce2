# SPDX-License-Identifier: GPL-3.0-or-later
"""What a take needs to be resumed, kept in its folder: its inputs, and the conditions of frames not made yet.

Conditions are a snapshot: all frames of a take show the scene as it was when the take was started, however long the
backend needs, and whatever the artist does meanwhile. They cost 84 KB a frame as geometry and are removed at the end.
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from understudy_shared.frames import Channel, Frame
from understudy_shared.job import array_digest

from .names import condition_name, input_name
from .png import write_atomically


def save_inputs(folder: Path, inputs: dict[str, NDArray]) -> dict[str, str]:
    """Writes the inputs and gives their digests by name.

    Raises:
        OSError: they cannot be written.
    """
    digests = {}
    for name, array in inputs.items():
        digests[name] = array_digest(array)
        path = folder / input_name(digests[name])
        path.parent.mkdir(parents=True, exist_ok=True)
        packed = io.BytesIO()
        np.save(packed, array, allow_pickle=False)
        write_atomically(path, packed.getvalue())
    return digests


def load_inputs(folder: Path, digests: dict[str, str]) -> dict[str, NDArray]:
    """Reads the inputs that are still there and still what they were; the backend may have the others."""
    found = {}
    for name, digest in digests.items():
        try:
            array = np.load(folder / input_name(digest), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            continue
        if array_digest(array) == digest:
            found[name] = array
    return found


def save_conditions(folder: Path, frame: Frame) -> None:
    """Writes the conditions of a frame.

    Raises:
        OSError: they cannot be written.
    """
    path = folder / condition_name(frame.index)
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = io.BytesIO()
    np.savez(packed, **{str(channel): array for channel, array in frame.channels.items()})
    write_atomically(path, packed.getvalue())


def load_conditions(folder: Path, number: int) -> Frame | None:
    """Reads the conditions of a frame, None where there are none (any more)."""
    try:
        with np.load(folder / condition_name(number), allow_pickle=False) as data:
            return Frame(number, {Channel(name): data[name] for name in data.files})
    except (OSError, ValueError, EOFError, KeyError):
        return None


def drop_conditions(folder: Path) -> None:
    """Removes all conditions of a take."""
    shutil.rmtree((folder / condition_name(0)).parent, ignore_errors=True)
