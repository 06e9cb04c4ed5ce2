# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs of this file: the ones that are wanted, then those that have ended."""

from __future__ import annotations

import bpy

from ..api import job_list
from ..link.jobs import State
from ..link.session import current
from ..link.view import JobView
from .drawing import begun, button, prose, words

_MOST = 12
"""So many ended jobs are drawn, the newest first; the takes of older ones are still to be chosen at their strip."""

_ICONS = {
    State.WAITING: "SORTTIME",
    State.RUNNING: "RENDER_ANIMATION",
    State.DONE: "CHECKMARK",
    State.CANCELLED: "CANCEL",
    State.FAILED: "ERROR",
    State.PAUSED: "PAUSE",
}


def draw(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    session = current()
    active = session.jobs.active()
    ended = [job for job in reversed(list(session.jobs)) if not job.state.active]
    if not active and not ended:
        layout.label(text="No jobs yet")
        return
    for job in active:
        _draw_job(layout, context, job_list.view(job), first=job is active[0])
    if len(active) > 1:
        button(layout, "understudy.cancel_all")
    # What has gone wrong, or waits for a click, is seen; what is well is folded away.
    waiting = [job for job in ended if job.state is not State.DONE][:_MOST]
    for job in waiting:
        _draw_job(layout, context, job_list.view(job))
    if len(waiting) > 1:
        button(layout, "understudy.resume_all")
    done = [job for job in ended if job.state is State.DONE][:_MOST]
    if not done:
        return
    header, body = layout.panel("understudy_done", default_closed=True)
    header.label(text=words("Done ({})").format(sum(job.state is State.DONE for job in ended)), translate=False)
    if body:
        for job in done:
            _draw_job(body, context, job_list.view(job))


def _draw_job(layout: bpy.types.UILayout, context: bpy.types.Context, job: JobView, first: bool = True) -> None:
    box = layout.box()
    column = box.column()
    row = column.row(align=True)
    row.label(text=job.title, icon=_ICONS[job.state], translate=False)
    if job.active and not first:
        button(row, "understudy.move_up", "", "TRIA_UP", take=job.take)
    button(row, "understudy.show_log", "", "TEXT", take=job.take)
    if job.total and job.done:
        button(row, "understudy.reveal_frames", "", "FILE_FOLDER", take=job.take)
    if job.active:
        button(row, "understudy.cancel", "", "X", take=job.take)
    else:
        button(row, "understudy.remove_job", "", "X", take=job.take)
    if job.active:
        column.progress(factor=job.fraction, text=_measure(job))
        prose(column, context, begun(job.stage) or job.words)
    elif job.state is not State.DONE or job.missing:
        prose(column, context, job.problem or job.words)
        if job.fix:
            prose(column, context, job.fix)
        if job.missing:
            prose(column, context, words("Missing frames: {}").format(job.missing))
        if job.resumable:
            button(column, "understudy.resume", words("Resume"), "PLAY", take=job.take)


def _measure(job: JobView) -> str:
    """What the bar says: frames where there are some, and the time left once it is known."""
    parts = [f"{job.done} / {job.total}"] if job.total else [f"{job.fraction:.0%}"] if job.fraction else []
    return " · ".join([*parts, *([job.time_left] if job.time_left else [])])
