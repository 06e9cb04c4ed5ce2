# SPDX-License-Identifier: GPL-3.0-or-later
"""A 3D view that looks through a photo's camera, and back to what it looked at before.

Views are no data: undo leaves them alone, so what they were like is kept with their screen.
"""

from __future__ import annotations

import bpy
from bpy.types import Area, Context, Object, Scene, Screen, SpaceView3D, Window

from . import photo_view
from .overriding import overridden
from .photos import photo_of
from .windows import nearest

_BEFORE = "understudy_views"
"""Custom property of a screen: what its views looked at, by the place of their area."""


def look(scene: Scene, context: Context) -> bool:
    """Lets a 3D view look through the camera of the photo that is shown. False where there is no view."""
    number = photo_view.shown(scene)
    found = nearest(context, "VIEW_3D")
    if not number or found is None:
        return False
    window, area = found
    screen, space = window.screen, area.spaces.active
    assert isinstance(space, SpaceView3D)
    region = space.region_3d
    kept = screen[_BEFORE].to_dict() if _BEFORE in screen else {}
    key = str(list(screen.areas).index(area))
    first = key not in kept
    if first:
        kept[key] = {
            "local": space.use_local_camera,
            "camera": space.camera.name if space.use_local_camera and space.camera else "",
            "perspective": region.view_perspective,
            "rotation": list(region.view_rotation),
            "location": list(region.view_location),
            "distance": region.view_distance,
            "zoom": region.view_camera_zoom,
            "offset": list(region.view_camera_offset),
            "overlays": space.overlay.show_overlays,
        }
        screen[_BEFORE] = kept
    space.use_local_camera, space.camera = True, photo_of(scene, number).photo_camera
    region.view_perspective = "CAMERA"
    if first and not bpy.app.background:
        _fit(window, area)
    space.overlay.show_overlays = True  # backgrounds are one of them
    return True


def _fit(window: Window, area: Area) -> None:
    """Brings the camera's whole frame into a view that looks through it."""
    region = next(region for region in area.regions if region.type == "WINDOW")
    with overridden(window=window, area=area, region=region):
        bpy.ops.view3d.view_center_camera()


def look_back() -> None:
    """Lets all views look at what they looked at before `look`."""
    for screen in bpy.data.screens:
        for area, before in _kept(screen):
            space = area.spaces.active
            if isinstance(space, SpaceView3D):
                _restore(space, before)
        if _BEFORE in screen:
            del screen[_BEFORE]


def follow(old: Object | None, new: Object) -> None:
    """Lets views that look through a photo's old camera look through its new one."""
    for screen in bpy.data.screens:
        for area in screen.areas:
            space = area.spaces.active
            if isinstance(space, SpaceView3D) and old is not None and space.use_local_camera and space.camera == old:
                space.camera = new


def _kept(screen: Screen) -> list[tuple[Area, dict]]:
    kept = screen[_BEFORE].to_dict() if _BEFORE in screen else {}
    areas = list(screen.areas)
    return [(areas[int(key)], before) for key, before in kept.items() if int(key) < len(areas)]


def _restore(space: SpaceView3D, before: dict) -> None:
    region = space.region_3d
    region.view_perspective = before["perspective"]
    region.view_rotation, region.view_location = before["rotation"], before["location"]
    region.view_distance = before["distance"]
    region.view_camera_zoom, region.view_camera_offset = before["zoom"], before["offset"]
    camera = bpy.data.objects.get(before["camera"]) if before["camera"] else None
    if camera is not None:
        space.camera = camera
    space.use_local_camera = bool(before["local"])
    space.overlay.show_overlays = bool(before["overlays"])
