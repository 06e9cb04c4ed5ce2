# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that save a take's passes and lay the person over the scene's render."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from .. import api
from ..api import compositing
from ..link.jobs import Job
from ..link.session import current
from .reporting import Reporting, not_now
from .takes import chosen

_TAKE = "Which take. Empty: that of the active strip, or of the one under the playhead"

_PASSES = (
    ("beauty", "Beauty", "The finished frame"),
    ("alpha", "Alpha", "How much of the finished frame is the person"),
    ("intermediate", "Intermediate", "The textured body that the frame was made from"),
    ("depth", "Depth", "Distance along the camera's axis, in metres"),
    ("normal", "Normal", "Where the body's surface faces, as the camera sees it"),
    ("uv", "UV", "Where each point of the body is on its texture"),
    ("mask", "Mask", "How much of each pixel the body covers"),
)

_SHADOWS = (
    ("AUTO", "Automatic", "On the scene where something is under the feet, else on a ground that is added"),
    ("GROUND", "Added Ground", "Add a ground under the feet that is not seen, only the shadow on it"),
    ("SCENE", "On the Scene", "The person throws a shadow on what there is"),
    ("NONE", "No Shadow", "The person throws no shadow"),
)


def _has_takes(cls: type[bpy.types.Operator]) -> bool:
    return not_now(cls, any(job.record.role == "frames" for job in current().jobs), "Render a first take")


def _take(key: str) -> Job | None:
    return chosen(key) if key else None


class UNDERSTUDY_OT_save_passes(Reporting, bpy.types.Operator):
    bl_idname = "understudy.save_passes"
    bl_label = "Save Passes"
    bl_description = (
        "Save depth, normals and other passes of a take beside its frames, for compositing here or elsewhere. "
        "Blender stays usable meanwhile, and files that are there already are kept"
    )

    take: StringProperty(name="Take", description=_TAKE, options={"SKIP_SAVE"})
    passes: EnumProperty(
        name="Passes",
        items=_PASSES,
        default={item[0] for item in _PASSES},
        options={"ENUM_FLAG"},
        description="Which passes are saved",
    )
    file_format: EnumProperty(
        name="Files",
        items=(
            ("EXR", "Multilayer EXR", "One file for each frame, with all passes in full precision"),
            ("PNG", "PNG", "One file for each frame and pass"),
        ),
        description="What kind of files is written",
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _has_takes(cls)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self, title="Save Passes", confirm_text="Save")

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "file_format")
        layout.column().prop(self, "passes")

    def run(self, context: bpy.types.Context) -> str:
        saving = api.save_passes(
            _take(self.take), [item[0] for item in _PASSES if item[0] in self.passes], file_format=self.file_format
        )
        if bpy.app.background:
            saving.wait()
        return saving.words


class UNDERSTUDY_OT_cancel_passes(Reporting, bpy.types.Operator):
    bl_idname = "understudy.cancel_passes"
    bl_label = "Stop Saving Passes"
    bl_description = "Stop saving passes. What is saved stays, and saving again goes on from there"

    take: StringProperty(name="Take", description="Which take. Empty: all", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, bool(compositing.DESK.running()), "No passes are being saved")

    def run(self, context: bpy.types.Context) -> str:
        return "Stopped. What is saved stays" if api.cancel_passes(_take(self.take)) else "Nothing was being saved"


class UNDERSTUDY_OT_build_compositor(Reporting, bpy.types.Operator):
    bl_idname = "understudy.build_compositor"
    bl_label = "Put Person into Scene"
    bl_description = (
        "Lay the person over the scene's own render: hidden by what is in front, with a shadow, in the scene's light. "
        "Adds nodes to the compositor, or brings those that are there up to date"
    )
    bl_options = {"REGISTER", "UNDO"}

    take: StringProperty(name="Take", description=_TAKE, options={"SKIP_SAVE"})
    shadow: EnumProperty(name="Shadow", items=_SHADOWS, description="Where the person's shadow falls")
    match_light: BoolProperty(
        name="Match Light",
        default=True,
        description="Give the person the brightness and colour of the scene's light; Gain on the node changes it",
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _has_takes(cls)

    def run(self, context: bpy.types.Context) -> str:
        done = api.build_compositor(_take(self.take), shadow=self.shadow, match_light=self.match_light)
        if bpy.app.background:
            done.saving.wait()
        return ". ".join((f"{done.take.record.title} is in the scene's render", *done.notes))


class UNDERSTUDY_OT_remove_compositor(Reporting, bpy.types.Operator):
    bl_idname = "understudy.remove_compositor"
    bl_label = "Take Person out of Scene"
    bl_description = "Remove the nodes and the ground again, and show the body as before. Files stay"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, bool(api.composited(context.scene)), "No person is in the scene's render")

    def run(self, context: bpy.types.Context) -> str:
        api.remove_compositor(context.scene)
        return "The scene renders as before"


CLASSES = (
    UNDERSTUDY_OT_save_passes,
    UNDERSTUDY_OT_cancel_passes,
    UNDERSTUDY_OT_build_compositor,
    UNDERSTUDY_OT_remove_compositor,
)
