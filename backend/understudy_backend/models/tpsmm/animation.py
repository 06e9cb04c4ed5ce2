"""With which keypoints to animate: the three modes, and the driving frame that best matches the source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from torch import Tensor

from understudy_backend.models.tpsmm.avd import AVDNetwork

Mode = Literal["relative", "standard", "avd"]
"""`standard` takes the driving person's keypoints as they are, `relative` how they moved since a reference frame, `avd`
puts them into the source person's shape."""


def hull_area(points: NDArray[np.floating]) -> float:
    """Area of the convex hull of points (N, 2); 0 where they lie on a line."""
    try:
        # in the plane, qhull's volume is the area
        return float(ConvexHull(points).volume)
    except QhullError:
        return 0.0


def relative_scale(source: Tensor, reference: Tensor) -> float:
    """How much larger the source (1, 5 K, 2) is than the driving person in the reference frame (1, 5 K, 2)."""
    areas = [hull_area(points[0].detach().cpu().numpy()) for points in (source, reference)]
    return float(np.sqrt(areas[0] / areas[1])) if areas[1] > 0 else 1.0


def relative_keypoints(source: Tensor, reference: Tensor, driving: Tensor, scale: float | None = None) -> Tensor:
    """The source's keypoints (1, 5 K, 2), moved as the driving ones (B, 5 K, 2) did since the reference (1, 5 K, 2)."""
    if scale is None:
        scale = relative_scale(source, reference)
    return source + scale * (driving - reference)


def animation_keypoints(
    mode: Mode,
    source: Tensor,
    driving: Tensor,
    *,
    reference: Tensor | None = None,
    avd: AVDNetwork | None = None,
) -> Tensor:
    """The keypoints (B, 5 K, 2) to animate with.

    Args:
        mode: see `Mode`.
        source: (1, 5 K, 2) of the source image.
        driving: (B, 5 K, 2) of driving frames.
        reference: (1, 5 K, 2) of the reference frame, for `relative`.
        avd: the network, for `avd`.

    Raises:
        ValueError: what the mode needs is missing.
    """
    match mode:
        case "standard":
            return driving
        case "relative":
            if reference is None:
                raise ValueError("relative motion needs a reference frame")
            return relative_keypoints(source, reference, driving)
        case "avd":
            if avd is None:
                raise ValueError("the weights have no AVD network")
            return avd(source.expand_as(driving), driving)


def best_frame(
    source: NDArray[np.floating], driving: Sequence[NDArray[np.floating] | None]
) -> tuple[int, NDArray[np.float64]]:
    """The driving frame whose face is held most like the source's.

    Args:
        source: (N, 2) landmarks of the source's face.
        driving: the same landmarks of each driving frame; None where there is no face.

    Returns:
        Its index, and the squared distance of each frame, inf where there is no face.

    Raises:
        ValueError: no frame has a face.
    """
    wanted = _normalised(source)
    distances = np.array(
        [np.inf if points is None else np.square(_normalised(points) - wanted).sum() for points in driving]
    )
    if not np.isfinite(distances).any():
        raise ValueError("no face was found in any of the driving frames")
    return int(distances.argmin()), distances


def _normalised(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Points (N, 2) about their mean, over the square root of their hull's area."""
    centred = np.asarray(points, np.float64) - np.mean(points, 0)
    return centred / max(np.sqrt(hull_area(centred)), 1e-9)
