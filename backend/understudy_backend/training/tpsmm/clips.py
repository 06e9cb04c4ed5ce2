"""Clips to learn from: `ROOT/{train,test}/` of videos, GIFs, strips of square frames, and folders of frames.

What cannot be read is told, left out and counted. A name before `#` is who the clip shows: `anna#1.mp4` and
`anna#2.mp4` are of one identity.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from understudy_backend.atomic import write_atomically
from understudy_backend.models.tpsmm.framing import GREY

Frame = NDArray[np.uint8]

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
INDEX = "clips.json"


class ClipError(ValueError):
    """There is nothing to learn from, or it changed meanwhile; one line."""


class Clip(msgspec.Struct, frozen=True):
    """What is known of one clip."""

    name: str
    """Of the file or folder."""
    stamp: str
    """Changes when the clip does."""
    count: int = 0
    """Frames that can be read."""
    files: tuple[str, ...] = ()
    """Of a folder: the names of these frames."""
    problems: tuple[str, ...] = ()
    """What could not be read, and why."""

    @property
    def identity(self) -> str:
        """Who it shows."""
        return self.name.partition("#")[0]


@dataclass(frozen=True)
class ClipSet:
    """The clips of a split."""

    folder: Path
    clips: tuple[Clip, ...]
    """Those of use, with at least two frames each."""
    problems: tuple[str, ...]
    """What is left out: a line for each."""

    def groups(self, by_identity: bool) -> list[list[int]]:
        """Numbers of the clips of each identity, or of each clip."""
        if not by_identity:
            return [[number] for number in range(len(self.clips))]
        found: dict[str, list[int]] = {}
        for number, clip in enumerate(self.clips):
            found.setdefault(clip.identity, []).append(number)
        return list(found.values())

    def said(self) -> str:
        """A line about what there is."""
        left_out = f"; {len(self.problems)} things left out" if self.problems else ""
        frames = sum(clip.count for clip in self.clips)
        return f"{self.folder.name}: {len(self.clips)} clips, {frames} frames{left_out}"


def find_clips(folder: Path, index: Path | None = None) -> ClipSet:
    """The clips of a split, each decoded once to know what of it can be read.

    Args:
        folder: `ROOT/train` or `ROOT/test`.
        index: a file that remembers what was found; clips that did not change are not decoded again.

    Raises:
        ClipError: no folder, or no clip in it that can be read.
    """
    if not folder.is_dir():
        raise ClipError(f"there is no folder {folder}: clips lie in {folder.parent.name}/train and test")
    known = {clip.name: clip for clip in _read_index(index)}
    paths = sorted(p for p in folder.iterdir() if not p.name.startswith(".") and _is_clip(p))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        seen = list(pool.map(partial(_looked_at, known), paths))
    if index is not None and {clip.name: clip for clip in seen} != known:
        index.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(index, lambda file: file.write(msgspec.json.encode(seen)))
    problems = tuple(f"{clip.name}: {problem}" for clip in seen for problem in clip.problems)
    useful = tuple(clip for clip in seen if clip.count >= 2)
    if not useful:
        why = f" ({problems[0]})" if problems else ""
        raise ClipError(
            f"{folder} holds no clip of at least two frames{why}: put videos, GIFs, strips or folders there"
        )
    return ClipSet(folder, useful, problems)


def decode(path: Path, files: Sequence[str] = ()) -> Iterator[Frame]:
    """Frames (H, W, 3) uint8 RGB of a clip, until the first that cannot be read; transparency lies over grey.

    Args:
        path: a video, GIF, strip or folder.
        files: of a folder, the names of its frames.

    Raises:
        ValueError, OSError: a frame, or the file, is damaged; one line.
    """
    if path.is_dir():
        for name in files:
            yield _picture(path / name)
    elif path.suffix.lower() in VIDEOS:
        yield from _video(path)
    elif path.suffix.lower() == ".gif":
        yield from _gif(path)
    else:
        strip = _picture(path)
        side, width = strip.shape[:2]
        if width % side:
            raise ValueError(f"a strip of square frames is a whole number of times as wide as its height, not {width} "
                             f"x {side}")  # fmt: skip
        for left in range(0, width, side):
            yield strip[:, left : left + side]


def square(frame: Frame, size: int) -> Frame:
    """The square in the middle of a frame (H, W, 3), at (size, size, 3)."""
    height, width = frame.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    part = frame[top : top + side, left : left + side]
    how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.ascontiguousarray(part if side == size else cv2.resize(part, (size, size), interpolation=how), np.uint8)


class Frames:
    """The frames of a set of clips, at the networks' size."""

    def __init__(self, found: ClipSet, size: int, megabytes: float) -> None:
        """Nothing is read yet.

        Args:
            found: the clips.
            size: side of the frames.
            megabytes: if all frames fit into this much memory, they stay there; otherwise they are decoded each time.
        """
        self._found, self._size = found, size
        self._keeps = sum(clip.count for clip in found.clips) * size * size * 3 <= megabytes * 1e6
        self._kept: dict[int, list[Frame]] = {}

    def take(self, clip: int, numbers: Sequence[int]) -> list[Frame]:
        """Frames (size, size, 3) of a clip by their numbers.

        Raises:
            ClipError: the clip is no longer what it was.
        """
        if self._keeps:
            if clip not in self._kept:
                self._kept[clip] = self._read(clip, range(self._found.clips[clip].count))
            return [self._kept[clip][number] for number in numbers]
        return self._read(clip, numbers)

    def _read(self, number: int, numbers: Sequence[int]) -> list[Frame]:
        clip = self._found.clips[number]
        path, found = self._found.folder / clip.name, dict[int, Frame]()
        try:
            if clip.files:
                for n, frame in zip(numbers, decode(path, [clip.files[n] for n in numbers]), strict=True):
                    found[n] = square(frame, self._size)
            else:
                last = max(numbers)
                for n, frame in enumerate(decode(path)):
                    if n in numbers:
                        found[n] = square(frame, self._size)
                    if n == last:
                        break
            return [found[n] for n in numbers]
        except (ValueError, OSError, KeyError):
            raise ClipError(f"{path} changed while training read it: start the training again") from None


