# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip that drives a photo in place of the scene's body: a movie or image strip of the sequencer, or a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy
import msgspec
import numpy as np
from numpy.typing import NDArray
from understudy_shared.frames import Channel, Frame
from understudy_shared.protocol.description import MethodDescription

from ..timeline import footage
from .refs import Ref, ref


class Driving(msgspec.Struct, frozen=True):
    """Which clip, and how its pictures are sent: a strip by its scene and name, or a file."""

    scene: Ref | None = None
    """Whose sequencer has the strip."""
    strip: str = ""
    path: str = ""
    """A movie, a picture, or one of a row of numbered pictures; absolute."""
    start: int = 0
    """Scene frame of a file's first picture; each frame after it shows the next."""
    size: tuple[int, int] = (0, 0)
    """(width, height) of the pictures that are sent."""


def takes_clip(method: MethodDescription | None) -> bool:
    """Whether pictures alone can drive a method, so that it needs neither body nor camera."""
    if method is not None and method.takes_clip:
        return True
    frames = [need for need in method.needs if need.per_frame and not need.optional] if method else []
    return [need.name for need in frames] == [Channel.RGBA]


def clip_of(
    what: bpy.types.Strip | str | Path, start: int, method: MethodDescription | None, size: tuple[int, int]
) -> Driving:
    """A clip as a job remembers it.

    Args:
        what: a strip of any scene's sequencer, or a file.
        start: scene frame of a file's first picture.
        method: what it drives.
        size: (width, height) of the take: that of the pictures, too, unless the method takes others.

    Raises:
        ValueError: the method is not driven by pictures, or the clip cannot be read.
    """
    if method is not None and not takes_clip(method):
        raise ValueError(f"{method.title} moves a body, no pictures: choose a method that pictures drive")
    if isinstance(what, bpy.types.Strip):
        found = Driving(scene=ref("scenes", what.id_data), strip=what.name)
    else:
        found = Driving(path=bpy.path.abspath(str(what)), start=start)
    with _opened(found) as strip:
        footage.require_footage(strip)
        own = footage.natural_size(strip)
    return msgspec.structs.replace(found, size=own if method is not None and method.any_size else size)


def span(clip: Driving) -> tuple[int, int]:
    """The first and the last scene frame that a clip covers.

    Raises:
        ValueError: it is gone.
    """
    with _opened(clip) as strip:
        return footage.span(strip)


def picture(clip: Driving, number: int) -> NDArray[np.uint8]:
    """The picture of a scene frame, (H, W, 4) sRGB with straight alpha.

    Raises:
        ValueError: the clip is gone, or cannot be read. BlenderBusy: another render is running.
    """
    with _opened(clip) as strip:
        return footage.picture(strip, number, clip.size)


def frame(clip: Driving, number: int) -> Frame:
    """The picture of a scene frame as what a method is sent; raises as `picture`."""
    return Frame(number, {Channel.RGBA: picture(clip, number)})


def same(one: Driving | None, other: Driving | None) -> bool:
    """Whether two are the same clip, at whatever size its pictures are sent."""
    if one is None or other is None:
        return one is other
    scenes = [clip.scene.find() if clip.scene else None for clip in (one, other)]
    return scenes[0] == scenes[1] and (one.strip, one.path, one.start) == (other.strip, other.path, other.start)


def source_of(clip: Driving) -> bpy.types.Strip | str:
    """The strip as it is now, or the path of the file: what `clip_of` takes.

    Raises:
        ValueError: the strip is gone.
    """
    return clip.path or _strip(clip)


@contextmanager
def _opened(clip: Driving) -> Iterator[bpy.types.Strip]:
    if not clip.path:
        yield _strip(clip)
        return
    with footage.file_strip(Path(clip.path), clip.start) as strip:
        yield strip


def _strip(clip: Driving) -> bpy.types.Strip:
    scene = clip.scene.find() if clip.scene else None
    editor = scene.sequence_editor if isinstance(scene, bpy.types.Scene) else None
    strip = editor.strips_all.get(clip.strip) if editor else None
    if strip is None:
        raise ValueError(f'The strip "{clip.strip}" was deleted or renamed: undo that, or choose another')
    return strip
