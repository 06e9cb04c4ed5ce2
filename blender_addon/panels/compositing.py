# SPDX-License-Identifier: GPL-3.0-or-later
"""From the frames to the picture: the person over the scene's own render, and passes for other compositors."""

from __future__ import annotations

import bpy

from .. import api
from ..api import versions
from .drawing import button, primary, prose


def draw(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    job = versions.take_in_hand()
    if job is None:
        prose(layout, context, "Render a person first, or select a strip that Understudy has made")
        return
    primary(layout, "understudy.build_compositor", icon="NODE_COMPOSITING", take=job.take)
    if api.composited(context.scene):
        button(layout, "understudy.remove_compositor", icon="X")
    saving = api.saved_passes(job)
    if saving is not None and saving.running:
        row = layout.row(align=True)
        row.progress(factor=saving.progress, text=saving.words)
        button(row, "understudy.cancel_passes", "", "X", take=job.take)
        return
    button(layout, "understudy.save_passes", icon="RENDERLAYERS", take=job.take)
    if saving is not None:
        prose(layout, context, saving.words)
