"""The landmarks of the face, from a network that sees nothing but the face (Face Mesh, arXiv 1907.06724)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from understudy_backend.photo.blazepose import Region, cut_out, invoke, load_network, sigmoid

Doubles = NDArray[np.float64]

SIZE = 192
MARGIN = 1.5
"""The crop is this many times as large as the face."""
PASSES = 3
MIN_SCORE = 0.5

BLAZEPOSE_OF_MESH: tuple[tuple[int, ...], ...] = (
    (1,), (362,), (362, 263), (263,), (133,), (33, 133), (33,), (454,), (234,), (291,), (61,),
)  # fmt: skip
"""Points of the mesh whose mean is each of BlazePose's first eleven landmarks: nose, eyes (inner, middle, outer; left
first), ears, mouth (left first). The ears are where the cheeks end before them."""


class FaceMesh:
    """The network, on one thread."""

    def __init__(self) -> None:
        self._network = load_network("face_landmark.tflite")

    def points(self, image: NDArray[np.uint8], region: Region) -> tuple[Doubles, float]:
        """468 points (468, 2) in pixels of an image (H, W, 3) RGB, and the probability that the region is a face."""
        to_crop = region.to_crop(SIZE)
        outputs = invoke(self._network, np.divide(cut_out(image, to_crop, SIZE), 255, dtype=np.float32))
        raw = next(o for o in outputs if o.size == 1404).reshape(468, 3)[:, :2].astype(np.float64)
        score = next(o for o in outputs if o.size == 1)
        linear = to_crop[:, :2]
        points = np.linalg.solve(linear, (raw - to_crop[:, 2]).T).T.astype(np.float64)
        return points, float(sigmoid(score.reshape(-1)[0]))


def find_face(network: FaceMesh, image: NDArray[np.uint8], rough: Doubles) -> Doubles | None:
    """BlazePose's first eleven landmarks (11, 2), found anew in a close crop; None where no face is seen.

    Args:
        image: (H, W, 3) uint8 sRGB.
        rough: (11, 2) where BlazePose saw them.
    """
    across = rough[3] - rough[6]
    centre = (rough[2] + rough[5] + rough[9] + rough[10]) / 4
    down = (rough[9] + rough[10] - rough[2] - rough[5]) / 2
    extent = max(float(np.hypot(*across)) * 1.7, float(np.hypot(*down)) * 2.6)
    region = Region(centre, max(extent * MARGIN / 2, 8.0), float(np.arctan2(across[1], across[0])))
    points, score = rough, 0.0
    for _ in range(PASSES):
        points, score = network.points(image, region)
        region = _around(points)
    found = np.array([points[list(group)].mean(0) for group in BLAZEPOSE_OF_MESH])
    moved = float(np.linalg.norm(found.mean(0) - rough.mean(0)))
    return found if score >= MIN_SCORE and moved < extent / 2 else None


def _around(points: Doubles) -> Region:
    """The region of a face whose mesh is known: upright along its eyes."""
    eyes = points[263] - points[33]
    angle = float(np.arctan2(eyes[1], eyes[0]))
    c, s = np.cos(angle), np.sin(angle)
    upright = points @ np.array([[c, -s], [s, c]])
    low, high = upright.min(0), upright.max(0)
    centre = np.array([[c, -s], [s, c]]) @ ((low + high) / 2)
    return Region(centre, float((high - low).max()) * MARGIN / 2, angle)
