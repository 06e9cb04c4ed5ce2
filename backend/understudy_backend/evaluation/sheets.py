"""Pictures of the evaluation, to be looked at: figures alone have fooled many."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from understudy_backend.evaluation.pictures import over_grey

Picture = NDArray[np.uint8]


def sheet(rows: list[list[Picture]], first: Picture | None = None) -> Picture:
    """Rows of pictures (H, W, 4) of one size as one (H', W', 3), over grey.

    Args:
        rows: of equal length.
        first: the photo, put before all rows at the height of one.
    """
    lines = [np.hstack([over_grey(picture) for picture in row]) for row in rows]
    if first is not None:
        height = rows[0][0].shape[0]
        width = round(first.shape[1] * height / first.shape[0])
        photo = cv2.resize(over_grey(first), (width, height), interpolation=cv2.INTER_AREA)
        empty = np.full_like(photo, 127)
        lines = [np.hstack([photo if i == 0 else empty, line]) for i, line in enumerate(lines)]
    return np.vstack(lines).astype(np.uint8)
