# SPDX-License-Identifier: GPL-3.0-or-later
"""Which passes of our own a view layer asks for; depth, normal and UV have Blender's own switches."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, PointerProperty


def _refresh(_: object, context: bpy.types.Context) -> None:
    if context.view_layer is not None:
        context.view_layer.update_render_passes()


class UnderstudyViewLayerSettings(bpy.types.PropertyGroup):
    use_pass_mask: BoolProperty(
        name="Mask", default=False, update=_refresh, description="How much of each pixel the body covers"
    )
    use_pass_body: BoolProperty(
        name="Body", default=False, update=_refresh, description="The textured body that the person was made from"
    )


CLASSES = (UnderstudyViewLayerSettings,)


def attach() -> None:
    """Gives view layers their settings; after the classes are registered."""
    bpy.types.ViewLayer.understudy = PointerProperty(type=UnderstudyViewLayerSettings)


def detach() -> None:
    """Takes them away again."""
    del bpy.types.ViewLayer.understudy
