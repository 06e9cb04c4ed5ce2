"""A first guess of what no photo shows: geometry says which visible texel is nearest on the body itself."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from understudy_shared.body import free_body

from understudy_backend.texture.bake import texel_map

_SIDE = 4
"""Texels along a block, of which one speaks for all at first."""
_CANDIDATES = 16
"""Blocks that are looked through, texel by texel, for the nearest one."""
_CELL = 0.05
"""Metres; texels of a block that lie in different cells belong to different parts of the body."""


def nearest_visible(color: NDArray, visible: NDArray[np.bool_]) -> NDArray:
    """Gives each unseen body texel the colour of the visible one that is nearest on the resting body, in metres.

    Distances in the plane of the texture would mean little: its islands cut the body apart. For one
    texel in a hundred it is not the very nearest but one that is millimetres, at most some centimetres farther: blocks
    of texels are searched first, because from the middle of the back thousands of texels are about equally far, which
    makes an exact search fifty times as slow.

    Args:
        color: (S, S, C), of any type; meaningful where visible.
        visible: (S, S).

    Returns:
        (S, S, C): visible texels untouched, unseen body texels filled, the gutter filled from the nearest texel. Where
        nothing is visible the input comes back.
    """
    size = len(color)
    texels = texel_map(free_body(), size)
    known, unknown = visible & texels.mask, texels.mask & ~visible
    if not known.any():
        return color.copy()
    result = color.copy()
    if unknown.any():
        places = np.zeros((size, size, 3), np.float32)
        places[texels.mask] = texels.position[texels.mask]
        result[unknown] = color.reshape(-1, color.shape[2])[_nearest(places, known, unknown)]
    return texels.fill_gutter(result)


def _nearest(places: NDArray[np.float32], known: NDArray[np.bool_], unknown: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each texel of `unknown`, in order, the flat index of a texel of `known` near it.

    Args:
        places: (S, S, 3) metres.
        known: (S, S), somewhere true.
        unknown: (S, S), somewhere true.
    """
    sources, first, _ = _blocks(places, known)
    targets, first_target, block_of = _blocks(places, unknown)
    tree = KDTree(places[tuple(sources[first].T)])
    _, near = tree.query(places[tuple(targets[first_target].T)], min(_CANDIDATES, len(first)))
    near = np.reshape(near, (len(first_target), -1))  # one candidate comes without an axis of its own
    return _search(places, known, targets, block_of, sources[first][near] // _SIDE)


def _blocks(
    places: NDArray[np.float32], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """The texels of a mask (M, 2), the number of the first one of each block (B,), and the block of each one (M,)."""
    texels = np.argwhere(mask)
    cells = np.floor(places[mask] / _CELL).astype(np.int64) & 0x3FF
    keys = (texels // _SIDE).astype(np.int64)
    key = keys[:, 0]
    for part in (keys[:, 1], *cells.T):
        key = key << 10 | part  # up to 4096 texels a side, and bodies up to 50 m
    _, first, block = np.unique(key, return_index=True, return_inverse=True)
    return texels, first, block


@numba.njit(cache=True, nogil=True)
def _search(places, known, targets, block_of, candidates):
    """Compares each target with the known texels of the candidates (B, K, 2) of its block."""
    size = known.shape[0]
    out = np.zeros(len(targets), np.int64)
    for m in range(len(targets)):
        x, y, z = places[targets[m, 0], targets[m, 1]]
        best = np.inf
        for row, column in candidates[block_of[m]]:
            for i in range(row * _SIDE, min((row + 1) * _SIDE, size)):
                for j in range(column * _SIDE, min((column + 1) * _SIDE, size)):
                    if known[i, j]:
                        dx, dy, dz = places[i, j, 0] - x, places[i, j, 1] - y, places[i, j, 2] - z
                        distance = dx * dx + dy * dy + dz * dz
                        if distance < best:
                            best = distance
                            out[m] = i * size + j
    return out
