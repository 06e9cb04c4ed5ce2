"""The methods that a backend offers: a list to read, and to add a line to. Nothing here imports a method."""

from __future__ import annotations

import importlib

from .contract import Method

METHODS = (
    "understudy_backend.methods.fit:FitPhoto",
    "understudy_backend.methods.threedhm_texture:ThreeDHMTexture",
    "understudy_backend.methods.threedhm:ThreeDHM",
    "understudy_backend.methods.animate_anyone:AnimateAnyone",
    "understudy_backend.methods.champ:Champ",
    "understudy_backend.methods.tpsmm:TPSMMMethod",
)
"""`module:class` of each, in the order in which a panel shows them."""


def make_method(dotted: str) -> Method:
    """Imports a method's module and makes the method; weights stay on disk until its `load`.

    Raises:
        ValueError: the name is not `module:class`, or there is no such thing. One line.
        ImportError: something that the module needs is not installed.
    """
    module_name, colon, class_name = dotted.partition(":")
    if not colon:
        raise ValueError(f"a method is named as package.module:Class, not {dotted!r}")
    made = getattr(importlib.import_module(module_name), class_name, None)
    if made is None:
        raise ValueError(f"{module_name} has no {class_name}")
    return made()
