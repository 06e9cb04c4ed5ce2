# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to the backend."""

from __future__ import annotations

from pathlib import Path

import bpy
from understudy_shared.protocol.security import is_private

from .. import preferences
from ..link.checkup import Found, candidates
from ..link.session import current


def connect(address: str = "", key_folder: str | Path | None = None) -> None:
    """Connects in the background to a backend that runs; by default to the one in the preferences.

    Args:
        address: `tcp://host:port` or `ipc://path`.
        key_folder: with this client's keys. Default: off this machine the folder in the preferences, else no keys.

    Raises:
        ValueError: there is no address. RuntimeError: online access is off, or keys are missing.
    """
    settings = preferences.settings()
    address = address or settings.address
    if not address:
        raise ValueError("No address is set: write one as tcp://host:port in the preferences, or start a local backend")
    keys = None if is_private(address) else settings.key_folder
    current().connect(address, Path(key_folder) if key_folder else keys)


def disconnect() -> None:
    """Ends the connection. Jobs run on at the backend and arrive after the next connection."""
    current().disconnect()


def start_local_backend(python: str = "", data_folder: str | Path = "", address: str = "", device: str = "") -> None:
    """Starts a backend on this machine and connects to it; by default with the preferences' Python and folder. It ends
    with Blender.

    Raises:
        RuntimeError: it cannot be started, with what to do.
    """
    settings = preferences.settings()
    folder = Path(data_folder) if data_folder else settings.data_folder
    current().start_backend(python or settings.python, folder, address, ("--device", device or settings.device))


def status() -> str:
    """How the connection to the backend is, in one sentence."""
    return current().status


def stop_local_backend() -> None:
    """Stops it: politely, and after ten seconds by force. Finished frames stay."""
    current().stop_backend()


def find_backend(python: str = "", wait: bool = True) -> Found | None:
    """Looks for a Python on this machine that the backend is installed in, and tells which version.

    Args:
        python: ask this one only; empty: wherever one may be (`UNDERSTUDY_PYTHON`, the `understudy` command,
            `~/.understudy`).
        wait: for the answer; else `adopt_found` takes it over later, and there is none yet.
    """
    checkup = current().checkup
    checkup.start([python] if python else candidates())
    return checkup.wait() if wait else None


def adopt_found() -> bool:
    """Puts the Python that was found into the preferences, if they name none. Returns whether it did."""
    found, stored = current().checkup.found, preferences.stored()
    if found is None or not found.good or stored is None or stored.python:
        return False
    stored.python = found.python
    bpy.context.preferences.is_dirty = True  # Blender saves what is marked so
    return True
