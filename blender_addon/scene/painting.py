# SPDX-License-Identifier: GPL-3.0-or-later
"""Painting on the body's texture and on the person's mask with Blender's own brushes, and keeping what was painted.

Blender saves a .blend without what was painted on an image inside it since that was packed. Images that are marked here
are packed before each save.
"""

from __future__ import annotations

from typing import Any

import bpy
from bpy.app.handlers import persistent
from bpy.types import Area, Brush, Image, Object, Scene, Window

from .body_parts import mesh_of
from .modes import enter
from .overriding import overridden
from .windows import largest, nearest, open_editor

_KEPT = "understudy_kept"
"""Custom property of an image whose painting is kept when the .blend is saved."""

_BEFORE = "understudy_shading"
"""Custom property of a screen: how its 3D view was drawn before painting."""

_BRUSHES = "brushes/essentials_brushes-mesh_texture.blend/Brush/"
"""Where Blender's own brushes are, within its library of essentials."""

_BRUSH, _ERASER = "Paint Hard", "Erase Hard"

TAKE_AWAY, BRING_BACK = "ERASE_ALPHA", "ADD_ALPHA"
"""How a brush blends that paints on a mask: what it makes transparent keeps its colour, and can be brought back."""

_OPENED = "understudy_mask"
"""Custom property of a screen: the editor in which a mask is painted on was opened for that, and goes with it."""

_MARGIN = 160
"""Pixels of an Image Editor's height that its headers and its shelf of brushes cover."""


def keep(image: Image) -> None:
    """Marks an image: what is painted on it is saved with the .blend."""
    image[_KEPT] = True


def pack_painted() -> None:
    """Packs what was painted on marked images since they were packed last."""
    for image in bpy.data.images:
        if _KEPT in image and image.is_dirty and image.library is None:
            image.pack()


@persistent
def _before_saving(*_: Any) -> None:
    pack_painted()


def attach() -> None:
    """From `register`: what is painted is packed at every save."""
    bpy.app.handlers.save_pre.append(_before_saving)


def detach() -> None:
    """From `unregister`."""
    if _before_saving in bpy.app.handlers.save_pre:
        bpy.app.handlers.save_pre.remove(_before_saving)


def paint_body(scene: Scene, body: Object, image: Image) -> None:
    """Enters Texture Paint on a body with its texture as the canvas, and shows the texture as it is, without light.

    Raises:
        RuntimeError: the body is hidden or is not in the scene that the artist sees.
    """
    mesh = mesh_of(body)
    keep(image)
    settings = scene.tool_settings.image_paint
    settings.mode, settings.canvas = "IMAGE", image
    enter(scene, mesh, "TEXTURE_PAINT")
    if mask_brush(scene) is not None:  # since the mask was painted on
        _choose_brush(_BRUSH)
    for window, area in _views():
        _flat(window, area)


def painting(body: Object) -> bool:
    """Whether the artist paints on a body just now."""
    return mesh_of(body).mode == "TEXTURE_PAINT"


def stop_painting(scene: Scene, body: Object) -> None:
    """Leaves Texture Paint; views are shaded as before, what was painted is packed."""
    mesh = mesh_of(body)
    if mesh.mode == "TEXTURE_PAINT":
        enter(scene, mesh, "OBJECT")
    for window, area in _views():
        _as_before(window, area)
    pack_painted()


def paint_mask(scene: Scene, image: Image, body: Object | None, context: bpy.types.Context) -> bool:
    """Opens a mask in an Image Editor with a brush that makes transparent; `mask_brush` can also bring back.

    Args:
        scene: whose brush settings.
        image: the mask.
        body: a visible body: Blender changes brushes only in a mode that paints.
        context: of the button; its window is used.

    Returns:
        False where Blender has no window.
    """
    keep(image)
    brush = mask_brush(scene)
    if brush is not None:
        brush.blend = TAKE_AWAY
    elif body is not None:
        _choose_eraser(scene, body)  # first: it lets Image Editors show the body's texture
    scene.tool_settings.image_paint.canvas = image
    there = nearest(context, "IMAGE_EDITOR") is not None
    found = open_editor(context, "IMAGE_EDITOR")
    if found is None:
        return False
    window, area = found
    if not there:
        window.screen[_OPENED] = True
    space = area.spaces.active
    space.image, space.display_channels = image, "COLOR_ALPHA"
    space.ui_mode = "PAINT"
    if min(image.size) > 0 and area.height > _MARGIN:
        space.zoom_percentage = 100 * min(area.width / image.size[0], (area.height - _MARGIN) / image.size[1])
    return True


