# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators for camera files. Those for camera moves are in `camera_rigs`."""

from __future__ import annotations

from math import degrees
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from .. import api
from ..api.cameras import camera_formats, camera_notes, shot_camera
from .reporting import FileChoosing, not_now

_ENDINGS = ";".join(sorted({f"*{ending}" for _, _, endings in camera_formats() for ending in endings if ending}))
_UP = (
    ("AUTO", "As Usual for the Format", "What the programs that write this kind of file do"),
    ("Z", "Z", "The file's Z axis points up, as in Blender"),
    ("Y", "Y", "The file's Y axis points up, as in most animation programs"),
    ("NEGATIVE_Y", "-Y", "The file's Y axis points down, as in camera tracking"),
)


def _menu(first: tuple[tuple[str, str, str], ...], can_save: bool) -> tuple[tuple[str, str, str], ...]:
    def endings(all_of_them: tuple[str, ...]) -> str:
        return ", ".join(ending or "a folder" for ending in all_of_them)

    return first + tuple((key, label, f"Usual: {endings(e)}") for key, label, e in camera_formats(can_save))


class _World:
    """Mix-in: how the file's world lies in the scene."""

    relative_to: StringProperty(
        name="Relative To",
        description="An object that stands for the file's world, such as the scan that the camera was made with. "
        "Empty: the scene's own world",
    )
    up: EnumProperty(name="Up", items=_UP, default="AUTO", description="Which way is up in the file's world")
    scale: FloatProperty(
        name="Scale", default=1.0, min=1e-6, soft_max=1000, description="Metres in one unit of the file"
    )

    def draw_world(self, layout: bpy.types.UILayout) -> None:
        layout.prop_search(self, "relative_to", bpy.data, "objects")
        layout.prop(self, "up")
        layout.prop(self, "scale")

    def world(self) -> dict[str, Any]:
        """Arguments for `api`.

        Raises:
            ValueError: the object is gone.
        """
        base = bpy.data.objects.get(self.relative_to) if self.relative_to else None
        if self.relative_to and base is None:
            raise ValueError(f'There is no object "{self.relative_to}": choose another, or none')
        up = {"AUTO": "", "NEGATIVE_Y": "-Y"}.get(self.up, self.up)
        return {"relative_to": base, "up": up, "scale": self.scale}


