"""Keeps one worker busy: chooses the job, hands out frames, takes results in, and copes with the worker's death.

A frame is handed to one worker at a time and stored once. Frames that a worker had in its hands when it died go back
into the queue; each of them is then tried alone, so that a second death tells which one it is, and that one ends its
job rather than killing workers forever.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import zmq
from numpy.typing import NDArray
from understudy_shared.protocol.description import MethodDescription
from understudy_shared.protocol.wire import WireError

from ..config import ServerConfig
from ..jobs.book import Book
from ..jobs.job import NO_CONDITIONS, Failure, Job
from .messages import (
    Again,
    Broke,
    Describe,
    Finished,
    FromWorker,
    Give,
    Made,
    NoMore,
    Previewed,
    Progressed,
    Ready,
    Run,
    Stop,
    Stopped,
    Want,
)
from .process import WorkerProcess

log = logging.getLogger(__name__)

DEATHS_ALLOWED = 1
"""A frame may take one worker with it (there are other causes); the second time it is the frame."""

STARTS = 3
"""Workers in a row that die before they are ready, until it is called a problem."""

RETRY = 30.0
"""Seconds until the next try after that."""


class Progress(Protocol):
    """Is told how far a job is."""

    def job_progressed(self, job: Job, fraction: float, stage: str, eta: float | None) -> None:
        """Fraction of the whole job, and seconds left if known."""
        ...

    def job_previewed(self, job: Job, index: int, rgba: NDArray) -> None:
        """How a frame looks so far."""
        ...

    def methods_known(self, methods: Mapping[str, MethodDescription]) -> None:
        """A worker has told its methods: at its start, or asked anew."""
        ...


@dataclass
class _Current:
    """The run that the worker is at."""

    number: int
    job: Job
    owed: int = 0
    """Frames the worker has asked for and not been given."""
    given: int = 0
    no_more: bool = False
    fraction: float = 0.0
    """As the method last said."""
    last_given: float = 0.0
    stopped_at: float | None = None
    """When it was told to stop."""


class Runner:
    """Call `step` often; poll `socket` to know when."""

    def __init__(
        self, config: ServerConfig, book: Book, progress: Progress, start: Callable[[], WorkerProcess]
    ) -> None:
        self._config, self._book, self._progress, self._start = config, book, progress, start
        self._worker: WorkerProcess | None = None
        self._ready = False
        self._current: _Current | None = None
        self._runs = 0
        self._failed_starts = 0
        self._start_at = 0.0
        self._heard = 0.0
        self.trouble = ""
        """Why there is no worker, once several starts have failed."""
        self.problems: tuple[str, ...] = ()

    @property
    def socket(self) -> zmq.Socket | None:
        """The worker's; another one after each restart."""
        return self._worker.socket if self._worker else None

    @property
    def state(self) -> str:
        """For the status report."""
        if self.trouble:
            return self.trouble
        if not self._ready:
            return "starting"
        return "busy" if self._current else "idle"

    def step(self) -> None:
        """Does all that can be done now, without waiting."""
        now = time.monotonic()
        if self._worker is None and now >= self._start_at:
            self._begin_worker(now)
        self._listen()
        if self._worker is not None and self._worker.exit_code() is not None:
            self._listen()  # its last words may have come after the first look
            self._bury()
        if self._worker is not None and not self._ready and now - self._heard > self._config.start_limit:
            log.error("the worker is not ready after %g s; it is replaced", self._config.start_limit)
            self._worker.kill()
            self._heard = now
        if self._ready and self._current is None:
            self._begin()
        if self._current is not None:
            self._tend(self._current)

    def _begin_worker(self, now: float) -> None:
        try:
            self._worker, self._ready, self._heard = self._start(), False, now
        except (OSError, zmq.ZMQError) as error:  # no memory for a process, no room for its log, ...
            log.error("no worker can be started: %s", error)
            self._start_failed(str(error), at_once=False)

    def _start_failed(self, why: str, *, at_once: bool = True) -> None:
        self._failed_starts += 1
        if self._failed_starts >= STARTS:
            self.trouble = f"the worker does not start: {why}"
        if self.trouble or not at_once:
            self._start_at = time.monotonic() + (RETRY if self.trouble else 1.0)

    def describe(self) -> None:
        """Asks the worker for its methods once more; `methods_known` tells them."""
        if self._worker is not None and self._ready:
            self._worker.say(Describe())

    def close(self) -> None:
        """Ends the worker."""
        if self._worker is not None:
            self._worker.end(grace=2.0)
            self._worker = None

    # -- what the worker says

    def _listen(self) -> None:
        while self._worker is not None:
            try:
                heard = self._worker.hear()
            except WireError as error:
                log.error("the worker speaks nonsense (%s) and is replaced", error)
                self._worker.kill()
                return
            if heard is None:
                return
            self._heard = time.monotonic()
            self._take_in(*heard)

    def _take_in(self, message: FromWorker, arrays: dict[str, NDArray]) -> None:
        if isinstance(message, Ready):
            self._ready, self._failed_starts, self.trouble = True, 0, ""
            self.problems = message.problems
            self._progress.methods_known({method.name: method for method in message.methods})
            return
        current = self._current
        if current is None or message.run != current.number:
            return
        job = current.job
        match message:
            case Want(n=n):
                current.owed += n
            case Progressed():
                self._note_start(current, message.fraction)
                current.fraction = message.fraction
                self._tell_progress(current, message.stage)
            case Previewed(index=index):
                if not job.state.ended and "rgba" in arrays:
                    self._progress.job_previewed(job, index, arrays["rgba"])
            case Made():
                self._made(current, message, arrays)
            case Finished():
                lost = sorted(job.given)
                self._over(current)
                if lost and not job.state.ended:
                    what = f"{job.method.title} gave no result for frame {lost[0]}"
                    self._book.fail(job, Failure("method_failed", what, "submit the job again"))
            case Stopped() | Again():
                self._over(current)
            case Broke():
                self._over(current)
                self._book.fail(job, Failure(message.code, message.message, message.fix))

    def _made(self, current: _Current, made: Made, arrays: dict[str, NDArray]) -> None:
        job = current.job
        if job.state.ended:
            return
        if made.index not in job.given:
            what = f"{job.method.title} gave a result for frame {made.index}, which it was not given"
            self._book.fail(job, Failure("method_failed", what))
            return
        self._book.finish(job, made.index, made.meta, arrays)
        job.lost_starts = 0
        self._tell_progress(current, "")

    def _note_start(self, current: _Current, fraction: float) -> None:
        """A clip that goes on where it was is not as fast as its first report would have it: time counts from there."""
        job = current.job
        if not job.method.independent_frames and current.fraction == 0 < fraction:
            job.running_since, job.done_when_started = time.monotonic(), fraction

    def _tell_progress(self, current: _Current, stage: str) -> None:
        job = current.job
        if job.state.ended:
            return
        total = len(job.spec.frames.numbers())
        # Of one result, and of frames that are made together, the method knows how far it is; else their number tells.
        together = total == 1 or not job.method.independent_frames
        whole = current.fraction if together else len(job.finished) / total
        self._progress.job_progressed(job, whole, stage, job.seconds_left(whole))

    # -- what the worker is told

    def _begin(self) -> None:
        job = next((job for job in self._book.alive() if self._book.can_run(job)), None)
        if job is None or self._worker is None:
            return
        self._runs += 1
        spool = self._book.spool
        inputs = {name: str(spool.input_path(job.owner, digest)) for name, digest in job.spec.inputs.items()}
        folder = "" if job.method.independent_frames else str(spool.work_folder(job.owner, job.id))
        if not self._worker.say(Run(run=self._runs, spec=job.spec, inputs=inputs, folder=folder)):
            return
        self._book.was_served(job)
        total = len(job.spec.frames.numbers())
        job.running_since, job.done_when_started = time.monotonic(), len(job.finished) / total
        self._current = _Current(self._runs, job, last_given=time.monotonic())
        self._heard = time.monotonic()

    def _tend(self, current: _Current) -> None:
        now = time.monotonic()
        job = current.job
        if job.state.ended and current.stopped_at is None:
            current.stopped_at = now
            if self._worker is not None:
                self._worker.say(Stop(run=current.number))
        elif current.stopped_at is not None and now - current.stopped_at > self._config.cancel_grace:
            log.warning(
                "%s did not stop within %g s; the worker is replaced", job.spec.method, self._config.cancel_grace
            )
            self._replace()
        elif now - self._heard > self._config.stall and not (current.owed and not job.given):
            log.error("the worker has said nothing for %g s; it is replaced", self._config.stall)
            if self._worker is not None:
                self._worker.kill()  # found dead, and accounted for, at the next step
        elif not job.state.ended and not current.no_more:
            self._give(current, now)

    def _give(self, current: _Current, now: float) -> None:
        job = current.job
        if self._worker is None:
            return
        frames = job.to_give()
        while current.owed and frames:
            index = frames[0]
            suspect = job.method.independent_frames and job.deaths[index] > 0
            turn_over = current.given >= self._config.turn and self._others_wait(job)
            if (suspect and current.given) or (turn_over and job.method.independent_frames):
                break
            no_path = job.ready[index] == NO_CONDITIONS
            path = "" if no_path else str(self._book.spool.conditions_path(job.owner, job.id, index))
            if not self._worker.say(Give(run=current.number, index=index, conditions=path)):
                return
            job.given.add(index)
            current.owed -= 1
            current.given += 1
            current.last_given = now
            frames = job.to_give()
            if suspect:
                break
        if self._enough(current, frames, now) and self._worker.say(NoMore(run=current.number)):
            current.no_more = True

    def _enough(self, current: _Current, frames: list[int], now: float) -> bool:
        """Whether the run should end with what it was given."""
        job = current.job
        if not job.method.independent_frames:
            return not frames  # it was not begun before all of them were here
        if any(job.deaths[index] for index in job.given):
            return True
        if frames:
            # The next is under suspicion and wants to be alone, or others have waited long enough.
            return current.owed > 0
        nothing_to_come = not job.wanted()
        return nothing_to_come or (current.owed > 0 and now - current.last_given > self._config.patience)

    def _others_wait(self, job: Job) -> bool:
        return any(other is not job and self._book.can_run(other) for other in self._book.alive())

    # -- the ends of things

    def _over(self, current: _Current) -> None:
        current.job.given.clear()
        self._current = None

    def _replace(self) -> None:
        """Ends a worker that did no wrong but would not stop."""
        if self._current is not None:
            self._over(self._current)
        if self._worker is not None:
            self._worker.end()
            self._worker, self._ready = None, False

    def _bury(self) -> None:
        worker, current = self._worker, self._current
        assert worker is not None
        code = worker.exit_code()
        log.error("the worker (process %d) has ended with %s: %s", worker.pid, code, worker.log_tail())
        if not self._ready:
            self._start_failed(worker.log_tail(1) or f"exit code {code}")
        worker.end()
        self._worker, self._ready = None, False
        if current is not None:
            self._over_dead(current, code)

    def _over_dead(self, current: _Current, code: int | None) -> None:
        job, held = current.job, sorted(current.job.given)
        self._over(current)
        if job.state.ended:
            return
        cause = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        fix = "use a smaller size, or look into worker.log in the backend's data folder"
        for index in held:
            job.deaths[index] += 1
        guilty = [index for index in held if job.deaths[index] > DEATHS_ALLOWED]
        if not held:
            job.lost_starts += 1
        if guilty:
            what = f"frame {guilty[0]} has ended the worker {job.deaths[guilty[0]]} times ({cause})"
            self._book.fail(job, Failure("worker_died", what, fix))
        elif job.lost_starts > DEATHS_ALLOWED:
            what = f"{job.method.title} has ended the worker {job.lost_starts} times before its first frame ({cause})"
            self._book.fail(job, Failure("worker_died", what, fix))