def mask_brush(scene: Scene) -> Brush | None:
    """The brush in hand, where it is one that takes away or brings back."""
    brush = scene.tool_settings.image_paint.brush
    return brush if brush is not None and brush.blend in (TAKE_AWAY, BRING_BACK) else None


def painting_mask(image: Image, context: bpy.types.Context) -> bool:
    """Whether a mask is open in this window to be painted on."""
    return context.window is not None and _mask_editor(context.window, image) is not None


def stop_painting_mask(image: Image, context: bpy.types.Context) -> None:
    """Closes the editor of a mask, if it was opened for it, and packs what was painted."""
    pack_painted()
    window = context.window
    area = _mask_editor(window, image) if window is not None else None
    if window is None or area is None:
        return
    area.spaces.active.ui_mode = "VIEW"
    if window.screen.get(_OPENED) and not bpy.app.background:  # without a window, Blender hangs later
        del window.screen[_OPENED]
        with overridden(window=window, area=area, region=area.regions[-1]):
            bpy.ops.screen.area_close()


def show_image(image: Image, context: bpy.types.Context) -> bool:
    """Opens an image in an Image Editor to be looked at. False where Blender has no window."""
    found = open_editor(context, "IMAGE_EDITOR")
    if found is not None:
        found[1].spaces.active.image = image
    return found is not None


def _mask_editor(window: Window, image: Image) -> Area | None:
    for area in window.screen.areas:
        space = area.spaces.active
        if area.type == "IMAGE_EDITOR" and space.image == image and space.ui_mode == "PAINT":
            return area
    return None


def _choose_eraser(scene: Scene, body: Object) -> None:
    layer = bpy.context.view_layer if bpy.context.scene == scene else scene.view_layers[0]
    active = layer.objects.active
    mode = active.mode if active is not None else "OBJECT"
    try:
        enter(scene, mesh_of(body), "TEXTURE_PAINT")
    except RuntimeError:  # it is hidden: the artist chooses a brush
        return
    _choose_brush(_ERASER)
    enter(scene, mesh_of(body), "OBJECT")
    if active is not None and active.visible_get(view_layer=layer):
        enter(scene, active, mode)


def _choose_brush(name: str) -> None:
    """Takes one of Blender's own brushes in hand; in a 3D view, because in an Image Editor that was only just opened
    Blender crashes over it."""
    found = nearest(bpy.context, "VIEW_3D")
    if found is None:
        return
    window, area = found
    region = next((region for region in area.regions if region.type == "WINDOW"), None)
    try:
        with overridden(window=window, area=area, region=region):
            bpy.ops.brush.asset_activate(
                asset_library_type="ESSENTIALS",
                asset_library_identifier="",
                relative_asset_identifier=f"{_BRUSHES}{name}",
            )
    except RuntimeError:  # its library has not been read yet: the artist chooses
        return


def _views() -> list[tuple[Window, Area]]:
    manager = bpy.context.window_manager
    windows = manager.windows if manager else ()
    return [(w, area) for w in windows if (area := largest(w, "VIEW_3D")) is not None]


def _flat(window: Window, area: Area) -> None:
    space = area.spaces.active
    shading = space.shading
    if _BEFORE not in window.screen:
        bones = "bones" if space.overlay.show_bones else ""
        window.screen[_BEFORE] = [shading.type, shading.light, shading.color_type, bones]
    space.overlay.show_bones = False  # they would be drawn over what is painted
    shading.type, shading.light, shading.color_type = "SOLID", "FLAT", "TEXTURE"


def _as_before(window: Window, area: Area) -> None:
    before = window.screen.get(_BEFORE)
    if before is None:
        return
    shading = area.spaces.active.shading
    shading.type = "SOLID"  # light and colour are of this one
    shading.light, shading.color_type = before[1], before[2]
    shading.type = before[0]
    area.spaces.active.overlay.show_bones = bool(before[3])
    del window.screen[_BEFORE]
