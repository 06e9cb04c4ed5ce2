# SPDX-License-Identifier: GPL-3.0-or-later
"""What a take needs to be resumed, kept in its folder: its inputs, the conditions of frames not made yet, and of each
frame the key of what it is made from.

Conditions are a snapshot: all frames of a take show the scene as it was when the take was started, however long the
backend needs, and whatever the artist does meanwhile. They cost 84 KB a frame as geometry and are removed at the end.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from understudy_shared.frames import Channel, Frame
from understudy_shared.job import array_digest

from .names import condition_name, frame_name, input_name, keys_name, log_name
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


def save_keys(folder: Path, keys: Mapping[int, str]) -> None:
    """Adds the keys of what frames are made from (see `again.frame_key`) to those that the folder has.

    Raises:
        OSError: they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / keys_name(), msgspec.json.encode({**load_keys(folder), **keys}))


def load_keys(folder: Path) -> dict[int, str]:
    """The keys of frames; none where there is no file of them, or a damaged one."""
    try:
        return msgspec.json.decode((folder / keys_name()).read_bytes(), type=dict[int, str])
    except (OSError, msgspec.MsgspecError, ValueError):
        return {}


def take_over(source: Path, folder: Path, numbers: Iterable[int]) -> set[int]:
    """Gives a take the frames of another, and the keys of what they were made from.

    A frame that both have costs the disk nothing: it is one file under two names (a copy where the disk cannot do
    that). Removing either take leaves the other's; a frame that is made again becomes a file of its own.

    Returns:
        The numbers of the frames that were there.

    Raises:
        OSError: they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done: set[int] = set()
    for number in numbers:
        old, new = source / frame_name(number), folder / frame_name(number)
        if new.is_file():
            done.add(number)
            continue
        try:
            os.link(old, new)
        except FileNotFoundError:
            continue
        except OSError:
            part = new.with_name(f"{new.name}.part")
            try:
                shutil.copyfile(old, part)
                part.replace(new)
            except OSError:
                part.unlink(missing_ok=True)
                raise
        done.add(number)
    keys = load_keys(source)
    save_keys(folder, {number: keys[number] for number in done if number in keys})
    return done


def save_log(folder: Path, lines: Iterable[str]) -> None:
    """Writes what happened to a job, for later; where that is impossible, the job does without."""
    with contextlib.suppress(OSError):
        write_atomically(folder / log_name(), "".join(f"{line}\n" for line in lines).encode())


def load_log(folder: Path) -> list[str]:
    """The lines of the log of an earlier session; none where there is none."""
    try:
        return (folder / log_name()).read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
