# SPDX-License-Identifier: GPL-3.0-or-later
"""The pump: the one place where what the socket thread heard meets the scene.

In a window it is a timer; in `blender -b`, where timers do not run, `run_until_done` calls the same `tick` in a loop.
A tick drains notices for at most `DRAIN_SECONDS`, brings strips in line, and takes or pushes snapshots within what is
left of `TICK_SECONDS`; a snapshot that Blender must render takes as long as it takes, but there is only one a tick.
"""

from __future__ import annotations

import queue
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import bpy
from numpy.typing import NDArray
from understudy_shared.protocol import events
from understudy_shared.protocol.description import MethodDescription

from ..timeline import prefetch, strip
from ..timeline.lock import SceneLock
from . import disk, feed, take_files
from .book import JobBook
from .connection import ArraysArrived, BackendLink, FrameSaved, Notice, PreviewSaved, SaveFailed
from .jobs import Job, Problem, State
from .sender import Sender
from .watch import Watch

DRAIN_SECONDS = 0.002
TICK_SECONDS = 0.010
BUSY_INTERVAL, IDLE_INTERVAL = 0.02, 0.25
"""Seconds between ticks, with and without an active job."""

Apply = Callable[[Job, dict[str, NDArray], dict[str, Any]], None]
"""Puts the result of a job without frames into the scene."""


