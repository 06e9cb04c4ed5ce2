# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backend a render goes to: the one that is connected, else that of the preferences, else one that is started."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy
from understudy_shared.protocol.security import ClientKeys, KeyFileError, is_private, load_client_keys

from .. import preferences
from ..link import folders
from ..link.local_backend import BackendState
from ..link.session import current

_NONE = "There is no backend: choose the Python of a local one, or an address, in Understudy's preferences"


class NoBackend(RuntimeError):
    """There is no way to a backend; the message says what to do."""


@dataclass(frozen=True)
class Way:
    """How to reach a backend, and as whom."""

    address: str
    owner: str
    keys: ClientKeys | None = None


def find(address: str = "", key_folder: str | Path | None = None, python: str = "") -> Way:
    """In the main thread: it may start a local backend, which ends with Blender.

    Args:
        address: of a backend; empty: see the module's text.
        key_folder: with this client's keys; default: off this machine the preferences' folder.
        python: starts a local backend with this interpreter, if none runs.

    Raises:
        NoBackend: there is none, or it may not be reached.
    """
    session, settings = current(), preferences.settings()
    link = session.pump.link
    if not (address or python or session.lost or link is None):
        return Way(link.address, folders.owner(), link.keys)
    address = address or ("" if python else settings.address)
    if not address:
        python = python or settings.python
        if not python:
            raise NoBackend(_NONE)
        if session.backend.poll() not in (BackendState.STARTING, BackendState.RUNNING):
            try:
                session.start_backend(python, settings.data_folder, "", ("--device", settings.device))
            except RuntimeError as error:
                raise NoBackend(str(error)) from error
        address = session.backend.address
    return Way(address, folders.owner(), _keys(address, key_folder))


def why_dead(address: str) -> str:
    """Why the local backend at this address has ended; empty while it lives, and for another's."""
    backend = current().backend
    if address != backend.address or backend.poll() is not BackendState.DIED:
        return ""
    last = next((line for line in reversed(backend.tail()) if line.strip()), "it said nothing")
    return f"The local backend has ended: {last}. Its log is {backend.log_file}; render again to start it"


def _keys(address: str, key_folder: str | Path | None) -> ClientKeys | None:
    if not is_private(address):
        if not bpy.app.online_access:
            raise NoBackend(f"{address} is not on this machine: switch on Allow Online Access in Preferences, System")
        key_folder = key_folder or preferences.settings().key_folder
    if not key_folder:
        return None
    try:
        return load_client_keys(Path(key_folder))
    except KeyFileError as error:
        raise NoBackend(str(error)) from error
