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
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bpy
import msgspec
from numpy.typing import NDArray
from understudy_shared.job import scene_digest
from understudy_shared.protocol import events
from understudy_shared.protocol.description import MethodDescription

from ..timeline import prefetch, strip
from ..timeline.lock import SceneLock
from . import feed, take_files
from .connection import ArraysArrived, BackendLink, FrameSaved, Notice, SaveFailed
from .jobs import Job, JobBook, Problem, State

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
        self.link: BackendLink | None = None
        self.online = False
        self.status = "Not connected"
        self.device = ""
        self.methods: tuple[MethodDescription, ...] = ()
        self.every_tick: Callable[[], object] = lambda: None
        self.on_connected: Callable[[], object] = lambda: None
        self._apply = apply
        self._feeds: dict[str, feed.Feed] = {}
        self._cancelling: set[str] = set()
        self._ticking = False
        self._writer = ThreadPoolExecutor(1, "understudy-writer")
        self._timer: Callable[[], float] | None = None

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
        self._writer.shutdown(cancel_futures=True)
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
        self.link, self.online = link, False
        self.status = f"Connecting to {link.address}" if link else "Not connected"
        self.methods, self.device = (), ""
        self._cancelling.clear()
        for job in self.jobs:
            job.wire_id = ""
            if job.state is State.RUNNING:
                job.record.state = State.WAITING

    def begin(self, job: Job) -> None:
        """Starts a job, or goes on with it: snapshots first, then the submission."""
        job.scan()
        job.record.state, job.record.problem = State.WAITING, None
        job.wire_id, job.stage, job.fraction = "", "Waiting for the backend", 0.0
        self._feeds[job.take] = feed.begin(job, self._writer)
        self.jobs.write()

    def cancel(self, job: Job) -> None:
        """Stops a job. What is finished stays, and what is on its way still arrives."""
        if self.link is not None and job.wire_id and job.state.active:
            self._cancelling.add(job.wire_id)
            self.link.cancel(job.wire_id)
        self._end(job, State.CANCELLED, "Cancelled")

    def forget(self) -> None:
        """Another file is opened: its jobs are not ours. The backend works on, and the files are still written."""
        self._feeds.clear()
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
            for job in self.jobs:
                if job.stale:
                    self._update_strip(job)
            for job in self.jobs.active():
                self._guarded(job, self._advance, begun + TICK_SECONDS)
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
                self.methods, self.device = welcome.methods, welcome.device
                self.on_connected()
            case events.Disconnected(reason=reason, fix=fix, final=final):
                self.online = False
                self.status = f"{reason}. {fix}".rstrip(". ")
                for job in self.jobs.active():
                    if final:
                        job.fail(Problem(notice.code, reason, fix))
                        self.jobs.write()
                    elif job.state is State.RUNNING:
                        job.record.state, job.stage = State.WAITING, "Waiting for the backend"
                        job.say(reason)
                if final:  # its thread has ended: there is no connection any more
                    self.link = None
            case events.StatusArrived():
                pass
            case events.Complaint(message=message, fix=fix):
                self.status = f"{message}. {fix}".rstrip(". ")
            case _:
                job = self.jobs.by_wire_id(notice.job)
                if isinstance(notice, events.JobCancelled | events.JobDone | events.JobFailed):
                    self._cancelling.discard(notice.job)
                if job is not None:
                    self._guarded(job, self._take_for, notice)

    def _take_for(self, job: Job, notice: Notice) -> None:
        match notice:
            case events.Accepted():
                if job.state.active:
                    job.record.state, job.stage = State.RUNNING, "Accepted"
                    job.started, job.begun_with = time.monotonic(), len(job.finished)
                    self.jobs.write()
            case events.Progressed(fraction=fraction, stage=stage, eta=eta):
                job.fraction, job.stage, job.eta = fraction, stage, eta
            case FrameSaved(number=number, rewritten=rewritten, meta=meta):
                job.finished.add(number)
                job.stale = True
                job.rewritten |= rewritten
                job.meta = meta or job.meta
            case ArraysArrived(arrays=arrays, meta=meta):
                job.meta = meta
                if job.state.active:
                    self._apply(job, arrays, meta)
                    push_undo(job.record.title)
            case SaveFailed(message=message, fix=fix):
                job.fail(Problem("not_written", message, fix))
                self.jobs.write()
                if self.link is not None:
                    self._cancelling.add(job.wire_id)
                    self.link.cancel(job.wire_id)
            case events.JobDone():
                if not job.state.active:
                    return
                if job.missing:
                    job.fail(Problem("incomplete", f"{len(job.missing)} frames are missing", "Resume the job."))
                    self.jobs.write()
                else:
                    self._end(job, State.DONE, "Done")
                    take_files.drop_conditions(job.folder)
            case events.JobCancelled():
                if job.state.active:  # by somebody else: `understudy` on the command line, say
                    self._end(job, State.CANCELLED, "Cancelled at the backend")
            case events.JobFailed(code=code, message=message, fix=fix):
                if job.state.active:
                    job.fail(Problem(code, message, fix))
                    self.jobs.write()

    def _end(self, job: Job, state: State, line: str) -> None:
        job.record.state, job.stage = state, line
        job.stale = job.record.role == "frames"
        job.say(line)
        self._feeds.pop(job.take, None)
        self.jobs.write()

    def _update_strip(self, job: Job) -> None:
        job.stale = False
        if job.record.role == "frames":
            placed = job.record.placed
            self._guarded(job, strip.update)
            if job.record.placed and not placed:
                self.jobs.write()
                push_undo(job.record.title)
            redraw_sequencers()
        scene = job.record.sequencer.find()
        busy = any(other.record.sequencer.name == job.record.sequencer.name for other in self.jobs.active())
        if isinstance(scene, bpy.types.Scene) and not busy:
            prefetch.restore(scene)

    def _advance(self, job: Job, deadline: float) -> None:
        snapshots = self._feeds[job.take]
        try:
            feed.collect_written(snapshots)
            while not snapshots.full:
                job.stage = f"Reading the scene: {len(snapshots.to_capture)} frames to go"
                begun = time.perf_counter()
                feed.capture_next(job, snapshots)
                now = time.perf_counter()
                if now + (now - begun) > deadline:  # the next would take as long
                    return
            if self.link is None or not snapshots.ready:
                return
            if not job.wire_id:
                self._submit(job, snapshots)
            elif job.state is State.RUNNING:
                while feed.push_wanted(job, snapshots, self.link) and time.perf_counter() < deadline:
                    pass
        except feed.BlenderBusy:
            return

    def _submit(self, job: Job, snapshots: feed.Feed) -> None:
        """Sends the job off; it may take several ticks until it can go.

        A running take that asks for the very same is stopped first: the backend knows both by one id.
        """
        assert self.link is not None
        if snapshots.digests and not job.spec.scene:
            job.record.spec = msgspec.structs.replace(job.spec, scene=scene_digest(snapshots.digests))
            self.jobs.write()
        wire_id = self.link.wire_id(job.spec)
        for other in self.jobs.active():
            if other.wire_id == wire_id:
                self.cancel(other)
        if wire_id in self._cancelling:
            return  # its end must be heard first, or it would end the new one
        for other in self.jobs:
            if other.wire_id == wire_id:
                other.wire_id = ""
        job.wire_id = wire_id
        inputs = snapshots.inputs.result()
        self.link.submit(job.spec, inputs, job.folder, have=job.finished, conditions=snapshots.digests)

    def _guarded(self, job: Job, function: Callable[..., object], *args: object) -> None:
        """Calls `function(job, ...)`; a mistake ends this job, loudly, and nothing else."""
        try:
            function(job, *args)
        except (strip.StripError, feed.FeedError, ValueError, OSError) as error:
            self._stop_for(job, Problem("blender", str(error), ""))
        except Exception as error:
            traceback.print_exc()
            fix = "See the system console, and report it."
            self._stop_for(job, Problem("bug", f"{type(error).__name__}: {error}", fix))

    def _stop_for(self, job: Job, problem: Problem) -> None:
        active = job.state.active
        job.fail(problem)
        job.stale = False  # or a strip that cannot be made would be tried for ever
        self._feeds.pop(job.take, None)
        if active and self.link is not None and job.wire_id:
            self._cancelling.add(job.wire_id)
            self.link.cancel(job.wire_id)
        self.jobs.write()
        print(f"Understudy: {job.record.title}: {problem}")


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
