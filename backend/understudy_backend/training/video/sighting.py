"""The one person in each frame: found in a window around where they were, so that a passer-by is not taken for them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from understudy_backend.methods.contract import MethodError
from understudy_backend.photo.landmarks import Landmarks, detect

Doubles = NDArray[np.float64]
Window = tuple[int, int, int, int]
"""x, y, width, height in whole pixels of the frame, inside it."""

MARGIN = 0.3
"""The window reaches this share of the person's longer side beyond them."""
OTHER_MARGINS = (0.6, 0.12)
"""Of windows that are tried where the first shows nobody: the detector is fickle about uncommon poses."""
MAX_STEP = 0.5
"""Between two frames a person moves by less than this share of their longer side."""
MAX_GROWTH = 1.7
LANDMARK_MARGIN = 0.08
"""Head and fingers reach this share of their longer side beyond a person's landmarks."""


@dataclass(frozen=True, eq=False)
class Sighting:
    """The person in one frame."""

    window: Window
    landmarks: Landmarks
    """In pixels of the window."""

    @property
    def box(self) -> Doubles:
        """(4,) x0, y0, x1, y1 of the person in pixels of the frame."""
        return landmark_box(self.landmarks) + np.tile(self.window[:2], 2)

    def matte(self, size: tuple[int, int]) -> NDArray[np.float32]:
        """(H, W) in [0, 1], the person in a frame of `size` (width, height)."""
        x, y, w, h = self.window
        out = np.zeros((size[1], size[0]), np.float32)
        out[y : y + h, x : x + w] = self.landmarks.mask
        return out

    def inside(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The window of a frame."""
        x, y, w, h = self.window
        return np.ascontiguousarray(image[y : y + h, x : x + w])

    def arrays(self) -> dict[str, NDArray]:
        """What `from_arrays` takes."""
        found = self.landmarks
        return {
            "window": np.array(self.window),
            "points": found.points,
            "visibility": found.visibility,
            "world": found.world,
            "mask": np.rint(found.mask * 255).astype(np.uint8),
            "score": np.array(found.score),
        }


def from_arrays(data: dict[str, NDArray]) -> Sighting:
    """A stored sighting."""
    mask = data["mask"].astype(np.float32) / np.float32(255)
    found = Landmarks(data["points"], data["visibility"], data["world"], mask, float(data["score"]))
    x, y, w, h = (int(n) for n in data["window"])
    return Sighting((x, y, w, h), found)


def landmark_box(found: Landmarks) -> Doubles:
    """(4,) x0, y0, x1, y1 around the landmarks, with a margin for what is beyond them."""
    low, high = found.points.min(0), found.points.max(0)
    margin = LANDMARK_MARGIN * float((high - low).max())
    return np.concatenate([low - margin, high + margin])


def window_around(box: Doubles, size: tuple[int, int], margin: float = MARGIN) -> Window | None:
    """The window around a box x0, y0, x1, y1, cut at the border of a frame (width, height); None if nothing is left."""
    reach = margin * max(box[2] - box[0], box[3] - box[1])
    x0, y0 = (max(0, int(np.floor(box[i] - reach))) for i in (0, 1))
    x1, y1 = (min(size[i], int(np.ceil(box[2 + i] + reach))) for i in (0, 1))
    return (x0, y0, x1 - x0, y1 - y0) if x1 - x0 >= 32 and y1 - y0 >= 32 else None


def find_first(image: NDArray[np.uint8], around: tuple[float, float] | None) -> Sighting | str:
    """The likeliest person of a frame (H, W, 3), or the one nearest to `around`, a point in pixels; else the reason.

    The network sees a whole frame at 224 px, so with `around` it looks at ever smaller windows, and the first in which
    it finds somebody at that point counts.
    """
    size = (image.shape[1], image.shape[0])
    shares = (1.0,) if around is None else (1.0, 0.7, 0.5, 0.35, 0.25)
    for share in shares:
        reach = share * max(size)
        if around is None:
            window: Window | None = (0, 0, *size)
        else:
            point = np.array(around)
            window = window_around(np.concatenate([point - reach / 2, point + reach / 2]), size, 0.0)
        rough = _look(image, window) if window else None
        if rough is None or (around is not None and not _holds(rough.box, around)):
            continue
        close = window_around(rough.box, size)
        found = _look(image, close) if close else None
        if found is not None and (around is None or _holds(found.box, around)):
            return found
    return "no person" if around is None else "no person at the point given"


def find_again(image: NDArray[np.uint8], box: Doubles, lost: int = 0) -> Sighting | str:
    """The person who is expected in a box x0, y0, x1, y1 of a frame (H, W, 3); else the reason.

    Args:
        image: uint8 sRGB.
        box: where they were, or where a track says they are.
        lost: frames since they were seen; the window and the step that is allowed grow with it.
    """
    patience = 1 + 0.25 * min(lost, 4)
    reason = "no person"
    for margin in (MARGIN, *OTHER_MARGINS):
        window = window_around(box, (image.shape[1], image.shape[0]), margin * patience)
        found = _look(image, window) if window else None
        if found is not None and _same(found, box, patience):
            return found
        reason = reason if found is None else "another person"
    return reason


def _same(found: Sighting, box: Doubles, patience: float) -> bool:
    """Whether a person is where, and as large as, the one expected in a box."""
    length, now = (float(max(b[2] - b[0], b[3] - b[1])) for b in (box, found.box))
    step = float(np.hypot(*(_middle(found.box) - _middle(box))))
    growth = MAX_GROWTH * patience
    return step < MAX_STEP * patience * length and 1 / growth < now / length < growth


def _look(image: NDArray[np.uint8], window: Window) -> Sighting | None:
    x, y, w, h = window
    try:
        return Sighting(window, detect(np.ascontiguousarray(image[y : y + h, x : x + w])))
    except MethodError as error:
        if error.code != "no_person":
            raise
        return None


def _holds(box: Doubles, point: tuple[float, float]) -> bool:
    return bool(box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3])


def _middle(box: Doubles) -> Doubles:
    return (box[:2] + box[2:]) / 2


def sharpness(image: NDArray[np.uint8], sighting: Sighting) -> float:
    """How much fine detail a person shows, whatever their size: variance of the Laplacian of the person, 256 px tall,
    in squared grey levels."""
    grey = cv2.cvtColor(sighting.inside(image), cv2.COLOR_RGB2GRAY)
    box = landmark_box(sighting.landmarks)
    scale = 256 / max(box[2] - box[0], box[3] - box[1], 1.0)
    size = (max(8, round(grey.shape[1] * scale)), max(8, round(grey.shape[0] * scale)))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    mask = cv2.resize(sighting.landmarks.mask, size, interpolation=cv2.INTER_AREA) > 0.9
    inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    detail = cv2.Laplacian(small, cv2.CV_32F)[inner]
    return float(detail.var()) if len(detail) > 50 else 0.0
