"""The body's own surface under clothes: how far it stands off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from understudy_backend.training.people.garments import Garment
from understudy_backend.training.people.surface import vertex_surface

Floats = NDArray[np.floating]


def stand_off(outfit: list[Garment]) -> Floats:
    """Metres (V,) that each vertex of the body moves out along its normal to carry the outfit."""
    s = vertex_surface()
    out = np.zeros(len(s), np.float32)
    for garment in outfit:
        inside = np.clip(garment.distance(s) / 0.012 + 0.5, 0, 1)
        out = np.maximum(out, garment.ease(s) * inside)
    return out
