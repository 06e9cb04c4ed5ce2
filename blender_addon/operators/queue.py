# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators for the list of jobs: their order, their log, their files."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, StringProperty

from .. import api
from ..link.jobs import Job
from ..link.session import current
from ..timeline.compat import sequencer_scene
from .reporting import Reporting, not_now
from .takes import chosen

_LINES = 24
"""Of a log that are shown at once."""


class _OfOneJob(Reporting):
    """Mix-in: `take` is a job's key; empty is the take in hand, else the last job."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, len(current().jobs) > 0, "There are no jobs in this file")  # type: ignore[arg-type]

    def job(self, context: bpy.types.Context) -> Job:
        """The job that is meant.

        Raises:
            ValueError: there is none.
        """
        if self.take:  # type: ignore[attr-defined]
            return chosen(self.take)  # type: ignore[attr-defined]
        job = api.take_in_hand(sequencer_scene(context)) or next(reversed(api.jobs()), None)
        if job is None:
            raise ValueError("There are no jobs in this file")
        return job


class UNDERSTUDY_OT_move_up(_OfOneJob, bpy.types.Operator):
    bl_idname = "understudy.move_up"
    bl_label = "Move Up"
    bl_description = "Let this job go before the one above it. What that one has made is kept"

    take: StringProperty(name="Job", description="Which job", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, len(current().jobs.active()) > 1, "No job waits behind another")

    def run(self, context: bpy.types.Context) -> str:
        job = self.job(context)
        api.move_up(job)
        place = api.view(job).place
        return f"{job.record.title} is next" if place == 1 else f"{job.record.title}: {api.view(job).words}"


class UNDERSTUDY_OT_remove_job(_OfOneJob, bpy.types.Operator):
    bl_idname = "understudy.remove_job"
    bl_label = "Remove Job"
    bl_description = "Take a job off the list, and delete its frames if you want that. A job that runs is cancelled"
    bl_options = {"UNDO"}

    take: StringProperty(name="Job", description="Which job", options={"SKIP_SAVE"})
    delete_frames: BoolProperty(
        name="Delete Its Frames Too",
        description="Delete its files. That cannot be undone. Its strips then show another take, or are removed",
        options={"SKIP_SAVE"},
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self, title="Remove Job", confirm_text="Remove")

    def draw(self, context: bpy.types.Context) -> None:
        job = self.job(context)
        self.layout.label(text=job.record.title)
        row = self.layout.row()
        row.active = bool(job.finished) or not job.numbers
        row.prop(self, "delete_frames")
        hint = "This cannot be undone" if self.delete_frames else "Frames and strips stay as they are"
        self.layout.label(text=hint, icon="ERROR" if self.delete_frames else "INFO")

    def run(self, context: bpy.types.Context) -> str:
        job = self.job(context)
        api.remove_job(job, delete_frames=self.delete_frames)
        return f"{job.record.title} is removed" + (", and its frames are deleted" if self.delete_frames else "")


class UNDERSTUDY_OT_show_log(_OfOneJob, bpy.types.Operator):
    bl_idname = "understudy.show_log"
    bl_label = "Show Log"
    bl_description = "Show what has happened to a job, line by line"

    take: StringProperty(name="Job", description="Which job", options={"SKIP_SAVE"})
    as_text: BoolProperty(
        name="As Text", description="Put the log into a text of this file, to copy from it", options={"SKIP_SAVE"}
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.as_text:
            return self.execute(context)
        return context.window_manager.invoke_popup(self, width=560)

    def draw(self, context: bpy.types.Context) -> None:
        job = self.job(context)
        view, lines = api.view(job), api.log(job)
        layout = self.layout
        layout.label(text=f"{view.title}: {view.words}")
        column = layout.column(align=True)
        for line in (view.problem, view.fix):
            if line:
                column.label(text=line, icon="ERROR" if line == view.problem else "BLANK1")
        box = layout.box().column(align=True)
        for line in lines[-_LINES:] or ["Nothing has happened yet"]:
            box.label(text=line)
        row = layout.row()
        operator = row.operator(self.bl_idname, text="As Text", icon="TEXT")
        operator.take, operator.as_text = job.take, True
        row.operator(UNDERSTUDY_OT_reveal_frames.bl_idname, icon="FILE_FOLDER").take = job.take

    def run(self, context: bpy.types.Context) -> str:
        job = self.job(context)
        view = api.view(job)
        name = f"Log of {view.title}"
        text = bpy.data.texts.get(name) or bpy.data.texts.new(name)
        head = [f"{view.title}: {view.words}", view.problem, view.fix, view.folder, ""]
        text.from_string("\n".join([line for line in head[:-1] if line] + [""] + api.log(job)))
        for window in context.window_manager.windows:
            for area in window.screen.areas:
                if area.type == "TEXT_EDITOR":
                    area.spaces.active.text = text
        return f'The log is in the text "{name}"'


class UNDERSTUDY_OT_reveal_frames(_OfOneJob, bpy.types.Operator):
    bl_idname = "understudy.reveal_frames"
    bl_label = "Show Frames in Folder"
    bl_description = "Open the folder of a job's frames"

    take: StringProperty(name="Job", description="Which job", options={"SKIP_SAVE"})

    def run(self, context: bpy.types.Context) -> str:
        folder = self.job(context).folder
        if not folder.is_dir():
            raise ValueError(f"The folder {folder} is gone: put it back, or resume the job to make its frames again")
        if not bpy.app.background:
            bpy.ops.wm.path_open(filepath=str(folder))
        return f"The frames are in {folder}"


CLASSES = (
    UNDERSTUDY_OT_move_up,
    UNDERSTUDY_OT_remove_job,
    UNDERSTUDY_OT_show_log,
    UNDERSTUDY_OT_reveal_frames,
)
