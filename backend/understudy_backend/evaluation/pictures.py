"""How far a picture is from the truth, without learned features: PSNR, SSIM, L1 and the overlap of silhouettes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from understudy_backend.photo.report import silhouette_iou

Picture = NDArray[np.uint8]

SIGMA = 1.5
"""Of SSIM's Gaussian window (Wang et al. 2004), cut off at 3.5 sigma: 11 pixels wide."""
K1, K2 = 0.01, 0.03


def over_grey(rgba: Picture) -> Picture:
    """(H, W, 4) straight alpha over mid grey, (H, W, 3): what all metrics of colour look at."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return (rgba[..., :3] * alpha + 127.5 * (1 - alpha) + 0.5).astype(np.uint8)


def psnr(result: NDArray, truth: NDArray, mask: NDArray[np.bool_] | None = None) -> float:
    """Peak signal to noise ratio in dB of pictures (H, W, 3) in [0, 255], where the mask (H, W) is set."""
    chosen = slice(None) if mask is None else mask
    error = (result[chosen].astype(np.float64) - truth[chosen]) ** 2
    return float(10 * np.log10(255**2 / max(error.mean(), 1e-9)))


def l1(result: Picture, truth: Picture) -> float:
    """Mean absolute difference of pictures (H, W, 3), where the range of a channel is 1."""
    return float(np.abs(result.astype(np.float32) - truth).mean() / 255)


def ssim(result: Picture, truth: Picture) -> float:
    """Structural similarity (Wang et al. 2004) of pictures (H, W, 3): Gaussian windows, mean over channels, and over
    the pixels whose window lies inside."""
    a, b = result.astype(np.float64), truth.astype(np.float64)
    mean_a, mean_b = _window(a), _window(b)
    var_a, var_b = _window(a * a) - mean_a**2, _window(b * b) - mean_b**2
    both = _window(a * b) - mean_a * mean_b
    c1, c2 = (K1 * 255) ** 2, (K2 * 255) ** 2
    quality = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    rim = _radius()
    return float(quality[rim:-rim, rim:-rim].mean())


def iou(result: Picture, truth: Picture) -> float:
    """Intersection over union of the silhouettes of pictures (H, W, 4): alpha above one half."""
    return silhouette_iou(result[..., 3] > 127, truth[..., 3] > 127)


def _radius() -> int:
    return int(3.5 * SIGMA + 0.5)


def _window(image: NDArray[np.float64]) -> NDArray[np.float64]:
    side = 2 * _radius() + 1
    blurred = cv2.GaussianBlur(image, (side, side), SIGMA, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float64)
