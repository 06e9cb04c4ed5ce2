# SPDX-License-Identifier: GPL-3.0-or-later
"""Pieces that all sections are drawn from."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import bpy
from bpy.app.translations import pgettext_iface

from .readiness import Obstacle

_CHARACTER = 6.4
"""Mean width of a character of Blender's font, in pixels at a scale of 1."""

_BORDERS = 48
"""What panel and box take of the region's width, in the same pixels."""

PRIMARY = 1.4
"""Height of the one button of a section that leads on."""


def words(text: str) -> str:
    """In the language of Blender's interface. Needed where words are put into a sentence or onto a button; `label`
    does it by itself."""
    return pgettext_iface(text)


def begun(text: str) -> str:
    """With a capital at its beginning, as a line of a panel has it."""
    return text[:1].upper() + text[1:]


def exists(operator: str) -> bool:
    """Whether an operator is registered."""
    category, _, name = operator.partition(".")
    return hasattr(bpy.types, f"{category.upper()}_OT_{name}")


def button(
    layout: bpy.types.UILayout, operator: str, text: str | None = None, icon: str = "NONE", **options: object
) -> None:
    """A button with its operator's own name, or `text`; none where there is no such operator."""
    if not exists(operator):
        return
    shown = {} if text is None else {"text": text}
    made = layout.operator(operator, icon=icon, **shown)
    for name, value in options.items():
        if hasattr(made, name):
            setattr(made, name, value)


def primary(layout: bpy.types.UILayout, operator: str, text: str | None = None, icon: str = "NONE", **options) -> None:
    """The button that leads on."""
    row = layout.row()
    row.scale_y = PRIMARY
    button(row, operator, text, icon, **options)


def prose(
    layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str = "NONE", width: float = 0
) -> None:
    """A sentence on as many lines as the sidebar's width asks for, or `width` in pixels at a scale of 1."""
    scale = context.preferences.system.ui_scale or 1.0  # 0 where there is no window
    width = width or (context.region.width if context.region else 280) / scale
    most = max(16, int((width - _BORDERS - (20 if icon != "NONE" else 0)) / _CHARACTER))
    column = layout.column(align=True)
    column.scale_y = 0.85
    for number, line in enumerate(textwrap.wrap(words(text), most, break_on_hyphens=False)):
        shown = icon if number == 0 else ("BLANK1" if icon != "NONE" else "NONE")
        column.label(text=line, icon=shown, translate=False)


def obstacles(layout: bpy.types.UILayout, context: bpy.types.Context, found: Iterable[Obstacle]) -> None:
    """What is in the way, one below the other, each with the button that mends it."""
    for obstacle in found:
        box = layout.box()
        icon = "ERROR" if obstacle.blocking and obstacle.operator else "INFO"
        prose(box, context, words(obstacle.sentence).format(*obstacle.values), icon)
        if obstacle.operator:
            button(box, obstacle.operator, words(obstacle.label) if obstacle.label else None, **obstacle.options)


def busy(layout: bpy.types.UILayout, sentence: str) -> None:
    """Something is under way and has no measure."""
    layout.label(text=sentence, icon="SORTTIME")


def field(layout: bpy.types.UILayout, label: str) -> bpy.types.UILayout:
    """A row in the way of property split: the label at its left, and what is drawn into the result at its right."""
    split = layout.split(factor=0.4)
    left = split.row()
    left.alignment = "RIGHT"
    left.label(text=label)
    return split.row(align=True)
