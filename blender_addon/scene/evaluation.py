# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluating objects at any frame without touching the artist's scene.

A scene of our own is made for a moment, the objects are linked into it, and its dependency graph is evaluated:
armatures, constraints, parents and drivers work as they do in the artist's scene, because Blender pulls in what they
depend on. The artist's current frame, selection and render settings are never written, so there is nothing to put back,
whatever exception is thrown. Making and removing it takes less than a millisecond. It cannot see what belongs to a
scene: physics caches and rigid bodies must be baked, and drivers that read "the active scene" read this one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import bpy
from bpy.types import Collection, Depsgraph, Object, Scene

NAME = ".understudy"


@contextmanager
def scene_aside(scene: Scene, objects: Iterable[Object], holdouts: Iterable[Object] = ()) -> Iterator[Scene]:
    """A temporary scene with the time base and units of `scene` that holds `objects`; removed on leaving.

    Objects that are hidden (eye, screen or camera icon) are shown while it lasts. `holdouts` are held in a collection
    that cuts holes: they hide what is behind them and are not seen.
    """
    aside = bpy.data.scenes.new(NAME)
    holes: Collection | None = None
    hidden: list[tuple[Object, bool, bool]] = []
    try:
        render, theirs = aside.render, scene.render
        render.fps, render.fps_base = theirs.fps, theirs.fps_base
        render.frame_map_old, render.frame_map_new = theirs.frame_map_old, theirs.frame_map_new
        aside.frame_start, aside.frame_end = scene.frame_start, scene.frame_end
        aside.unit_settings.system = scene.unit_settings.system
        aside.unit_settings.scale_length = scene.unit_settings.scale_length
        aside.use_gravity, aside.gravity = scene.use_gravity, scene.gravity
        kept, cutting = dict.fromkeys(objects), dict.fromkeys(holdouts)
        if cutting:
            holes = bpy.data.collections.new(NAME)
            aside.collection.children.link(holes)
            aside.view_layers[0].update()  # from 5.2 on, layers know of a new collection only then
            aside.view_layers[0].layer_collection.children[0].holdout = True
        for obj in kept | cutting:
            if obj.hide_viewport or obj.hide_render:
                hidden.append((obj, obj.hide_viewport, obj.hide_render))
                obj.hide_viewport = obj.hide_render = False
            (holes if holes and obj not in kept else aside.collection).objects.link(obj)
        yield aside
    finally:
        for obj, viewport, render_hidden in hidden:
            obj.hide_viewport, obj.hide_render = viewport, render_hidden
        bpy.data.scenes.remove(aside)
        if holes is not None:
            bpy.data.collections.remove(holes)


def at_frame(aside: Scene, frame: float) -> Depsgraph:
    """Evaluates a temporary scene at `frame`, which may lie between two frames."""
    whole = math.floor(frame)
    aside.frame_set(whole, subframe=frame - whole)
    return aside.view_layers[0].depsgraph
