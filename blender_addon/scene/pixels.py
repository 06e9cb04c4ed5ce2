# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender images as arrays for the backend, and masks back as images. Arrays have their origin at the top left."""

from __future__ import annotations

import bpy
import numpy as np
from numpy.typing import NDArray
from understudy_shared.frames import linear_to_srgb


def image_rgba(image: bpy.types.Image) -> NDArray[np.uint8]:
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
    if image.is_float:  # Blender keeps float images linear, byte images as the file has them
        out[..., :3] = linear_to_srgb(out[..., :3])
    return np.rint(np.clip(out, 0, 1) * 255).astype(np.uint8)


def image_mask(image: bpy.types.Image) -> NDArray[np.uint8]:
    """An image as a mask (H, W) uint8: its brightness.

    Raises:
        ValueError: Blender cannot read it.
    """
    return image_rgba(image)[..., :3].mean(axis=-1).round().astype(np.uint8)


def mask_image(name: str, mask: NDArray, existing: bpy.types.Image | None = None) -> bpy.types.Image:
    """A mask (H, W), uint8 or in [0, 1], as an image that is packed into the .blend and may be painted on."""
    values = mask.astype(np.float32) / (255 if mask.dtype == np.uint8 else 1)
    height, width = values.shape
    image = existing or bpy.data.images.new(name, width, height, alpha=False)
    image.colorspace_settings.name = "Non-Color"
    if tuple(image.size) != (width, height):
        image.scale(width, height)
    out = np.ones((height, width, 4), np.float32)
    out[..., :3] = values[::-1, :, None]
    image.pixels.foreach_set(out.reshape(-1))
    image.update()
    image.pack()
    return image
