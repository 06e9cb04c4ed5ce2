# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators for the imitator: photos, their fits, and the texture."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from .. import api
from ..api import imitator as api_imitator
from ..panels.places import TAB
from ..scene import photos
from ..scene.photo import moves
from ..scene.photo_file import NOTE
from .reporting import FileTaking, Reporting, not_now, online

_NUMBER = {"name": "Photo", "default": 0, "min": 0, "options": {"HIDDEN", "SKIP_SAVE"}}


def _photo(context: bpy.types.Context, number: int = 0) -> bpy.types.PropertyGroup:
    """The settings of a photo, those of the first where there is none of that number."""
    scene = context.scene
    return photos.photo_of(scene, number if number <= len(scene.understudy.photos) + 1 else 1)


def _loaded(cls: type, context: bpy.types.Context) -> bool:
    return not_now(cls, context.scene.understudy.photo is not None, "Load a photo first")


def _fitted(cls: type, context: bpy.types.Context) -> bool:
    """Whether the photo that is worked on has its body."""
    photo = _photo(context)
    ready = photo.photo_body is not None and photo.photo_camera is not None
    return _loaded(cls, context) and not_now(cls, ready, "Fit the photo first")


def _has_body(cls: type, context: bpy.types.Context) -> bool:
    return not_now(cls, context.scene.understudy.photo_body is not None, "Fit the photo first")


class UNDERSTUDY_OT_load_photo(FileTaking, bpy.types.Operator):
    bl_idname = "understudy.load_photo"
    bl_label = "Load Photo"
    bl_description = "Choose the photo of the person"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_image: BoolProperty(default=True, options={"HIDDEN"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})

    def run(self, context: bpy.types.Context) -> str | None:
        return api.load_photo(self.path(), context.scene).get(NOTE)


