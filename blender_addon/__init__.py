# SPDX-License-Identifier: GPL-3.0-or-later
"""Understudy in Blender. As a library: `api`. What is registered here is what `unregister` takes away again."""

from __future__ import annotations


def register() -> None:
    """Called by Blender. Imports happen here, so that a missing numpy is one readable sentence, not a broken list."""
    try:
        import numpy  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Understudy needs numpy, which this Blender lacks: install python3-numpy, or use the Blender of blender.org"
        ) from error

    import bpy

    from . import commands, engine, operators, panels, preferences, properties, translations
    from .link import session
    from .scene import painting

    for cls in _classes(preferences, properties, operators, panels, engine):
        bpy.utils.register_class(cls)
    properties.attach()
    session.open_session()
    painting.attach()
    panels.attach()
    engine.attach()
    commands.attach()
    translations.attach()


def unregister() -> None:
    """Called by Blender. Ends threads and child processes first, then takes everything back."""
    import bpy

    from . import commands, engine, operators, panels, preferences, properties, translations
    from .api import compositing
    from .link import session
    from .scene import painting

    translations.detach()
    commands.detach()
    engine.detach()
    panels.detach()
    painting.detach()
    compositing.DESK.stop()
    session.close_session()
    properties.detach()
    for cls in reversed(_classes(preferences, properties, operators, panels, engine)):
        bpy.utils.unregister_class(cls)


def _classes(*modules) -> list[type]:
    return [cls for module in modules for cls in module.CLASSES]
