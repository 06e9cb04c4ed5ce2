# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators for the actor: body and motion."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from .. import api
from ..scene import motion_files
from ..scene.body_parts import armature_of, is_body
from ..scene.foreign import EXTENSIONS as SLOW
from ..scene.gaps import MARKERS
from .reporting import FileTaking, Reporting, not_now

LISTED_BYTES = 64 << 20
"""Larger files are not read only to list who is in them while a file is being chosen."""

GROUND = (
    ("mark", "Start Mark", "Over the world's origin where the scene begins, with the feet on the floor"),
    ("floor", "Feet on Floor", "Only up or down, so that the body stands on the floor"),
    ("file", "As in Source", "Where the source has it"),
)


class Repairing:
    """Mix-in: the repairs that a motion can be given."""

    smooth: FloatProperty(
        name="Smooth", min=0, max=1, default=0, subtype="FACTOR", description="Take out jitter; a little does much"
    )
    foot_lock: BoolProperty(
        name="Lock Feet", default=False, description="Hold feet that stand in one place, so that they do not slide"
    )


class FillingGaps:
    """Mix-in: what to do where the source did not see the person."""

    fill_gaps: BoolProperty(
        name="Fill Gaps",
        default=False,
        description="Bridge the frames in which the source did not see the person. Otherwise the body stands still "
        "there. Markers show where that is",
    )
    longest_gap: FloatProperty(
        name="Longest Gap",
        min=0,
        default=1,
        soft_max=10,
        subtype="TIME_ABSOLUTE",
        description="Longer gaps are left, as nobody knows what went on in them (seconds)",
    )


class UNDERSTUDY_OT_create_body(Reporting, bpy.types.Operator):
    bl_idname = "understudy.create_body"
    bl_label = "Add Body"
    bl_description = "Add the free body in its rest pose, as armature and mesh"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, context.mode == "OBJECT", "Leave Edit or Pose Mode first")

    def run(self, context: bpy.types.Context) -> None:
        api.create_body(context.scene)


@lru_cache(maxsize=4)
def _listed(path: Path, _: int, __: int) -> tuple[api.Track, ...]:
    """Also remembers of a file that it is no motion: a file browser asks at every redraw."""
    try:
        return tuple(api.tracks(path))
    except (ValueError, OSError):
        return ()


def _who(self: UNDERSTUDY_OT_import_motion, _: bpy.types.Context, typed: str) -> list[tuple[str, str]]:
    """The people of the chosen file. Strings of a search are copied by Blender, unlike those of a menu."""
    people = self.people()
    return [(t.id, f"{t.frames} frames, {t.seconds:.1f} s") for t in people if typed.lower() in t.id.lower()]


