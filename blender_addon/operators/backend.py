# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators for the way to the backend. They change no data of the file, so they make no undo step."""

from __future__ import annotations

import bpy
from bpy.props import StringProperty

from .. import api
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


CLASSES = (
    UNDERSTUDY_OT_connect,
    UNDERSTUDY_OT_disconnect,
    UNDERSTUDY_OT_start_local_backend,
    UNDERSTUDY_OT_stop_local_backend,
)
