"""All pictures of a posed body that guide Animate Anyone and Champ, in one call."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import BodyModel
from understudy_shared.camera import project

from understudy_backend.guidance.body_maps import part_colours, render_maps
from understudy_backend.guidance.body_skeleton import body_skeleton
from understudy_backend.guidance.skeleton import draw_skeleton
from understudy_backend.texture.raster import rasterize

SKELETON = "skeleton"
PICTURES = (SKELETON, "depth", "normal", "semantic_map")
"""Names of the pictures."""
OF_KIND = {
    "pose": SKELETON, "dwpose": SKELETON, "depth": "depth", "normal": "normal", "semantic_map": "semantic_map",
}  # fmt: skip
"""Which picture serves what a guider asks for by its `kinds`."""


def body_pictures(
    body: BodyModel,
    vertices: NDArray[np.floating],
    joints: NDArray[np.floating],
    k: NDArray[np.floating],
    extrinsics: NDArray[np.floating],
    size: tuple[int, int],
) -> dict[str, NDArray[np.uint8]]:
    """The pictures (H, W, 3) by the names in `PICTURES`.

    Args:
        body: whose faces and parts they are.
        vertices: (V, 3) world, metres.
        joints: (24, 3) world, metres.
        k: (3, 3) intrinsics in pixels of `size`.
        extrinsics: (4, 4) world to camera, OpenCV axes.
        size: (width, height).
    """
    maps = render_maps(vertices, body.faces, part_colours(body), k, extrinsics, size)
    points, depth = project(np.asarray(vertices, np.float64), extrinsics, k)
    raster = rasterize(points, depth, body.faces, size)
    skeleton = draw_skeleton(*body_skeleton(vertices, joints, k, extrinsics, raster), size)
    return {SKELETON: skeleton, "depth": maps.depth, "normal": maps.normal, "semantic_map": maps.semantic_map}
