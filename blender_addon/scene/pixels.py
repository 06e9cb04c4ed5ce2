# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender images as arrays for the backend, and arrays as images. Arrays have their origin at the top left.

Blender's undo brings back datablocks, not the pixels in them. So what changes a picture makes a new image in place of
the old one, which stays in the file's memory until that is saved and opened again.
"""

from __future__ import annotations

import bpy
import numpy as np
from bpy.types import Image
from numpy.typing import NDArray
from understudy_shared.frames import linear_to_srgb

CUTOUT = "understudy_cutout"
"""Custom property of a mask that is kept as the alpha of the photo, so that who paints on it sees the photo."""

_LONGEST_CUTOUT = 2048
"""Pixels of the longer side of a mask with the photo in it: more would be many megabytes of the .blend."""

_EARLIER = "understudy_earlier"
"""Custom property of an image that another one has replaced."""


def image_rgba(image: Image) -> NDArray[np.uint8]:
    """An image as (H, W, 4) uint8 sRGB with straight alpha.

    Raises:
        ValueError: Blender cannot read it.
    """
    width, height = image.size
    if not width or not height or image.channels == 0:
        raise ValueError(f'The picture "{image.name}" cannot be read: choose a PNG or JPEG file that exists')
    flat = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(flat)
    pixels = flat.reshape(height, width, image.channels)[::-1]
    out = np.ones((height, width, 4), np.float32)
    if image.channels >= 3:
        out[..., : image.channels] = pixels[..., :4]
    else:
        out[..., :3] = pixels[..., :1]
    if image.is_float:  # Blender keeps float images linear and multiplied by alpha, byte images as the file has them
        if image.alpha_mode in {"STRAIGHT", "PREMUL"}:
            out[..., :3] /= np.maximum(out[..., 3:], 1e-6)
        out[..., :3] = linear_to_srgb(out[..., :3])
    return np.rint(np.clip(out, 0, 1) * 255).astype(np.uint8)


def image_mask(image: Image) -> NDArray[np.uint8]:
    """An image as a mask (H, W) uint8: its alpha where it has one, else its brightness.

    Raises:
        ValueError: Blender cannot read it.
    """
    rgba = image_rgba(image)
    if CUTOUT in image or (rgba[..., 3] < 255).any():
        return np.ascontiguousarray(rgba[..., 3])
    return rgba[..., :3].mean(axis=-1).round().astype(np.uint8)


def mask_image(
    name: str, mask: NDArray, existing: Image | None = None, photo: NDArray[np.uint8] | None = None
) -> Image:
    """A mask (H, W), uint8 or in [0, 1], as an image that is packed into the .blend and may be painted on.

    Args:
        name: of a new image.
        mask: where the person is.
        existing: the mask that it replaces, wherever that is shown.
        photo: (H, W, 4) of the same size: the mask is then the photo's alpha, which brushes take away and bring back.
            A large one is made smaller. Without it, the mask is white on black.
    """
    values = mask if mask.dtype == np.uint8 else np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8)
    if photo is None:
        rgba = np.dstack([values, values, values, np.full_like(values, 255)])
        return new_image(name, rgba, colorspace="Non-Color", instead_of=existing)
    image = new_image(name, np.dstack([photo[..., :3], values]), instead_of=existing, longest=_LONGEST_CUTOUT)
    image[CUTOUT] = True
    return image


def resized(mask: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask (H, W) at another (width, height), by linear interpolation."""
    out = mask.astype(np.float32)
    for axis, count in enumerate(size[::-1]):
        places = ((np.arange(count) + 0.5) * out.shape[axis] / count - 0.5).clip(0, out.shape[axis] - 1)
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, out.shape[axis] - 1)
        part = (places - low).astype(np.float32)
        part = part[:, None] if axis == 0 else part[None]
        out = out.take(low, axis) * (1 - part) + out.take(high, axis) * part
    return np.rint(out).astype(np.uint8)


def new_image(
    name: str,
    rgba: NDArray[np.uint8],
    *,
    colorspace: str = "sRGB",
    alpha_mode: str = "STRAIGHT",
    instead_of: Image | None = None,
    pack: bool = True,
    longest: int = 0,
) -> Image:
    """An image (H, W, 4), sRGB, straight alpha.

    Args:
        name: its name, unless it takes over that of `instead_of`.
        rgba: the pixels.
        colorspace: of Blender's names.
        alpha_mode: CHANNEL_PACKED keeps colour and alpha apart in renders.
        instead_of: the image that it replaces: whatever showed it (materials, editors, settings) shows the new one.
        pack: keeps it in the .blend.
        longest: pixels of the longer side above which it is made smaller; 0: any.
    """
    height, width = rgba.shape[:2]
    image = bpy.data.images.new(name, width, height, alpha=True)
    image.colorspace_settings.name, image.alpha_mode = colorspace, alpha_mode
    image.pixels.foreach_set(np.ascontiguousarray(rgba[::-1].astype(np.float32) / 255).reshape(-1))
    if 0 < longest < max(width, height):
        scale = longest / max(width, height)
        image.scale(max(1, round(width * scale)), max(1, round(height * scale)))
    image.update()
    if pack:
        image.pack()
    if instead_of is not None:
        _replace(instead_of, image)
    return image


def _replace(old: Image, new: Image) -> None:
    if old.is_dirty and old.size[0]:
        old.pack()  # undo brings it back as it was painted last
    for other in list(bpy.data.images):
        if _EARLIER in other and other.users == 0 and other != new:
            bpy.data.images.remove(other)
    name = old.name
    old.name, old[_EARLIER] = f"{name} (earlier)", True
    new.name = name
    old.user_remap(new)
    old.use_fake_user = False
