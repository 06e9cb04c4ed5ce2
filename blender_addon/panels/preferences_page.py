# SPDX-License-Identifier: GPL-3.0-or-later
"""The page in Blender's preferences: the way to the backend, and where files go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from ..link.session import current
from . import backend
from .drawing import button

if TYPE_CHECKING:
    from ..preferences import UnderstudyPreferences


def draw(layout: bpy.types.UILayout, context: bpy.types.Context, stored: UnderstudyPreferences) -> None:
    session = current()
    row = layout.row()
    text, icon = backend.state(session)
    row.label(text=text, icon=icon)
    if session.pump.link is not None:
        button(row, "understudy.disconnect")
    if session.backend.pid is not None:
        button(row, "understudy.stop_local_backend")
    local = layout.box()
    local.label(text="A Backend on This Computer")
    backend.draw_checkup(local, context)
    backend.draw_local(local, stored)
    column = local.column()
    column.use_property_split, column.use_property_decorate = True, False
    column.prop(stored, "data_folder")
    if stored.python:
        button(local, "understudy.check_backend", icon="QUESTION")
    remote = layout.box()
    remote.label(text="A Backend on Another Computer")
    backend.draw_remote(remote, context, stored)
    files = layout.box()
    files.label(text="Finished Frames")
    column = files.column()
    column.use_property_split, column.use_property_decorate = True, False
    column.prop(stored, "output_folder", text="Folder")
    install = layout.box()
    install.label(text="How a Backend Is Installed")
    backend.draw_install(install, context)
