"""Several partial textures of one person to one: 3DHM's pseudo-complete texture (arXiv 2401.10889, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from understudy_backend.texture.projection import PartialTexture

ROWS = 64
"""Rows fused at once: a hundred frames of a 1024 px texture then need 20 MB, not 300."""


Mode = Literal["median", "average", "best"]


def fuse(partials: Sequence[PartialTexture], mode: Mode = "median") -> PartialTexture:
    """Fuses partial textures of the same size.

    Args:
        partials: at least one.
        mode: `median` takes each texel's median, channel by channel, over the textures in which it is visible: right
            for the frames of a video, where a wrong sample is an outlier. `average` takes their mean, at which a moving
            average over the frames ends: the paper tried it and found it blurrier. `best` mixes them by the eighth
            power of their weights, so that the squarest view wins and seams are soft: right for two to four photos.

    Raises:
        ValueError: there are none, or their sizes differ.
    """
    if not partials:
        raise ValueError("there is no texture to fuse")
    shape = partials[0].weight.shape
    if any(p.weight.shape != shape for p in partials):
        raise ValueError("textures of different sizes cannot be fused")
    color = np.zeros((*shape, 3), np.uint8)
    pick = {"median": _median, "average": _average, "best": _best}[mode]
    for top in range(0, shape[0], ROWS):
        rows = slice(top, top + ROWS)
        colors = np.stack([p.color[rows] for p in partials])
        weights = np.stack([p.weight[rows] for p in partials])
        color[rows] = pick(colors, weights)
    weight = np.max([p.weight for p in partials], axis=0)
    return PartialTexture(color, weight)


def _median(colors: NDArray[np.uint8], weights: NDArray[np.float32]) -> NDArray[np.uint8]:
    visible = weights > 0
    count = visible.sum(0)[..., None]
    ordered = np.sort(np.where(visible[..., None], colors.astype(np.int16), 256), axis=0)  # the unseen go last
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0)[None] // 2, 0)[0]
    high = np.take_along_axis(ordered, np.minimum(count // 2, len(colors) - 1)[None], 0)[0]
    return np.where(count > 0, (low + high + 1) // 2, 0).astype(np.uint8)


def _average(colors: NDArray[np.uint8], weights: NDArray[np.float32]) -> NDArray[np.uint8]:
    visible = (weights > 0)[..., None]
    total = (colors.astype(np.uint32) * visible).sum(0)
    return np.rint(total / np.maximum(visible.sum(0), 1)).astype(np.uint8)


def _best(colors: NDArray[np.uint8], weights: NDArray[np.float32]) -> NDArray[np.uint8]:
    relative = (weights / np.maximum(weights.max(0), 1e-6)) ** 8
    total = np.maximum(relative.sum(0), 1e-6)[..., None]
    return np.rint((colors * relative[..., None]).sum(0) / total).astype(np.uint8)
