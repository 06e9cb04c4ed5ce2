# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the sections stand: all of them in the 3D view, those for results in the sequencer too."""

from __future__ import annotations

import bpy

from ..link.session import current
from . import actor, backend, camera, compositing, imitator, jobs, method, render, takes
from .readiness import has_camera, has_texture, moves

TAB = "Understudy"
"""Of the sidebars."""


class _Section:
    """Mix-in of all sections."""

    bl_region_type = "UI"
    bl_category = TAB


class _InView(_Section):
    bl_space_type = "VIEW_3D"


class _InSequencer(_Section):
    bl_space_type = "SEQUENCE_EDITOR"


class _Welcome:
    bl_label = "Welcome"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return backend.is_new(current())

    def draw(self, context: bpy.types.Context) -> None:
        backend.draw_welcome(self.layout, context)


class _Backend:
    bl_label = "Backend"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not backend.is_new(current())

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        text, icon = backend.state(current())
        self.layout.label(text=text, icon=icon)

    def draw(self, context: bpy.types.Context) -> None:
        backend.draw_status(self.layout, context)


class _Method:
    bl_label = "Method"

    def draw(self, context: bpy.types.Context) -> None:
        method.draw(self.layout, context)


class _Render:
    bl_label = "Render"

    def draw(self, context: bpy.types.Context) -> None:
        render.draw(self.layout, context)


class _Jobs:
    bl_label = "Jobs"

    def draw(self, context: bpy.types.Context) -> None:
        jobs.draw(self.layout, context)


class _Compositing:
    bl_label = "Compositing"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        compositing.draw(self.layout, context)


class UNDERSTUDY_PT_welcome(_Welcome, _InView, bpy.types.Panel):
    bl_order = 0


class UNDERSTUDY_PT_backend(_Backend, _InView, bpy.types.Panel):
    bl_order = 1


class UNDERSTUDY_PT_actor(_InView, bpy.types.Panel):
    bl_label = "Actor"
    bl_order = 2

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        body = context.scene.understudy.body
        _mark(self.layout, body is not None and moves(body))

    def draw(self, context: bpy.types.Context) -> None:
        actor.draw(self.layout, context)


class UNDERSTUDY_PT_imitator(_InView, bpy.types.Panel):
    bl_label = "Imitator"
    bl_order = 3

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        _mark(self.layout, has_texture(context.scene.understudy.photo_body))

    def draw(self, context: bpy.types.Context) -> None:
        imitator.draw(self.layout, context)


class UNDERSTUDY_PT_camera(_InView, bpy.types.Panel):
    bl_label = "Camera"
    bl_order = 4

    def draw_header_preset(self, context: bpy.types.Context) -> None:
        _mark(self.layout, has_camera(context.scene))

    def draw(self, context: bpy.types.Context) -> None:
        camera.draw(self.layout, context)


class UNDERSTUDY_PT_method(_Method, _InView, bpy.types.Panel):
    bl_order = 5
    bl_options = {"DEFAULT_CLOSED"}


class UNDERSTUDY_PT_render(_Render, _InView, bpy.types.Panel):
    bl_order = 6


class UNDERSTUDY_PT_jobs(_Jobs, _InView, bpy.types.Panel):
    bl_order = 7


class UNDERSTUDY_PT_compositing(_Compositing, _InView, bpy.types.Panel):
    bl_order = 8


class UNDERSTUDY_PT_sequencer_welcome(_Welcome, _InSequencer, bpy.types.Panel):
    bl_order = 0


class UNDERSTUDY_PT_sequencer_backend(_Backend, _InSequencer, bpy.types.Panel):
    bl_order = 1


class UNDERSTUDY_PT_sequencer_take(_InSequencer, bpy.types.Panel):
    bl_label = "Take"
    bl_order = 2

    def draw(self, context: bpy.types.Context) -> None:
        takes.draw(self.layout, context)


class UNDERSTUDY_PT_sequencer_method(_Method, _InSequencer, bpy.types.Panel):
    bl_order = 3
    bl_options = {"DEFAULT_CLOSED"}


class UNDERSTUDY_PT_sequencer_render(_Render, _InSequencer, bpy.types.Panel):
    bl_order = 4


class UNDERSTUDY_PT_sequencer_jobs(_Jobs, _InSequencer, bpy.types.Panel):
    bl_order = 5


class UNDERSTUDY_PT_sequencer_compositing(_Compositing, _InSequencer, bpy.types.Panel):
    bl_order = 6


class UNDERSTUDY_PT_nodes_compositing(_Compositing, _Section, bpy.types.Panel):
    bl_space_type = "NODE_EDITOR"
    bl_options: set[str] = set()  # the only section there

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return getattr(context.space_data, "tree_type", "") == "CompositorNodeTree"


def _mark(layout: bpy.types.UILayout, done: bool) -> None:
    """A tick in the header of a section that is done, so that what is left is seen at a glance."""
    if done:
        layout.label(text="", icon="CHECKMARK")


CLASSES = (
    UNDERSTUDY_PT_welcome,
    UNDERSTUDY_PT_backend,
    UNDERSTUDY_PT_actor,
    UNDERSTUDY_PT_imitator,
    UNDERSTUDY_PT_camera,
    UNDERSTUDY_PT_method,
    UNDERSTUDY_PT_render,
    UNDERSTUDY_PT_jobs,
    UNDERSTUDY_PT_compositing,
    UNDERSTUDY_PT_sequencer_welcome,
    UNDERSTUDY_PT_sequencer_backend,
    UNDERSTUDY_PT_sequencer_take,
    UNDERSTUDY_PT_sequencer_method,
    UNDERSTUDY_PT_sequencer_render,
    UNDERSTUDY_PT_sequencer_jobs,
    UNDERSTUDY_PT_sequencer_compositing,
    UNDERSTUDY_PT_nodes_compositing,
)
