# SPDX-License-Identifier: GPL-3.0-or-later
"""The method of a scene and its settings, as the panel shows them."""

from __future__ import annotations

from collections.abc import Mapping

import bpy
from understudy_shared.protocol.description import MethodDescription

from ..link.session import current
from ..scene import method_settings
from ..scene.method_settings import Value

DEFAULT_METHOD = "threedhm"


def methods() -> tuple[MethodDescription, ...]:
    """What the backend can do; while there is none, what the last one could."""
    return current().method_book.methods


def described(method: str) -> MethodDescription | None:
    """One method by name, None where no backend has told of it."""
    return next((description for description in methods() if description.name == method), None)


def chosen_method(scene: bpy.types.Scene) -> str:
    """Name of the method that the scene's takes are made with."""
    return scene.understudy.method or DEFAULT_METHOD


def set_method(scene: bpy.types.Scene, name: str) -> None:
    """Chooses the method that takes are made with. Each method keeps its own settings.

    Raises:
        ValueError: the backend has none of that name that makes frames.
    """
    known = [description.name for description in methods() if makes_frames(description)]
    if known and name not in known:
        raise ValueError(f'The backend has no method "{name}" that makes frames, but {", ".join(known)}')
    scene.understudy.method = name
    description = described(name)
    if description is not None:
        apply_description(scene, description)


def makes_frames(description: MethodDescription) -> bool:
    """Whether a method's results can become a strip."""
    return "rgba" in description.gives


def apply_description(scene: bpy.types.Scene, description: MethodDescription) -> None:
    """Gives a scene the settings of a method, or brings them in line with a newer description. Values stay."""
    if not method_settings.is_current(scene, description):
        method_settings.describe(scene, description)


def params_of(scene: bpy.types.Scene, method: str) -> dict[str, Value]:
    """The settings of a method that differ from its defaults: what a job of this scene is given."""
    return method_settings.changed(scene, method)


def set_params(scene: bpy.types.Scene, method: str, params: Mapping[str, Value]) -> None:
    """Sets a method's settings; those not named get their defaults.

    Raises:
        ValueError: there is no such setting, or a value does not fit it. Nothing is changed then.
    """
    description = described(method)
    if description is not None:
        apply_description(scene, description)
    method_settings.put(scene, method, params)