class Pump:
    """See the module's text.

    Args:
        jobs: the jobs of the open file.
        lock: says when the scene must be left alone.
        apply: for the results of jobs without frames.
    """

    def __init__(self, jobs: JobBook, lock: SceneLock, apply: Apply) -> None:
        self.jobs, self.lock = jobs, lock
        self.online = False
        self.status = "Not connected"
        self.device = ""
        self.every_tick: Callable[[], object] = lambda: None
        self.on_connected: Callable[[], object] = lambda: None
        self._apply = apply
        self.sender = Sender(jobs)
        self._watch = Watch(jobs, self.sender)
        self._ticking = False
        self._timer: Callable[[], float] | None = None

    @property
    def link(self) -> BackendLink | None:
        """The connection, if there is one; it may be broken just now."""
        return self.sender.link

    @property
    def methods(self) -> tuple[MethodDescription, ...]:
        """What the backend has told that it can do."""
        return self.sender.methods

    # -- the timer

    def start(self) -> None:
        """Registers the timer, once."""
        if self._timer is not None:
            return

        def timer() -> float:
            try:
                self.tick()
            except Exception:  # a timer that raises is removed by Blender, and everything would stand still
                traceback.print_exc()
            return BUSY_INTERVAL if self.jobs.active() else IDLE_INTERVAL

        self._timer = timer
        bpy.app.timers.register(timer, first_interval=IDLE_INTERVAL, persistent=True)

    def stop(self) -> None:
        """Unregisters the timer, for good, and waits for the file that is just being written."""
        self.sender.close()
        if self._timer is not None and bpy.app.timers.is_registered(self._timer):
            bpy.app.timers.unregister(self._timer)
        self._timer = None

    def run_until_done(
        self, timeout: float, jobs: Iterable[Job] | None = None, lost: Callable[[], bool] = lambda: False
    ) -> None:
        """Ticks until these jobs (default: all) have ended, well or badly. For scripts; a window freezes meanwhile.

        Args:
            timeout: seconds.
            jobs: which.
            lost: says that they will not end: it returns then.

        Raises:
            TimeoutError: it took longer than `timeout` seconds.
        """
        takes = [job.take for job in (jobs if jobs is not None else self.jobs)]
        end = time.monotonic() + timeout
        while True:
            self.tick()
            waiting = [job for take in takes if (job := self.jobs.get(take)) and (job.state.active or job.stale)]
            if not waiting or lost():
                return
            if time.monotonic() > end:
                raise TimeoutError(f"{waiting[0].record.title} is not done after {timeout:g} s ({self.status})")
            time.sleep(0.002)

    # -- what others ask for

    def attach(self, link: BackendLink | None) -> None:
        """Takes a new connection; what was active is submitted to it."""
        self.sender.attach(link)
        self.online = False
        self.status = f"Connecting to {link.address}" if link else "Not connected"
        self.device = ""
        for job in self.jobs:
            job.wire_id, job.sent = "", False
            if job.state is State.RUNNING:
                job.record.state = State.WAITING

    def begin(self, job: Job) -> None:
        """Puts a job at the end of the queue, to start it or to go on with it: snapshots first, then its turn."""
        job.scan()
        job.record.state, job.record.problem = State.WAITING, None
        job.wire_id, job.stage, job.fraction, job.eta = "", "", 0.0, None
        job.previews.clear()
        self.jobs.to_end(job)
        self.sender.begin(job)
        self.jobs.write()

    def cancel(self, job: Job) -> None:
        """Stops a job. What is finished stays, and what is on its way still arrives."""
        if job.state.active:
            self.sender.stop_at_backend(job)
            self._end(job, State.CANCELLED, "Cancelled")

    def forget(self) -> None:
        """Another file is opened: its jobs are not ours. The backend works on, and the files are still written."""
        self.sender.forget()
        self.jobs.clear()

    # -- the tick

    def tick(self) -> None:
        """One step of everything; returns after `TICK_SECONDS`, or after one snapshot that takes longer."""
        if self._ticking or self.lock.held:  # a snapshot's render may call handlers that end up here
            return
        self._ticking = True
        try:
            begun = time.perf_counter()
            self.every_tick()
            self._drain(begun + DRAIN_SECONDS)
            self._watch.look()
            for job in self.jobs:
                if job.stale:
                    self._update_strip(job)
            for place, job in enumerate(self.jobs.active()):
                self._guarded(job, self._advance, place == 0, begun + TICK_SECONDS)
                if time.perf_counter() > begun + TICK_SECONDS:
                    break  # the others at the next tick, when the first is further
        finally:
            self._ticking = False

    def _drain(self, deadline: float) -> None:
        while self.link is not None:
            try:
                notice = self.link.notices.get_nowait()
            except queue.Empty:
                return
            self._take(notice)
            if time.perf_counter() > deadline:
                return

    def _take(self, notice: Notice) -> None:
        match notice:
            case events.Connected(welcome=welcome):
                self.online = True
                self.status = f"Connected to {self.link.address if self.link else ''}"
                self.sender.methods, self.device = welcome.methods, welcome.device
                self.on_connected()
            case events.MethodsChanged(methods=methods):
                self.sender.methods = methods
                self.on_connected()
            case events.Disconnected():
                self._disconnected(notice)
            case events.StatusArrived():
                pass
            case events.Complaint(message=message, fix=fix):
                self.status = f"{message}. {fix}".rstrip(". ")
            case _:
                ended = isinstance(notice, events.JobCancelled | events.JobDone | events.JobFailed)
                told = ended and self.sender.heard_end(notice.job)
                job = self.jobs.by_wire_id(notice.job)
                if job is not None and not (told and isinstance(notice, events.JobCancelled)):
                    self._guarded(job, self._take_for, notice)

    def _disconnected(self, notice: events.Disconnected) -> None:
        self.online = False
        self.status = f"{notice.reason}. {notice.fix}".rstrip(". ")
        for job in self.jobs.active():
            if notice.final:
                self._fail(job, Problem(notice.code, notice.reason, notice.fix))
            elif job.state is State.RUNNING:
                job.record.state, job.stage, job.eta = State.WAITING, "", None
                job.say(f"{notice.reason}. It goes on by itself when the backend answers")
        if notice.final:  # its thread has ended: there is no connection any more
            self.sender.link = None

    def _take_for(self, job: Job, notice: Notice) -> None:
        match notice:
            case events.Accepted():
                if job.state.active and job.sent:
                    if job.state is not State.RUNNING:
                        job.say("The backend has begun")
                    job.record.state, job.stage = State.RUNNING, ""
                    job.started, job.begun_with = time.monotonic(), len(job.finished)
                    self.jobs.write()
            case events.Progressed(fraction=fraction, stage=stage, eta=eta):
                job.fraction, job.stage, job.eta = fraction, stage, eta
            case FrameSaved(number=number, rewritten=rewritten, meta=meta):
                job.finished.add(number)
                job.taken_over.discard(number)
                job.stale = True
                job.rewritten |= rewritten
                job.meta = meta or job.meta
            case PreviewSaved(number=number, rewritten=rewritten):
                if job.state.active:
                    job.previews.add(number)
                    job.stale = True
                    job.rewritten |= rewritten
            case ArraysArrived(arrays=arrays, meta=meta):
                job.meta = meta
                if job.state.active:
                    self._apply(job, arrays, meta)
                    push_undo(job.record.title)
            case SaveFailed(message=message, fix=fix):
                if job.state.active:
                    self._fail(job, Problem("not_written", message, fix))
            case events.JobDone():
                if not job.state.active:
                    return
                if not job.missing:
                    self._complete(job)
                elif job.sent:
                    self._fail(job, Problem("incomplete", f"{len(job.missing)} frames are missing", "Resume the job."))
            case events.JobFailed(code=code, message=message, fix=fix):
                if job.state.active and job.sent:
                    job.sent = False  # the backend has let it go already
                    self._fail(job, Problem(code, message, fix))
            case events.JobCancelled():
                if job.state.active:  # by somebody else: `understudy` on the command line, say
                    self._end(job, State.CANCELLED, "Cancelled at the backend")

    def _complete(self, job: Job) -> None:
        self._end(job, State.DONE, "Done")
        self.sender.later(take_files.drop_conditions, job.folder)

    def _end(self, job: Job, state: State, line: str) -> None:
        job.record.state, job.stage = state, line
        job.sent, job.in_line = False, 0
        job.stale = job.record.role == "frames"
        job.say(line)
        self._let_go(job)

    def _fail(self, job: Job, problem: Problem) -> None:
        self.sender.stop_at_backend(job)
        job.fail(problem)
        job.in_line = 0
        self._let_go(job)

    def _let_go(self, job: Job) -> None:
        self.sender.drop(job)
        self.sender.later(take_files.save_log, job.folder, tuple(job.log))
        self.jobs.write()

    def _update_strip(self, job: Job) -> None:
        job.stale = False
        if job.record.role == "frames":
            placed = job.record.placed
            self._guarded(job, strip.update, self.jobs)
            if job.record.placed and not placed:
                self.jobs.write()
                push_undo(job.record.title)
            redraw_sequencers()
        scene = job.record.sequencer.find()
        busy = any(other.record.sequencer.name == job.record.sequencer.name for other in self.jobs.active())
        if isinstance(scene, bpy.types.Scene) and not busy:
            prefetch.restore(scene)

    def _advance(self, job: Job, its_turn: bool, deadline: float) -> None:
        if self.sender.step(job, its_turn=its_turn, deadline=deadline):
            self._complete(job)

    def _guarded(self, job: Job, function: Callable[..., object], *args: object) -> None:
        """Calls `function(job, ...)`; a mistake ends this job, loudly, and nothing else."""
        try:
            function(job, *args)
        except OSError as error:
            message, fix = disk.in_words(error, job.folder)
            self._stop_for(job, Problem("disk", message, f"{fix}, then resume: finished frames are safe."))
        except (strip.StripError, feed.FeedError, ValueError) as error:
            self._stop_for(job, Problem("blender", str(error), ""))
        except Exception as error:
            traceback.print_exc()
            fix = "See the system console, and report it."
            self._stop_for(job, Problem("bug", f"{type(error).__name__}: {error}", fix))

    def _stop_for(self, job: Job, problem: Problem) -> None:
        print(f"Understudy: {job.record.title}: {problem}")
        if job.state is State.DONE:  # its frames are made: what is wrong now does not undo that
            job.say(str(problem))
            return
        self._fail(job, problem)
        job.stale = False  # or a strip that cannot be made would be tried for ever


def push_undo(title: str) -> None:
    """An undo step of its own for what a timer did: otherwise it would vanish with the artist's next undo."""
    if bpy.ops.ed.undo_push.poll():
        bpy.ops.ed.undo_push(message=f"Understudy: {title}")


def redraw_sequencers() -> None:
    """Shows what has changed: a timer's edits do not redraw by themselves."""
    manager = bpy.context.window_manager
    for window in manager.windows if manager else ():
        for area in window.screen.areas:
            if area.type == "SEQUENCE_EDITOR":
                area.tag_redraw()
