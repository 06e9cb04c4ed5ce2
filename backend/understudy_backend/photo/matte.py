"""From a network's coarse mask to one that follows the photo's edges."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def clean_mask(image: NDArray[np.uint8], coarse: Floats, points: NDArray[np.float64]) -> Floats:
    """The person's mask (H, W) in [0, 1].

    Keeps the piece that holds most of the landmarks, fills small holes, and lets a guided filter (He et al., ECCV 2010)
    move the border onto the photo's edges.

    Args:
        image: (H, W, 3) uint8 sRGB.
        coarse: (H, W) probability of the person.
        points: (N, 2) landmarks in pixels.
    """
    radius = max(2, round(max(image.shape[:2]) / 128))
    guided = guided_filter(np.divide(image, 255, dtype=np.float32), coarse, radius, 1e-4)
    sharp = np.clip((guided - 0.5) * 3 + 0.5, 0, 1).astype(np.float32)
    piece = _main_piece(sharp > 0.5, points)
    holes = _small_holes(piece, area=radius * radius * 4)
    soft = cv2.dilate(piece.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    out = np.where(soft, sharp, 0).astype(np.float32)
    out[holes] = 1
    return out


def guided_filter(guide: Floats, value: Floats, radius: int, epsilon: float) -> Floats:
    """`value` (H, W) as a locally linear function of the colours of `guide` (H, W, 3), windows of 2 radius + 1."""
    size = (2 * radius + 1, 2 * radius + 1)

    def mean(x: NDArray[np.floating]) -> Floats:
        return cv2.blur(x, size).astype(np.float32)

    m_i, m_p = mean(guide), mean(value)
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    rr, rg, rb, gg, gb, bb = (mean(guide[..., a] * guide[..., b]) - m_i[..., a] * m_i[..., b] for a, b in pairs)
    rr, gg, bb = rr + epsilon, gg + epsilon, bb + epsilon
    c0, c1, c2 = (mean(guide[..., c] * value) - m_i[..., c] * m_p for c in range(3))
    # Cramer's rule for the symmetric 3 x 3 system of each window
    i00, i01, i02 = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    i11, i12, i22 = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    det = np.maximum(rr * i00 + rg * i01 + rb * i02, 1e-15)
    a0 = (i00 * c0 + i01 * c1 + i02 * c2) / det
    a1 = (i01 * c0 + i11 * c1 + i12 * c2) / det
    a2 = (i02 * c0 + i12 * c1 + i22 * c2) / det
    b = m_p - a0 * m_i[..., 0] - a1 * m_i[..., 1] - a2 * m_i[..., 2]
    return (mean(a0) * guide[..., 0] + mean(a1) * guide[..., 1] + mean(a2) * guide[..., 2] + mean(b)).astype(np.float32)


def _main_piece(mask: NDArray[np.bool_], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The connected piece that holds most landmarks, the larger of two that hold as many."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    x = np.clip(points[:, 0].astype(int), 0, mask.shape[1] - 1)
    y = np.clip(points[:, 1].astype(int), 0, mask.shape[0] - 1)
    votes = np.bincount(labels[y, x], minlength=count).astype(np.float64)
    votes += stats[:, cv2.CC_STAT_AREA] / mask.size
    votes[0] = -1
    return labels == int(votes.argmax())


def _small_holes(piece: NDArray[np.bool_], area: int) -> NDArray[np.bool_]:
    """Background that the piece encloses, up to `area` pixels: larger gaps (arm akimbo) are real."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((~piece).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] <= area
    small[0] = False
    return np.asarray(small[np.asarray(labels, np.int64)]) if count > 1 else np.zeros_like(piece)
