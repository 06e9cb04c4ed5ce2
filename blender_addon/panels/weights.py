# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights that a method lacks: what the panel says of them, and the dialog that gets them."""

from __future__ import annotations

import bpy
from understudy_shared.protocol.description import MethodDescription, WeightsDescription

from ..api import weights as api_weights
from ..link.session import current
from .drawing import button, prose, words
from .readiness import missing_weights

WIDTH = 460
"""Of the dialog, in pixels at a scale of 1."""


def draw(layout: bpy.types.UILayout, context: bpy.types.Context, description: MethodDescription) -> None:
    """What a method lacks, or how far the fetching of it is; nothing where it lacks nothing."""
    fetching, lacking = current().weights, missing_weights(description)
    if fetching.running:
        box = layout.box()
        gigabytes = words("{:.1f} of {:.1f} GB").format(fetching.done / 1e9, fetching.total / 1e9)
        box.progress(factor=fetching.fraction, text=gigabytes if fetching.total else words("Fetching weights"))
        button(box, "understudy.cancel_weights", icon="X")
    if not lacking:
        return
    box = layout.box()
    prose(
        box,
        context,
        "The backend lacks the weights of this method. It takes one of these:"
        if len(lacking) > 1
        else "The backend lacks the weights of this method:",
        "ERROR",
    )
    for weights in lacking:
        column = box.column(align=True)
        prose(column, context, f"{weights.name}, {_size(weights)}")
        if weights.fetch or weights.by_hand:
            button(column, "understudy.get_weights", icon="IMPORT", weights=weights.name)
        elif weights.source.startswith("https://"):
            column.operator("wm.url_open", text="Where It Comes From", icon="URL").url = weights.source
        else:
            prose(column, context, words("From: {}").format(weights.source))
    if fetching.problem and not fetching.running:
        prose(box, context, fetching.problem, "ERROR")
    button(box, "understudy.look_for_weights", icon="FILE_REFRESH")


def draw_dialog(
    dialog: bpy.types.Operator, context: bpy.types.Context, weights: WeightsDescription, *, several: bool
) -> None:
    """The name, size, licence and source of a set, and what is to be done to have it."""
    layout = dialog.layout
    if several:
        layout.prop(dialog, "weights", text="Weights")
    prose(layout, context, f"{weights.name}, {_size(weights)}", width=WIDTH)
    prose(layout, context, words("Licence: {}").format(weights.licence), width=WIDTH)
    row = layout.row()
    if weights.licence_page:
        row.operator("wm.url_open", text="Read the Licence", icon="URL").url = weights.licence_page
    if weights.page:
        row.operator("wm.url_open", text="Where It Comes From", icon="URL").url = weights.page
    if weights.by_hand:
        prose(layout, context, weights.by_hand, "INFO", WIDTH)
        prose(layout, context, "Then press OK: the backend looks for it.", width=WIDTH)
    elif not api_weights.fetched_here():
        prose(
            layout,
            context,
            "Blender has not started this backend. On its computer run this, then press OK:",
            "INFO",
            WIDTH,
        )
        command = api_weights.command(weights.fetch)
        prose(layout, context, command, width=WIDTH)
        button(layout, "understudy.copy_command", icon="COPYDOWN", command=command)
    elif not bpy.app.online_access:
        prose(layout, context, "Blender's online access is off", "INFO", WIDTH)
        button(layout, "understudy.show_preferences", words("Allow Online Access"), page="SYSTEM")
    else:
        layout.prop(dialog, "accept", text="I Accept the Licence")


def _size(weights: WeightsDescription) -> str:
    return f"{weights.megabytes / 1000:.1f} GB" if weights.megabytes >= 1000 else f"{weights.megabytes:.0f} MB"
