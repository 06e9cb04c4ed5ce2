# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the panels in other languages, one module each."""

from __future__ import annotations

import bpy

from . import german

_CONTEXTS = ("*", "Operator")
"""Blender looks up the names of buttons apart from all other words."""

_DICTIONARY = {
    language: {(context, msgid): text for msgid, text in german.WORDS.items() for context in _CONTEXTS}
    for language in german.LANGUAGES
}


def attach() -> None:
    """Tells Blender the words; German first."""
    bpy.app.translations.register(__package__, _DICTIONARY)


def detach() -> None:
    """Takes them away again."""
    bpy.app.translations.unregister(__package__)
