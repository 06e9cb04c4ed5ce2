"""From a photo to the texels that it shows: 3DHM's partial texture (arXiv 2401.10889, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from understudy_backend.texture.render import decode_srgb, encode_srgb, mip_chain, trilinear
from understudy_backend.texture.visibility import Visibility

MIP_LEVELS = 6


@dataclass(frozen=True, eq=False)
class PartialTexture:
    """Colours of those texels (S, S) that were seen, top-left origin."""

    color: NDArray[np.uint8]
    """(S, S, 3) sRGB, zero where nothing was seen."""
    weight: NDArray[np.float32]
    """(S, S) how squarely it was seen, in [0, 1]; zero where it was not."""

    @property
    def visible(self) -> NDArray[np.bool_]:
        """(S, S)."""
        return self.weight > 0


def project_photo(
    image: NDArray[np.uint8], visibility: Visibility, mask: NDArray[np.floating] | None = None
) -> PartialTexture:
    """Samples a photo at the texels that it shows.

    Each texel takes the mean colour of the photo over the area it covers there, in linear light: bilinear where texels
    are smaller than pixels, and between two levels of an image pyramid where they are larger, so that nothing aliases.

    Args:
        image: (H, W, 3) or (H, W, 4) uint8 sRGB.
        visibility: of this image's camera.
        mask: (H, W) in [0, 1] the person. Pixels outside it weigh nothing, so that background never bleeds in.
    """
    linear = np.ones((*image.shape[:2], 4), np.float32)
    linear[..., :3] = decode_srgb(image[..., :3])
    if mask is not None:
        inside = cv2.erode((mask > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8))  # a rim pixel is half background
        linear *= inside[..., None].astype(np.float32)
    pixels, levels = mip_chain(linear, MIP_LEVELS)
    rows, columns = (a.astype(np.int32) for a in np.nonzero(visibility.mask))
    place = visibility.pixel[rows, columns] / np.array([image.shape[1], image.shape[0]], np.float32)
    lod = np.log2(np.maximum(visibility.footprint[rows, columns], 1e-6)).clip(0, len(levels) - 1)
    values = np.zeros((len(rows), 4), np.float32)
    _sample(pixels, levels, place, lod.astype(np.float32), values)
    known = values[:, 3] > 0.25
    color = np.zeros((*visibility.mask.shape, 3), np.uint8)
    weight = np.zeros(visibility.mask.shape, np.float32)
    color[rows[known], columns[known]] = encode_srgb(values[known, :3] / values[known, 3:])
    weight[rows[known], columns[known]] = visibility.weight[rows[known], columns[known]]
    return PartialTexture(color, weight)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _sample(pixels, levels, place, lod, out):
    for i in range(len(place)):
        trilinear(pixels, levels, place[i, 0], place[i, 1], lod[i], out[i])
