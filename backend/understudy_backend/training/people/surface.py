"""Where a point of the body is, in words that a tailor would use: along the arm, around the leg, height, front, back.

Garments are functions of a `Surface`, so the same garment paints texels, moves vertices and colours a skirt's strip,
and ends at the same height on front and back. All of it in the rest pose (T-pose) of the mean body: metres, Y up.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from understudy_shared.body import free_body

from understudy_backend.texture.raster import rasterize_uv
from understudy_backend.training.people.kernels import vertex_normals

Floats = NDArray[np.floating]

TORSO_DEPTH = 0.055
"""z of the torso's vertical axis in metres."""
SHOULDER_X, WRIST_X = 0.175, 0.664
"""|x| of shoulder and wrist joints of the mean body in metres."""
CROTCH_Y, KNEE_Y, ANKLE_Y, SOLE_Y = -0.40, -0.715, -1.12, -1.21
"""Heights of the mean body in metres; the pelvis is at -0.235."""


INNER_ISLANDS = (
    (0.756, 0.93, 0.0, 0.137),
    (0.011, 0.152, 0.546, 0.634),
    (0.62, 0.652, 0.92, 1.0),
    (0.755, 0.82, 0.925, 1.0),
)
"""Boxes (left, right, low, high) in UV of what clothes and hair never reach: mouth, eyelids, tongue, eyeballs."""


@dataclass(frozen=True, eq=False)
class Surface:
    """N points of the rest body."""

    position: Floats
    """(N, 3) metres."""
    normal: Floats
    """(N, 3) unit, outward."""
    arm: Floats
    """(N,) 0 at the shoulder, 1 at the wrist, negative on the trunk, -1 below the chest."""
    head: Floats
    """(N,) skinning weight of the head."""
    hand: Floats
    """(N,) skinning weight of wrist and hand."""
    foot: Floats
    """(N,) skinning weight of ankle and foot."""
    angle: Floats
    """(N,) radians around the part's own axis; on trunk and legs 0 is front and pi/2 the body's left."""
    fabric: Floats
    """(N, 2) metres around and along the part: the coordinates of woven patterns."""
    limb: Floats
    """(N, 3) metres: along the part first, then across; the coordinates of folds."""

    def __len__(self) -> int:
        return len(self.position)

    def take(self, index: NDArray) -> Surface:
        """The points `index` (a mask or indices) alone."""
        index = np.nonzero(index)[0] if index.dtype == bool else index
        return Surface(**{f.name: np.take(getattr(self, f.name), index, axis=0) for f in fields(self)})

    @property
    def front(self) -> Floats:
        """(N,) 1 on the trunk's front, 0 on its back, a ramp at the sides."""
        return np.clip(self.normal[:, 2] * 4 + 0.5, 0, 1)


def describe(position: Floats, normal: Floats, weights: Floats) -> Surface:
    """The `Surface` of rest points (N, 3) with normals (N, 3) and skinning weights (N, 24)."""
    x, y, z = position.T
    arm = (np.abs(x) - SHOULDER_X) / (WRIST_X - SHOULDER_X)
    on_arm = (weights[:, 16:24].sum(1) > 0.5) & (arm > 0)
    on_leg = weights[:, [1, 2, 4, 5, 7, 8, 10, 11]].sum(1) > 0.5
    leg_x = np.sign(x) * np.interp(-y, [0.4, 0.72, 1.12], [0.105, 0.132, 0.128])
    leg_z = np.interp(-y, [0.4, 0.72, 1.12], [0.05, 0.05, 0.03])
    angle = np.arctan2(x, z - TORSO_DEPTH)
    angle = np.where(on_leg, np.arctan2(x - leg_x, z - leg_z), angle)
    angle = np.where(on_arm, np.arctan2(y - 0.144, z - 0.07), angle)
    radius = np.where(on_arm, 0.05, np.where(on_leg, 0.075, 0.14))
    around = np.where(on_arm | on_leg, angle * radius, np.where(np.abs(angle) < np.pi / 2, x, np.sign(x) * 0.3 - x))
    along = np.where(on_arm, np.abs(x), y)
    limb = np.stack([along, np.where(on_arm, y + 5 * np.sign(x), x), z], 1)
    return Surface(
        position=position.astype(np.float32),
        normal=normal.astype(np.float32),
        arm=np.where(on_arm, arm, np.where(y > 0, np.minimum(arm, 0), -1)).astype(np.float32),
        head=weights[:, 15].astype(np.float32),
        hand=weights[:, 20:24].sum(1).astype(np.float32),
        foot=weights[:, [7, 8, 10, 11]].sum(1).astype(np.float32),
        angle=angle.astype(np.float32),
        fabric=np.stack([around, along], 1).astype(np.float32),
        limb=limb.astype(np.float32),
    )


@cache
def vertex_surface() -> Surface:
    """The free body's vertices."""
    body = free_body()
    return describe(body.v_template, vertex_normals(body.v_template, body.faces), body.weights)


@dataclass(frozen=True, eq=False)
class Texels:
    """The texels of a square texture (S, S) that lie on the body."""

    size: int
    mask: NDArray[np.bool_]
    """(S, S) texels that belong to an island."""
    surface: Surface
    """Those M texels in row-major order."""
    inner: NDArray[np.bool_]
    """(M,) inside of mouth and eyelids, and the eyeballs."""
    face: NDArray[np.int32]
    """(M,) triangle."""
    barycentric: Floats
    """(M, 3)."""
    corners: NDArray[np.int32]
    """(M, 3) vertices of the triangle."""
    near: NDArray[np.int32]
    """(S, S) flat index of the nearest texel on an island, -1 where it is farther than the margin."""

    def image(self, values: Floats) -> NDArray[np.uint8]:
        """Colours (M, 3) in [0, 1] as a texture (S, S, 3): dilated past the islands, neutral grey far from them."""
        flat = np.full((self.size * self.size + 1, 3), 128, np.uint8)
        flat[:-1][self.mask.reshape(-1)] = (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)
        return np.take(flat, self.near, axis=0)


@cache
def texels(size: int) -> Texels:
    """The texels of a texture of `size` pixels in the free body's layout; the origin is the top-left corner."""
    body = free_body()
    raster = rasterize_uv(body.uvs, body.face_uvs, size)
    mask = raster.mask
    face, bary = raster.face[mask], raster.barycentric[mask]
    corners = body.faces[face]

    def mix(values: Floats) -> Floats:
        return np.einsum("nk,nkc->nc", bary, values[corners])

    whole = vertex_surface()
    normal = mix(whole.normal)
    surface = describe(mix(body.v_template), normal / np.linalg.norm(normal, axis=1, keepdims=True), mix(body.weights))
    rows, columns = np.nonzero(mask)
    u, v = (columns + 0.5) / size, 1 - (rows + 0.5) / size
    inner = np.zeros(len(rows), bool)
    for left, right, low, high in INNER_ISLANDS:
        inner |= (u > left) & (u < right) & (v > low) & (v < high) & (surface.head > 0.5)
    nearest = np.asarray(distance_transform_edt(~mask, return_distances=False, return_indices=True))
    away = np.hypot(*(nearest - np.indices(mask.shape)))
    near = np.where(away <= size * 12 / 512, nearest[0] * size + nearest[1], -1).astype(np.int32)
    return Texels(size, mask, surface, inner, face, bary, corners, near)
