# SPDX-License-Identifier: GPL-3.0-or-later
"""A method's settings in a scene: from the backend's description to values that Blender draws, saves and undoes.

Each setting is an item of a collection with one custom property, `value`, that carries its own range, default, choices
and tooltip. So no class is made for a method, and the values stay what they are while no backend is there.
"""

from __future__ import annotations

from collections.abc import Mapping

import bpy
import msgspec
from understudy_shared.job import digest
from understudy_shared.protocol.description import MethodDescription, ParamDescription

VALUE = "value"
PATH = f'["{VALUE}"]'
"""What `layout.prop` is given to draw an item."""

Value = str | int | float | bool

_INT_LIMIT = 2**31 - 1
_SUBTYPES = {"px": "PIXEL", "%": "PERCENTAGE"}
"""Units that Blender writes behind a number itself; others are shown with the label."""


def find(scene: bpy.types.Scene, method: str) -> bpy.types.PropertyGroup | None:
    """The settings of a method in this scene, None where it has none yet."""
    return scene.understudy.methods.get(method)


def version(description: MethodDescription) -> str:
    """Tells one description of a method's settings from another."""
    return digest(msgspec.to_builtins(description.params))[:16]


def is_current(scene: bpy.types.Scene, description: MethodDescription) -> bool:
    """Whether `describe` has nothing to do. Cheap enough for every tick: the version is given by the caller's book."""
    found = find(scene, description.name)
    return found is not None and found.version == version(description)


def describe(scene: bpy.types.Scene, description: MethodDescription) -> None:
    """Brings a scene's settings in line with a description: new ones at their default, old ones with the value that
    they have where it still is one, in the order of the description."""
    group = find(scene, description.name) or _new(scene, description.name)
    known = {item.name: _read(item) for item in group.settings}
    group.settings.clear()
    for param in description.params:
        item = group.settings.add()
        item.name, item.label, item.described = param.name, _label(param), True
        item.choices = "\n".join(param.choices)
        _write(item, param, _fitting(param, known.get(param.name, param.default)))
    group.version = version(description)


def changed(scene: bpy.types.Scene, method: str) -> dict[str, Value]:
    """The settings of a method that differ from its defaults, and those whose defaults nobody has told yet."""
    group = find(scene, method)
    if group is None:
        return {}
    return {item.name: _read(item) for item in group.settings if not item.described or not is_default(item)}


def is_default(item: bpy.types.PropertyGroup) -> bool:
    """Whether a setting has its default."""
    default = item.id_properties_ui(VALUE).as_dict().get("default")
    # Blender keeps the default of a number as float32 at times.
    value = item[VALUE]
    return abs(value - default) <= 1e-6 * max(1.0, abs(default)) if isinstance(value, float) else value == default


def put(scene: bpy.types.Scene, method: str, params: Mapping[str, Value]) -> None:
    """Sets the settings of a method to these, and those not named to their defaults.

    Raises:
        ValueError: the method has no such setting, or the value does not fit; nothing is changed then.
    """
    group = find(scene, method)
    described = group is not None and bool(group.version)
    if group is not None and described:
        for name, value in params.items():
            if name not in group.settings:
                raise ValueError(f'"{method}" has no setting "{name}", but {", ".join(group.settings.keys())}')
            _check(group.settings[name], value)
        for item in group.settings:
            _assign(item, params[item.name]) if item.name in params else reset(item)
        return
    group = group or _new(scene, method)
    group.settings.clear()
    for name, value in params.items():
        if not isinstance(value, str | int | float | bool):
            raise ValueError(f'"{name}" must be a number, a text, or yes or no')
        item = group.settings.add()
        item.name, item.label = name, name.replace("_", " ").capitalize()
        item[VALUE] = value


def reset(item: bpy.types.PropertyGroup) -> None:
    """Gives a setting its default."""
    if item.described:
        item[VALUE] = item.id_properties_ui(VALUE).as_dict()["default"]


