"""The square that the networks see of a picture, and its way back into the frame.

Pictures are (H, W, C) float32 in [0, 1], origin at the top left, pixel centres at half-integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Affine = NDArray[np.float64]

GREY = 0.5
"""What transparent pixels are laid over before a network sees them."""
HEAD = (2.0, 1.8, 0.1)
"""A head's square in distances of the face: half its side is the larger of 2 between the eyes and 1.8 from eyes to
mouth; its centre is 0.1 of the latter below the eyes (the FFHQ portraits' proportions)."""
MARGIN = 0.15
"""Room around a person, of the longer side of their box, on each side."""


@dataclass(frozen=True)
class Crop:
    """An upright rectangle of a picture, in pixels; it may reach beyond the picture."""

    left: float
    top: float
    width: float
    height: float

    def take(self, picture: Floats, size: tuple[int, int]) -> Floats:
        """What the rectangle shows, at (width, height)."""
        scale = np.array([size[0] / self.width, size[1] / self.height])
        return resample(picture, np.column_stack([np.diag(scale), -scale * (self.left, self.top)]), size)


def centre_crop(width: int, height: int) -> Crop:
    """The largest square in the middle."""
    side = min(width, height)
    return Crop((width - side) / 2, (height - side) / 2, side, side)


def person_crop(mask: Floats) -> Crop:
    """The square around the person of a mask (H, W) in [0, 1].

    Raises:
        ValueError: the mask is empty.
    """
    rows, columns = (np.flatnonzero((mask > 0.5).any(axis)) for axis in (1, 0))
    if not len(rows):
        raise ValueError("the mask shows nobody")
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = max(bottom - top, right - left) * (1 + 2 * MARGIN)
    return Crop((left + right - side) / 2, (top + bottom - side) / 2, side, side)


def head_crop(eyes: NDArray[np.floating], mouth: NDArray[np.floating]) -> Crop:
    """The square around a head, from both eyes (2, 2) and both corners of the mouth (2, 2)."""
    down = mouth.mean(0) - eyes.mean(0)
    half = max(HEAD[0] * float(np.hypot(*(eyes[0] - eyes[1]))), HEAD[1] * float(np.hypot(*down)))
    centre = eyes.mean(0) + HEAD[2] * down
    return Crop(float(centre[0]) - half, float(centre[1]) - half, 2 * half, 2 * half)


def contain(crop: Crop, size: tuple[int, int]) -> Affine:
    """(2, 3) from pixels of the picture to those of a frame (width, height) that shows the rectangle, centred."""
    scale = min(size[0] / crop.width, size[1] / crop.height)
    middle = np.array([crop.left + crop.width / 2, crop.top + crop.height / 2])
    return np.column_stack([np.eye(2) * scale, np.array(size) / 2 - scale * middle])


def resample(picture: Floats, affine: Affine, size: tuple[int, int]) -> Floats:
    """A picture under a map (2, 3) of scalings and shifts, bilinear, without aliasing; beyond its border its outermost
    pixels go on.

    Args:
        picture: (H, W, C).
        affine: from its pixels to the result's.
        size: (width, height) of the result.
    """
    # What is made smaller loses its fine detail first; the deviation is that of the usual anti-aliasing.
    blur = [max(1e-6, (1 / affine[i, i] - 1) / 2) for i in (0, 1)]
    if max(blur) > 1e-3:
        kernel = (2 * round(4 * blur[0]) + 1, 2 * round(4 * blur[1]) + 1)
        soft = cv2.GaussianBlur(picture, kernel, sigmaX=blur[0], sigmaY=blur[1], borderType=cv2.BORDER_REPLICATE)
        picture = np.asarray(soft, np.float32)
    matrix = affine.copy()
    matrix[:, 2] += (matrix[:, :2].sum(1) - 1) * 0.5  # OpenCV's pixel centres are integers
    out = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.float32).reshape(size[1], size[0], -1)


def coverage(crop: Crop, affine: Affine, size: tuple[int, int]) -> Floats:
    """How much of each pixel of a frame (width, height) a rectangle covers under a map (2, 3): (H, W, 1)."""
    spans = []
    for axis, (start, length) in enumerate(((crop.left, crop.width), (crop.top, crop.height))):
        first = affine[axis, axis] * start + affine[axis, 2]
        pixel = np.arange(size[axis])
        last = first + affine[axis, axis] * length
        spans.append(np.clip(np.minimum(pixel + 1, last) - np.maximum(pixel, first), 0, 1))
    return (spans[1][:, None] * spans[0]).astype(np.float32)[..., None]


def soft_border(crop: Crop, picture: tuple[int, int], size: int, width: float) -> Floats:
    """How much of a patch (size, size, 1) counts where it is laid back over the picture that it was taken from.

    Args:
        crop: where it was taken from.
        picture: (width, height) of the picture; a side of the patch on the picture's own border stays whole.
        size: of the patch.
        width: of the ramp, of the patch's side.
    """
    if width <= 0:
        return np.ones((size, size, 1), np.float32)
    inward = (np.arange(size) + 0.5) / size / width
    ramps = []
    for start, length, end in ((crop.left, crop.width, picture[0]), (crop.top, crop.height, picture[1])):
        ramp = np.ones(size)
        if start > 0.5:
            ramp = np.minimum(ramp, inward)
        if start + length < end - 0.5:
            ramp = np.minimum(ramp, inward[::-1])
        ramps.append(ramp)
    ramp = np.minimum(ramps[0], ramps[1][:, None])
    return (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)[..., None]


def background_plate(picture: Floats, mask: Floats) -> Floats:
    """A picture (H, W, 3) without the person of the mask (H, W, 1): what is around goes on into the hole."""
    reach = max(3, max(picture.shape) // 48) | 1
    hole = cv2.dilate((mask > 0.05).astype(np.uint8), np.ones((reach, reach), np.uint8))
    if hole.all():
        return picture
    filled = cv2.inpaint((picture * 255 + 0.5).astype(np.uint8), hole, 3, cv2.INPAINT_TELEA)
    return np.asarray(filled, np.float32) / 255


def straight(image: NDArray[np.uint8]) -> Floats:
    """(H, W, 3 or 4) uint8 to (H, W, 4) in [0, 1]."""
    unit = image.astype(np.float32) / 255
    return unit if image.shape[2] == 4 else np.dstack([unit, np.ones(image.shape[:2], np.float32)])


def on_grey(picture: Floats) -> Floats:
    """A picture with straight alpha (H, W, 4) over grey, (H, W, 3)."""
    return picture[..., :3] * picture[..., 3:] + GREY * (1 - picture[..., 3:])


def premultiplied(picture: Floats) -> Floats:
    """A picture (H, W, 4), its colours weighed by its alpha: in this form pictures may be resampled and added."""
    return np.concatenate([picture[..., :3] * picture[..., 3:], picture[..., 3:]], -1)
