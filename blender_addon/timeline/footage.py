# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of a movie or image strip, one at a time, as arrays.

Blender renders them, in a copy of the strip's scene that holds nothing else and is removed at once: trim, offset, rate,
retiming, reversal, flips and colours are Blender's own, and nothing of the artist's scene is written. Where the strip
stands in the picture, how large it is there and how it is blended does not count; what is cropped away does.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy
import numpy as np
from numpy.typing import NDArray

from ..render.passes import BlenderBusy
from ..render.still import render_still
from ..scene.compat import set_file_format
from ..scene.evaluation import NAME
from ..scene.pixels import image_rgba
from . import compat

LONGEST = 1024
"""Pixels of the longer side above which pictures are made smaller: a take keeps them on disk until it is done."""

_SMALLEST = 8
_NUMBERED = re.compile(r"(.*?)(\d+)")


def is_footage(strip: bpy.types.Strip) -> bool:
    """Whether a strip is one that this module can read."""
    return strip.type in {"MOVIE", "IMAGE"}


def require_footage(strip: bpy.types.Strip) -> None:
    """Raises ValueError unless all pictures of a strip can be read, as far as the names of its files tell."""
    if not is_footage(strip):
        raise ValueError(f'"{strip.name}" is neither a movie nor an image strip: choose one that is')
    if strip.parent_meta() is not None:
        raise ValueError(f'"{strip.name}" lies in a meta strip: separate that first (Strip > Separate Meta Strip)')
    if strip.type == "MOVIE":
        path = bpy.path.abspath(strip.filepath)
        if not Path(path).is_file():
            raise ValueError(f'The movie of "{strip.name}" is not at {path}: put it there, or choose another strip')
        return
    missing = [name for name in _files(strip) if not Path(bpy.path.abspath(strip.directory), name).is_file()]
    if missing:
        raise ValueError(
            f'{len(missing)} of the pictures of "{strip.name}" are missing, {missing[0]} among them: '
            "put them back, or trim the strip"
        )


def span(strip: bpy.types.Strip) -> tuple[int, int]:
    """The first and the last scene frame that a strip shows."""
    return compat.strip_start(strip), compat.strip_end(strip) - 1


def natural_size(strip: bpy.types.Strip) -> tuple[int, int]:
    """(width, height) of a strip's pictures without what is cropped away, the longer side at most `LONGEST`.

    Raises:
        ValueError: they cannot be read, or all is cropped away.
    """
    width, height = _cropped(strip)
    scale = min(1.0, LONGEST / max(width, height))
    return max(_SMALLEST, round(width * scale)), max(_SMALLEST, round(height * scale))


