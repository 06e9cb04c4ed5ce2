# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator for camera moves on one click; its options stay open to change in the redo panel."""

from __future__ import annotations

from math import degrees, radians

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty

from .. import api
from .reporting import Reporting, not_now

KINDS = (
    ("ORBIT", "Orbit", "The camera circles the body", "CON_FOLLOWPATH", 0),
    ("DOLLY", "Dolly", "The camera comes closer in a straight line", "FORWARD", 1),
    ("CRANE", "Crane", "The camera rises and keeps looking at the body", "SORT_DESC", 2),
    ("SPIRAL", "Spiral", "The camera circles the body and rises", "FORCE_VORTEX", 3),
    ("HANDHELD", "Hand-Held", "The camera stands, with the small movements of a hand", "VIEW_PAN", 4),
    ("TURNTABLE", "Turntable", "Still views from evenly around, one on each frame", "FILE_REFRESH", 5),
)
_EASE = (
    ("NONE", "Even Speed", "The same speed from the first frame to the last"),
    ("IN", "Ease In", "Begin slowly"),
    ("OUT", "Ease Out", "End slowly"),
    ("BOTH", "Ease In and Out", "Begin and end slowly"),
)


class UNDERSTUDY_OT_add_camera_rig(Reporting, bpy.types.Operator):
    bl_idname = "understudy.add_camera_rig"
    bl_label = "Add Camera Move"
    bl_description = "Add a camera that moves around the body, with ordinary keys that you can change afterwards"
    bl_options = {"REGISTER", "UNDO"}

    kind: EnumProperty(name="Move", items=KINDS, default="ORBIT", description="How the camera moves")
    frames: IntProperty(
        name="Frames", default=0, min=0, soft_max=500, description="Length of the move; 0: as long as the scene"
    )
    views: IntProperty(name="Views", default=8, min=1, soft_max=72, description="How many views, evenly around")
    distance: FloatProperty(
        name="Distance",
        subtype="DISTANCE",
        default=0.0,
        min=0.0,
        soft_max=20.0,
        description="From the body to the camera, along the floor; 0: as close as shows the whole body in every frame",
    )
    height: FloatProperty(
        name="Height",
        subtype="DISTANCE",
        default=0.0,
        soft_min=-1.0,
        soft_max=5.0,
        description="Of the camera over the middle of the body, at the beginning",
    )
    angle: FloatProperty(
        name="Start Angle",
        subtype="ANGLE",
        default=0.0,
        soft_min=radians(-180),
        soft_max=radians(180),
        description="Where the camera begins: 0 is in front of the body, 90 at its left",
    )
    sweep: FloatProperty(
        name="Sweep",
        subtype="ANGLE",
        default=radians(360),
        soft_min=radians(-720),
        soft_max=radians(720),
        description="How far around; negative goes the other way",
    )
    rise: FloatProperty(
        name="Rise",
        subtype="DISTANCE",
        default=1.2,
        soft_min=-3.0,
        soft_max=5.0,
        description="How much higher the camera ends",
    )
    travel: FloatProperty(
        name="Travel",
        subtype="DISTANCE",
        default=1.5,
        soft_min=-5.0,
        soft_max=10.0,
        description="How much closer the camera comes, down to the distance; negative goes away from there",
    )
    shake: FloatProperty(
        name="Movement", default=1.0, min=0.0, soft_max=5.0, description="How much the hand moves; 1 is a steady one"
    )
    seed: IntProperty(name="Seed", default=0, min=0, description="Another seed, other movements of the hand")
    ease: EnumProperty(name="Speed", items=_EASE, default="NONE", description="How the move begins and ends")
    lens: FloatProperty(
        name="Focal Length", default=50.0, min=1.0, soft_max=200.0, subtype="DISTANCE_CAMERA", description="In mm"
    )
    margin: FloatProperty(
        name="Margin",
        subtype="FACTOR",
        default=0.06,
        min=0.0,
        max=0.4,
        description="Part of the picture that stays free on each side when the distance is found",
    )
    follow: BoolProperty(
        name="Follow", default=False, description="Go along with the body, also when it gets another motion later"
    )
    set_range: BoolProperty(name="Set Frame Range", default=True, description="The scene begins and ends with the move")

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        """The tooltip of a button that adds one kind of move."""
        says = next(text for key, _, text, _, _ in KINDS if key == properties.kind)
        return f"{says}. What is added is a camera with ordinary keys that you can change afterwards"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        settings = context.scene.understudy
        return not_now(
            cls, settings.body is not None or settings.photo_body is not None, "Import a motion or fit a photo first"
        ) and not_now(cls, context.mode != "EDIT_MESH", "Leave Edit Mode first")

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split, layout.use_property_decorate = True, False
        shown = {
            "ORBIT": ("frames", "distance", "height", "angle", "sweep", "ease"),
            "DOLLY": ("frames", "distance", "height", "angle", "travel", "ease"),
            "CRANE": ("frames", "distance", "height", "angle", "rise", "ease"),
            "SPIRAL": ("frames", "distance", "height", "angle", "sweep", "rise", "ease"),
            "HANDHELD": ("frames", "distance", "height", "angle", "shake", "seed"),
            "TURNTABLE": ("views", "distance", "height", "angle"),
        }[self.kind]
        for prop in ("kind", *shown, "lens"):
            layout.prop(self, prop)
        row = layout.row()
        row.active = self.distance == 0
        row.prop(self, "margin")
        column = layout.column(heading="Also")
        column.prop(self, "follow")
        column.prop(self, "set_range")

    def run(self, context: bpy.types.Context) -> None:
        api.add_camera_rig(
            self.kind,
            context.scene,
            frames=self.frames or None,
            set_range=self.set_range,
            views=self.views,
            distance=self.distance,
            height=self.height,
            angle=degrees(self.angle),
            sweep=round(degrees(self.sweep), 4),  # a whole turn must be one, whatever single precision made of it
            rise=self.rise,
            travel=self.travel,
            shake=self.shake,
            seed=self.seed,
            ease=self.ease,
            lens=self.lens,
            margin=self.margin,
            follow=self.follow,
        )


CLASSES = (UNDERSTUDY_OT_add_camera_rig,)
