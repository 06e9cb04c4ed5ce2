# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators for the way to the backend. They change no data of the file, so they make no undo step."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, StringProperty

from .. import api, preferences
from ..api import backend as api_backend
from ..link.local_backend import BackendState
from ..link.session import current
from .reporting import Reporting, not_now

_ALIVE = (BackendState.STARTING, BackendState.RUNNING, BackendState.STOPPING)


class UNDERSTUDY_OT_connect(Reporting, bpy.types.Operator):
    bl_idname = "understudy.connect"
    bl_label = "Connect"
    bl_description = "Connect to the backend at the address in the preferences"

    address: StringProperty(name="Address", description="As tcp://host:port; empty: the one in the preferences")

    def run(self, context: bpy.types.Context) -> str:
        api.connect(self.address)
        return api.status()


class UNDERSTUDY_OT_disconnect(Reporting, bpy.types.Operator):
    bl_idname = "understudy.disconnect"
    bl_label = "Disconnect"
    bl_description = "End the connection. Jobs run on at the backend"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, current().pump.link is not None, "There is no connection")

    def run(self, context: bpy.types.Context) -> None:
        api.disconnect()


class UNDERSTUDY_OT_start_local_backend(Reporting, bpy.types.Operator):
    bl_idname = "understudy.start_local_backend"
    bl_label = "Start Local Backend"
    bl_description = "Start a backend on this machine and connect to it. It ends with Blender"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, current().backend.state not in _ALIVE, "The local backend runs already")

    def run(self, context: bpy.types.Context) -> str:
        api.start_local_backend()
        return "The local backend is starting"


class UNDERSTUDY_OT_stop_local_backend(Reporting, bpy.types.Operator):
    bl_idname = "understudy.stop_local_backend"
    bl_label = "Stop Local Backend"
    bl_description = "Stop the backend on this machine. Finished frames stay"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, current().backend.state in _ALIVE, "No local backend runs")

    def run(self, context: bpy.types.Context) -> None:
        api.stop_local_backend()


class UNDERSTUDY_OT_find_backend(Reporting, bpy.types.Operator):
    bl_idname = "understudy.find_backend"
    bl_label = "Look for a Backend"
    bl_description = "Look on this computer for a Python that the backend is installed in"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, not current().checkup.busy, "It is being looked for")

    def run(self, context: bpy.types.Context) -> None:
        api_backend.find_backend(wait=False)


class UNDERSTUDY_OT_check_backend(Reporting, bpy.types.Operator):
    bl_idname = "understudy.check_backend"
    bl_label = "Check"
    bl_description = "Ask the chosen Python whether the backend is installed in it, and which version"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not_now(cls, bool(preferences.known().python), "Choose a Python first") and not_now(
            cls, not current().checkup.busy, "It is being asked"
        )

    def run(self, context: bpy.types.Context) -> None:
        api_backend.find_backend(preferences.settings().python, wait=False)


class UNDERSTUDY_OT_show_preferences(Reporting, bpy.types.Operator):
    bl_idname = "understudy.show_preferences"
    bl_label = "Open Preferences"
    bl_description = "Open the preferences where this is set"

    page: EnumProperty(
        name="Page",
        items=(
            ("UNDERSTUDY", "Understudy", "The preferences of Understudy"),
            ("SYSTEM", "System", "Where online access is allowed"),
        ),
        options={"HIDDEN"},
    )

    def run(self, context: bpy.types.Context) -> None:
        if self.page == "SYSTEM":
            bpy.ops.screen.userpref_show(section="SYSTEM")
        else:
            bpy.ops.preferences.addon_show(module=preferences.__package__)


class UNDERSTUDY_OT_copy_command(Reporting, bpy.types.Operator):
    bl_idname = "understudy.copy_command"
    bl_label = "Copy"
    bl_description = "Copy this for a terminal"

    command: StringProperty(name="Command", description="What is copied", options={"HIDDEN"})

    def run(self, context: bpy.types.Context) -> str:
        context.window_manager.clipboard = self.command
        return "Copied"


class UNDERSTUDY_OT_show_backend_log(bpy.types.Operator):
    bl_idname = "understudy.show_backend_log"
    bl_label = "Backend's Log"
    bl_description = "Show the last lines that the local backend has written"

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.lines = current().backend.tail(25) or ["It has written nothing yet"]
        return context.window_manager.invoke_popup(self, width=720)

    def draw(self, context: bpy.types.Context) -> None:
        column = self.layout.column(align=True)
        for line in self.lines:
            column.label(text=line[-160:], translate=False)

    def execute(self, context: bpy.types.Context) -> set[str]:
        return {"FINISHED"}


CLASSES = (
    UNDERSTUDY_OT_connect,
    UNDERSTUDY_OT_disconnect,
    UNDERSTUDY_OT_start_local_backend,
    UNDERSTUDY_OT_stop_local_backend,
    UNDERSTUDY_OT_find_backend,
    UNDERSTUDY_OT_check_backend,
    UNDERSTUDY_OT_show_preferences,
    UNDERSTUDY_OT_copy_command,
    UNDERSTUDY_OT_show_backend_log,
)