def picture(strip: bpy.types.Strip, number: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """What a strip shows at a scene frame, (H, W, 4) sRGB with straight alpha.

    Args:
        strip: one of footage.
        number: scene frame; before and after the strip's pictures, the nearest.
        size: (width, height) in pixels: the picture fills it, centred, and what stands over is cut off.

    Raises:
        ValueError: it cannot be read.
        BlenderBusy: another render is running.
        RuntimeError: the render failed.
    """
    if bpy.app.is_job_running("RENDER"):
        raise BlenderBusy("Blender is rendering: wait for it, or cancel it")
    whole = _cropped(strip)
    with _alone(strip) as (aside, alone), tempfile.TemporaryDirectory(prefix="understudy-") as folder:
        _fill(alone, max(size[0] / whole[0], size[1] / whole[1]))
        path = Path(folder) / "picture.png"
        _settings(aside, size)
        # the sequencer renders the current frame of the artist's scene, whichever scene it is told
        compat.move(alone, bpy.context.scene.frame_current - number)
        render_still(aside, path)
        if not path.exists():
            raise RuntimeError(f'Blender could not show "{strip.name}": see its console, and the space on the disk')
        image = bpy.data.images.load(str(path), check_existing=False)
        try:
            return image_rgba(image)
        finally:
            bpy.data.images.remove(image)


@contextmanager
def file_strip(path: Path, start: int) -> Iterator[bpy.types.Strip]:
    """A strip of a movie, of a picture, or of the numbered pictures that a picture is one of; removed on leaving.

    Args:
        path: the file.
        start: scene frame of the first picture; each frame after it shows the next.

    Raises:
        ValueError: Blender cannot read it, or the row of pictures has a gap.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist: choose a movie or a picture that does")
    aside = bpy.data.scenes.new(NAME)
    try:
        aside.view_settings.view_transform = "Standard"
        strips = aside.sequence_editor_create().strips
        suffix = path.suffix.lower()
        if suffix in bpy.path.extensions_movie:
            strip = _movie(strips, path, start)
        elif suffix in bpy.path.extensions_image:
            strip = _images(strips, path, start)
        else:
            raise ValueError(f"{path.name} is neither a movie nor a picture: choose one that is")
        yield strip
    finally:
        bpy.data.scenes.remove(aside)


def _movie(strips: bpy.types.StripsTopLevel, path: Path, start: int) -> bpy.types.Strip:
    try:
        strip = strips.new_movie(path.stem, str(path), 1, start)
    except RuntimeError as error:
        raise ValueError(f"{path.name} cannot be read: save it as an MP4 movie, or as pictures") from error
    _size(strip)  # a file that is no movie has none
    return strip


def _images(strips: bpy.types.StripsTopLevel, path: Path, start: int) -> bpy.types.Strip:
    names = _row(path)
    strip = strips.new_image(path.stem, str(path.with_name(names[0])), 1, start)
    strip.alpha_mode = "STRAIGHT"
    for name in names[1:]:
        strip.elements.append(name)
    return strip


def _row(path: Path) -> list[str]:
    """The names of the numbered pictures that one is part of, in order.

    Raises:
        ValueError: one of them is missing.
    """
    found = _NUMBERED.fullmatch(path.stem)
    if found is None:
        return [path.name]
    head = found.group(1)
    numbers: dict[int, str] = {}
    for other in sorted(path.parent.iterdir()):
        match = _NUMBERED.fullmatch(other.stem)
        if match and match.group(1) == head and other.suffix == path.suffix:
            numbers[int(match.group(2))] = other.name
    gap = next((n for n in range(min(numbers), max(numbers)) if n not in numbers), None)
    if gap is not None:
        raise ValueError(f"Picture {gap} is missing between {numbers[min(numbers)]} and {numbers[max(numbers)]}")
    return [numbers[number] for number in sorted(numbers)]


def _files(strip: bpy.types.Strip) -> list[str]:
    """The names of the pictures that an image strip shows, each once."""
    names = [element.filename for element in strip.elements]
    if len(strip.retiming_keys) or strip.use_reverse_frames or strip.strobe > 1:
        return list(dict.fromkeys(names))  # which of them, only Blender knows
    first, last = span(strip)
    start, trim = compat.content_start(strip), compat.content_trim(strip)
    end = max(len(names) - 1 - trim[1], trim[0])
    shown = range(max(first - start, 0) + trim[0], max(last - start, 0) + trim[0] + 1)
    return list(dict.fromkeys(names[min(index, end)] for index in shown))


def _size(strip: bpy.types.Strip) -> tuple[int, int]:
    element = strip.elements[0] if strip.elements else None  # Blender fills in no other's
    width, height = (element.orig_width, element.orig_height) if element else (0, 0)
    if strip.type == "IMAGE" and element and (width < 1 or height < 1):
        image = bpy.data.images.load(str(Path(bpy.path.abspath(strip.directory), element.filename)))
        width, height = image.size
        bpy.data.images.remove(image)
    if width < 1 or height < 1:
        raise ValueError(f'"{strip.name}" cannot be read: choose another movie or other pictures')
    return width, height


def _cropped(strip: bpy.types.Strip) -> tuple[int, int]:
    width, height = _size(strip)
    crop = strip.crop
    width, height = width - crop.min_x - crop.max_x, height - crop.min_y - crop.max_y
    if width < 1 or height < 1:
        raise ValueError(f'Nothing of "{strip.name}" is left: crop away less')
    return width, height


@contextmanager
def _alone(strip: bpy.types.Strip) -> Iterator[tuple[bpy.types.Scene, bpy.types.Strip]]:
    """A copy of the strip's scene with a copy of the strip, and nothing else."""
    name = strip.name
    aside = strip.id_data.copy()
    try:
        aside.name = NAME
        aside.animation_data_clear()  # it would put the strip's opacity and place back
        aside.camera = aside.world = aside.background_set = None
        for things in (aside.collection.children, aside.collection.objects):
            for thing in list(things):
                things.unlink(thing)
        strips = aside.sequence_editor.strips
        while other := next((each for each in strips if each.name != name), None):
            strips.remove(other)  # takes the effects on it along: so one at a time
        yield aside, strips[name]
    finally:
        bpy.data.scenes.remove(aside)


def _fill(strip: bpy.types.Strip, scale: float) -> None:
    """Puts the part that is not cropped away into the middle of the picture."""
    strip.mute, strip.blend_type, strip.blend_alpha = False, "REPLACE", 1
    strip.id_data.sequence_editor.channels[strip.channel].mute = False
    crop, place = strip.crop, strip.transform
    place.scale_x = place.scale_y = scale
    place.offset_x = scale * (crop.max_x - crop.min_x) / 2
    place.offset_y = scale * (crop.max_y - crop.min_y) / 2
    place.rotation, place.origin = 0, (0.5, 0.5)


def _settings(aside: bpy.types.Scene, size: tuple[int, int]) -> None:
    render, view = aside.render, aside.view_settings
    render.resolution_x, render.resolution_y, render.resolution_percentage = *size, 100
    render.pixel_aspect_x = render.pixel_aspect_y = 1
    render.use_sequencer, render.use_compositing, render.film_transparent = True, False, True
    render.use_border = render.use_multiview = render.use_stamp = False
    render.dither_intensity = 0
    render.use_file_extension = render.use_overwrite = True
    settings = render.image_settings
    set_file_format(settings, "PNG")
    settings.color_mode, settings.color_depth, settings.compression = "RGBA", "8", 0
    settings.color_management = "FOLLOW_SCENE"
    # what the picture's file has is what is sent: in and out by the same curve, and nothing in between
    aside.display_settings.display_device = "sRGB"
    aside.sequencer_colorspace_settings.name = "sRGB"
    view.view_transform, view.look, view.exposure, view.gamma = "Standard", "None", 0, 1
    view.use_curve_mapping = view.use_white_balance = False
