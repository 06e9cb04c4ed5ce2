"""What the server keeps on disk, so that nothing that was received or made is lost with it.

    DATA/owners/<owner>/inputs/<digest>.npy             an input, named by its own hash
                        results/<key>.result            a result, named by the hash of what it depends on
                        jobs/<job>/job.json             the spec and what became of it
                                   finished.log         a line "<frame> <key>" for each finished frame
                                   conditions/<n>.frame  what was received for a frame that is not finished

Results belong to an owner rather than to a job, so jobs share what they have in common. A result is on the disk before
its line is in the log, and the line before anyone is told.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import NDArray
from understudy_shared.job import JobSpec

from ..atomic import sync_folder, write_atomically
from .container import ContainerError, read_container, write_container
from .job import Failure, JobState


class SpoolFull(OSError):
    """The spool's limit is reached, and all that could be dropped was."""


class JobRecord(msgspec.Struct):
    """job.json."""

    spec: JobSpec
    state: JobState
    failure: Failure | None = None
    maker: str = ""
    """`Job.maker` of its finished frames."""


def owner_id(user: str, owner: str) -> str:
    """The folder name of an owner: of the key that CURVE has verified (empty without CURVE) and of the name given."""
    return hashlib.sha256(f"{user}\n{owner}".encode()).hexdigest()[:32]


