"""Skeletons drawn as OpenPose and DWPose draw them, to the pixel: body, hands and face in known colours on black.

Two lists of points occur. *Whole body* is COCO-WholeBody's 133: 17 of the body, 6 of the feet, 68 of the face, 21 of
each hand (left first). *OpenPose* here is 134: 18 of the body with a neck, then the other ones as before.
"""

from __future__ import annotations

import colorsys
import math

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating]

VISIBLE = 0.3
"""A point with a lower score is not drawn."""

BODY_OF_WHOLE = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""COCO's point of each of OpenPose's 18; -1 for the neck, which lies between the shoulders."""
BODY, FEET, FACE, LEFT_HAND, RIGHT_HAND = (
    slice(0, 18), slice(18, 24), slice(24, 92), slice(92, 113), slice(113, 134),
)  # fmt: skip
"""The parts of OpenPose's list."""

LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
    (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
COLOURS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255),
    (255, 0, 170), (255, 0, 85),
)  # fmt: skip
FINGERS = tuple(
    (0 if joint == first else joint - 1, joint) for first in (1, 5, 9, 13, 17) for joint in range(first, first + 4)
)
LIMB_SHADE = 0.6


def openpose_of_whole_body(points: Points, scores: Points) -> tuple[Points, Points]:
    """People's whole-body points (P, 133, 2) and scores (P, 133), as OpenPose's (P, 134, 2) and (P, 134)."""
    body = points[:, list(BODY_OF_WHOLE)]
    body_scores = scores[:, list(BODY_OF_WHOLE)]
    body[:, 1] = points[:, [5, 6]].mean(1)
    body_scores[:, 1] = (scores[:, [5, 6]] > VISIBLE).all(1)
    return np.concatenate([body, points[:, 17:]], 1), np.concatenate([body_scores, scores[:, 17:]], 1)


def best_person(scores: Points) -> int:
    """Index of the person whose body is seen most surely, of OpenPose's scores (P, 134)."""
    return int(scores[:, BODY].mean(1).argmax())


def draw_skeleton(points: Points, scores: Points, size: tuple[int, int]) -> NDArray[np.uint8]:
    """One person's skeleton, (H, W, 3) uint8 RGB.

    Args:
        points: (134, 2) in pixels, OpenPose's.
        scores: (134,).
        size: (width, height).
    """
    width, height = size
    # The annotator's points go through shares of the picture's sides, and are cut to whole pixels after that.
    places = points / np.array([width, height]) * np.array([float(width), float(height)])
    seen = scores >= VISIBLE
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas = _body(canvas, places[BODY], scores[BODY] > VISIBLE)
    for part in (LEFT_HAND, RIGHT_HAND):
        _hand(canvas, places[part], seen[part])
    for (x, y), there in zip(places[FACE], seen[FACE], strict=True):
        if there and int(x) > 0 and int(y) > 0:
            cv2.circle(canvas, (int(x), int(y)), 3, (255, 255, 255), -1)
    return canvas


def annotate(points: Points, scores: Points, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A skeleton as the annotator of Animate Anyone's training gives it, (H, W, 3) uint8 RGB.

    It is drawn at the size at which people are looked for, so that lines are as wide as there, then brought to size.

    Args:
        points: (134, 2) in pixels of the picture, OpenPose's.
        scores: (134,).
        size: (width, height) of the picture.
    """
    drawn = detection_size(size)
    canvas = draw_skeleton(points * (np.array(drawn) / np.array(size)), scores, drawn)
    return canvas if drawn == size else np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def detection_size(size: tuple[int, int]) -> tuple[int, int]:
    """The size at which people are looked for in a picture: 512 on the shorter side, both in whole 64s."""
    scale = 512 / min(size)
    width, height = (max(64, round(side * scale / 64) * 64) for side in size)
    return width, height


def _body(canvas: NDArray[np.uint8], places: Points, seen: NDArray[np.bool_]) -> NDArray[np.uint8]:
    for (start, end), colour in zip(LIMBS, COLOURS, strict=False):
        if not (seen[start] and seen[end]):
            continue
        (x0, y0), (x1, y1) = places[start], places[end]
        middle = (int((x0 + x1) / 2), int((y0 + y1) / 2))
        half, angle = int(math.hypot(x0 - x1, y0 - y1) / 2), int(math.degrees(math.atan2(y0 - y1, x0 - x1)))
        outline = np.asarray(cv2.ellipse2Poly(middle, (half, 4), angle, 0, 360, 1))
        cv2.fillConvexPoly(canvas, outline, colour)
    canvas = (canvas * LIMB_SHADE).astype(np.uint8)
    for (x, y), there, colour in zip(places, seen, COLOURS, strict=True):
        if there:
            cv2.circle(canvas, (int(x), int(y)), 4, colour, -1)
    return canvas


def _hand(canvas: NDArray[np.uint8], places: Points, seen: NDArray[np.bool_]) -> None:
    inside = seen & (places.astype(int) > 0).all(1)
    pixels = [(int(x), int(y)) for x, y in places]
    for number, (start, end) in enumerate(FINGERS):
        if inside[start] and inside[end]:
            colour = [255 * c for c in colorsys.hsv_to_rgb(number / len(FINGERS), 1, 1)]
            cv2.line(canvas, pixels[start], pixels[end], colour, 2)
    for pixel, there in zip(pixels, inside, strict=True):
        if there:
            cv2.circle(canvas, pixel, 4, (0, 0, 255), -1)
