# SPDX-License-Identifier: GPL-3.0-or-later
"""The socket thread's side in Blender: frames become files here, and everything becomes a short notice for the pump.

Nothing in this file touches `bpy`: it runs in the thread of `protocol.client.Connection`, where that would crash.
"""

from __future__ import annotations

import io
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from understudy_shared.frames import Channel, Frame
from understudy_shared.job import JobSpec
from understudy_shared.protocol import events
from understudy_shared.protocol.client import Connection
from understudy_shared.protocol.security import ClientKeys

from . import png
from .disk import in_words
from .names import frame_name, preview_name, result_name


@dataclass(frozen=True)
class FrameSaved:
    """A finished frame is on disk."""

    job: str
    number: int
    rewritten: bool
    """There was a file already, with other content."""
    meta: dict[str, Any]


@dataclass(frozen=True)
class PreviewSaved:
    """How a frame looks so far is on disk."""

    job: str
    number: int
    rewritten: bool
    """In place of an earlier one."""


@dataclass(frozen=True, eq=False)
class ArraysArrived:
    """A result that is no frame (a fit, a texture), also on disk."""

    job: str
    arrays: dict[str, NDArray]
    meta: dict[str, Any]


@dataclass(frozen=True)
class SaveFailed:
    """A result arrived and could not be written. The backend has it still: resuming the job brings it again."""

    job: str
    message: str
    fix: str


Notice = (
    FrameSaved
    | PreviewSaved
    | ArraysArrived
    | SaveFailed
    | events.Connected
    | events.MethodsChanged
    | events.Disconnected
    | events.Accepted
    | events.CreditChanged
    | events.Progressed
    | events.JobDone
    | events.JobCancelled
    | events.JobFailed
    | events.StatusArrived
    | events.Complaint
)


class BackendLink:
    """A connection to one backend whose results land in folders and whose events land in `notices`.

    Args:
        address: `tcp://host:port` or `ipc://path`.
        owner: see `folders.owner`.
        keys: for a backend off this machine.
    """

    def __init__(self, address: str, owner: str, keys: ClientKeys | None = None) -> None:
        self.address, self.owner, self.keys = address, owner, keys
        self.notices: queue.SimpleQueue[Notice] = queue.SimpleQueue()
        self._folders: dict[str, Path] = {}
        self._writing = threading.Lock()
        """Held while a result is written, so that its folder can be moved between two."""
        self._connection = Connection(address, owner=owner, keys=keys, on_event=self._take)

    def start(self) -> None:
        """Connects in the background."""
        self._connection.start()

    def close(self) -> None:
        """Ends the socket thread. Jobs run on at the backend."""
        self._connection.close()

    def wire_id(self, spec: JobSpec) -> str:
        """The id under which the backend knows a spec of this owner."""
        return msgspec.structs.replace(spec, owner=self.owner).id

    def submit(
        self,
        spec: JobSpec,
        inputs: Mapping[str, NDArray],
        folder: Path,
        *,
        have: Iterable[int] = (),
        conditions: Mapping[int, str] | None = None,
    ) -> str:
        """Asks for a job, or the rest of it; its results are written into `folder`. Returns its wire id.

        Raises:
            ValueError: a setting does not travel.
        """
        self.redirect(self.wire_id(spec), folder)  # before submitting: results may come before `submit` returns
        return self._connection.submit(spec, inputs, have=have, conditions=conditions)

    def redirect(self, wire_id: str, folder: Path | None, meanwhile: Callable[[], object] = lambda: None) -> None:
        """From now on a job's results are written into `folder`, or nowhere.

        Args:
            wire_id: the job's.
            folder: see above.
            meanwhile: called while nothing is being written; if it raises, all stays as it was.
        """
        with self._writing:
            meanwhile()
            if folder is None:
                self._folders.pop(wire_id, None)
            else:
                self._folders[wire_id] = folder

    def wanted(self, wire_id: str) -> list[int]:
        return self._connection.wanted(wire_id)

    def push(self, wire_id: str, frame: Frame) -> bool:
        return self._connection.push(wire_id, frame)

    def ask_methods(self) -> None:
        """Has the backend look whether weights have come or gone; `MethodsChanged` follows if so."""
        self._connection.status()

    def cancel(self, wire_id: str) -> None:
        self._connection.cancel(wire_id)

    def _take(self, event: events.Event) -> None:
        if not isinstance(event, events.ResultArrived | events.PreviewArrived):
            self.notices.put(event)
            return
        with self._writing:
            folder = self._folders.get(event.job)
            if folder is not None:
                self._write(folder, event)

    def _write(self, folder: Path, event: events.ResultArrived | events.PreviewArrived) -> None:
        try:
            shown = isinstance(event, events.PreviewArrived)
            self.notices.put(_show(folder, event) if shown else _save(folder, event))
        except OSError as error:
            message, fix = in_words(error, folder)
            self.notices.put(SaveFailed(event.job, message, f"{fix}, then resume: finished frames are safe."))
        except (ValueError, KeyError) as error:
            message = f"The backend sent a result that is not what it should be ({error})"
            self.notices.put(
                SaveFailed(event.job, message, "Update the backend and the extension to the same version.")
            )


def _show(folder: Path, event: events.PreviewArrived) -> Notice:
    path = folder / preview_name(event.index)
    path.parent.mkdir(parents=True, exist_ok=True)
    rewritten = path.is_file()
    png.write_atomically(path, png.encode(png.to_bytes(event.rgba)))
    return PreviewSaved(event.job, event.index, rewritten)


def _save(folder: Path, event: events.ResultArrived) -> Notice:
    folder.mkdir(parents=True, exist_ok=True)
    if Channel.RGBA in event.arrays:
        data = png.encode(png.to_bytes(event.arrays[Channel.RGBA]))
        path = folder / frame_name(event.index)
        known = path.read_bytes() if path.is_file() else None
        if data != known:
            png.write_atomically(path, data)
        return FrameSaved(event.job, event.index, known is not None and data != known, event.meta)
    arrays = {name: np.array(array) for name, array in event.arrays.items()}  # ours: the buffer is the socket's
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    png.write_atomically(folder / result_name(), packed.getvalue())
    return ArraysArrived(event.job, arrays, event.meta)
