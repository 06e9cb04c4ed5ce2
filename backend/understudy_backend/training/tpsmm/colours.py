"""Random changes of colour, the same for all frames of a pair."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def jittered(
    rng: np.random.Generator, frames: Floats, brightness: float, contrast: float, saturation: float, hue: float
) -> Floats:
    """Frames (N, H, W, 3) in [0, 1] with up to these changes, in a random order.

    Args:
        rng: of the pair.
        frames: sRGB.
        brightness, contrast, saturation: factors are drawn from 1 - change to 1 + change.
        hue: turns are drawn from -hue to hue, of the whole circle.
    """
    changes = [
        (brighter, _factor(rng, brightness)),
        (contrasted, _factor(rng, contrast)),
        (saturated, _factor(rng, saturation)),
        (turned, float(rng.uniform(-hue, hue))),
    ]
    wanted = (brightness, contrast, saturation, hue)
    for i in rng.permutation(len(changes)):
        change, amount = changes[i]
        if wanted[i] > 0:
            frames = np.stack([np.clip(change(frame, amount), 0, 1) for frame in frames])
    return frames


def brighter(frame: Floats, factor: float) -> Floats:
    """All channels times a factor."""
    return np.asarray(frame * np.float32(factor), np.float32)


def contrasted(frame: Floats, factor: float) -> Floats:
    """Differences from the frame's mean luma times a factor."""
    mean = np.float32((frame @ LUMA).mean())
    return np.asarray(mean + np.float32(factor) * (frame - mean), np.float32)


def saturated(frame: Floats, factor: float) -> Floats:
    """Differences from each pixel's luma times a factor."""
    luma = (frame @ LUMA)[..., None]
    return np.asarray(luma + np.float32(factor) * (frame - luma), np.float32)


def turned(frame: Floats, turn: float) -> Floats:
    """Hues turned by a share of the circle."""
    hsv = np.asarray(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2HSV), np.float32)
    hsv[..., 0] = (hsv[..., 0] + 360 * turn) % 360
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.float32)


def _factor(rng: np.random.Generator, change: float) -> float:
    return float(rng.uniform(max(0.0, 1 - change), 1 + change))