def _new(scene: bpy.types.Scene, method: str) -> bpy.types.PropertyGroup:
    group = scene.understudy.methods.add()
    group.name = method
    return group


def _label(param: ParamDescription) -> str:
    return f"{param.label} ({param.unit})" if param.unit and param.unit not in _SUBTYPES else param.label


def _read(item: bpy.types.PropertyGroup) -> Value:
    value = item[VALUE]
    if item.choices:
        return item.choices.split("\n")[value]
    return value


def _assign(item: bpy.types.PropertyGroup, value: Value) -> None:
    if item.choices:
        item[VALUE] = item.choices.split("\n").index(str(value))
    else:
        item[VALUE] = type(item[VALUE])(value)


def _check(item: bpy.types.PropertyGroup, value: Value) -> None:
    if item.choices:
        if value not in item.choices.split("\n"):
            raise ValueError(f'"{item.label}" is one of {", ".join(item.choices.splitlines())}, not {value!r}')
        return
    kind = type(item[VALUE])
    fits = isinstance(value, kind) or (kind is float and isinstance(value, int))
    if not fits or (kind is not bool and isinstance(value, bool)):
        wanted = {int: "a whole number", float: "a number", bool: "yes or no", str: "a text"}[kind]
        raise ValueError(f'"{item.label}" is {wanted}, not {value!r}')
    if kind in (int, float):
        limits = item.id_properties_ui(VALUE).as_dict()
        if not limits["min"] - 1e-6 <= value <= limits["max"] + 1e-6:  # type: ignore[operator]
            raise ValueError(f'"{item.label}" lies between {limits["min"]:g} and {limits["max"]:g}, not at {value:g}')


def _fitting(param: ParamDescription, value: Value) -> Value:
    """The value if the setting can still have it (the method may have changed), else the nearest, else the default."""
    match param.kind:
        case "choice":
            return value if value in param.choices else param.default
        case "bool" | "text":
            return value if isinstance(value, bool if param.kind == "bool" else str) else param.default
        case "int" | "float":
            if isinstance(value, bool) or not isinstance(value, int | float):
                return param.default
            low = -float("inf") if param.minimum is None else param.minimum
            high = float("inf") if param.maximum is None else param.maximum
            return min(max(value, low), high)


def _write(item: bpy.types.PropertyGroup, param: ParamDescription, value: Value) -> None:
    """Value and all that Blender needs to draw it."""
    ui: dict[str, object] = {"description": param.help, "default": param.default}
    if param.kind == "choice":
        # Blender keeps a choice as its number; by name it is looked up in `choices`, whose order may change.
        item[VALUE] = param.choices.index(str(value))
        ui["default"] = param.choices.index(str(param.default))
        ui["items"] = [(choice, _words(choice), "", number) for number, choice in enumerate(param.choices)]
    elif param.kind == "int":
        item[VALUE] = int(value)
        ui["min"] = -_INT_LIMIT if param.minimum is None else int(param.minimum)
        ui["max"] = _INT_LIMIT if param.maximum is None else int(param.maximum)
        ui["default"] = int(param.default)
        ui["subtype"] = _SUBTYPES.get(param.unit, "NONE")
    elif param.kind == "float":
        item[VALUE] = float(value)
        ui["default"] = float(param.default)
        bounded = param.minimum is not None and param.maximum is not None
        if param.minimum is not None:
            ui["min"] = float(param.minimum)
        if param.maximum is not None:
            ui["max"] = float(param.maximum)
        ui["subtype"] = _SUBTYPES.get(param.unit, "FACTOR" if bounded else "NONE")
    else:
        item[VALUE] = bool(value) if param.kind == "bool" else str(value)
    item.id_properties_ui(VALUE).update(**ui)


def _words(choice: str) -> str:
    return choice.replace("_", " ").capitalize() if choice.islower() else choice
