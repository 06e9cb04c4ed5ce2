# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that start, stop and resume jobs. What a job brings makes an undo step of its own when it arrives."""

from __future__ import annotations

from collections.abc import Callable

import bpy
from bpy.props import StringProperty

from .. import api
from ..link.jobs import Job, State
from ..link.session import current
from .reporting import Reporting, not_now, online


class UNDERSTUDY_OT_render(Reporting, bpy.types.Operator):
    bl_idname = "understudy.render"
    bl_label = "Render Person"
    bl_description = "Make frames of the person in this motion and camera, as a strip that grows in the sequencer"

    method: StringProperty(name="Method", default="threedhm", description="The backend's method")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return (
            not_now(cls, context.scene.understudy.body is not None, "Fit a photo or import a motion first")
            and not_now(
                cls, context.scene.understudy.camera or context.scene.camera, "Import a camera, or add one to the scene"
            )
            and online(cls)
        )

    def run(self, context: bpy.types.Context) -> str:
        job = api.render(context.scene, method=self.method)
        return f"{job.record.title}: {len(job.numbers)} frames"


class UNDERSTUDY_OT_cancel(Reporting, bpy.types.Operator):
    bl_idname = "understudy.cancel"
    bl_label = "Cancel Job"
    bl_description = "Stop a job. Its finished frames stay, and it can be resumed"

    take: StringProperty(name="Take", description="Key of the job; empty: the last one that runs")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, bool(current().jobs.active()), "No job is running")

    def run(self, context: bpy.types.Context) -> None:
        api.cancel(_chosen(self.take, lambda job: job.state.active, "No job is running"))


class UNDERSTUDY_OT_resume(Reporting, bpy.types.Operator):
    bl_idname = "understudy.resume"
    bl_label = "Resume Job"
    bl_description = "Go on with a job that was cancelled, failed or left behind: only what is missing is made"

    take: StringProperty(name="Take", description="Key of the job; empty: the last one that can go on")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, any(map(_resumable, current().jobs)), "No job waits to be resumed") and online(cls)

    def run(self, context: bpy.types.Context) -> str:
        job = _chosen(self.take, _resumable, "No job waits to be resumed")
        api.resume(job)
        return f"{job.record.title}: {len(job.missing)} frames to go" if job.numbers else job.record.title


def _resumable(job: Job) -> bool:
    return job.state in (State.PAUSED, State.CANCELLED, State.FAILED)


def _chosen(take: str, fits: Callable[[Job], bool], otherwise: str) -> Job:
    if take:
        job = current().jobs.get(take)
        if job is None:
            raise ValueError(f"There is no job {take} in this file")
        return job
    job = next((job for job in reversed(list(current().jobs)) if fits(job)), None)
    if job is None:
        raise ValueError(otherwise)
    return job


CLASSES = (
    UNDERSTUDY_OT_render,
    UNDERSTUDY_OT_cancel,
    UNDERSTUDY_OT_resume,
)
