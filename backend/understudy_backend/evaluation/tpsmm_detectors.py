"""What AKD, MKR and AED look at pictures with: our own detectors of landmarks, and identity networks of the user's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from understudy_backend.methods.contract import MethodError
from understudy_backend.photo.blazepose import BlazePose
from understudy_backend.photo.face import FaceMesh, find_face

Picture = NDArray[np.uint8]
Doubles = NDArray[np.float64]

MIN_SCORE = 0.5
"""Least probability of a person, and of a landmark to be in sight."""


class Landmarks(Protocol):
    """Finds the same landmarks in every picture."""

    @property
    def name(self) -> str:
        """As reports show it."""
        ...

    def __call__(self, image: Picture) -> Doubles:
        """(P, 2) pixels in a picture (H, W, 3), NaN where a landmark is not found."""
        ...


class BodyLandmarks:
    """BlazePose's 33 landmarks of the body."""

    name = "BlazePose, 33 landmarks of the body"

    def __init__(self) -> None:
        self._networks = BlazePose()

    def __call__(self, image: Picture) -> Doubles:
        """See `Landmarks`."""
        found = np.full((33, 2), np.nan)
        region, score = self._networks.find(image)
        if score < MIN_SCORE:
            return found
        seen = self._networks.landmarks(image, region)
        if seen.score < MIN_SCORE:
            return found
        return np.where(seen.visibility[:33, None] >= MIN_SCORE, seen.points[:33], np.nan)


class FaceLandmarks:
    """Eleven landmarks of the face (eyes, ears, nose, mouth) by Face Mesh, found through BlazePose."""

    name = "Face Mesh, 11 landmarks of the face"

    def __init__(self) -> None:
        self._body, self._face = BlazePose(), FaceMesh()

    def __call__(self, image: Picture) -> Doubles:
        """See `Landmarks`."""
        region, score = self._body.find(image)
        found = None
        if score >= MIN_SCORE:
            found = find_face(self._face, image, self._body.landmarks(image, region).points[:11])
        return np.full((11, 2), np.nan) if found is None else found


DETECTORS: dict[str, Callable[[], Landmarks]] = {"body": BodyLandmarks, "face": FaceLandmarks}


def detector(name: str) -> Landmarks:
    """One of our detectors, by its name in `DETECTORS`."""
    return DETECTORS[name]()


@dataclass(frozen=True)
class Seen:
    """How an identity network is shown a picture."""

    size: tuple[int, int]
    """(width, height)."""
    mean: tuple[float, float, float]
    """Taken from RGB in [0, 255]."""
    spread: tuple[float, float, float]
    """Divides what is left."""


IDENTITIES: dict[str, Seen] = {
    "face": Seen((112, 112), (0, 0, 0), (1, 1, 1)),
    "person": Seen((128, 256), (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}
"""The inputs of the usual networks: SFace's for faces; for people that of re-identification, ImageNet's statistics."""


class Identity:
    """Features of who is in a picture, by an ONNX network of the user's; their length is 1."""

    def __init__(self, path: Path, sees: Seen) -> None:
        """Reads the network.

        Raises:
            MethodError: the file is missing or no ONNX network.
        """
        if not path.is_file():
            raise MethodError(f"there is no file {path}", code="missing_weights", fix="Check its name.")
        self.name, self._sees = path.name, sees
        try:
            self._network = cv2.dnn.readNetFromONNX(np.frombuffer(path.read_bytes(), np.uint8))
        except cv2.error:
            raise MethodError(
                f"{path.name} is no ONNX network that OpenCV reads",
                code="bad_weights",
                fix="Give another with --identity.",
            ) from None

    def __call__(self, image: Picture) -> Doubles | None:
        """(D,) of a picture (H, W, 3); None where the network says nothing."""
        shown = cv2.resize(image, self._sees.size, interpolation=cv2.INTER_AREA).astype(np.float32)
        shown = (shown - np.array(self._sees.mean, np.float32)) / np.array(self._sees.spread, np.float32)
        self._network.setInput(np.ascontiguousarray(shown.transpose(2, 0, 1)[None], np.float32))
        try:
            features = np.asarray(self._network.forward(), np.float64).ravel()
        except cv2.error:
            raise MethodError(
                f"{self.name} does not take pictures of {self._sees.size[0]} x {self._sees.size[1]}",
                code="bad_weights",
                fix="Say with --identity-sees what it was made for.",
            ) from None
        length = float(np.linalg.norm(features))
        return features / length if length > 0 else None


def identity(path: Path, sees: Literal["face", "person"] | str) -> Identity:
    """A network of the user's that is shown pictures as `IDENTITIES` says."""
    return Identity(path, IDENTITIES[sees])
