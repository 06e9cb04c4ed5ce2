# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators for getting weights. They change no data of the file, so they make no undo step."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, EnumProperty

from ..api import settings as api_settings
from ..api import weights as api_weights
from ..link.session import current
from .reporting import Reporting, not_now, online

_items: list[tuple[str, str, str]] = []
"""Blender does not keep the words of a choice that is made while it draws: somebody else must."""


def _lacking(_: object, context: bpy.types.Context) -> list[tuple[str, str, str]]:
    from ..panels.readiness import missing_weights

    description = api_settings.described(api_settings.chosen_method(context.scene))
    lacking = missing_weights(description) if description else []
    _items[:] = [(weights.name, weights.name, weights.licence) for weights in lacking]
    return _items


class UNDERSTUDY_OT_get_weights(Reporting, bpy.types.Operator):
    bl_idname = "understudy.get_weights"
    bl_label = "Get Weights"
    bl_description = "See the licence of the weights that the method lacks, and have the backend fetch them"

    weights: EnumProperty(name="Weights", items=_lacking, description="Which set of weights")
    accept: BoolProperty(
        name="I Accept the Licence",
        description="You have read the licence of these weights and accept it",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, bool(_lacking(None, context)), "The method has its weights") and not_now(
            cls, not current().weights.running, "Weights are being fetched"
        )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        from ..panels import weights

        return context.window_manager.invoke_props_dialog(self, width=weights.WIDTH)

    def draw(self, context: bpy.types.Context) -> None:
        from ..panels import weights

        weights.draw_dialog(self, context, self.chosen(context), several=len(_items) > 1)

    def chosen(self, context: bpy.types.Context):
        """The description of the chosen set.

        Raises:
            ValueError: the method lacks nothing any more.
        """
        description = api_settings.described(api_settings.chosen_method(context.scene))
        for each in description.weights if description else ():
            if each.name == self.weights:
                return each
        raise ValueError("The method has its weights")

    def run(self, context: bpy.types.Context) -> str:
        chosen = self.chosen(context)
        if not chosen.fetch or not api_weights.fetched_here():
            api_weights.look_for_weights()
            return "The backend looks whether the weights are there"
        api_weights.get_weights(chosen.fetch, accept_licence=self.accept)
        return f"{chosen.name} is being fetched"


class UNDERSTUDY_OT_cancel_weights(Reporting, bpy.types.Operator):
    bl_idname = "understudy.cancel_weights"
    bl_label = "Stop Fetching"
    bl_description = "Stop fetching the weights. What has arrived is kept for the next time"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, current().weights.running, "Nothing is being fetched")

    def run(self, context: bpy.types.Context) -> None:
        api_weights.cancel_weights()


class UNDERSTUDY_OT_look_for_weights(Reporting, bpy.types.Operator):
    bl_idname = "understudy.look_for_weights"
    bl_label = "Look for Weights"
    bl_description = "Have the backend look whether weights have been put into its folder"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return online(cls)

    def run(self, context: bpy.types.Context) -> None:
        api_weights.look_for_weights()


CLASSES = (UNDERSTUDY_OT_get_weights, UNDERSTUDY_OT_cancel_weights, UNDERSTUDY_OT_look_for_weights)
