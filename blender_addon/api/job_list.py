# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of this file's jobs, and what there is to see of each. Jobs of other files and people are never touched."""

from __future__ import annotations

import shutil

import bpy

from ..link import view as views
from ..link.jobs import Job
from ..link.session import current
from ..link.view import JobView
from ..timeline import selection, strip
from ..timeline.upkeep import replace


def queue() -> list[Job]:
    """The jobs that are wanted: the one whose turn it is first."""
    return current().jobs.active()


def move_up(job: Job) -> None:
    """Lets a job go before the one before it. If that one is being made, it waits, and what it has made is kept.

    Raises:
        ValueError: it is the first already, or not in the queue.
    """
    if not current().jobs.move_up(job):
        raise ValueError(f"{job.record.title} cannot go before another job: it is no job that waits in the queue")


def view(job: Job) -> JobView:
    """A job in words and numbers, ready to be drawn. Cheap: for every redraw."""
    session = current()
    place = session.jobs.place(job)
    waiting_for = ""
    if job.state.active and place == 1 and not session.pump.online:
        told = session.pump.link is not None
        waiting_for = "Waits for the backend, then goes on by itself" if told else "Waits: connect to a backend"
    return views.view(job, place, waiting_for)


def log(job: Job) -> list[str]:
    """What has happened to a job, also in earlier sessions, oldest first; each line begins with the time."""
    return views.full_log(job)


def remove_job(job: Job, *, delete_frames: bool = False) -> None:
    """Takes a job off the list, cancelled first if need be.

    Args:
        job: which.
        delete_frames: delete its files too; its strips then show the newest other take of the shot, or are removed.
            That cannot be undone. Otherwise its frames stay where they are, and so do its strips.

    Raises:
        ValueError: it is no job of this file. RuntimeError: Blender renders or saves. OSError: its files cannot be
            deleted.
    """
    session = current()
    if session.jobs.get(job.take) is not job:
        raise ValueError(f"{job.record.title} is no job of this file")
    if session.lock.held:
        raise RuntimeError("Blender is rendering or saving: remove the job afterwards")
    session.pump.cancel(job)
    if not delete_frames:
        session.jobs.remove(job)
        return
    session.jobs.remove(job)
    scene = job.record.sequencer.find()
    if isinstance(scene, bpy.types.Scene):
        for found in strip.parts(scene, job.take):
            replace(scene, found, job.shot, session.jobs)
    session.upkeep.deleted(job)
    if session.pump.link is not None:
        session.pump.link.redirect(job.wire_id, None)
    session.pump.sender.settle()
    if job.folder.is_dir():
        shutil.rmtree(job.folder)


def strip_of(job: Job) -> bpy.types.Strip | None:
    """The strip that shows a take, None where none does."""
    scene = job.record.sequencer.find()
    return strip.find(scene, job.take) if isinstance(scene, bpy.types.Scene) else None


def job_of(found: bpy.types.Strip) -> Job | None:
    """The take that a strip shows, None for a strip that is not of Understudy."""
    return selection.take_of(found, current().jobs)
