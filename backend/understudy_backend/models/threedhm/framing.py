"""The person's own window in a frame: networks as small as ours always see a person who fills it.

So they need not learn every size that a person may have in a picture, spend nothing on the empty rest of it, and finish
a frame of any size.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, pad

ABOVE_AND_BELOW = 0.05
"""Room left for hair, hems and shoes, as a share of the body's height in the frame, at each end."""
BESIDE = 0.10
"""Room left for skirts, sleeves and hair, as a share of the body's larger side, at each side."""
LARGEST_SCALE = 4.0
"""A person so small that this would not fill the window stays smaller in it."""


@dataclass(frozen=True)
class Box:
    """A part of a frame in whole pixels; it may reach beyond the frame."""

    left: int
    top: int
    right: int
    bottom: int


def person_box(cover: NDArray[np.uint8], window: tuple[int, int]) -> Box:
    """Where the window lies in a frame.

    Args:
        cover: (H, W) uint8 alpha of the body in the frame; one without a body gives a window in its middle.
        window: (width, height) of the window in pixels.
    """
    height, width = cover.shape
    left, top, across, down = cv2.boundingRect((cover > 8).astype(np.uint8))
    if across == 0:
        left, top, across, down = 0, 0, width, height
    room = BESIDE * max(across, down)
    scale = max(
        (across + 2 * room) / window[0], down * (1 + 2 * ABOVE_AND_BELOW) / window[1], 1 / LARGEST_SCALE
    )  # fmt: skip
    box_width, box_height = max(2, round(window[0] * scale)), max(2, round(window[1] * scale))
    x, y = round(left + across / 2 - box_width / 2), round(top + down / 2 - box_height / 2)
    return Box(x, y, x + box_width, y + box_height)


def cut(image: Tensor, box: Box, window: tuple[int, int], background: Tensor) -> Tensor:
    """The box of an image (C, H, W), resampled to the window (C, window height, window width).

    Args:
        background: (C, 1, 1), what lies beyond the frame.
    """
    height, width = image.shape[1:]
    if (box.left, box.top, box.right, box.bottom) == (0, 0, *window) and window == (width, height):
        return image
    inner = image[:, max(box.top, 0) : max(box.bottom, 0), max(box.left, 0) : max(box.right, 0)] - background
    beyond = (max(-box.left, 0), max(box.right - width, 0), max(-box.top, 0), max(box.bottom - height, 0))
    return _resample(pad(inner, beyond), window) + background


def paste(part: Tensor, box: Box, size: tuple[int, int], background: Tensor) -> Tensor:
    """The inverse of `cut`: (C, window height, window width) to a frame (C, H, W) of `size` (width, height)."""
    width, height = size
    whole = _resample(part, (box.right - box.left, box.bottom - box.top))
    frame = background.expand(-1, height, width).clone()
    rows, columns = slice(max(box.top, 0), min(box.bottom, height)), slice(max(box.left, 0), min(box.right, width))
    frame[:, rows, columns] = whole[
        :, rows.start - box.top : rows.stop - box.top, columns.start - box.left : columns.stop - box.left
    ]
    return frame


def pixels(
    box: Box, window: tuple[int, int], size: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """The frame's pixel that is nearest to each of the window's: rows (h,), columns (w,), kept within the frame, and
    whether there is one (h, w)."""
    rows = np.floor(box.top + (np.arange(window[1]) + 0.5) * (box.bottom - box.top) / window[1]).astype(np.intp)
    columns = np.floor(box.left + (np.arange(window[0]) + 0.5) * (box.right - box.left) / window[0]).astype(np.intp)
    inside = ((rows >= 0) & (rows < size[1]))[:, None] & ((columns >= 0) & (columns < size[0]))
    return rows.clip(0, size[1] - 1), columns.clip(0, size[0] - 1), inside


def background(grey: float) -> Tensor:
    """Nothing at all, as a composed image (see `latents.compose`) shows it over this grey: (4, 1, 1)."""
    return torch.tensor([2 * grey - 1] * 3 + [-1.0]).view(4, 1, 1)


def _resample(image: Tensor, size: tuple[int, int]) -> Tensor:
    """An image (C, H, W) at another size (width, height), without aliasing."""
    if image.shape[1:] == (size[1], size[0]):
        return image
    return interpolate(image[None], size[::-1], mode="bilinear", align_corners=False, antialias=True)[0]
