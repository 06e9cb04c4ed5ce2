# SPDX-License-Identifier: GPL-3.0-or-later
"""The imitator: the photos, the body fitted to them, and the texture, each step after the one before."""

from __future__ import annotations

import bpy

from ..api import imitator as api_imitator
from ..link.session import Session, current
from ..scene import painting, photos
from . import method
from .drawing import begun, busy, button, exists, field, obstacles, primary
from .readiness import has_texture, readiness

_SHAPE = ("height", "build", "weight", "trunk", "waist", "legs")


def draw(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    scene, session = context.scene, current()
    settings, number = scene.understudy, photos.current_number(scene)
    photo = photos.photo_of(scene, number)
    if len(settings.photos):
        row = field(layout, "Number")
        row.prop(settings, "photo_number", text="")
        button(row, "understudy.remove_photo", "", "REMOVE")
    row = layout.row(align=True)
    row.use_property_split, row.use_property_decorate = True, False
    row.prop(photo, "photo")
    if number == 1:
        button(row, "understudy.load_photo", "", "FILE_FOLDER")
    if photo.photo is None:
        if number == 1:
            primary(layout, "understudy.load_photo", icon="IMAGE_DATA")
        return
    fitted = photo.photo_body is not None
    _fit(layout, context, session, photo)
    if settings.photo_body is not None:
        _texture(layout, context, session, has_texture(settings.photo_body))
    if fitted:
        button(layout, "understudy.add_photo", icon="ADD")


def _fit(
    layout: bpy.types.UILayout, context: bpy.types.Context, session: Session, photo: bpy.types.PropertyGroup
) -> None:
    fitted = photo.photo_body is not None
    body = _part(layout, "understudy_fit", "Fit", fitted)
    if body is None:
        return
    running = _progress(body, context, session, "fit")
    if not fitted:
        if not running:
            obstacles(body, context, readiness(context.scene, session, "fit"))
            primary(body, "understudy.fit_photo", icon="OUTLINER_OB_ARMATURE")
    else:
        shown = api_imitator.photo_shown(context.scene) == photos.current_number(context.scene)
        row = body.row(align=True)
        button(row, "understudy.show_photo", "Hide Photo" if shown else "Show Photo", "OUTLINER_OB_CAMERA")
        button(row, "understudy.show_photo", "Pose", "POSE_HLT", pose=True)
        if shown:
            column = body.column()
            column.use_property_split, column.use_property_decorate = True, False
            column.prop(context.scene.understudy, "photo_style")
            column.prop(context.scene.understudy, "photo_opacity", slider=True)
        row = body.row(align=True)
        row.enabled = not running
        button(row, "understudy.refit", icon="FILE_REFRESH")
        masking = api_imitator.painting_mask(context.scene)
        button(row, "understudy.paint_mask", "Close Mask" if masking else None, "BRUSH_DATA")
        brush = api_imitator.mask_brush(context.scene) if masking else None
        if brush is not None:
            row = body.row(align=True)
            row.prop_enum(brush, "blend", painting.TAKE_AWAY, text="Take Away", icon="REMOVE")
            row.prop_enum(brush, "blend", painting.BRING_BACK, text="Bring Back", icon="ADD")
        _shape(body, photo.photo_body)
    method.draw_settings(body, context, "fit")


def _shape(layout: bpy.types.UILayout, body: bpy.types.Object) -> None:
    header, folded = layout.panel("understudy_shape", default_closed=True)
    header.label(text="Shape")
    if folded is not None:
        column = folded.column()
        column.use_property_split, column.use_property_decorate = True, False
        for name in _SHAPE:
            column.prop(body.understudy_shape, name, slider=True)


def _texture(layout: bpy.types.UILayout, context: bpy.types.Context, session: Session, textured: bool) -> None:
    body = _part(layout, "understudy_texture", "Texture", textured)
    if body is None:
        return
    running = _progress(body, context, session, "texture")
    if not textured:
        if not running:
            obstacles(body, context, readiness(context.scene, session, "texture"))
            primary(body, "understudy.make_texture", icon="TEXTURE")
            button(body, "understudy.make_texture", "Only What the Photos Show", fill_in=False)
    else:
        row = body.row(align=True)
        painting = api_imitator.painting_texture(context.scene)
        button(row, "understudy.paint_texture", "Stop Painting" if painting else "Paint", "BRUSH_DATA")
        button(row, "understudy.reset_texture", "Reset", "LOOP_BACK")
        row = body.row(align=True)
        row.enabled = not running
        button(row, "understudy.make_texture", "Make Again", "FILE_REFRESH")
        if exists("understudy.view_texture"):
            body.operator_menu_enum("understudy.view_texture", "stage", text="View", icon="IMAGE_DATA")
        shading = getattr(context.space_data, "shading", None)
        if shading is not None and shading.type == "SOLID" and shading.color_type != "TEXTURE":
            body.prop_enum(shading, "color_type", "TEXTURE", text="Show on Body", icon="TEXTURE")
    method.draw_settings(body, context, "threedhm_texture")


def _part(layout: bpy.types.UILayout, idname: str, name: str, done: bool) -> bpy.types.UILayout | None:
    """A part that folds, with a tick once it is done; None while it is folded."""
    header, body = layout.panel(idname)
    header.label(text=name)
    if done:
        header.label(text="", icon="CHECKMARK")
    return body


def _progress(layout: bpy.types.UILayout, context: bpy.types.Context, session: Session, role: str) -> bool:
    """The job of a step, with the button that stops it. Returns whether there is one."""
    for job in session.jobs.active():
        if job.record.role == role and job.record.scene.find() == context.scene:
            row = layout.row(align=True)
            if job.progress > 0:
                row.progress(factor=job.progress, text=begun(job.stage))
            else:
                busy(row, begun(job.stage) or "Getting ready")
            button(row, "understudy.cancel", "", "X", take=job.take)
            return True
    return False
