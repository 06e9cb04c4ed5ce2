# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scene remembers of the artist's choices: which photo, which body, how large. Nothing secret: it is saved."""

from __future__ import annotations

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from .scene import photo_view, shape
from .timeline.compat import sequencer_scene
from .timeline.footage import is_footage


def _is_mesh(_: object, obj: bpy.types.Object) -> bool:
    return obj.type == "MESH"


def _is_camera(_: object, obj: bpy.types.Object) -> bool:
    return obj.type == "CAMERA"


class UnderstudyMethodSetting(bpy.types.PropertyGroup):
    """One setting of a method; its value is the custom property `value`, see `scene.method_settings`."""

    label: StringProperty(description="What the panel calls it")
    choices: StringProperty(description="The names of the choices, one a line, where it is a choice")
    described: BoolProperty(description="A backend has told its range and default")


class UnderstudyMethodSettings(bpy.types.PropertyGroup):
    """The settings of one method, under its name."""

    version: StringProperty(description="Of the description that they were made from")
    settings: CollectionProperty(type=UnderstudyMethodSetting, description="In the order in which they are drawn")


def _restyle(_: object, context: bpy.types.Context) -> None:
    photo_view.restyle(context.scene)


def _work_on(self: bpy.types.PropertyGroup, _: bpy.types.Context) -> None:
    from .api import work_on_photo  # the api is built on these properties

    work_on_photo(self.id_data, self.photo_number)


def _footage(_: bpy.types.PropertyGroup, context: bpy.types.Context, typed: str) -> list[str]:
    editor = sequencer_scene(context).sequence_editor
    return [s.name for s in editor.strips if is_footage(s) and typed.lower() in s.name.lower()] if editor else []


def _slider(slider: shape.Slider):
    return FloatProperty(
        name=slider.name,
        description=slider.description,
        get=lambda self: shape.get_slider(self.id_data, slider),
        set=lambda self, value: shape.set_slider(self.id_data, slider, value),
        soft_min=-3,
        soft_max=3,
        step=5,
        precision=2,
        options=set(),  # not to be animated: a person keeps their shape
    )


class UnderstudyBodyShape(bpy.types.PropertyGroup):
    """Sliders for the shape of a body; the shape itself is a custom property of its mesh object."""

    height: _slider(shape.HEIGHT)
    build: _slider(shape.BUILD)
    weight: _slider(shape.WEIGHT)
    trunk: _slider(shape.TRUNK)
    waist: _slider(shape.WAIST)
    legs: _slider(shape.LEGS)


class _PhotoSettings:
    """What each photo of a person has."""

    photo: PointerProperty(type=bpy.types.Image, name="Photo", description="The photo of the person")
    photo_mask: PointerProperty(
        type=bpy.types.Image,
        name="Person Mask",
        description="Where the person is in the photo: what is transparent is not the person. The fit makes it; you "
        "may paint on it",
    )
    photo_body: PointerProperty(
        type=bpy.types.Object, name="Fitted Body", poll=_is_mesh, description="The body as fitted to the photo"
    )
    photo_camera: PointerProperty(
        type=bpy.types.Object, name="Photo Camera", poll=_is_camera, description="The camera that took the photo"
    )


class UnderstudyPhoto(_PhotoSettings, bpy.types.PropertyGroup):
    """A further photo of the same person."""


class UnderstudySceneSettings(_PhotoSettings, bpy.types.PropertyGroup):
    photos: CollectionProperty(
        type=UnderstudyPhoto, name="Further Photos", description="More photos of the same person, see Add Photo"
    )
    photo_number: IntProperty(
        name="Photo", default=1, min=1, description="Which of the photos is worked on", update=_work_on
    )
    photo_style: EnumProperty(
        name="Body and Photo",
        items=photo_view.STYLES,
        default="OVER",
        description="How body and photo are shown together",
        update=_restyle,
    )
    photo_opacity: FloatProperty(
        name="Photo Opacity",
        default=0.5,
        min=0,
        max=1,
        subtype="FACTOR",
        description="How strongly the photo shows over the body",
        update=_restyle,
    )
    body: PointerProperty(type=bpy.types.Object, name="Body", poll=_is_mesh, description="The body that moves")
    camera: PointerProperty(
        type=bpy.types.Object,
        name="Camera",
        poll=_is_camera,
        description="The camera of the shot. Empty: the scene's camera",
    )
    width: IntProperty(
        name="Width", default=256, min=16, max=4096, subtype="PIXEL", description="Of the finished frames"
    )
    height: IntProperty(
        name="Height", default=256, min=16, max=4096, subtype="PIXEL", description="Of the finished frames"
    )
    seed: IntProperty(name="Seed", default=0, min=0, description="Another seed, another take of the same shot")
    method: StringProperty(name="Method", default="threedhm", description="What makes the frames")
    methods: CollectionProperty(type=UnderstudyMethodSettings, description="The settings of each method")
    driving: EnumProperty(
        name="Driven By",
        items=(
            ("BODY", "Body", "The body in its motion, seen by the shot's camera"),
            ("STRIP", "Strip", "A movie or image strip of the sequencer. The take has its frames"),
        ),
        default="BODY",
        description="What moves the photo, with a method that pictures drive",
    )
    driving_strip: StringProperty(
        name="Strip", description="The movie or image strip whose pictures move the photo", search=_footage
    )


CLASSES = (
    UnderstudyMethodSetting,
    UnderstudyMethodSettings,
    UnderstudyBodyShape,
    UnderstudyPhoto,
    UnderstudySceneSettings,
)


def attach() -> None:
    """Gives scenes their settings; after the classes are registered."""
    bpy.types.Scene.understudy = PointerProperty(type=UnderstudySceneSettings)
    bpy.types.Object.understudy_shape = PointerProperty(type=UnderstudyBodyShape)


def detach() -> None:
    """Takes them away again."""
    del bpy.types.Object.understudy_shape
    del bpy.types.Scene.understudy
