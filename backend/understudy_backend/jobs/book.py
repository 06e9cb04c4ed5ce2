"""The jobs that are alive, and what happens to them. Disk first, then memory, then whoever watches is told."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Set
from typing import Any, Protocol

from numpy.typing import NDArray
from understudy_shared.job import JobSpec, conditions_digest
from understudy_shared.protocol.description import MethodDescription

from .job import NO_CONDITIONS, Failure, Job, JobState
from .spool import JobRecord, Spool

log = logging.getLogger(__name__)


class Watcher(Protocol):
    """Is told what happened, after it is safe on disk."""

    def frame_finished(self, job: Job, index: int) -> None:
        """A result exists."""
        ...

    def job_ended(self, job: Job) -> None:
        """Its state is done, cancelled or failed."""
        ...


class Book:
    """Only the server's thread uses it."""

    def __init__(self, spool: Spool, watcher: Watcher) -> None:
        self.spool, self._watcher = spool, watcher
        self._alive: dict[tuple[str, str], Job] = {}
        spool.is_busy = lambda owner, job: (owner, job) in self._alive

    # -- finding

    def find(self, owner: str, job_id: str) -> Job | None:
        """A job that is alive."""
        return self._alive.get((owner, job_id))

    def alive(self) -> list[Job]:
        """All of them, whoever owns them, the one that has waited longest for the worker first."""
        return list(self._alive.values())

    def can_run(self, job: Job) -> bool:
        """Whether a worker could be given a frame of it now; where frames depend on each other, all of them."""
        whole = job.method.independent_frames or not job.wanted()
        return job.state is JobState.ACTIVE and whole and bool(job.to_give())

    def was_served(self, job: Job) -> None:
        """Puts a job at the end of the queue for the worker."""
        self._alive[job.owner, job.id] = self._alive.pop((job.owner, job.id), job)

    def open(self, owner: str, spec: JobSpec, method: MethodDescription) -> Job:
        """The job of this spec, alive: a new one, one that is under way, or one that ended and starts again.

        Raises:
            OSError: it cannot be written.
        """
        job = self.find(owner, spec.id) or self._load(owner, spec, method)
        if (owner, spec.id) not in self._alive:
            self._alive[owner, spec.id] = job
            try:
                self.spool.write_job(owner, JobRecord(spec, job.state, maker=job.maker))
            except OSError:
                del self._alive[owner, spec.id]
                raise
        self.spool.touch(owner, spec.id)
        return job

    def open_unfinished(self, methods: Mapping[str, MethodDescription]) -> None:
        """After a start: takes up the jobs that were active when the server ended."""
        for owner, job_id in self.spool.jobs():
            record = self.spool.read_job(owner, job_id)
            if record is None or record.state is not JobState.ACTIVE or record.spec.method not in methods:
                continue
            job = self._load(owner, record.spec, methods[record.spec.method])
            self._alive[owner, job_id] = job
            self.activate(job)

    def put_aside(self, followed: Set[tuple[str, str]]) -> None:
        """Lets go of jobs that nobody follows and that have nothing to do until somebody submits them again."""
        for place, job in list(self._alive.items()):
            if place not in followed and not job.given and not self.can_run(job):
                del self._alive[place]

    def missing_inputs(self, job: Job) -> tuple[str, ...]:
        """Digests of inputs that are not here."""
        digests = dict.fromkeys(job.spec.inputs.values())
        return tuple(digest for digest in digests if not self.spool.has_input(job.owner, digest))

    # -- what happens to a job

    def activate(self, job: Job) -> None:
        """All inputs are here: frames that need nothing else can be made."""
        if job.state is JobState.RECEIVING:
            job.state = JobState.ACTIVE
            self._record(job)
        if not job.needs_conditions:
            for index in job.spec.frames.numbers():
                if index not in job.finished and index not in job.ready:
                    self._have_conditions(job, index, NO_CONDITIONS)
        self._end_if_complete(job)

    def reuse(self, job: Job, conditions: Mapping[int, str]) -> None:
        """Finishes the frames that exist already under the digests of their conditions."""
        for index in job.wanted() if job.method.independent_frames else ():
            if index in conditions:
                self._take_existing(job, index, job.key(index, conditions[index]))
        self._end_if_complete(job)

    def add_conditions(self, job: Job, index: int, arrays: Mapping[str, NDArray]) -> None:
        """What a frame is to be made from has come. Ends the job if it cannot be kept."""
        if job.state is not JobState.ACTIVE or index in job.finished or index in job.ready:
            return
        if index not in job.spec.frames.numbers() or not job.needs_conditions:
            return
        digest = conditions_digest(arrays)
        # A clip needs the conditions of all its frames, those too whose results happen to be on disk.
        independent = job.method.independent_frames
        if not (independent and self._take_existing(job, index, job.key(index, digest))):
            try:
                job.ahead_bytes += self.spool.write_conditions(job.owner, job.id, index, digest, arrays)
            except OSError as error:
                self.fail(job, disk_failure(error))
                return
            job.ready[index] = digest
        self._end_if_complete(job)

    def finish(self, job: Job, index: int, meta: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> None:
        """A frame was made: it is written, then told. Ends the job if it cannot be written."""
        key = job.key(index, job.ready[index])
        try:
            if not self.spool.has_result(job.owner, key):
                self.spool.write_result(job.owner, key, meta, arrays)
        except OSError as error:
            self.fail(job, disk_failure(error))
            return
        if self._take_existing(job, index, key):
            self._end_if_complete(job)

    def cancel(self, job: Job) -> None:
        """What is finished, and what was received, stays."""
        self._end(job, JobState.CANCELLED)

    def fail(self, job: Job, failure: Failure) -> None:
        """What is finished, and what was received, stays."""
        job.failure = failure
        self._end(job, JobState.FAILED)

    # -- inside

    def _load(self, owner: str, spec: JobSpec, method: MethodDescription) -> Job:
        job = Job(owner, spec, method)
        record = self.spool.read_job(owner, spec.id)
        if record is not None and record.maker != job.maker:
            self.spool.forget_finished(owner, spec.id)  # other weights or another version: they would look different
        job.finished = self.spool.finished(owner, spec.id)
        if not (method.independent_frames or job.complete() or self.spool.has_work(owner, spec.id)):
            # What the other frames would be made from is gone, so the finished ones' conditions are needed again.
            self.spool.forget_finished(owner, spec.id)
            job.finished = {}
        for index, (digest, size) in self.spool.conditions(owner, spec.id).items():
            if index in job.finished:
                self.spool.drop_conditions(owner, spec.id, index)
            else:
                job.ready[index] = digest
                job.ahead_bytes += size
        return job

    def _have_conditions(self, job: Job, index: int, digest: str) -> None:
        if not self._take_existing(job, index, job.key(index, digest)):
            job.ready[index] = digest

    def _take_existing(self, job: Job, index: int, key: str) -> bool:
        """Marks a frame finished if its result is on disk; the only way in which frames become finished."""
        if not self.spool.has_result(job.owner, key):
            return False
        try:
            self.spool.log_finished(job.owner, job.id, index, key)
        except OSError as error:
            self.fail(job, disk_failure(error))
            return False
        job.finished[index] = key
        job.given.discard(index)
        if job.ready.pop(index, None) is not None:
            job.ahead_bytes -= self.spool.drop_conditions(job.owner, job.id, index)
        self._watcher.frame_finished(job, index)
        return True

    def _end_if_complete(self, job: Job) -> None:
        if job.state is JobState.ACTIVE and job.complete():
            self._end(job, JobState.DONE)

    def _end(self, job: Job, state: JobState) -> None:
        if job.state.ended:
            return
        job.state = state
        job.given.clear()
        if state is JobState.DONE:
            self.spool.drop_work(job.owner, job.id)
        self._alive.pop((job.owner, job.id), None)
        self._record(job)
        self._watcher.job_ended(job)

    def _record(self, job: Job) -> None:
        try:
            self.spool.write_job(job.owner, JobRecord(job.spec, job.state, job.failure, job.maker))
        except OSError as error:
            # The state is a convenience for the next start; the frames are what must not be lost.
            log.warning("the state of job %s could not be written: %s", job.id, error)


def disk_failure(error: OSError) -> Failure:
    """What to tell the artist when the spool cannot be written."""
    return Failure(
        "disk_full",
        f"the backend cannot write to its disk ({error.strerror or error}); finished frames are safe",
        "make room there (or raise --spool-gb) and submit the job again",
    )
