# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators for takes as versions of a shot: render again, choose which one a strip shows, redo."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from .. import api
from ..link.jobs import Job
from ..link.session import current
from ..timeline.compat import sequencer_scene
from .reporting import Reporting, not_now, online
from .takes import chosen, started

_NO_STRIP = "Select a strip that Understudy has made"

_WHAT = (
    ("ALL", "All Frames", "Make all frames of the take again"),
    (
        "SELECTED",
        "Selected Frames",
        "Make the frames of the selected part of its strip again, if it was cut or trimmed, else the one under the "
        "playhead. The others are taken over",
    ),
    ("RANGE", "Frame Range", "Make the frames from the first to the last again. The others are taken over"),
    (
        "CHANGED",
        "What Has Changed",
        "Make only the frames that differ now, because the body, the camera, the texture or a setting has changed. "
        "The others are taken over",
    ),
)


class UNDERSTUDY_OT_render_again(Reporting, bpy.types.Operator):
    bl_idname = "understudy.render_again"
    bl_label = "Render Again"
    bl_description = "Make a new take of the shot from the scene as it is now. The earlier take stays as it was"

    take: StringProperty(
        name="Take", description="Which take. Empty: that of the active strip, or of the one under the playhead"
    )
    what: EnumProperty(name="What", items=_WHAT, default="ALL", description="Which frames are made again")
    first: IntProperty(name="First", default=0, description="First frame that is made again")
    last: IntProperty(name="Last", default=-1, description="Last frame that is made again")
    new_strip: BoolProperty(
        name="New Strip",
        description="Put the take on a strip of its own, above the others, instead of into the strip of its shot",
    )

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        return f"{next(item[2] for item in _WHAT if item[0] == properties.what)}. The earlier take stays as it was"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        has_takes = any(job.record.role == "frames" for job in current().jobs)
        return not_now(cls, has_takes, "Render a first take") and online(cls)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.what != "RANGE":
            return self.execute(context)
        if self.last < self.first:
            try:
                numbers = self._take(context).numbers
            except ValueError:
                return self.execute(context)
            scene = sequencer_scene(context)
            preview = (scene.frame_preview_start, scene.frame_preview_end)
            self.first, self.last = preview if scene.use_preview_range else (numbers[0], numbers[-1])
        return context.window_manager.invoke_props_dialog(self, title="Render Again", confirm_text="Render")

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        column = layout.column(align=True)
        column.prop(self, "first")
        column.prop(self, "last")
        layout.prop(self, "new_strip")

    def run(self, context: bpy.types.Context) -> str:
        take = self._take(context)
        frames = None
        if self.what == "SELECTED":
            frames = api.selected_frames(take)
        elif self.what == "RANGE":
            if self.last < self.first:
                raise ValueError("Give the first and the last frame that are to be made again")
            frames = range(self.first, self.last + 1)
        return started(api.render_again(take, frames, changed=self.what == "CHANGED", new_strip=self.new_strip))

    def _take(self, context: bpy.types.Context) -> Job:
        take = chosen(self.take) if self.take else api.take_in_hand(sequencer_scene(context))
        if take is None:
            raise ValueError("Select the strip of the take that is to be made again")
        return take


class UNDERSTUDY_OT_choose_take(Reporting, bpy.types.Operator):
    bl_idname = "understudy.choose_take"
    bl_label = "Choose Take"
    bl_description = "Let the strip show another take of its shot. Its place, trim and effects stay"
    bl_options = {"REGISTER", "UNDO"}

    take: StringProperty(name="Take", description="Which take", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, api.strip_in_hand(sequencer_scene(context)) is not None, _NO_STRIP)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        found = api.strip_in_hand(sequencer_scene(context))
        if self.take or found is None:
            return self.execute(context)
        shown, takes = api.job_of(found), api.takes_of(found)

        def draw(menu: bpy.types.Menu, _: bpy.types.Context) -> None:
            for job in reversed(takes):
                view = api.view(job)
                icon = "CHECKMARK" if job is shown else "BLANK1"
                text = f"{view.title}: {view.words}"
                menu.layout.operator(UNDERSTUDY_OT_choose_take.bl_idname, text=text, icon=icon).take = job.take

        context.window_manager.popup_menu(draw, title="Take")
        return {"INTERFACE"}  # nothing is done yet: no undo step

    def run(self, context: bpy.types.Context) -> str:
        found = api.strip_in_hand(sequencer_scene(context))
        if found is None:
            raise ValueError(_NO_STRIP)
        if not self.take:
            raise ValueError("Say which take the strip is to show")
        take = chosen(self.take)
        api.choose_take(found, take)
        return f"The strip shows {take.record.title}"


class UNDERSTUDY_OT_redo_from_strip(Reporting, bpy.types.Operator):
    bl_idname = "understudy.redo_from_strip"
    bl_label = "Redo from Strip"
    bl_description = (
        "Put the settings that the strip's take was made with back into the scene, ready to be changed and rendered: "
        "method, seed, size, frames, body and camera"
    )
    bl_options = {"REGISTER", "UNDO"}

    take: StringProperty(name="Take", description="Which take. Empty: that of the active strip", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        has_takes = any(job.record.role == "frames" for job in current().jobs)
        return not_now(cls, has_takes, "Render a first take")

    def run(self, context: bpy.types.Context) -> str:
        take = chosen(self.take) if self.take else api.take_in_hand(sequencer_scene(context))
        if take is None:
            raise ValueError(_NO_STRIP)
        scene = api.redo(take)
        return f"{scene.name} has the settings of {take.record.title}"


CLASSES = (UNDERSTUDY_OT_render_again, UNDERSTUDY_OT_choose_take, UNDERSTUDY_OT_redo_from_strip)
