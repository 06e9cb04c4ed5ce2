"""Frames: named channels with a known type, colour space and origin. Nothing is guessed from a shape.

All images have their origin at the top left. Colour has straight alpha.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Channel(StrEnum):
    """What an array of a frame means."""

    RGBA = "rgba"
    """(H, W, 4) colour with straight alpha: uint8 is sRGB, float16 and float32 are linear."""
    DEPTH = "depth"
    """(H, W) float32, metres along the camera axis, inf where there is nothing."""
    NORMAL = "normal"
    """(H, W, 3) float32, unit, camera space (x right, y down, z forward), zero where there is nothing."""
    UV = "uv"
    """(H, W, 2) float32 in [0, 1], origin at the bottom left of the texture; zero where there is nothing."""
    MASK = "mask"
    """(H, W) float32 in [0, 1], how much of the pixel the body covers."""
    VERTICES = "vertices"
    """(V, 3) float32, world, metres: the posed body, from which all of the above can be rasterised."""
    JOINTS = "joints"
    """(24, 3) float32, world, metres: the posed body's joints, in SMPL's order."""
    EXTRINSICS = "extrinsics"
    """(4, 4) float64, world to camera, OpenCV axes."""
    INTRINSICS = "intrinsics"
    """(3, 3) float64, K in pixels of the job's size."""


DTYPES: dict[Channel, tuple[str, ...]] = {
    Channel.RGBA: ("uint8", "float16", "float32"),
    Channel.DEPTH: ("float32",),
    Channel.NORMAL: ("float16", "float32"),
    Channel.UV: ("float32",),
    Channel.MASK: ("uint8", "float16", "float32"),
    Channel.VERTICES: ("float32",),
    Channel.JOINTS: ("float32",),
    Channel.EXTRINSICS: ("float64",),
    Channel.INTRINSICS: ("float64",),
}
"""What each channel may be stored as; uint8 masks run from 0 to 255."""


@dataclass(frozen=True, eq=False)
class Frame:
    """The channels of one frame number."""

    index: int
    """The scene's frame number."""
    channels: dict[Channel, NDArray]


def srgb_to_linear(srgb: NDArray[np.floating]) -> NDArray[np.floating]:
    """sRGB in [0, 1] to linear, IEC 61966-2-1."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: NDArray[np.floating]) -> NDArray[np.floating]:
    """Linear to sRGB, IEC 61966-2-1; values are clipped to [0, 1] first."""
    x = np.clip(linear, 0, 1)
    return np.where(x <= 0.0031308, x * 12.92, 1.055 * np.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055)
