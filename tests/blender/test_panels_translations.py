"""The panels' words in German: all of them, and none that the panels do not say."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy")

ROOT = Path(__file__).resolve().parents[2] / "blender_addon"
_SAYING = {
    "label": None,
    "words": 0,
    "prose": 2,
    "field": 1,
    "busy": 1,
    "primary": 2,
    "button": 2,
    "menu": None,
    "prop": None,
    "prop_enum": None,
    "operator": None,
    "column": None,
    "Hindrance": 0,
    "_part": 2,
    "_running": 3,
}
"""Functions that say something, and which of their arguments that is (None: `text` or `heading` by name)."""


def said_in(path: Path) -> Iterator[str]:
    """The words that a module of the panels says: read off its source."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "bl_label" for t in node.targets):
            yield from _texts(node.value)
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name == "Obstacle":
            for argument in (*node.args[:1], *node.args[2:3]):
                yield from _texts(argument)
        elif name in _SAYING or name == "operator_menu_enum":
            place = _SAYING.get(name)
            if place is not None and len(node.args) > place:
                yield from _texts(node.args[place])
            for keyword in node.keywords:
                if keyword.arg in ("text", "heading"):
                    yield from _texts(keyword.value)


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and any(c.isalpha() for c in node.value):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _texts(value)


def said_by_panels() -> set[str]:
    modules = (*(ROOT / "panels").glob("*.py"), ROOT / "engine/panels.py")
    found = {text for path in modules for text in said_in(path)}
    from blender_addon.panels import backend, takes

    return found | {item[1] for item in takes.AGAIN} | {text for text, _ in backend.STATES.values()}


def said_by_properties() -> set[str]:
    """Names of the properties and buttons that the panels show."""
    from blender_addon import operators, preferences, properties
    from blender_addon.engine import properties as engine_properties

    found = set()
    for cls in operators.CLASSES:
        if issubclass(cls, bpy.types.Operator):
            found.add(cls.bl_label)
    for cls in (*preferences.CLASSES, *properties.CLASSES, *engine_properties.CLASSES):
        for prop in cls.bl_rna.properties:
            found.add(prop.name)
            found |= {item.name for item in getattr(prop, "enum_items", ())}
    return found


def test_every_word_of_the_panels_is_translated(addon):
    from blender_addon.translations import german

    missing = sorted(said_by_panels() - set(german.WORDS))
    assert not missing, missing


def test_every_translated_word_is_said(addon):
    from blender_addon.translations import german

    stray = sorted(set(german.WORDS) - said_by_panels() - said_by_properties())
    assert not stray, stray


def test_what_is_filled_in_is_filled_in_everywhere():
    from blender_addon.translations import german

    for msgid, text in german.WORDS.items():
        fields = [
            sorted(field for _, field, _, _ in string.Formatter().parse(each) if field is not None)
            for each in (msgid, text)
        ]
        assert fields[0] == fields[1], msgid
        assert msgid.endswith(":") == text.endswith(":") and not text.endswith(" ")


def test_blender_speaks_it(addon):
    if not bpy.app.build_options.international:
        pytest.skip("this Blender was built without languages")
    view = bpy.context.preferences.view
    before = view.language
    view.language = "de_DE"
    try:
        assert bpy.app.translations.pgettext_iface("Load Photo") == "Foto laden"
    finally:
        view.language = before
