# SPDX-License-Identifier: GPL-3.0-or-later
"""What a method must be given, gathered from the scene; each function says what to do where something is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import bpy
from numpy.typing import NDArray
from understudy_shared.fit import FIT_ARRAYS
from understudy_shared.frames import Channel
from understudy_shared.protocol.description import MethodDescription

from ..render.choose import reasons_to_render
from ..scene import photo_view
from ..scene.material import get_texture
from . import photo_inputs
from .jobs import Source

_RENDERING = ("texture", "photo", "photo_mask")
"""What rendering methods are given while no backend has told what they need."""

_PICTURE = (Channel.RGBA, Channel.DEPTH, Channel.NORMAL, Channel.UV, Channel.MASK)
"""What Blender's render gives in place of the geometry."""


def photo(scene: bpy.types.Scene) -> NDArray:
    """The scene's photo, (H, W, 4) uint8."""
    return photo_inputs.pixels(scene.understudy)


def photo_mask(scene: bpy.types.Scene) -> NDArray:
    """Where the person is in the photo, (H, W) uint8."""
    return photo_inputs.mask(scene.understudy)


def fit(scene: bpy.types.Scene) -> dict[str, NDArray]:
    """The fit of body and photo, see `photo_inputs.fit`."""
    return photo_inputs.fit(scene, scene.understudy)


def corrected_fit(scene: bpy.types.Scene) -> dict[str, NDArray]:
    """The fit as the artist has left it, from which to fit again: `start_betas` and so on."""
    return photo_inputs.corrected_fit(scene, scene.understudy)


def described(methods: Sequence[MethodDescription], name: str) -> MethodDescription | None:
    """The method of that name; None while no backend has told its methods.

    Raises:
        ValueError: the backend lacks it.
    """
    if not methods:
        return None
    for method in methods:
        if method.name == name:
            return method
    raise ValueError(f'The backend has no method "{name}", but {", ".join(method.name for method in methods)}')


def inputs(
    method: MethodDescription | None, scene: bpy.types.Scene, body: bpy.types.Object | None, given: dict[str, NDArray]
) -> dict[str, NDArray]:
    """The inputs that a rendering method needs, those in `given` first. Without a body, nobody has a texture.

    Raises:
        ValueError: something is missing.
    """
    makers: dict[str, Callable[[], NDArray]] = {
        "texture": lambda: _texture(body),
        "photo": lambda: photo(scene),
        "photo_mask": lambda: photo_mask(scene),
    }
    if "photo" not in given and "photo_mask" not in given:  # of another photo the scene knows no fit
        fitted = cache(lambda: photo_inputs.fit_of_texture(scene.understudy))
        makers |= {name: lambda name=name: fitted()[name] for name in FIT_ARRAYS}
    if method is None:
        wanted = [(name, False) for name in _RENDERING]
    else:
        wanted = [(need.name, need.optional) for need in method.needs if not need.per_frame]
    out = dict(given)
    for name, optional in wanted:
        if name in out:
            continue
        if name in makers:
            try:
                out[name] = makers[name]()
            except ValueError:
                if not optional:
                    raise
        elif not optional:
            raise ValueError(f'The method needs "{name}": give it in `inputs`')
    return out


def _texture(body: bpy.types.Object | None) -> NDArray:
    if body is None:
        raise ValueError("The method needs a texture, and there is no body that has one: import a motion first")
    return get_texture(body)


def conditions(
    method: MethodDescription | None, scene: bpy.types.Scene, body: bpy.types.Object
) -> tuple[Source, tuple[str, ...]]:
    """How frames are to be made for a method, and which of their channels it wants (none named: all).

    Geometry wherever the scene and the method allow it, because it is a tenth of the work.
    """
    if photo_view.paused(body):
        raise ValueError(f'"{body.name}" stands in the pose of its photo: hide the photo first, and it moves again')
    channels = tuple(need.name for need in method.needs if need.per_frame) if method else ()
    if method and not channels:
        return "nothing", ()
    needs_picture = method is not None and Channel.VERTICES not in channels
    takes_picture = method is None or any(name in channels for name in _PICTURE)
    renders = needs_picture or (takes_picture and bool(reasons_to_render(scene, body)))
    source: Source = "render" if renders else "geometry"
    if source == "render" and channels:  # the picture in place of the geometry; cameras are welcome beside it
        channels = tuple(name for name in channels if name != Channel.VERTICES)
    return source, channels
