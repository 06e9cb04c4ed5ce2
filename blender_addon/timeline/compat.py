# SPDX-License-Identifier: GPL-3.0-or-later
"""What differs between Blender 4.5, 5.0 and 5.2 in the sequencer, in this one place."""

from __future__ import annotations

import bpy


def sequencer_scene(context: bpy.types.Context) -> bpy.types.Scene:
    """The scene whose strips the artist sees: from 5.0 on the sequencer may show another scene than the window."""
    return getattr(context, "sequencer_scene", None) or context.scene


def show_scene(scene: bpy.types.Scene) -> None:
    """Has the sequencers of workspaces that show no scene yet (from 5.0 on: new ones) show this one."""
    for workspace in bpy.data.workspaces:
        if getattr(workspace, "sequencer_scene", scene) is None:
            workspace.sequencer_scene = scene


def strip_start(strip: bpy.types.Strip) -> int:
    """First scene frame that the strip shows."""
    return int(strip.left_handle) if hasattr(strip, "left_handle") else int(strip.frame_final_start)


def strip_end(strip: bpy.types.Strip) -> int:
    """First scene frame after the strip."""
    return int(strip.right_handle) if hasattr(strip, "right_handle") else int(strip.frame_final_end)


def content_start(strip: bpy.types.Strip) -> int:
    """Scene frame of the strip's first picture, which may be trimmed away."""
    return int(strip.content_start) if hasattr(strip, "content_start") else int(strip.frame_start)


def move(strip: bpy.types.Strip, frames: int) -> None:
    """Shows all of the strip so many frames later."""
    if hasattr(strip, "content_start"):
        strip.content_start += frames
    else:
        strip.frame_start += frames


def content_trim(strip: bpy.types.Strip) -> tuple[int, int]:
    """How many pictures of its file or files a strip leaves out for good, at the beginning and at the end."""
    if hasattr(strip, "content_trim_start"):
        return int(strip.content_trim_start), int(strip.content_trim_end)
    return int(strip.animation_offset_start), int(strip.animation_offset_end)


def refresh_pixels(strip: bpy.types.Strip) -> None:
    """Makes the sequencer read the strip's files again. Only for files that were rewritten: together with prefetch it
    has crashed Blender 5.2, so prefetch must be off (see `timeline.prefetch`)."""
    strip.invalidate_cache("RAW")
