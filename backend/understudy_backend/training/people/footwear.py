"""Shoes and boots as meshes of their own: a sole, an upper drawn over the foot, a shaft around the leg."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from understudy_shared.body import free_body

from understudy_backend.training.people.drapery import cloth_part, once_around
from understudy_backend.training.people.garments import Shoes
from understudy_backend.training.people.limbs import place, reach
from understudy_backend.training.people.mesh import Part, anchors
from understudy_backend.training.people.surface import SOLE_Y, vertex_surface

Floats = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Foot:
    """The left foot in slices from heel to toes."""

    z: Floats
    """(K,) metres."""
    inner: Floats
    """(K,) least x."""
    outer: Floats
    """(K,) greatest x."""
    instep: Floats
    """(K,) greatest y, no higher than the ankle."""


@cache
def foot() -> Foot:
    """Measures of the mean body's left foot."""
    p = vertex_surface().position
    p = p[(p[:, 0] > 0) & (p[:, 1] < -1.08)]
    z = np.linspace(-0.024, 0.228, 40)
    rows = []
    for middle in z:
        slice_ = p[np.abs(p[:, 2] - middle) < 0.012]
        low = slice_[slice_[:, 1] < -1.15]
        rows.append([low[:, 0].min(), low[:, 0].max(), slice_[:, 1].max()])
    smooth = np.asarray(gaussian_filter1d(np.array(rows), 1.2, axis=0))
    return Foot(z, smooth[:, 0], smooth[:, 1], smooth[:, 2])


def shoe_parts(shoes: Shoes) -> list[Part]:
    """Both shoes."""
    out = []
    for side in (1, -1):
        out.append(_shoe(shoes, side))
        if shoes.top > -1.06 and shoes.shaft > 0:
            out.append(_shaft(shoes, side))
    return out


def _shoe(shoes: Shoes, side: int) -> Part:
    """A loft of rings from heel to toe; the ankle leaves it through its top."""
    rows, columns = 26, 28
    f, wall = foot(), 0.006
    heel, tip = f.z[0] - 0.012, f.z[-1] + 0.012 + shoes.point
    z = heel + (tip - heel) * (0.5 - 0.5 * np.cos(np.linspace(0, np.pi, rows)))  # closer together at both ends
    inner, outer = np.interp(z, f.z, f.inner) - wall, np.interp(z, f.z, f.outer) + wall
    middle, half = (inner + outer) / 2, (outer - inner) / 2
    blunt = 2.0 if shoes.point else 2.6
    front = np.clip((z - 0.155) / (tip - 0.155), 0, 1) ** blunt
    back = np.clip((heel + 0.04 - z) / 0.04, 0, 1) ** 2.2
    half = np.maximum(half, 0.04 * (z > 0.15)) * np.sqrt(np.clip(1 - front, 0, 1) * np.clip(1 - back, 0, 1))
    middle = np.where(z > 0.17, np.interp(z, [0.17, tip], [np.interp(0.17, z, middle), 0.142]), middle)
    collar = min(shoes.top, -1.095)
    upper = np.minimum(np.interp(z, f.z, f.instep) + 0.007, collar - 0.12 * np.clip(z - 0.02, 0, 0.08))
    upper -= 0.022 * front + (collar - SOLE_Y) * 0.3 * back  # the heel's counter leans in at its top
    ground = SOLE_Y - shoes.sole_height
    ground_at = ground + 0.012 * np.clip((z - 0.17) / 0.07, 0, 1) ** 2  # toes spring off the ground
    if shoes.heel > 0:
        ground_at = ground_at + shoes.heel * np.clip((z - 0.045) / 0.012, 0, 1) * np.clip((0.135 - z) / 0.03, 0, 1)
    angle = np.linspace(-np.pi, np.pi, columns)
    sin, cos = np.sin(angle), np.cos(angle)  # 0 is up
    # a box below, an arch above
    across = np.sign(sin) * np.abs(sin) ** np.where(cos < 0, 0.35, 0.8)
    rise = np.where(cos < 0, -(np.abs(cos) ** 0.35), np.abs(cos) ** 0.9)
    belly = SOLE_Y + 0.02
    y = np.where(rise < 0, belly + (belly - ground_at)[:, None] * rise, belly + (upper - belly)[:, None] * rise)
    welt = 1 + np.where(rise < -0.5, 0.003, 0.0) / np.maximum(half[:, None], 0.02)
    x = middle[:, None] + half[:, None] * welt * across
    grid = np.stack([side * x, y, np.broadcast_to(z[:, None], x.shape)], -1)
    if side < 0:
        grid = grid[:, ::-1]
    points = grid.reshape(-1, 3)
    held = anchors(points)
    weights = held.mix(free_body().weights)
    own = [7, 10] if side > 0 else [8, 11]
    others = np.setdiff1d(np.arange(24), own)
    weights[:, own[0]] += weights[:, others].sum(1)
    weights[:, others] = 0
    return cloth_part(shoes, grid, weights, own[0], np.zeros(columns), (96, 96), held=held)


def _shaft(shoes: Shoes, side: int) -> Part:
    """The tube of a boot around ankle and calf."""
    rows, columns = 12, 28
    y, theta = np.linspace(-1.135, shoes.top, rows), once_around(columns, 0.0)
    body = reach("leg").at(y, side * theta)
    grid = place("leg", side, y, side * theta, np.maximum(body, 0.045) + np.linspace(0.006, shoes.shaft, rows)[:, None])
    held = anchors(place("leg", side, y, side * theta, 0.95 * body).reshape(-1, 3))
    weights = held.mix(free_body().weights)
    return cloth_part(shoes, grid, weights, 7 if side > 0 else 8, np.zeros(columns), (64, 64), held=held)
