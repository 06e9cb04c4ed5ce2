# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets: a method's settings under a name, for every file of this user."""

from __future__ import annotations

import bpy

from ..link.session import current
from ..presets import KEEP_SIZE, SCENE_SIZE, Preset
from ..scene import method_settings
from ..scene.camera import picture_size
from . import settings


def presets(method: str) -> list[Preset]:
    """What there is for a method, those that came with Understudy first."""
    return current().presets.of(method)


def save_preset(name: str, scene: bpy.types.Scene | None = None) -> Preset:
    """Keeps the settings of the scene's method under a name.

    Raises:
        ValueError: the name is empty or taken by a shipped preset. OSError: it cannot be written.
    """
    scene = scene or bpy.context.scene
    method = settings.chosen_method(scene)
    preset = Preset(name.strip(), method, settings.params_of(scene, method))
    current().presets.keep(preset)
    return preset


def apply_preset(name: str, scene: bpy.types.Scene | None = None) -> Preset:
    """Gives the scene's method the settings of a preset. What the method no longer knows is passed over.

    Raises:
        ValueError: there is no such preset, or a value of it does not fit the method any more.
    """
    scene = scene or bpy.context.scene
    method = settings.chosen_method(scene)
    preset = current().presets.get(method, name)
    description = settings.described(method)
    if description is not None:
        settings.apply_description(scene, description)
    group = method_settings.find(scene, method)
    params = preset.params
    if group is not None and group.version:
        params = {name: value for name, value in params.items() if name in group.settings}
    settings.set_params(scene, method, params)
    if preset.longer_side != KEEP_SIZE:
        multiple = description.size_multiple if description is not None else 8
        scene.understudy.width, scene.understudy.height = _size(scene, preset.longer_side, multiple)
    return preset


def remove_preset(name: str, scene: bpy.types.Scene | None = None) -> None:
    """Removes a preset of the scene's method.

    Raises:
        ValueError: there is none of that name, or it came with Understudy. OSError: it cannot be removed.
    """
    scene = scene or bpy.context.scene
    current().presets.remove(settings.chosen_method(scene), name)


def _size(scene: bpy.types.Scene, longer_side: int, multiple: int) -> tuple[int, int]:
    width, height = picture_size(scene)
    scale = 1.0 if longer_side == SCENE_SIZE else longer_side / max(width, height)
    return rounded((round(width * scale), round(height * scale)), multiple)


def rounded(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The nearest size (width, height) that a method takes."""
    least = -(-16 // multiple) * multiple
    width, height = (max(least, round(side / multiple) * multiple) for side in size)
    return width, height
