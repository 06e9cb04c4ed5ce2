"""What anyone can do without learning: the fills that in-filling diffusion has to beat.

All take a partial texture (S, S, 3) uint8 in the free body's layout and its visible texels (S, S) bool, and give a
complete texture (S, S, 3) uint8 in which the visible texels are untouched.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from understudy_shared.body import free_body

from understudy_backend.texture.bake import texel_map
from understudy_backend.texture.spread import nearest_visible

Texture = NDArray[np.uint8]
Visible = NDArray[np.bool_]


def telea(partial: Texture, visible: Visible) -> Texture:
    """OpenCV's fast marching (Telea 2004), in the plane of the texture."""
    return _inpaint(partial, visible, cv2.INPAINT_TELEA)


def navier_stokes(partial: Texture, visible: Visible) -> Texture:
    """OpenCV's Navier-Stokes fill (Bertalmio 2001), in the plane of the texture."""
    return _inpaint(partial, visible, cv2.INPAINT_NS)


def _inpaint(partial: Texture, visible: Visible, method: int) -> Texture:
    result = cv2.inpaint(np.ascontiguousarray(partial), (~visible).astype(np.uint8) * 255, 5, method)
    return np.where(visible[..., None], partial, result).astype(np.uint8)


def mean_colour(partial: Texture, visible: Visible) -> Texture:
    """The mean of the visible texels everywhere else."""
    mean = partial[visible].mean(0) if visible.any() else np.full(3, 128)
    return np.where(visible[..., None], partial, np.rint(mean)).astype(np.uint8)


def mirror(partial: Texture, visible: Visible) -> Texture:
    """Each unseen texel takes its mirror image on the body's other side; where that is unseen as well, the mean."""
    size = len(partial)
    rows, columns, partner = _mirrored(size)
    result = mean_colour(partial, visible)
    use = ~visible[rows, columns] & visible[rows[partner], columns[partner]]
    result[rows[use], columns[use]] = partial[rows[partner[use]], columns[partner[use]]]
    return result


def nearest(partial: Texture, visible: Visible) -> Texture:
    """Each unseen texel takes the visible one that is nearest on the resting body, in metres."""
    return nearest_visible(partial, visible)


@lru_cache(maxsize=2)
def _mirrored(size: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.intp]]:
    """Rows and columns of the body's texels, and the index of each one's mirror image."""
    texels = texel_map(free_body(), size)
    points = texels.position[texels.rows, texels.columns]
    _, partner = KDTree(points).query(points * [-1, 1, 1])
    return texels.rows, texels.columns, np.asarray(partner)


BASELINES = {
    "Telea": telea,
    "Navier-Stokes": navier_stokes,
    "mirror symmetry": mirror,
    "nearest texel": nearest,
    "mean colour": mean_colour,
}
