"""What the networks made, in the frame: background, transparency, and the blend back into the photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from understudy_backend.models.tpsmm.framing import (
    Crop,
    Floats,
    background_plate,
    contain,
    coverage,
    on_grey,
    premultiplied,
    resample,
    soft_border,
)

Background = Literal["moving", "still", "none"]
"""`moving`: as the network makes it. `still`: the photo's own, filled in where the person was. `none`: transparent."""


@dataclass(frozen=True, eq=False)
class Source:
    """The photo, and which part of it is to move."""

    picture: Floats
    """(H, W, 4), straight alpha."""
    mask: Floats | None
    """(H, W, 1) the person; None where the photo's alpha is to tell."""
    crop: Crop

    def seen(self, size: int) -> Floats:
        """What the networks see, (size, size, 3)."""
        return self.crop.take(on_grey(self.picture), (size, size))


class Composer:
    """Makes frames of the networks' images."""

    def __init__(
        self,
        source: Source,
        size: int,
        frame: tuple[int, int],
        *,
        background: Background = "moving",
        whole: bool = False,
        soften: float = 0.0,
    ) -> None:
        """Prepares what all frames share.

        Args:
            source: the photo.
            size: side of the networks' images.
            frame: (width, height) of the frames. What is shown fits into it, centred; around it is nothing.
            background: see `Background`.
            whole: whether frames show the whole photo, the part that moves laid back into it, or that part alone.
            soften: width of the blend into the photo, of the moving part's side.
        """
        crop, (height, width) = source.crop, source.picture.shape[:2]
        alpha = crop.take(source.picture[..., 3:], (size, size))
        mask = alpha if source.mask is None else alpha * crop.take(source.mask, (size, size))
        self.shape: Floats | None = mask if background != "moving" else alpha if alpha.min() < 0.99 else None
        """(size, size, 1) what moves with the photo and cuts the result out of it; None where nothing does."""
        self._frame = frame
        photo = Crop(0, 0, width, height)
        self._to_frame, view = _patch_map(crop, photo if whole else crop, size, frame)
        self._share = coverage(crop, view, frame)
        seen = self._share
        if whole:
            seen = coverage(photo, view, frame)
            border = soft_border(crop, (width, height), size, soften)
            self._share = self._share * seen * resample(border, self._to_frame, frame)
        self._still = background == "still"
        self._behind: Floats = np.zeros((frame[1], frame[0], 4), np.float32)
        if background != "none":
            self._behind = resample(premultiplied(source.picture), view, frame) * seen
        if self._still:
            self._behind = self._behind * (1 - self._share) + _plate(source, view, frame) * self._share

    def frame(self, image: Floats, shape: Floats | None) -> NDArray[np.uint8]:
        """A frame (H, W, 4) uint8 sRGB, straight alpha.

        Args:
            image: (size, size, 3) in [0, 1] from the networks.
            shape: (size, size, 1) `shape`, moved along; None where that is None.
        """
        alpha = np.ones_like(image[..., :1]) if shape is None else shape
        front = resample(premultiplied(np.concatenate([image, alpha], -1)), self._to_frame, self._frame) * self._share
        hidden = front[..., 3:] if self._still else self._share
        out = self._behind * (1 - hidden) + front
        colour = out[..., :3] / np.maximum(out[..., 3:], 1e-6)
        return (np.clip(np.concatenate([colour, out[..., 3:]], -1), 0, 1) * 255 + 0.5).astype(np.uint8)


def _plate(source: Source, view: NDArray[np.float64], frame: tuple[int, int]) -> Floats:
    """The photo without the person, as a frame shows it, premultiplied; nothing where the photo shows nothing else."""
    if source.mask is None:
        return np.zeros((frame[1], frame[0], 4), np.float32)
    colour = resample(on_grey(source.picture), view, frame)
    filled = background_plate(colour, resample(source.mask, view, frame))
    return premultiplied(np.concatenate([filled, resample(source.picture[..., 3:], view, frame)], -1))


def _patch_map(
    crop: Crop, view: Crop, size: int, frame: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(2, 3) from pixels of the networks' image to those of a frame that shows `view`, and from the photo's."""
    photo_map = contain(view, frame)
    scale = photo_map[:, :2] @ np.diag([crop.width / size, crop.height / size])
    shift = photo_map[:, :2] @ np.array([crop.left, crop.top]) + photo_map[:, 2]
    return np.column_stack([scale, shift]), photo_map