class UNDERSTUDY_OT_import_motion(Repairing, FillingGaps, FileTaking, bpy.types.Operator):
    bl_idname = "understudy.import_motion"
    bl_label = "Import Motion"
    bl_description = (
        "Put a motion onto the scene's body; one is added if there is none. AMASS, SMPL, 4D-Humans, WHAM, GVHMR, TRAM, "
        "Meshcapade, BVH, FBX and glTF are read"
    )
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default=";".join(f"*{e}" for e in motion_files.EXTENSIONS), options={"HIDDEN"})
    was_read: BoolProperty(options={"HIDDEN", "SKIP_SAVE"})
    everyone: BoolProperty(
        name="All People",
        default=False,
        options={"SKIP_SAVE"},
        description="Import everybody in the file, each as a body of their own",
    )
    track: StringProperty(
        name="Person",
        search=_who,
        search_options={"SUGGESTION"},
        options={"SKIP_SAVE"},
        description="Who in the file, where it holds several people. Empty: whoever is seen longest",
    )
    start: IntProperty(
        name="Start Frame", default=1, options={"SKIP_SAVE"}, description="Frame of the scene at which the file begins"
    )
    keep_time: BoolProperty(
        name="Keep Time",
        default=True,
        description="Somebody who comes into the file later comes in later here too. Otherwise they begin at once",
    )
    ground: EnumProperty(name="Place", items=GROUND, default="mark", description="Where the body is put")
    fps: FloatProperty(
        name="Frame Rate",
        min=0,
        default=0,
        soft_max=240,
        options={"SKIP_SAVE"},
        description="Frames per second of the file, where it does not say. 0: as it says, or 30 for motion from video",
    )
    up: EnumProperty(
        name="Up Axis",
        items=(("auto", "Automatic", "As the file says or stands"), ("y", "Y", ""), ("z", "Z", "")),
        default="auto",
        options={"SKIP_SAVE"},
        description="The file's up axis, if the body lies where it should stand",
    )
    set_range: BoolProperty(
        name="Fit Scene Range",
        default=False,
        options={"SKIP_SAVE"},
        description="Make the scene as long as the motion",
    )
    set_rate: BoolProperty(
        name="Use File's Rate",
        default=False,
        options={"SKIP_SAVE"},
        description="Change the scene's frame rate to that of the file. The motion has its true speed either way",
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, context.mode == "OBJECT", "Leave Edit or Pose Mode first")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self._fill_in(context)
        return super().invoke(context, event)

    def _fill_in(self, context: bpy.types.Context) -> None:
        """What is left open depends on the scene."""
        if not self.properties.is_property_set("start"):
            self.start = context.scene.frame_start
        if not self.properties.is_property_set("set_range"):
            self.set_range = context.scene.understudy.body is None  # of a first actor the shot takes its length

    def people(self) -> tuple[api.Track, ...]:
        """Who is in the chosen file, as far as that can be told at once; nobody for what is no motion."""
        path = Path(bpy.path.abspath(self.filepath))
        try:
            stat = path.stat()
        except OSError:
            return ()
        slow = path.suffix.lower() in SLOW or stat.st_size > LISTED_BYTES
        if not path.is_file() or (slow and not self.was_read):
            return ()
        return _listed(path, stat.st_mtime_ns, stat.st_size)

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split, layout.use_property_decorate = True, False
        people = self.people()
        who = layout.column(heading="People")
        who.prop(self, "everyone")
        one = who.column()
        one.active = not self.everyone
        one.prop(self, "track")
        if len(people) > 1:
            layout.label(text=f"{len(people)} people in this file", icon="INFO")
        time = layout.column(heading="Time")
        time.prop(self, "start")
        time.prop(self, "fps")
        time.prop(self, "keep_time")
        time.prop(self, "set_range")
        time.prop(self, "set_rate")
        layout.prop(self, "ground")
        layout.prop(self, "up")
        _draw_gaps(self, layout)
        _draw_repairs(self, layout)

    def run(self, context: bpy.types.Context) -> str:
        self._fill_in(context)  # a script does not invoke
        options = {
            name: getattr(self, name)
            for name in (
                "fill_gaps", "longest_gap", "smooth", "foot_lock", "ground", "up", "set_range", "set_rate",
            )
        }  # fmt: skip
        options["fps"] = self.fps or None
        if self.everyone:
            bodies = api.import_people(self.path(), context.scene, self.start, **options)
        else:
            api.import_motion(
                self.path(), context.scene, None, self.start, track=self.track, keep_time=self.keep_time, **options
            )
            bodies = [context.scene.understudy.body]
        self.was_read = True
        return _said(bodies)


