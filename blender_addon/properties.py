# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scene remembers of the artist's choices: which photo, which body, how large. Nothing secret: it is saved."""

from __future__ import annotations

import bpy
from bpy.props import IntProperty, PointerProperty


def _is_mesh(_: object, obj: bpy.types.Object) -> bool:
    return obj.type == "MESH"


def _is_camera(_: object, obj: bpy.types.Object) -> bool:
    return obj.type == "CAMERA"


class UnderstudySceneSettings(bpy.types.PropertyGroup):
    photo: PointerProperty(type=bpy.types.Image, name="Photo", description="The photo of the person")
    photo_mask: PointerProperty(
        type=bpy.types.Image,
        name="Person Mask",
        description="Where the person is in the photo (white). The fit makes it; you may paint on it",
    )
    photo_body: PointerProperty(
        type=bpy.types.Object, name="Fitted Body", poll=_is_mesh, description="The body as fitted to the photo"
    )
    photo_camera: PointerProperty(
        type=bpy.types.Object, name="Photo Camera", poll=_is_camera, description="The camera that took the photo"
    )
    body: PointerProperty(type=bpy.types.Object, name="Body", poll=_is_mesh, description="The body that moves")
    camera: PointerProperty(
        type=bpy.types.Object,
        name="Camera",
        poll=_is_camera,
        description="The camera of the shot. Empty: the scene's camera",
    )
    width: IntProperty(name="Width", default=256, min=16, max=4096, subtype="PIXEL")
    height: IntProperty(name="Height", default=256, min=16, max=4096, subtype="PIXEL")
    seed: IntProperty(name="Seed", default=0, min=0, description="Another seed, another take of the same shot")


CLASSES = (UnderstudySceneSettings,)


def attach() -> None:
    """Gives scenes their settings; after the classes are registered."""
    bpy.types.Scene.understudy = PointerProperty(type=UnderstudySceneSettings)


def detach() -> None:
    """Takes them away again."""
    del bpy.types.Scene.understudy
