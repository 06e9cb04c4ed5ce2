"""Frames of a video file or of a folder of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")


class ClipError(ValueError):
    """The clip cannot be used; one line says why and what to do."""


@dataclass(frozen=True)
class Clip:
    """One continuous shot with one person to be learned."""

    path: Path
    """A video file, or a folder of pictures, whose names sort in time."""
    name: str
    person: str
    """Who it is: clips of one person never come into different splits."""
    size: tuple[int, int]
    """(width, height) of the frames in pixels, as they are read."""
    chosen: tuple[int, ...]
    """Numbers of the frames that are used, counted from 0 in the file or folder."""
    files: tuple[str, ...]
    """File name of every frame of a folder; empty for a video."""
    fps: float
    """Of the file; 0 where a folder does not tell."""

    def frames(self, numbers: set[int] | None = None) -> Iterator[tuple[int, Image | None]]:
        """The chosen frames (or those of them in `numbers`) in time order: number and (H, W, 3) uint8 sRGB, None where
        the frame cannot be read or has another size."""
        wanted = [n for n in self.chosen if numbers is None or n in numbers]
        images = self._pictures(wanted) if self.files else self._video(wanted)
        for number, image in images:
            usable = image is not None and image.ndim == 3 and image.shape[2] == 3
            yield number, _sized(image, self.size) if usable and image is not None else None

    def _pictures(self, wanted: list[int]) -> Iterator[tuple[int, Image | None]]:
        for number in wanted:
            image = cv2.imread(str(self.path / self.files[number]), cv2.IMREAD_COLOR)
            yield number, None if image is None else np.asarray(image, np.uint8)

    def _video(self, wanted: list[int]) -> Iterator[tuple[int, Image | None]]:
        reader, at = cv2.VideoCapture(str(self.path)), 0
        try:
            for number in wanted:  # by decoding: seeking is not exact in every file
                while at < number and reader.grab():
                    at += 1
                good, image = reader.read() if at == number else (False, None)
                at += 1
                yield number, np.asarray(image, np.uint8) if good and image is not None else None
        finally:
            reader.release()


def find_clips(
    path: Path, *, every: int = 1, start: int = 0, stop: int | None = None, most: int = 400, side: int = 1920
) -> list[Clip]:
    """The clips at a path: a video; a folder of pictures; or a folder of videos and of folders of pictures.

    A clip is named after its file or folder. Its person is what is before `__` in the name, so `anna__1.mp4` and
    `anna__2.mp4` show one person; a name without it is a person of its own.

    Args:
        every, start, stop: which frames, as Python slices.
        most: no more frames than these, spread evenly over those.
        side: longest side of a frame in pixels; larger frames are reduced as they are read.

    Raises:
        ClipError: there is nothing that can be read.
    """
    if every < 1 or most < 2:
        raise ClipError("frames are taken in steps of at least 1, and at least 2 of them")
    if not path.exists():
        raise ClipError(f"{path} does not exist")
    if path.is_dir() and not _pictures_in(path):
        parts = sorted(p for p in path.iterdir() if (p.is_dir() and _pictures_in(p)) or p.suffix.lower() in VIDEOS)
        if not parts:
            raise ClipError(f"{path} holds neither pictures nor videos")
    else:
        parts = [path]
    clips = [_open(part, slice(start, stop, every), most, side) for part in parts]
    names = [clip.name for clip in clips]
    for name in names:
        if names.count(name) > 1:
            raise ClipError(f"two clips are called {name}: rename one")
    return clips


def _open(path: Path, part: slice, most: int, side: int) -> Clip:
    files: tuple[str, ...] = ()
    fps = 0.0
    if path.is_dir():
        files = tuple(p.name for p in _pictures_in(path))
        first = cv2.imread(str(path / files[0]), cv2.IMREAD_COLOR)
        count, shape = len(files), None if first is None else first.shape[:2]
    else:
        reader = cv2.VideoCapture(str(path))
        good, first = reader.read() if reader.isOpened() else (False, None)
        count, fps = int(reader.get(cv2.CAP_PROP_FRAME_COUNT)), float(reader.get(cv2.CAP_PROP_FPS))
        reader.release()
        shape = first.shape[:2] if good and first is not None else None
    if shape is None:
        raise ClipError(f"{path.name} cannot be read as a video or a picture")
    chosen = np.arange(count)[part]
    if len(chosen) > most:
        chosen = chosen[np.linspace(0, len(chosen) - 1, most).round().astype(int)]
    if len(chosen) < 2:
        raise ClipError(f"{path.name} has fewer than two frames in that range: nothing can be learned from it")
    scale = min(1.0, side / max(shape))
    size = (round(shape[1] * scale), round(shape[0] * scale))
    name = path.name if path.is_dir() else path.stem
    return Clip(path, name, name.partition("__")[0], size, tuple(int(n) for n in chosen), files, fps)


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES and p.is_file())


def _sized(image: Image, size: tuple[int, int]) -> Image | None:
    """OpenCV's BGR as RGB, reduced to `size`; None where the shape of the picture is another."""
    height, width = image.shape[:2]
    if abs(width * size[1] - height * size[0]) > 2 * max(width, height) or width < size[0]:
        return None
    rgb = np.ascontiguousarray(image[..., ::-1])
    return rgb if (width, height) == size else np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
