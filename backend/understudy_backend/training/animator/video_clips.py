"""Clips of real people: frames of a video with the body that our tracker found (see `training.video`)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import BodyModel, free_body, joint_transforms
from understudy_shared.camera import project

from understudy_backend.guidance.body_pictures import body_pictures
from understudy_backend.training.animator.shards import PICTURE, FrameRow, shard_about, write_shard
from understudy_backend.training.video import track as tracks
from understudy_backend.training.video.clip import Clip, ClipError
from understudy_backend.training.video.store import fingerprint

VERSION = 1
"""Raise it when the same video gives other data."""
FILL = 0.85
"""Share of the picture that the person's way takes up, on the side where it is largest."""


def add_video(clip: Clip, track_file: Path, out: Path, size: tuple[int, int]) -> Path:
    """Writes a video's frames as one clip; returns its shard. One that is there already stays.

    Frames are cut to one window around all the places where the body is; what lies beyond the video is its border,
    drawn out. The background stays.

    Args:
        clip: the frames.
        track_file: the body in them, of `training.video`.
        out: the data set.
        size: (width, height) in pixels.

    Raises:
        ClipError: fewer than two frames show the body, or a shard holds the clip otherwise.
        ValueError: the track cannot be read, is of another video or another body.
    """
    digest = hashlib.sha256(track_file.read_bytes()).hexdigest()
    known_by = fingerprint([VERSION, clip.name, clip.size, clip.chosen, clip.path.name, size, digest])
    folder = _folder(out, clip.name)
    found = shard_about(folder)
    if found is not None:
        if found.get("fingerprint") == known_by:
            return folder
        raise ClipError(f"{folder} was made with other frames or settings: delete it, or choose another folder")
    track = tracks.load(track_file).on(clip.size, clip.files)
    if track.body != "free":
        raise ClipError(f"{track_file.name} is of another body than ours: run `training.video` with --refine on it")
    body = free_body()
    rows = {n: row for n in clip.chosen if (row := track.row_of(n)) is not None}
    if len(rows) < 2:
        raise ClipError(f"{clip.name} has fewer than two frames with a body")
    window = _window(track, list(rows.values()), body, size)
    frames = [
        _frame(image, track, rows[number], body, window, size)
        for number, image in clip.frames(set(rows))
        if image is not None
    ]
    write_shard(folder, [frames], {"source": "video", "clip": clip.name, "person": clip.person,
                                   "size": list(size), "fingerprint": known_by})  # fmt: skip
    return folder


def _folder(out: Path, name: str) -> Path:
    return out / f"shard-{name}"


def _window(track: tracks.Track, rows: list[int], body: BodyModel, size: tuple[int, int]) -> tuple[float, float, float]:
    """Left and top edge, in pixels of the video, and pixels of the video to a pixel of the clip."""
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for row in rows:
        points, _ = project(track.vertices(row, body), track.extrinsics[row], track.intrinsics[row])
        low, high = np.minimum(low, points.min(0)), np.maximum(high, points.max(0))
    scale = float(((high - low) / FILL / size).max())
    left, top = (low + high - scale * np.array(size)) / 2
    return float(left), float(top), scale


def _frame(
    image: NDArray[np.uint8], track: tracks.Track, row: int, body: BodyModel, window: tuple[float, float, float],
    size: tuple[int, int],
) -> FrameRow:  # fmt: skip
    left, top, scale = window
    # OpenCV's pixel centres are integers; ours are half-integers
    matrix = np.array([[scale, 0, left + scale / 2 - 0.5], [0, scale, top + scale / 2 - 0.5]])
    smooth = cv2.GaussianBlur(image, (0, 0), 0.4 * scale) if scale > 1.2 else image
    cut = cv2.warpAffine(smooth, matrix, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                         borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    k = np.array(track.intrinsics[row], np.float64)
    k[:2, 2] -= (left, top)
    k[:2] /= scale
    here = slice(row, row + 1)
    transforms = joint_transforms(
        body, track.shape, track.global_orient[here], track.body_pose[here], track.transl[here]
    )
    vertices, joints = track.vertices(row, body), transforms[0, :, :3, 3]
    picture = np.asarray(np.dstack([cut, np.full(cut.shape[:2], 255, np.uint8)]), np.uint8)
    return {PICTURE: picture, **body_pictures(body, vertices, joints, k, track.extrinsics[row], size)}