class UNDERSTUDY_OT_retarget(Repairing, Reporting, bpy.types.Operator):
    bl_idname = "understudy.retarget"
    bl_label = "Follow Armature"
    bl_description = (
        "Put the motion of the active armature (Mixamo, Rigify, Unreal, VRM, BVH and others) onto the scene's body"
    )
    bl_options = {"REGISTER", "UNDO"}

    armature: StringProperty(
        name="Armature", options={"SKIP_SAVE"}, description="Whose motion. Empty: the active armature"
    )
    bones: StringProperty(
        name="Bones",
        options={"SKIP_SAVE"},
        description="Which bone is which, where their names do not say: left_knee=Bone.003, left_ankle=Bone.004",
    )
    ground: EnumProperty(name="Place", items=GROUND, default="file", description="Where the body is put")
    set_range: BoolProperty(
        name="Fit Scene Range",
        default=False,
        options={"SKIP_SAVE"},
        description="Make the scene as long as the motion",
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not not_now(cls, context.mode == "OBJECT", "Leave Edit or Pose Mode first"):
            return False
        other = any(obj.type == "ARMATURE" and not is_body(obj) for obj in context.scene.objects)
        return not_now(cls, other, "There is no other armature in the scene to follow")

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split, layout.use_property_decorate = True, False
        layout.prop_search(self, "armature", context.scene, "objects", icon="ARMATURE_DATA")
        layout.prop(self, "bones")
        layout.prop(self, "set_range")
        layout.prop(self, "ground")
        _draw_repairs(self, layout)

    def run(self, context: bpy.types.Context) -> str:
        api.retarget(
            self._whose(context),
            context.scene,
            names=_pairs(self.bones),
            smooth=self.smooth,
            foot_lock=self.foot_lock,
            ground=self.ground,
            set_range=self.set_range,
        )
        return _said([context.scene.understudy.body])

    def _whose(self, context: bpy.types.Context) -> bpy.types.Object:
        if self.armature:
            named = context.scene.objects.get(self.armature)
            if named is None:
                raise ValueError(f'There is no "{self.armature}" in the scene')
            return named
        active = context.active_object
        if active is not None and active.type == "ARMATURE" and not is_body(active):
            return active
        others = [obj for obj in context.scene.objects if obj.type == "ARMATURE" and not is_body(obj)]
        if len(others) != 1:
            raise ValueError("Make the armature that the body shall follow the active object")
        return others[0]


class UNDERSTUDY_OT_clean_motion(Repairing, FillingGaps, Reporting, bpy.types.Operator):
    bl_idname = "understudy.clean_motion"
    bl_label = "Clean Motion"
    bl_description = "Repair the motion that the body has now, also after its keys were edited"
    bl_options = {"REGISTER", "UNDO"}

    on_floor: BoolProperty(
        name="Feet on Floor",
        default=False,
        description="Move the whole motion up or down, so that the lowest point of the body touches the floor",
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not not_now(cls, context.mode in ("OBJECT", "POSE"), "Leave Edit Mode first"):
            return False
        body = context.scene.understudy.body
        animation = body.parent.animation_data if body is not None and body.parent is not None else None
        return not_now(cls, animation is not None and animation.action is not None, "Import a motion first")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)  # by itself it would repair nothing

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split, layout.use_property_decorate = True, False
        _draw_gaps(self, layout)
        _draw_repairs(self, layout)
        layout.prop(self, "on_floor")

    def run(self, context: bpy.types.Context) -> str:
        api.clean_motion(
            None,
            context.scene,
            fill_gaps=self.fill_gaps,
            longest_gap=self.longest_gap,
            smooth=self.smooth,
            foot_lock=self.foot_lock,
            on_floor=self.on_floor,
        )
        return _said([context.scene.understudy.body])


class UNDERSTUDY_FH_motion(bpy.types.FileHandler):
    """Dropping a motion file into the 3D view imports it."""

    bl_idname = "UNDERSTUDY_FH_motion"
    bl_label = "Motion for Understudy"
    bl_import_operator = "understudy.import_motion"
    bl_file_extensions = ".npz;.bvh;.smpl;.pkl;.pt;.npy"  # FBX and glTF come in as they are

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D" and context.mode == "OBJECT"


def _draw_gaps(operator: FillingGaps, layout: bpy.types.UILayout) -> None:
    layout.prop(operator, "fill_gaps")
    longest = layout.column()
    longest.active = operator.fill_gaps
    longest.prop(operator, "longest_gap")


def _draw_repairs(operator: Repairing, layout: bpy.types.UILayout) -> None:
    layout.prop(operator, "smooth", slider=True)
    layout.prop(operator, "foot_lock")


def _said(bodies: list[bpy.types.Object]) -> str:
    """One line about what is there now."""
    armatures = [armature_of(body) for body in bodies]
    first, last = armatures[0].animation_data.action.frame_range
    gaps = sum(len(armature.get(MARKERS, ())) for armature in armatures)
    people = f"{len(bodies)} people" if len(bodies) > 1 else bodies[0].name
    seen = f"; markers show {gaps} gap{'s' if gaps > 1 else ''} in what the source saw" if gaps else ""
    return f"{people}: frames {first:.0f} to {int(last + 1e-3)}{seen}"


def _pairs(text: str) -> dict[str, str]:
    """ "left_knee=Bone.003, left_ankle=Bone.004" as a dictionary."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(sign for _, sign, _ in pairs):
        raise ValueError("Write bones as left_knee=Bone.003, left_ankle=Bone.004")
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


CLASSES = (
    UNDERSTUDY_OT_create_body,
    UNDERSTUDY_OT_import_motion,
    UNDERSTUDY_OT_retarget,
    UNDERSTUDY_OT_clean_motion,
    UNDERSTUDY_FH_motion,
)
