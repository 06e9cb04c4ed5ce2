"""The two BlazePose networks (arXiv 2006.10204), without the runtime that usually surrounds them.

The detector looks at the whole image, squeezed to 224 px, and answers with the middle of the hips and a point that
fixes the size and tilt of the person. The landmark network looks at a 256 px crop, turned upright around that.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Doubles = NDArray[np.float64]

DETECTOR_SIZE = 224
CROP_SIZE = 256
STRIDES = (8, 16, 32, 32, 32)
MARGIN = 1.25
"""The crop reaches this much further than the circle around the person."""


@dataclass(frozen=True)
class Region:
    """A square of the image, turned so that the person stands upright in it."""

    centre: Doubles
    """(2,) pixels."""
    radius: float
    """Half its side, in pixels."""
    angle: float
    """Radians; positive leans to the image's right."""

    def to_crop(self, size: int = CROP_SIZE) -> Doubles:
        """(2, 3) affine map from image pixels to pixels of a crop of `size`, both with half-integer centres."""
        scale = size / 2 / self.radius
        c, s = np.cos(self.angle) * scale, np.sin(self.angle) * scale
        linear = np.array([[c, s], [-s, c]])
        return np.column_stack([linear, size / 2 - linear @ self.centre])


@dataclass(frozen=True, eq=False)
class CropLandmarks:
    """What the landmark network says of one region, mapped back to the image."""

    points: Doubles
    """(39, 2) image pixels; the last six are for tracking: 33 is the middle, 34 the circle."""
    visibility: Doubles
    """(39,) in [0, 1]."""
    world: Doubles
    """(39, 3) metres, x right, y down, z away from the camera, about the middle of the hips."""
    mask: NDArray[np.float32]
    """(256, 256) probability of the person, in crop pixels."""
    score: float
    """Probability that the crop holds a person."""


class BlazePose:
    """Both networks, on one thread."""

    def __init__(self) -> None:
        self._detector = load_network("pose_detection.tflite")
        self._landmark = load_network("pose_landmark_full.tflite")
        self._anchors = _anchors()

    def find(self, image: Image) -> tuple[Region, float]:
        """The likeliest person of an image (H, W, 3) RGB, and its probability."""
        height, width = image.shape[:2]
        side = max(height, width)
        scale = DETECTOR_SIZE / side
        small = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        left, top = (DETECTOR_SIZE - small.shape[1]) // 2, (DETECTOR_SIZE - small.shape[0]) // 2
        square = np.zeros((DETECTOR_SIZE, DETECTOR_SIZE, 3), np.float32)
        square[top : top + small.shape[0], left : left + small.shape[1]] = small
        outputs = invoke(self._detector, square / 127.5 - 1)
        boxes = next(o for o in outputs if o.shape[-1] == 12)[0]
        logits = next(o for o in outputs if o.shape[-1] == 1)[0, :, 0]
        best = int(logits.argmax())
        key = (boxes[best, 4:].reshape(4, 2) + self._anchors[best] * DETECTOR_SIZE - [left, top]) / scale
        return region_through(key[0], key[1]), sigmoid(float(logits[best]))

    def landmarks(self, image: Image, region: Region, mirrored: bool = False) -> CropLandmarks:
        """Landmarks of the person in a region of an image (H, W, 3) RGB.

        With `mirrored` the network sees the crop's mirror image; the answer is mirrored back, left and right swapped.
        """
        to_crop = region.to_crop()
        if mirrored:
            to_crop = np.array([[-1.0, 0, CROP_SIZE], [0, 1, 0]]) @ np.vstack([to_crop, [0, 0, 1]])
        crop = cut_out(image, to_crop, CROP_SIZE)
        outputs = {o.shape[1:]: o[0] for o in invoke(self._landmark, np.divide(crop, 255, dtype=np.float32))}
        raw = outputs[(195,)].reshape(39, 5).astype(np.float64)
        world = outputs[(117,)].reshape(39, 3).astype(np.float64)
        mask = sigmoid(outputs[(CROP_SIZE, CROP_SIZE, 1)][..., 0])
        points = np.column_stack([raw[:, :2], np.ones(39)]) @ cv2.invertAffineTransform(to_crop).T
        visibility = sigmoid(raw[:, 3])
        if mirrored:
            world[:, 0] *= -1
            mask = mask[:, ::-1]
            points, visibility, world = points[SWAP], visibility[SWAP], world[SWAP]
        c, s = np.cos(region.angle), np.sin(region.angle)
        world[:, :2] = world[:, :2] @ np.array([[c, s], [-s, c]])  # from the upright crop back to the image
        return CropLandmarks(points, visibility, world, np.ascontiguousarray(mask), float(outputs[(1,)][0]))


SWAP = np.array(
    [0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9]
    + [i + 1 if i % 2 else i - 1 for i in range(11, 33)]
    + [33, 34, 35, 36, 37, 38]
)  # fmt: skip
"""The landmark that each landmark becomes in a mirror."""


def region_through(centre: Doubles, rim: Doubles) -> Region:
    """The region around a person whose hips' middle is `centre` (2,) and whose circle passes `rim` (2,), its top."""
    v = np.asarray(rim, np.float64) - centre
    return Region(np.asarray(centre, np.float64), float(np.hypot(*v)) * MARGIN, float(np.arctan2(v[0], -v[1])))


def cut_out(image: Image, to_crop: Doubles, size: int) -> Image:
    """The crop (size, size, 3), free of aliasing: the image is halved until a crop pixel covers less than two of it."""
    shrink = 1
    while 1 / np.hypot(*to_crop[:, 0]) / shrink >= 2:
        shrink *= 2
    if shrink > 1:
        small = (max(1, image.shape[1] // shrink), max(1, image.shape[0] // shrink))
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA).astype(np.uint8)
    matrix = to_crop.copy()
    matrix[:, :2] *= shrink
    matrix[:, 2] += (matrix[:, :2].sum(1) - 1) * 0.5  # OpenCV's pixel centres are integers
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR).astype(np.uint8)


def load_network(name: str) -> Any:
    """A shipped network, ready to run on one thread."""
    from ai_edge_litert.interpreter import Interpreter

    content = (files("understudy_backend") / "assets" / "blazepose" / name).read_bytes()
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def invoke(interpreter: Any, value: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """All outputs, with their batch axis, for one input (H, W, 3)."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value[None].astype(np.float32))
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def _anchors() -> Doubles:
    """(2254, 2) centres of the detector's anchors in [0, 1]: two a cell for each stride that the cell's grid has."""
    out = []
    for stride in sorted(set(STRIDES)):
        cells = DETECTOR_SIZE // stride
        y, x = np.mgrid[:cells, :cells]
        grid = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) / cells
        out.append(np.repeat(grid, 2 * STRIDES.count(stride), axis=0))
    return np.concatenate(out)


def sigmoid(x: Any) -> Any:
    """Of a number or an array, without overflow."""
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))
