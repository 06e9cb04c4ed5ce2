# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that start, stop and resume jobs. What a job brings makes an undo step of its own when it arrives."""

from __future__ import annotations

from collections.abc import Callable

import bpy
from bpy.props import BoolProperty, StringProperty

from .. import api
from ..link.jobs import Job, State
from ..link.session import current
from .reporting import Reporting, not_now, online


class UNDERSTUDY_OT_render(Reporting, bpy.types.Operator):
    bl_idname = "understudy.render"
    bl_label = "Render Person"
    bl_description = (
        "Make frames of the person in this motion and camera, as a strip that grows in the sequencer. "
        "If the shot has a strip already, it shows the new take"
    )

    method: StringProperty(name="Method", description="What makes the frames. Empty: what the scene has chosen")
    new_strip: BoolProperty(
        name="New Strip",
        description="Put the take on a strip of its own, above the others, instead of into the strip of its shot",
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if api.driven_by_strip(context.scene):
            chosen = bool(context.scene.understudy.driving_strip)
            return not_now(cls, chosen, "Choose the strip whose pictures move the photo") and online(cls)
        return (
            not_now(cls, context.scene.understudy.body is not None, "Fit a photo or import a motion first")
            and not_now(
                cls, context.scene.understudy.camera or context.scene.camera, "Import a camera, or add one to the scene"
            )
            and online(cls)
        )

    def run(self, context: bpy.types.Context) -> str:
        return started(api.render(context.scene, method=self.method, new_strip=self.new_strip))


class UNDERSTUDY_OT_cancel(Reporting, bpy.types.Operator):
    bl_idname = "understudy.cancel"
    bl_label = "Cancel Job"
    bl_description = "Stop a job. Its finished frames stay, and it can be resumed"

    take: StringProperty(name="Job", description="Which job. Empty: the one that is being made")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, bool(current().jobs.active()), "No job is running")

    def run(self, context: bpy.types.Context) -> str:
        waiting = api.queue()
        job = chosen(self.take) if self.take else waiting[0] if waiting else None
        if job is None or not job.state.active:
            raise ValueError("That job is not running")
        api.cancel(job)
        return f"{job.record.title} is cancelled. Its finished frames stay"


class UNDERSTUDY_OT_cancel_all(Reporting, bpy.types.Operator):
    bl_idname = "understudy.cancel_all"
    bl_label = "Cancel All Jobs"
    bl_description = "Stop all jobs of this file. Finished frames stay, and every job can be resumed"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, bool(current().jobs.active()), "No job is running")

    def run(self, context: bpy.types.Context) -> str:
        count = api.cancel_all()
        return f"{count} jobs are cancelled" if count > 1 else "The job is cancelled"


class UNDERSTUDY_OT_resume(Reporting, bpy.types.Operator):
    bl_idname = "understudy.resume"
    bl_label = "Resume Job"
    bl_description = "Go on with a job that was cancelled, failed or left behind: only what is missing is made"

    take: StringProperty(name="Job", description="Which job. Empty: the last one that can go on")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, any(map(resumable, current().jobs)), "No job waits to be resumed") and online(cls)

    def run(self, context: bpy.types.Context) -> str:
        job = chosen(self.take) if self.take else _last(resumable, "No job waits to be resumed")
        api.resume(job)
        return f"{job.record.title}: {len(job.missing)} frames to go" if job.numbers else job.record.title


class UNDERSTUDY_OT_resume_all(Reporting, bpy.types.Operator):
    bl_idname = "understudy.resume_all"
    bl_label = "Resume All Jobs"
    bl_description = "Go on with all jobs that were cancelled, failed or left behind, one after the other"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        stopped = any(job.state in (State.PAUSED, State.CANCELLED, State.FAILED) for job in current().jobs)
        return not_now(cls, stopped, "No job waits to be resumed") and online(cls)

    def run(self, context: bpy.types.Context) -> str:
        count = len(api.resume_all())
        return f"{count} jobs go on" if count > 1 else "One job goes on"


def resumable(job: Job) -> bool:
    """Whether a job can go on."""
    return not job.state.active and (job.state is not State.DONE or bool(job.absent))


def started(job: Job) -> str:
    """What is said when a take was asked for."""
    place = api.view(job).place
    count = len(job.missing)
    frames = f"{count} frames" if count != 1 else "1 frame"
    return f"{job.record.title}: {frames}" + (f", {api.view(job).words}" if place > 1 else "")


def chosen(take: str) -> Job:
    """The job of that key.

    Raises:
        ValueError: this file has none.
    """
    job = current().jobs.get(take)
    if job is None:
        raise ValueError("That job is not in this file any more")
    return job


def _last(fits: Callable[[Job], bool], otherwise: str) -> Job:
    job = next((job for job in reversed(list(current().jobs)) if fits(job)), None)
    if job is None:
        raise ValueError(otherwise)
    return job


CLASSES = (
    UNDERSTUDY_OT_render,
    UNDERSTUDY_OT_cancel,
    UNDERSTUDY_OT_cancel_all,
    UNDERSTUDY_OT_resume,
    UNDERSTUDY_OT_resume_all,
)