class UNDERSTUDY_OT_import_camera(_World, FileChoosing, bpy.types.Operator):
    bl_idname = "understudy.import_camera"
    bl_label = "Import Camera"
    bl_description = (
        "Add a keyframed camera from a file: nerfstudio, COLMAP, TUM, KITTI, Nuke, OpenCV, Alembic, USD or FBX"
    )
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default=_ENDINGS, options={"HIDDEN"})
    format: EnumProperty(
        name="Format",
        items=_menu((("AUTO", "Automatic", "Find out from the file"),), can_save=False),
        description="What kind of file it is",
    )
    set_scene: BoolProperty(
        name="Set Up Scene",
        description="Also take over resolution, pixel aspect, frame rate and range: the picture is then the file's",
        default=True,
    )
    separate: BoolProperty(
        name="One Camera per Photo",
        description="For photos of one thing from many sides: a camera for each, instead of one that moves",
        default=False,
    )
    by_name: BoolProperty(
        name="Sort by Name",
        description="Photos in the order of their names, instead of that in which they stand in the file",
        default=False,
    )
    fill_gaps: BoolProperty(
        name="Fill Gaps",
        description="Make positions for pictures whose numbers are missing, between those that are there",
        default=False,
    )
    use_start: BoolProperty(
        name="Choose Start Frame",
        description="Otherwise files that number their frames keep them, and others begin where the scene begins",
        default=False,
    )
    start: IntProperty(name="Start Frame", default=1, description="Scene frame of the first position")
    camera_name: StringProperty(
        name="Camera",
        description="Which camera, or whose, in a file with several. Empty: the first",
        options={"SKIP_SAVE"},
    )
    width: IntProperty(name="Width", default=0, min=0, max=65536, description="Of the pictures; 0: the scene's")
    height: IntProperty(name="Height", default=0, min=0, max=65536, description="Of the pictures; 0: the scene's")
    fps: FloatProperty(
        name="Frame Rate", default=0.0, min=0.0, max=1000.0, description="Pictures per second; 0: the scene's"
    )
    fov: FloatProperty(
        name="Field of View",
        subtype="ANGLE",
        default=0.0,
        min=0.0,
        max=3.1,
        description="From the top of the picture to its bottom; 0: that of the scene's camera",
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split, layout.use_property_decorate = True, False
        layout.prop(self, "format")
        layout.prop(self, "camera_name")
        column = layout.column(heading="Camera")
        column.prop(self, "set_scene")
        column.prop(self, "separate")
        column.prop(self, "by_name")
        column.prop(self, "fill_gaps")
        row = layout.row(heading="Start Frame")
        row.active = not self.separate
        row.prop(self, "use_start", text="")
        value = row.row()
        value.active = self.use_start
        value.prop(self, "start", text="")
        box = layout.box()
        box.label(text="Where the File Lies")
        self.draw_world(box.column())
        box = layout.box()
        box.label(text="If the File Does Not Say")
        column = box.column()
        for prop in ("width", "height", "fov", "fps"):
            column.prop(self, prop)

    def run(self, context: bpy.types.Context) -> str:
        if bool(self.width) != bool(self.height):
            raise ValueError("Give both the width and the height of the pictures, or neither")
        shared = {
            "format": "" if self.format == "AUTO" else self.format,
            "size": (self.width, self.height) if self.width else None,
            "fov": degrees(self.fov) or None,
            **self.world(),
        }
        if self.by_name:
            shared["order"] = "name"
        if self.fill_gaps:
            shared["fill_gaps"] = True
        if self.camera_name:
            shared["track"] = self.camera_name  # in files of estimated motion, who is followed
        if self.separate:
            cameras = api.import_cameras(self.path(), context.scene, self.set_scene, **shared)
            return " ".join([f"{len(cameras)} cameras.", *_sentences(camera_notes(cameras[0]))])
        start = self.start if self.use_start else None
        camera = api.import_camera(
            self.path(),
            context.scene,
            start,
            self.set_scene,
            fps=self.fps or None,
            name=self.camera_name,
            **shared,
        )
        return " ".join(_sentences(camera_notes(camera)))


class UNDERSTUDY_OT_export_camera(_World, FileChoosing, bpy.types.Operator):
    bl_idname = "understudy.export_camera"
    bl_label = "Export Camera"
    bl_description = "Write the camera of the shot, or the selected ones, to a file for other programs"
    bl_options = {"REGISTER"}

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default=_ENDINGS, options={"HIDDEN"})
    check_existing: BoolProperty(default=True, options={"HIDDEN"})
    format: EnumProperty(name="Format", items=_menu((), can_save=True), description="What kind of file to write")
    what: EnumProperty(
        name="Write",
        items=(
            ("SHOT", "Camera of the Shot", "The active camera, or else that of the shot, over the frames"),
            ("SELECTED", "Selected Cameras", "One position of every selected camera, at the current frame"),
        ),
        description="Which cameras are written",
    )
    use_range: BoolProperty(
        name="Choose Frames", default=False, description="Otherwise the scene's range", options={"SKIP_SAVE"}
    )
    first: IntProperty(name="First Frame", default=1, description="First scene frame that is written")
    last: IntProperty(name="Last Frame", default=250, description="Last scene frame that is written")
    fps: FloatProperty(
        name="Frame Rate", default=0.0, min=0.0, max=1000.0, description="Positions per second; 0: one for every frame"
    )
    width: IntProperty(name="Width", default=0, min=0, max=65536, description="Of the pictures; 0: the scene's")
    height: IntProperty(name="Height", default=0, min=0, max=65536, description="Of the pictures; 0: the scene's")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        there = context.scene.understudy.camera or context.scene.camera or _active_camera(context)
        return not_now(cls, there is not None, "Import a camera, or add one to the scene")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if not self.filepath:
            folder = Path(bpy.data.filepath).parent if bpy.data.filepath else Path.home()
            camera = _active_camera(context) or shot_camera(context.scene)
            self.filepath = str(folder / f"{bpy.path.clean_name(camera.name)}{self._ending()}")
        if not self.use_range:
            self.first, self.last = context.scene.frame_start, context.scene.frame_end
        return super().invoke(context, event)

    def check(self, context: bpy.types.Context) -> bool:
        """Another format, another ending of the name."""
        path = Path(self.filepath)
        known = {ending for _, _, endings in camera_formats() for ending in endings}
        if not path.name or path.suffix.lower() not in known or path.suffix.lower() in self._endings():
            return False
        self.filepath = str(path.with_suffix(self._ending()))
        return True

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split, layout.use_property_decorate = True, False
        layout.prop(self, "format")
        layout.prop(self, "what")
        if self.what == "SHOT":
            layout.prop(self, "use_range")
            column = layout.column(align=True)
            column.active = self.use_range
            column.prop(self, "first")
            column.prop(self, "last")
            layout.prop(self, "fps")
        column = layout.column(align=True)
        column.prop(self, "width")
        column.prop(self, "height")
        box = layout.box()
        box.label(text="Where the File Lies")
        self.draw_world(box.column())

    def run(self, context: bpy.types.Context) -> str:
        if bool(self.width) != bool(self.height):
            raise ValueError("Give both the width and the height of the pictures, or neither")
        if self.what == "SELECTED":
            camera = [obj for obj in context.selected_objects if obj.type == "CAMERA"]
        else:
            camera = _active_camera(context)
        path = self.path()
        lost = api.export_camera(
            path,
            camera,
            context.scene,
            format=self.format,
            frames=(self.first, self.last) if self.use_range else None,
            fps=self.fps or None,
            size=(self.width, self.height) if self.width else None,
            **self.world(),
        )
        return " ".join([f"{Path(path).name} written.", *_sentences(lost)])

    def _endings(self) -> tuple[str, ...]:
        return next(endings for key, _, endings in camera_formats() if key == self.format)

    def _ending(self) -> str:
        return self._endings()[0]


def _active_camera(context: bpy.types.Context) -> bpy.types.Object | None:
    """The active object if it is a selected camera: then it is meant, whatever the camera of the shot."""
    active = context.view_layer.objects.active
    return active if active is not None and active.type == "CAMERA" and active.select_get() else None


def _sentences(lines: list[str]) -> list[str]:
    return [line.rstrip(".") + "." for line in lines]


CLASSES = (UNDERSTUDY_OT_import_camera, UNDERSTUDY_OT_export_camera)
