"""How far clothes and hair stand off the body, read from the outline of the person in a photo.

Where the fitted body ends in the photo, the person often does not: a jacket, a skirt or hair goes on. How far is
measured along the body's outline, which runs over both sides of limbs and trunk, and what was measured there is carried
over the surface to the points nearest by in the rest pose. A texture of distances then goes wherever the body goes.
This goes beyond 3DHM, whose networks have to guess it from the photo in every frame.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from understudy_shared.body import BodyModel
from understudy_shared.camera import project

from understudy_backend.texture.bake import texel_map
from understudy_backend.texture.raster import rasterize

SIZE = 256
"""Side of the texture of distances: they change slowly over the surface."""
LEAST, MOST = -0.03, 0.15
"""Metres; beyond, the outline belongs to something else, such as an arm beside the trunk."""
LONGEST = 640
"""Pixels of the longer side at which a photo is measured."""
HANDS = slice(20, 24)
"""Joints of wrists and hands."""
BARE = 0.005
"""Metres by which the outline of a hand may stand off it."""
NEAR = 0.03
"""Metres in the rest pose over which measures are averaged."""
NEIGHBOURS = 64
"""Measured points from which a point of the surface takes its distance."""


def stand_off(
    mask: NDArray[np.generic],
    vertices: NDArray[np.floating],
    body: BodyModel,
    intrinsics: NDArray[np.floating],
    extrinsics: NDArray[np.floating],
) -> NDArray[np.float32] | None:
    """Metres by which the person's outline lies outside the body, for each vertex (V,).

    Args:
        mask: (H, W) uint8 or bool, where the person is in the photo.
        vertices: (V, 3) world vertices of the body as fitted to the photo.
        body: whose vertices they are.
        intrinsics: (3, 3) in pixels of the photo.
        extrinsics: (4, 4) world to camera.

    Returns:
        None where the photo shows no outline of the body.
    """
    scale = min(1.0, LONGEST / max(mask.shape))
    height, width = (max(1, round(side * scale)) for side in mask.shape)
    person = np.asarray(mask, np.uint8) * np.uint8(255 if mask.dtype == np.bool_ else 1)
    if scale < 1:
        person = np.asarray(cv2.resize(person, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    k = np.diag([width / mask.shape[1], height / mask.shape[0], 1.0]) @ intrinsics
    at, metres = _along_outline(person > 127, vertices, body, k, extrinsics)
    hand = body.weights[:, HANDS].sum(1).clip(0, 1)
    kept = hand[at] < 0.5  # a hand in a pocket wears no trousers
    if not kept.any():
        return None
    return np.minimum(_spread(at[kept], metres[kept], body.v_template), BARE + (1 - hand) * (MOST - BARE))


def as_texture(values: NDArray[np.floating], body: BodyModel) -> NDArray[np.float32]:
    """Values of vertices (V,) as a texture (SIZE, SIZE), its gutter filled."""
    texels = texel_map(body, SIZE)
    out = np.zeros((SIZE, SIZE), np.float32)
    out[texels.rows, texels.columns] = texels.points(np.asarray(values, np.float32)[:, None], body)[:, 0]
    return np.asarray(texels.fill_gutter(out), np.float32)


def _along_outline(
    person: NDArray[np.bool_],
    vertices: NDArray[np.floating],
    body: BodyModel,
    k: NDArray[np.floating],
    extrinsics: NDArray[np.floating],
) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
    """Vertices (N,) on the body's outline in a picture, and the metres from there to the person's."""
    height, width = person.shape
    points, depth = project(vertices, extrinsics, k)
    raster = rasterize(points, depth, body.faces, (width, height))
    inner = cv2.erode(raster.mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)
    edge = raster.mask & (inner == 0)
    edge[[0, -1]] = edge[:, [0, -1]] = False  # there the picture ends, not the body
    rows, columns = np.nonzero(edge)
    # distances are from pixel centre to pixel centre, and outlines run half a pixel before the next one's
    padded = np.pad(person.astype(np.uint8), 1)  # the person ends where the picture does
    within = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1] - 0.5
    beyond = cv2.distanceTransform((~person).astype(np.uint8), cv2.DIST_L2, 5) - 0.5
    pixels = np.where(person, within, -beyond)[rows, columns] - 0.5
    metres = np.clip(pixels * raster.depth[rows, columns] / k[0, 0], LEAST, MOST)
    corner = raster.barycentric[rows, columns].argmax(1)
    return body.faces[raster.face[rows, columns], corner], metres.astype(np.float32)


def _spread(at: NDArray[np.integer], metres: NDArray[np.float32], rest: NDArray[np.floating]) -> NDArray[np.float32]:
    """What was measured at some vertices, carried to all of them (V,): near ones count most."""
    known, index, count = np.unique(at, return_inverse=True, return_counts=True)
    mean = np.bincount(index, metres) / count
    distance, near = KDTree(rest[known]).query(rest, k=min(NEIGHBOURS, len(known)))
    distance, near = distance.reshape(len(rest), -1), near.reshape(len(rest), -1)
    weight = count[near] / (distance**2 + NEAR**2) ** 1.5
    return ((weight * mean[near]).sum(1) / weight.sum(1)).astype(np.float32)