def _is_clip(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in (*VIDEOS, *PICTURES, ".gif")


def _looked_at(known: dict[str, Clip], path: Path) -> Clip:
    parts = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES) if path.is_dir() else [path]
    facts = [part.stat() for part in parts]
    stamp = f"{len(parts)} {sum(f.st_size for f in facts)} {max((f.st_mtime_ns for f in facts), default=0)}"
    old = known.get(path.name)
    if old is not None and old.stamp == stamp:
        return old
    if path.is_dir():
        return _folder(path, stamp, [part.name for part in parts])
    count, problems = 0, []
    try:
        for _ in decode(path):
            count += 1
    except (ValueError, OSError) as error:
        problems.append(str(error))
    if count < 2 and not problems:
        problems.append(_few(count))
    return Clip(path.name, stamp, count, problems=tuple(problems))


def _folder(path: Path, stamp: str, names: list[str]) -> Clip:
    good, problems = [], []
    for name in names:
        try:
            _picture(path / name)
            good.append(name)
        except (ValueError, OSError) as error:
            problems.append(f"{name}: {error}")
    if len(good) < 2:
        problems.append(_few(len(good)))
    return Clip(path.name, stamp, len(good), tuple(good), tuple(problems))


def _few(count: int) -> str:
    return "one frame alone shows no motion" if count else "no frame can be read"


def _read_index(index: Path | None) -> list[Clip]:
    if index is None or not index.is_file():
        return []
    try:
        return msgspec.json.decode(index.read_bytes(), type=list[Clip])
    except msgspec.MsgspecError:
        return []  # it is made anew


def _video(path: Path) -> Iterator[Frame]:
    reader = cv2.VideoCapture(str(path))
    try:
        while reader.isOpened():
            good, image = reader.read()
            if not good or image is None:
                return
            yield _over_grey(np.asarray(image, np.uint8))
    finally:
        reader.release()


def _gif(path: Path) -> Iterator[Frame]:
    with Image.open(path) as image:
        number = 0
        while True:
            try:
                image.seek(number)
            except EOFError:
                return
            rgba = np.asarray(image.convert("RGBA"), np.uint8)
            yield _over_grey(np.ascontiguousarray(rgba[..., [2, 1, 0, 3]]))
            number += 1


def _picture(path: Path) -> Frame:
    image = cv2.imdecode(np.frombuffer(path.read_bytes() or b"-", np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("it is no picture, or damaged")
    whole = np.asarray(image)
    return _over_grey((whole // 257 if whole.dtype == np.uint16 else whole).astype(np.uint8))


def _over_grey(image: NDArray[np.uint8]) -> Frame:
    """A picture as OpenCV gives it (grey, BGR or BGRA) as RGB."""
    if image.ndim == 2:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), np.uint8)
    if image.shape[2] == 3:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    alpha = image[..., 3:].astype(np.float32) / 255
    return (image[..., 2::-1] * alpha + 255 * GREY * (1 - alpha) + 0.5).astype(np.uint8)
