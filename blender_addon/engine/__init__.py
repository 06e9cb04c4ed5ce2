# SPDX-License-Identifier: GPL-3.0-or-later
"""The render engine `UNDERSTUDY`. `engine` is what Blender calls; `host` lasts from frame to frame; `run` is a render,
`shot` what it reads of the scene, `courier` its way to the backend and back; `picture` converts to Blender's passes."""

from . import engine, host, panels, properties

CLASSES = (*properties.CLASSES, *engine.CLASSES, *panels.CLASSES)


def attach() -> None:
    """After the classes are registered."""
    properties.attach()
    panels.attach()
    host.open_host()


def detach() -> None:
    """Before they are unregistered."""
    host.close_host()
    panels.detach()
    properties.detach()
