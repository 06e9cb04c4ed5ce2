# SPDX-License-Identifier: GPL-3.0-or-later
"""Getting the weights that a method lacks: by the backend, where it computes."""

from __future__ import annotations

import time

import bpy

from .. import preferences
from ..link.session import current


def get_weights(name: str, *, accept_licence: bool = False, wait: bool = False) -> None:
    """Has the local backend fetch published weights. In a window it goes on by itself; the method can be used when they
    are there.

    Args:
        name: of the set, as `WeightsDescription.fetch` has it and `understudy weights` lists it.
        accept_licence: you have read its licence and accept it.
        wait: until they are there; for scripts.

    Raises:
        ValueError: the licence was not accepted. RuntimeError: online access is off, Blender has not started the
        backend, something is being fetched already, or (with `wait`) it failed.
    """
    session = current()
    if not accept_licence:
        raise ValueError("Read the licence, and tick that you accept it")
    if not fetched_here():
        raise RuntimeError(f"Blender has not started this backend: run this on its computer: {command(name)}")
    if not bpy.app.online_access:
        raise RuntimeError("Blender's online access is off: switch on Allow Online Access in Preferences, System")
    session.weights.start(session.backend.python or preferences.settings().python, name)
    while wait and session.weights.running:
        session.pump.tick()
        time.sleep(0.02)
    if wait and session.weights.problem:
        raise RuntimeError(session.weights.problem)


def cancel_weights() -> None:
    """Stops fetching. What has arrived is kept: the next time it goes on there."""
    current().weights.cancel()


def look_for_weights() -> None:
    """Has the backend look whether weights have come; methods that have theirs now can be used.

    Raises:
        RuntimeError: there is no connection.
    """
    link = current().pump.link
    if link is None:
        raise RuntimeError("Connect to a backend first, or start the local one")
    link.ask_methods()


def fetched_here() -> bool:
    """Whether weights belong onto this computer: the backend is the one that Blender starts."""
    session, known = current(), preferences.known()
    if session.pump.link is not None:
        return session.pump.link.address == session.backend.address
    return bool(known.python) and not known.address


def command(name: str) -> str:
    """What fetches a set on the backend's computer."""
    return f"understudy weights get {name}"
