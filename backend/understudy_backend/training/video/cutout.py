"""The person of a frame on nothing: a square around them, 256 px, straight alpha."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from understudy_backend.texture.render import decode_srgb, encode_srgb
from understudy_backend.training.people.samples import SIZE

SOLID = 0.95
"""Matte from which a pixel's colour is the person's alone."""


class Square(NamedTuple):
    """A square of whole pixels of a frame; it may reach beyond it."""

    x: int
    y: int
    side: int

    def intrinsics(self, k: NDArray[np.floating]) -> NDArray[np.float64]:
        """K (3, 3) of the frame, for this square at `SIZE` pixels."""
        out = np.array(k, np.float64)
        out[:2, 2] -= (self.x, self.y)
        out[:2] *= SIZE / self.side
        return out


def square_around(box: NDArray[np.floating], fill: float, shift: NDArray[np.floating]) -> Square:
    """The square in which a box x0, y0, x1, y1 fills a share of the side; `shift` (2,) moves it, in sides."""
    side = max(8, round(max(box[2] - box[0], box[3] - box[1]) / fill))
    corner = (box[:2] + box[2:]) / 2 + np.asarray(shift) * side - side / 2
    return Square(round(float(corner[0])), round(float(corner[1])), side)


def cut_out(image: NDArray[np.uint8], matte: NDArray[np.float32], square: Square) -> NDArray[np.uint8]:
    """The square of a frame as (SIZE, SIZE, 4) uint8 sRGB with the matte as straight alpha, black where it is zero.

    Pixels on the person's border are mixed with what is behind them; they take their colour from the person next to
    them instead. Pixels beyond the frame are transparent. Sizes change in linear light.
    """
    colour, alpha = _inside(decode_srgb(image), square), _inside(matte, square)
    solid = cv2.erode((alpha > SOLID).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
    reach = max(3, round(square.side / 40)) | 1
    near = cv2.blur(colour * solid[..., None], (reach, reach))
    amount = cv2.blur(solid, (reach, reach))[..., None]
    colour = np.where((solid[..., None] == 0) & (amount > 1e-4), near / np.maximum(amount, 1e-4), colour)
    mixed = np.dstack([colour * alpha[..., None], alpha]).astype(np.float32)
    how = cv2.INTER_AREA if square.side > SIZE else cv2.INTER_LINEAR
    small = np.asarray(cv2.resize(mixed, (SIZE, SIZE), interpolation=how), np.float32)
    share = small[..., 3:]
    straight = np.divide(small[..., :3], share, out=np.zeros_like(small[..., :3]), where=share > 1 / 510)
    return np.dstack([encode_srgb(straight), np.rint(share * 255).astype(np.uint8)])


def covered(size: tuple[int, int], square: Square) -> NDArray[np.float32]:
    """(SIZE, SIZE) share of each pixel of the square that is inside a frame (width, height)."""
    inside = _inside(np.ones((size[1], size[0]), np.float32), square)
    return np.asarray(cv2.resize(inside, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.float32)


def _inside(image: NDArray[np.float32], square: Square) -> NDArray[np.float32]:
    """The square of an image (H, W, ...), zero beyond it."""
    height, width = image.shape[:2]
    out = np.zeros((square.side, square.side, *image.shape[2:]), np.float32)
    x0, y0 = max(square.x, 0), max(square.y, 0)
    x1, y1 = min(square.x + square.side, width), min(square.y + square.side, height)
    if x1 > x0 and y1 > y0:
        out[y0 - square.y : y1 - square.y, x0 - square.x : x1 - square.x] = image[y0:y1, x0:x1]
    return out
