# SPDX-License-Identifier: GPL-3.0-or-later
"""A job in words and numbers, ready to be drawn: panels ask for this and for nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from . import take_files
from .jobs import Job, Role, State
from .ranges import ranges_text


@dataclass(frozen=True)
class JobView:
    """What there is to know of a job, as it is now."""

    take: str
    """Its key, for the `take` of operators."""
    title: str
    role: Role
    state: State
    words: str
    """How it stands, in a few words: "2nd in the queue", "Making frames"."""
    stage: str
    """What is being done just now ("Reading the scene, frame 3 of 48", or what the backend says); may be empty."""
    fraction: float
    """How much is done, from 0 to 1."""
    stage_fraction: float | None
    """How much of the stage is done; None while nobody knows."""
    done: int
    """Frames that are there."""
    total: int
    """Frames that the take has; 0 for a job that makes no frames (a fit, a texture)."""
    seconds_left: float | None
    """None while nobody knows."""
    time_left: str
    """The same in words; empty while nobody knows."""
    missing: str
    """Frames that are not there: "12-20, 31"; empty where all are."""
    problem: str
    """Why it has stopped; empty where it has not."""
    fix: str
    """What to do about it."""
    log: tuple[str, ...]
    """What has happened, oldest first, each line with its time."""
    place: int
    """In the queue: 1 for the job whose turn it is, 0 for one that is not in it."""
    shot: str
    """Key of what it is a version of."""
    method: str
    asked: str
    """When it was asked for."""
    folder: str
    """Where its frames are."""

    @property
    def active(self) -> bool:
        """It can be cancelled."""
        return self.state.active

    @property
    def resumable(self) -> bool:
        """It can be resumed."""
        return not self.active and (self.state is not State.DONE or bool(self.missing))


def view(job: Job, place: int = 0, waiting_for: str = "") -> JobView:
    """How a job is now.

    Args:
        job: any job of the file.
        place: in the queue, from 1 on; 0 for none.
        waiting_for: what the queue as a whole waits for, in words; empty if nothing is in its way.
    """
    absent, done, total = job.absent, len(job.finished), len(job.numbers)
    seconds = job.seconds_left
    return JobView(
        take=job.take,
        title=job.record.title,
        role=job.record.role,
        state=job.state,
        words=_words(job, place, waiting_for, len(absent)),
        stage=job.stage if job.state.active else "",
        fraction=job.progress,
        stage_fraction=_stage_fraction(job),
        done=done,
        total=total,
        seconds_left=seconds,
        time_left=time_text(seconds),
        missing=ranges_text(absent, job.numbers),
        problem=job.problem.message.rstrip(".") if job.problem else "",
        fix=job.problem.fix.rstrip(".") if job.problem else "",
        log=tuple(job.log),
        place=place,
        shot=job.shot,
        method=job.spec.method,
        asked=job.record.asked,
        folder=str(job.folder),
    )


def full_log(job: Job) -> list[str]:
    """All lines that are known of a job, those of earlier sessions too."""
    now = list(job.log)
    earlier = [line for line in take_files.load_log(job.folder) if line not in now]
    return earlier + now


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, ... 11th, ... 21st."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def time_text(seconds: float | None) -> str:
    """A time that is left, as roughly as it is known."""
    if seconds is None:
        return ""
    if seconds < 50:
        return f"{max(5, round(seconds / 5) * 5)} s left"
    minutes = max(1, round(seconds / 60))
    if minutes < 60:
        return f"{minutes} min left"
    return f"{minutes // 60} h {minutes % 60:02d} min left"


def _stage_fraction(job: Job) -> float | None:
    if not job.state.active:
        return None
    if job.to_capture:
        return job.captured / (job.captured + job.to_capture)
    return job.fraction if job.state is State.RUNNING and not job.numbers else None


def _words(job: Job, place: int, waiting_for: str, absent: int) -> str:
    total = len(job.numbers)
    there = f"{total - absent} of {total} frames are there" if total else ""
    match job.state:
        case State.WAITING if place > 1:
            return f"{ordinal(place)} in the queue"
        case State.WAITING:
            return waiting_for or ("Waits for the backend" if job.sent else "Getting ready")
        case State.RUNNING if job.together and len(job.missing) == total:
            return f"Making {total} frames together"
        case State.RUNNING:
            return f"Making frame {min(len(job.finished) + 1, total)} of {total}" if total else "At work"
        case State.DONE:
            return f"Done, {absent} of {total} frames are missing" if absent else "Done"
        case State.CANCELLED:
            return f"Cancelled, {there}" if there else "Cancelled"
        case State.FAILED:
            return f"Stopped, {there}" if there else "Stopped"
        case State.PAUSED:
            return f"Paused when the file was closed, {there}" if there else "Paused when the file was closed"
