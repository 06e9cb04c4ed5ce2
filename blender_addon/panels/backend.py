# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to the backend: a welcome at the first start, one line of status afterwards."""

from __future__ import annotations

import sys

import bpy
from understudy_shared import __version__
from understudy_shared.protocol.security import is_private

from .. import preferences
from ..link.local_backend import BackendState
from ..link.session import Session, current
from .drawing import button, primary, prose, words

_WINDOWS = sys.platform == "win32"
INSTALL = (
    ("py -3.11 -m venv %USERPROFILE%\\.understudy\\venv" if _WINDOWS else "python3 -m venv ~/.understudy/venv"),
    (
        "%USERPROFILE%\\.understudy\\venv\\Scripts\\pip install .\\shared .\\backend"
        if _WINDOWS
        else "~/.understudy/venv/bin/pip install ./shared ./backend"
    ),
)
"""What installs a backend where we look for it; the second in the folder of Understudy's source."""


def is_new(session: Session) -> bool:
    """Whether no backend has ever answered here: the time for a welcome."""
    stored = preferences.stored()
    if stored is not None:
        return not stored.welcomed and not session.pump.online
    return session.pump.link is None and not preferences.known().anything


NOT_CONNECTED = "Not connected"
"""The pump's word for nothing to tell."""

STATES = {
    "online": ("Connected", "CHECKMARK"),
    BackendState.STARTING: ("Starting", "SORTTIME"),
    BackendState.STOPPING: ("Stopping", "SORTTIME"),
    BackendState.DIED: ("Has Ended", "ERROR"),
    "waiting": ("No Answer Yet", "SORTTIME"),
    "nothing": ("Not Connected", "UNLINKED"),
}
"""How the way to the backend can be, in two or three words, and an icon for each."""


def state(session: Session) -> tuple[str, str]:
    """Words and icon for how it is now."""
    if session.pump.online:
        return STATES["online"]
    return STATES.get(session.backend.state) or STATES["waiting" if session.pump.link is not None else "nothing"]


def draw_welcome(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The first start: what there is, and the three ways on."""
    stored = preferences.stored()
    session = current()
    if session.pump.link is not None or session.backend.state is not BackendState.STOPPED or _trouble(session):
        died = session.backend.state is BackendState.DIED
        draw_status(layout, context, actions=not died)
        if session.pump.link is not None and not died:
            return
    else:
        prose(layout, context, "The frames are made by a program of its own, the backend. Where is it?")
        draw_checkup(layout, context)
    if stored is None:
        return
    header, body = layout.panel("understudy_local")
    header.label(text="On This Computer")
    if body:
        draw_local(body, stored)
    header, body = layout.panel("understudy_remote", default_closed=True)
    header.label(text="On Another Computer")
    if body:
        draw_remote(body, context, stored)
    header, body = layout.panel("understudy_install", default_closed=True)
    header.label(text="Not Installed Yet")
    if body:
        draw_install(body, context)


def draw_checkup(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """What was found on this computer."""
    checkup = current().checkup
    column = layout.column()
    if checkup.busy:
        column.label(text="Looking for a backend", icon="SORTTIME")
        return
    found = checkup.found
    if found is None:
        button(column, "understudy.find_backend", icon="VIEWZOOM")
        return
    if not found.good:
        prose(column, context, found.sentence, "INFO")
        button(column, "understudy.find_backend", words("Look Again"), "VIEWZOOM")
    elif found.version == __version__:
        prose(column, context, words("Backend {} is installed").format(found.version), "CHECKMARK")
    else:
        text = words("The backend is version {}, this extension {}: install the same version of both")
        prose(column, context, text.format(found.version, __version__), "ERROR")


def draw_local(layout: bpy.types.UILayout, stored: preferences.UnderstudyPreferences) -> None:
    """A backend that Blender starts."""
    column = layout.column()
    column.use_property_split, column.use_property_decorate = True, False
    column.prop(stored, "python")
    column.prop(stored, "device")
    if stored.python:
        primary(layout, "understudy.start_local_backend", icon="PLAY")


def draw_remote(
    layout: bpy.types.UILayout, context: bpy.types.Context, stored: preferences.UnderstudyPreferences
) -> None:
    """A backend that somebody else has started."""
    column = layout.column()
    column.use_property_split, column.use_property_decorate = True, False
    column.prop(stored, "address", placeholder="tcp://host:7707")
    address = stored.address.strip()
    if not address or not is_private(address):
        column.prop(stored, "key_folder")
        if stored.key_folder:
            prose(
                layout,
                context,
                stored.key_problem or "The keys are there",
                "ERROR" if stored.key_problem else "CHECKMARK",
            )
        if not bpy.app.online_access:
            prose(layout, context, "Blender's online access is off", "INFO")
            button(layout, "understudy.show_preferences", words("Allow Online Access"), page="SYSTEM")
            return
    if address:
        primary(layout, "understudy.connect", icon="LINKED")


def draw_install(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """How a backend comes onto this computer, in words and lines to copy."""
    prose(layout, context, "It needs Python 3.11 or newer. In a terminal, in the folder of Understudy's source:")
    for command in INSTALL:
        box = layout.box()
        prose(box, context, command)
        button(box, "understudy.copy_command", icon="COPYDOWN", command=command)
    prose(layout, context, "Then look again: it is found there.")


def draw_status(layout: bpy.types.UILayout, context: bpy.types.Context, actions: bool = True) -> None:
    """One line of how it is, and with `actions` what can be done about it."""
    session = current()
    text, icon = state(session)
    row = layout.row()
    row.label(text=text, icon=icon)
    if session.backend.state is not BackendState.STOPPED:
        button(row, "understudy.show_backend_log", "", "TEXT")
    button(row, "understudy.show_preferences", "", "PREFERENCES", page="UNDERSTUDY")
    trouble = _trouble(session)
    if trouble:
        prose(layout, context, trouble)
    if not actions:
        return
    known, alive = preferences.known(), session.backend.pid is not None
    if alive:
        button(layout, "understudy.stop_local_backend")
    elif session.pump.link is not None:
        button(layout, "understudy.disconnect")
    elif known.address:
        primary(layout, "understudy.connect")
    if not alive and known.python and session.pump.link is None:
        (button if known.address else primary)(layout, "understudy.start_local_backend")


def _trouble(session: Session) -> str:
    """What is to be said while there is no answer: why there is none, or why it was refused; else empty."""
    return "" if session.pump.online or session.status == NOT_CONNECTED else session.status
