# SPDX-License-Identifier: GPL-3.0-or-later
"""The take of the strip that is in hand: its other versions, and what of it is to be made again."""

from __future__ import annotations

import bpy

from ..api import settings, versions
from .drawing import button, field, primary, prose, words

AGAIN = (
    ("CHANGED", "What Changed", "FILE_REFRESH"),
    ("SELECTED", "Selected Frames", "RESTRICT_SELECT_OFF"),
    ("RANGE", "Frame Range", "PREVIEW_RANGE"),
    ("ALL", "All Frames", "RENDER_ANIMATION"),
)


def draw(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    if getattr(context.workspace, "sequencer_scene", context.scene) is None:  # a new workspace of 5.0 and later
        prose(layout, context, "The sequencer shows no scene yet", "INFO")
        primary(layout, "understudy.show_in_sequencer")
        return
    job = versions.take_in_hand()
    if job is None:
        prose(layout, context, "Select a strip that Understudy has made")
        return
    row = field(layout, "Take")
    button(row, "understudy.choose_take", job.record.title, "DOWNARROW_HLT")
    row = field(layout, "Frames")
    row.label(text=f"{job.spec.frames.start} – {job.spec.frames.end}", translate=False)
    row = field(layout, "Seed")
    row.label(text=str(job.spec.seed), translate=False)
    scene = job.record.scene.find()
    method = settings.described(settings.chosen_method(scene)) if isinstance(scene, bpy.types.Scene) else None
    if method is not None and not method.independent_frames:
        sentence = words(
            "{} makes all frames together: if one has changed, all are made again, and a part takes as long as all"
        )
        prose(layout, context, sentence.format(method.title), "INFO")
    column = layout.column(align=True)
    column.label(text="Render Again")
    for what, label, icon in AGAIN:
        button(column, "understudy.render_again", label, icon, take=job.take, what=what)
    button(layout, "understudy.redo_from_strip", icon="SETTINGS", take=job.take)