class Spool:
    """See the module's text. Only the server's process uses it, from one thread.

    Args:
        limit: bytes; beyond it `drop` is asked what may go.
    """

    def __init__(self, root: Path, limit: int) -> None:
        self._root, self.limit = root / "owners", limit
        self._root.mkdir(parents=True, exist_ok=True)
        self.is_busy: Callable[[str, str], bool] = lambda owner, job: False
        """Tells whether an owner's job must not be dropped; set by whoever runs jobs."""
        for leftover in [*self._root.rglob(".*.tmp"), *self._root.rglob("*.part")]:
            leftover.unlink(missing_ok=True)
        self.used = _size_of(self._root)

    # -- inputs

    def input_path(self, owner: str, digest: str) -> Path:
        """Where an input is, or would be."""
        return self._root / owner / "inputs" / f"{digest}.npy"

    def has_input(self, owner: str, digest: str) -> bool:
        """Whether it is here, whole and verified."""
        return self.input_path(owner, digest).exists()

    def keep_input(self, owner: str, digest: str, part: Path) -> None:
        """Takes over a received and verified file. Raises OSError."""
        path = self.input_path(owner, digest)
        size = part.stat().st_size
        self._make_room(size)
        self.used += size
        part.replace(path)
        sync_folder(path.parent)

    # -- results

    def has_result(self, owner: str, key: str) -> bool:
        """Whether a result of that key exists."""
        return self._result_path(owner, key).exists()

    def write_result(self, owner: str, key: str, meta: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> None:
        """Durable when it returns. Raises OSError, with no half file left."""
        path = self._result_path(owner, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._make_room(sum(array.nbytes for array in arrays.values()))
        self.used += write_container(path, meta, arrays, durable=True)

    def read_result(self, owner: str, key: str) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """Raises ContainerError if it is missing or damaged; then it is gone, and made again when asked for again."""
        path = self._result_path(owner, key)
        try:
            return read_container(path)
        except ContainerError:
            path.unlink(missing_ok=True)
            raise

    # -- conditions

    def conditions_path(self, owner: str, job: str, index: int) -> Path:
        """Where a frame's conditions are, or would be."""
        return self._job(owner, job) / "conditions" / f"{index}.frame"

    def write_conditions(self, owner: str, job: str, index: int, digest: str, arrays: Mapping[str, NDArray]) -> int:
        """Returns its size. Raises OSError. Not synced: what a loss of power takes is asked for again."""
        path = self.conditions_path(owner, job, index)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._make_room(sum(array.nbytes for array in arrays.values()))
        size = write_container(path, {"digest": digest}, arrays, durable=False)
        self.used += size
        return size

    def drop_conditions(self, owner: str, job: str, index: int) -> int:
        """After its frame is finished; returns the bytes that became free."""
        path = self.conditions_path(owner, job, index)
        size = path.stat().st_size if path.exists() else 0
        path.unlink(missing_ok=True)
        self.used -= size
        return size

    # -- what methods have half done

    def work_folder(self, owner: str, job: str) -> Path:
        """A folder for what a method keeps between runs of one job; made by the method."""
        return self._job(owner, job) / "work"

    def has_work(self, owner: str, job: str) -> bool:
        """Whether there is anything of that kind."""
        return self.work_folder(owner, job).is_dir()

    def drop_work(self, owner: str, job: str) -> None:
        """After the job is done."""
        shutil.rmtree(self.work_folder(owner, job), ignore_errors=True)

    # -- jobs

    def write_job(self, owner: str, record: JobRecord) -> None:
        """Durable when it returns. Raises OSError."""
        folder = self._job(owner, record.spec.id)
        folder.mkdir(parents=True, exist_ok=True)
        self.used += write_atomically(
            folder / "job.json", lambda file: file.write(msgspec.json.encode(record)), durable=True
        )

    def read_job(self, owner: str, job: str) -> JobRecord | None:
        """None if there is none, or a damaged one."""
        try:
            return msgspec.json.decode((self._job(owner, job) / "job.json").read_bytes(), type=JobRecord)
        except (OSError, msgspec.MsgspecError, ValueError):
            return None

    def log_finished(self, owner: str, job: str, index: int, key: str) -> None:
        """Durable when it returns. Raises OSError."""
        path = self._job(owner, job) / "finished.log"
        with path.open("ab") as file:
            # A line that a crash has cut short is ended first, or it would spoil this one.
            file.write(f"\n{index} {key}\n".encode())
            file.flush()
            os.fsync(file.fileno())

    def forget_finished(self, owner: str, job: str) -> None:
        """Its frames are to be made anew; their results go when room is needed."""
        (self._job(owner, job) / "finished.log").unlink(missing_ok=True)

    def finished(self, owner: str, job: str) -> dict[int, str]:
        """Frame number to key, of results that are really here."""
        path = self._job(owner, job) / "finished.log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        pairs = (line.split(" ") for line in lines)
        keys = {int(p[0]): p[1] for p in pairs if len(p) == 2 and p[0].lstrip("-").isdigit() and len(p[1]) == 64}
        return {index: key for index, key in keys.items() if self.has_result(owner, key)}

    def conditions(self, owner: str, job: str) -> dict[int, tuple[str, int]]:
        """Frame number to digest and bytes, of conditions that are whole."""
        found = {}
        for path in sorted((self._job(owner, job) / "conditions").glob("*.frame")):
            try:
                meta, _ = read_container(path)
            except ContainerError:
                path.unlink(missing_ok=True)
                continue
            found[int(path.stem)] = (str(meta.get("digest")), path.stat().st_size)
        return found

    def touch(self, owner: str, job: str) -> None:
        """Marks a job as used now."""
        path = self._job(owner, job) / "job.json"
        if path.exists():
            os.utime(path)

    def jobs(self) -> Iterator[tuple[str, str]]:
        """Owner and id of every job, the least recently touched first."""
        found = [(path.stat().st_mtime, path) for path in self._root.glob("*/jobs/*/job.json")]
        for _, path in sorted(found):
            yield path.parents[2].name, path.parent.name

    # -- room

    def _make_room(self, size: int) -> None:
        if self.used + size <= self.limit:
            return
        # A little more than needed, so that this is not done again for every frame.
        goal = 0.9 * self.limit
        for owner, job in list(self.jobs()):
            if self.used + size <= goal:
                break
            if not self.is_busy(owner, job):
                shutil.rmtree(self._job(owner, job), ignore_errors=True)
                self._drop_unused(owner)
                self.used = _size_of(self._root)
        if self.used + size <= self.limit:
            return
        raise SpoolFull(f"the spool's limit of {self.limit / 1e9:.3g} GB is reached by jobs that are still running")

    def _drop_unused(self, owner: str) -> None:
        """Inputs and results that no job of an owner refers to any more."""
        keys: set[str] = set()
        digests: set[str] = set()
        for path in (self._root / owner / "jobs").glob("*"):
            record = self.read_job(owner, path.name)
            digests |= set(record.spec.inputs.values()) if record else set()
            keys |= set(self.finished(owner, path.name).values())
        for path in (self._root / owner / "results").glob("*.result"):
            if path.stem not in keys:
                path.unlink(missing_ok=True)
        for path in (self._root / owner / "inputs").glob("*.npy"):
            if path.stem not in digests:
                path.unlink(missing_ok=True)

    def _job(self, owner: str, job: str) -> Path:
        return self._root / owner / "jobs" / job

    def _result_path(self, owner: str, key: str) -> Path:
        return self._root / owner / "results" / f"{key}.result"


def _size_of(folder: Path) -> int:
    # What is still being received counts once it is kept.
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.suffix != ".part")
