"""A first guess of what no photo shows: geometry says which visible texel is nearest on the body itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from understudy_shared.body import free_body

from understudy_backend.texture.bake import texel_map


def nearest_visible(color: NDArray, visible: NDArray[np.bool_]) -> NDArray:
    """Gives each unseen body texel the colour of the visible one that is nearest on the resting body, in metres.

    Distances in the plane of the texture would mean little: its islands cut the body apart.

    Args:
        color: (S, S, C), of any type; meaningful where visible.
        visible: (S, S).

    Returns:
        (S, S, C): visible texels untouched, unseen body texels filled, the gutter filled from the nearest texel. Where
        nothing is visible the input comes back.
    """
    texels = texel_map(free_body(), len(color))
    known, unknown = visible & texels.mask, texels.mask & ~visible
    if not known.any():
        return color.copy()
    result = color.copy()
    _, index = KDTree(texels.position[known]).query(texels.position[unknown])
    result[unknown] = color[known][index]
    return texels.fill_gutter(result)