class UNDERSTUDY_OT_add_photo(FileTaking, bpy.types.Operator):
    bl_idname = "understudy.add_photo"
    bl_label = "Add Photo"
    bl_description = (
        "Choose another photo of the same person, from another side or in another pose: it shows what this one does not"
    )
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_image: BoolProperty(default=True, options={"HIDDEN"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _loaded(cls, context)

    def run(self, context: bpy.types.Context) -> str | None:
        number = api.add_photo(self.path(), context.scene)
        return photos.photo_of(context.scene, number).photo.get(NOTE)


class UNDERSTUDY_OT_remove_photo(Reporting, bpy.types.Operator):
    bl_idname = "understudy.remove_photo"
    bl_label = "Remove Photo"
    bl_description = "Remove this further photo, with the body and the camera that were fitted to it"
    bl_options = {"REGISTER", "UNDO"}

    number: IntProperty(description="Which photo; 0: the one that is worked on", **_NUMBER)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        further = len(context.scene.understudy.photos) > 0
        return not_now(cls, further, "There is one photo: load another in its place")

    def run(self, context: bpy.types.Context) -> None:
        api.remove_photo(self.number, context.scene)


class _DroppedPhoto:
    """A picture that is dropped into a 3D view whose sidebar shows our tab. Blender then asks which is meant, this or
    its own image object; whoever does not work with us is not asked."""

    bl_file_extensions = ";".join(sorted(bpy.path.extensions_image))

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        area = context.area
        if area is None or area.type != "VIEW_3D":
            return False
        sidebar = next((region for region in area.regions if region.type == "UI"), None)
        return sidebar is not None and sidebar.width > 1 and sidebar.active_panel_category == TAB


class UNDERSTUDY_FH_photo(_DroppedPhoto, bpy.types.FileHandler):
    bl_idname = "UNDERSTUDY_FH_photo"
    bl_label = "Photo of the Person"
    bl_import_operator = "understudy.load_photo"


class UNDERSTUDY_FH_further_photo(_DroppedPhoto, bpy.types.FileHandler):
    bl_idname = "UNDERSTUDY_FH_further_photo"
    bl_label = "Further Photo of the Person"
    bl_import_operator = "understudy.add_photo"

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return super().poll_drop(context) and context.scene.understudy.photo is not None


class UNDERSTUDY_OT_fit_photo(Reporting, bpy.types.Operator):
    bl_idname = "understudy.fit_photo"
    bl_label = "Fit Photo"
    bl_description = (
        "Find the person in the photo, and put a body of their shape and pose before it. If the scene has no camera, "
        "the photo's becomes its camera"
    )

    number: IntProperty(description="Which photo; 0: the one that is worked on", **_NUMBER)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _loaded(cls, context) and online(cls)

    def run(self, context: bpy.types.Context) -> None:
        api.fit_photo(context.scene, number=self.number)


class UNDERSTUDY_OT_refit(Reporting, bpy.types.Operator):
    bl_idname = "understudy.refit"
    bl_label = "Fit Again"
    bl_description = "Fit again from the pose, the shape and the camera as you have corrected them"

    number: IntProperty(description="Which photo; 0: the one that is worked on", **_NUMBER)
    keep_pose: BoolProperty(
        name="Keep My Pose",
        description="Leave every limb as you have posed it; only the body's place, turn and shape change",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return (
            _fitted(cls, context)
            and not_now(cls, not moves(_photo(context).photo_body), "Show the photo first: there the body stands still")
            and online(cls)
        )

    def run(self, context: bpy.types.Context) -> None:
        api.refit(context.scene, number=self.number, keep_pose=self.keep_pose)


class UNDERSTUDY_OT_show_photo(Reporting, bpy.types.Operator):
    bl_idname = "understudy.show_photo"
    bl_label = "Show Photo"
    bl_description = (
        "Look through the photo's camera, with the photo over the body, to correct pose, shape and lens by hand. "
        "Once more: back to what you saw before"
    )
    bl_options = {"REGISTER", "UNDO"}

    number: IntProperty(description="Which photo; 0: the one that is worked on", **_NUMBER)
    pose: BoolProperty(
        name="Pose", description="Enter Pose Mode on the body, to correct it bone by bone", options={"SKIP_SAVE"}
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _fitted(cls, context)

    def run(self, context: bpy.types.Context) -> str | None:
        scene = context.scene
        shown = api.photo_shown(scene)
        number = self.number or photos.current_number(scene)
        if shown == number and not self.pose:
            report = self._overlap(scene, number)
            api.hide_photo(scene)
            return report
        api.show_photo(scene, number, pose=self.pose)
        return None

    @staticmethod
    def _overlap(scene: bpy.types.Scene, number: int) -> str | None:
        if photos.photo_of(scene, number).photo_mask is None:
            return None
        return f"{api.lies_on_person(scene, number):.0%} of the body lies on the person"


class UNDERSTUDY_OT_paint_mask(Reporting, bpy.types.Operator):
    bl_idname = "understudy.paint_mask"
    bl_label = "Paint Mask"
    bl_description = (
        "Correct by brush where the person is in the photo: take away what is not the person, bring back what is "
        "missing. Once more: close the mask"
    )
    bl_options = {"REGISTER", "UNDO"}

    number: IntProperty(description="Which photo; 0: the one that is worked on", **_NUMBER)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, _photo(context).photo_mask is not None, "Fit the photo first: that makes the mask")

    def run(self, context: bpy.types.Context) -> None:
        if api_imitator.painting_mask(context.scene, self.number):
            api_imitator.stop_painting_mask(context.scene, self.number)
        else:
            api.paint_mask(context.scene, self.number)


class UNDERSTUDY_OT_make_texture(Reporting, bpy.types.Operator):
    bl_idname = "understudy.make_texture"
    bl_label = "Make Texture"
    bl_description = "Take the person's texture from the photos, and complete what they do not show"

    fill_in: BoolProperty(
        name="Fill In",
        default=True,
        description="Complete what the photos do not show. Off: see first what they show, and paint on it",
        options={"SKIP_SAVE"},
    )
    keep_painted: BoolProperty(
        name="Keep What I Painted",
        default=True,
        description="What you have painted on the texture is kept as it is",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _has_body(cls, context) and online(cls)

    def run(self, context: bpy.types.Context) -> None:
        api.make_texture(context.scene, fill_in=self.fill_in, keep_painted=self.keep_painted)


class UNDERSTUDY_OT_paint_texture(Reporting, bpy.types.Operator):
    bl_idname = "understudy.paint_texture"
    bl_label = "Paint Texture"
    bl_description = "Paint on the person's texture, on the body itself. Once more: back to Object Mode"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _has_body(cls, context)

    def run(self, context: bpy.types.Context) -> None:
        if api.painting_texture(context.scene):
            api.stop_painting(context.scene)
        else:
            api.paint_texture(context.scene)


class UNDERSTUDY_OT_reset_texture(Reporting, bpy.types.Operator):
    bl_idname = "understudy.reset_texture"
    bl_label = "Reset Texture"
    bl_description = "Bring the texture back as it was made last, without what you have painted on it since"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _has_body(cls, context)

    def run(self, context: bpy.types.Context) -> None:
        api.reset_texture(context.scene)


class UNDERSTUDY_OT_view_texture(Reporting, bpy.types.Operator):
    bl_idname = "understudy.view_texture"
    bl_label = "View Texture"
    bl_description = "See in an Image Editor what the photos show of the texture, before anything was completed"

    stage: EnumProperty(
        name="What",
        items=(
            ("PARTIAL", "What the Photos Show", "The texture as the photos show it; the rest is transparent"),
            (
                "VISIBILITY",
                "How Well They Show It",
                "White where a photo looks straight at the surface, black where none",
            ),
        ),
        description="Which picture",
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _has_body(cls, context)

    def run(self, context: bpy.types.Context) -> None:
        api.view_texture(self.stage, context.scene)


CLASSES = (
    UNDERSTUDY_OT_load_photo,
    UNDERSTUDY_OT_add_photo,
    UNDERSTUDY_FH_photo,
    UNDERSTUDY_FH_further_photo,
    UNDERSTUDY_OT_remove_photo,
    UNDERSTUDY_OT_fit_photo,
    UNDERSTUDY_OT_refit,
    UNDERSTUDY_OT_show_photo,
    UNDERSTUDY_OT_paint_mask,
    UNDERSTUDY_OT_make_texture,
    UNDERSTUDY_OT_paint_texture,
    UNDERSTUDY_OT_reset_texture,
    UNDERSTUDY_OT_view_texture,
)
