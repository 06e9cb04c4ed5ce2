"""What the trackers PHALP and 4D-Humans write of a video: SMPL poses of everybody, frame by frame.

A result is a pickle by joblib of one dictionary: frame name to a dictionary of `time` (the frame's number) and of lists
with one entry a track: `tid`, `smpl` (`global_orient` (1, 3, 3), `body_pose` (23, 3, 3), `betas` (10,)), `camera` (3,),
`size` [height, width], `conf`, `bbox` [x, y, w, h], `tracked_time`, `3d_joints` (45, 3), `2d_joints` (90,), ... It is
read without being run (see `joblib_pickle`).

Conventions, and where the files leave them open:

- Axes are the camera's: x right, y down, z forward, as OpenCV's; `global_orient` turns SMPL's rest frame into them, so
  an upright person is turned by about 180 degrees about x.
- `camera` moves the posed body before a camera whose focal length is 5000 px in a picture of 256 px: the frame padded
  to a square, evenly on both sides (by whole pixels, the odd one at the right or bottom), and shrunk. In pixels of the
  frame the focal length is thus 5000 x its longer side / 256: people are far away, and nearly in parallel projection.
  Both numbers can be configured. The last of `2d_joints` is the projection of the point `camera` itself, which tells
  their ratio; a file without `2d_joints` is taken to be made with the defaults.
- Distances are as true as that focal length: only the ratio of size to distance was ever seen.
- SMPL turns the body about its pelvis, whose place at rest depends on the shape. It is `3d_joints[8]` (the middle of
  the hips); without `3d_joints` the pelvis of SMPL's mean shape stands in, which is good to about 2 cm.
- `betas` are components of SMPL's shape and mean nothing on another body.
- A track that was not seen in a frame still has an entry there, a copy of the last one; its `tracked_time` is above
  zero, and it is left out here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from understudy_shared.body import BodyModel
from understudy_shared.camera import CameraTrajectory
from understudy_shared.formats.joblib_pickle import load
from understudy_shared.formats.reading import FormatError
from understudy_shared.formats.tracks import (
    CAMERA_TO_WORLD,
    MAX_FRAMES,
    mean_betas,
    rotations,
    track_clip,
    video_camera,
)
from understudy_shared.motion import MotionClip
from understudy_shared.rotations import axis_angle_from_matrix

Doubles = NDArray[np.float64]

FOCAL = 5000.0
"""Pixels, at `RESOLUTION`."""
RESOLUTION = 256.0
"""Side of the square picture that `camera` is for."""
MEAN_PELVIS = (-0.002, -0.223, 0.028)
"""Metres: SMPL's pelvis at rest."""
MID_HIP = 8
"""The pelvis among `3d_joints`."""


@dataclass(frozen=True, eq=False)
class PhalpTrack:
    """One person over the T frames in which they were seen, in time order; camera axes (OpenCV), metres."""

    track_id: int
    frame: NDArray[np.int64]
    """(T,) number of the frame, from 0."""
    name: tuple[str, ...]
    """(T,) file name of the frame, without its folder."""
    global_orient: Doubles
    """(T, 3, 3) rest frame to camera axes."""
    body_pose: Doubles
    """(T, 23, 3, 3) relative to the parents."""
    betas: Doubles
    """(T, 10) of SMPL."""
    pelvis: Doubles
    """(T, 3) metres, in camera axes."""
    intrinsics: Doubles
    """(T, 3, 3) K in pixels of the frame, pixel centres at half-integers."""
    size: NDArray[np.int64]
    """(T, 2) width, height of the frame in pixels."""
    confidence: Doubles
    """(T,) of the detection, in [0, 1]."""
    box: Doubles
    """(T, 4) x, y, width, height in pixels of the frame."""

    def __len__(self) -> int:
        return len(self.frame)


def sniff(path: Path | str) -> bool:
    """Whether this may be such a file, by its name: the content is known only once it is all read."""
    return Path(path).suffix.lower() in (".pkl", ".pickle", ".joblib")


def is_ours(raw: bytes) -> bool:
    """Whether a pickle names what PHALP's do."""
    named = any(text in raw for text in (b"\x03tid", b"\x03\x00\x00\x00tid", b"Vtid\n"))  # as pickles write short text
    return named and b"global_orient" in raw and b"camera" in raw


def load_tracks(
    path: Path | str,
    body: BodyModel,
    *,
    fps: float | None = None,
    up: str = "auto",
    betas: Literal["zeros", "file"] = "zeros",
) -> list[MotionClip]:
    """Everybody in a result as clips, those who were seen longest first, in the world of a level camera at the origin.

    Args:
        path: the pickle.
        body: who wears it.
        fps: frames per second of the video; 30 by default.
        up: not needed: it is the camera's.
        betas: the shape: zeros, or the mean of the file's, which mean something only on SMPL.

    Raises:
        FormatError: as `read_tracks`.
    """
    return [
        track_clip(
            path,
            body,
            frames=track.frame,
            root=CAMERA_TO_WORLD @ rotations(path, "global_orient", track.global_orient),
            pose=axis_angle_from_matrix(rotations(path, "body_pose", track.body_pose)),
            pelvis=track.pelvis @ CAMERA_TO_WORLD.T,
            betas=mean_betas(path, track.betas, body) if betas == "file" else np.zeros(body.num_betas, np.float32),
            fps=fps,
            track_id=str(track.track_id),
        )
        for track in read_tracks(path)
    ]


def load_camera(
    path: Path | str,
    *,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    scale: float = 1.0,
    **_: Any,
) -> CameraTrajectory:
    """The camera that the people of `load_tracks` were seen by: still and level at the origin, from the first frame of
    the video to the last in which anybody was seen.

    Args:
        path: the pickle.
        fps: frames per second of the video; 30 by default.
        size: (width, height) in pixels; by default the file's.
        scale: metres per unit of the file; nothing here to be scaled.
        **_: what other cameras need and this one knows.

    Raises:
        FormatError: as `read_tracks`, or the frames are of several sizes.
    """
    tracks = read_tracks(path)
    sizes = np.unique(np.concatenate([track.size for track in tracks]), axis=0)
    if len(sizes) != 1:
        raise FormatError(path, "has frames of several sizes; one camera cannot show them")
    frames = max(int(track.frame.max()) for track in tracks) + 1
    if frames > MAX_FRAMES:
        raise FormatError(path, f"goes over {frames} frames; cut the video into shorter pieces")
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = CAMERA_TO_WORLD.T
    k = np.median(np.concatenate([track.intrinsics for track in tracks]), 0)  # found anew in every frame, to rounding
    size = size or (int(sizes[0, 0]), int(sizes[0, 1]))
    return video_camera(path, np.tile(extrinsics, (frames, 1, 1)), np.tile(k, (frames, 1, 1)), size, fps)


def read_tracks(path: Path | str) -> list[PhalpTrack]:
    """Everybody in a result, the longest track first.

    Raises:
        FormatError: not a pickle of plain data, or not one of PHALP's.
    """
    content = load(path)
    if not isinstance(content, dict) or not content or not all(isinstance(v, dict) for v in content.values()):
        raise FormatError(path, "is not a result of PHALP or 4D-Humans: it has no frames")
    rows: dict[int, list[dict[str, Any]]] = {}
    for number, (name, frame) in enumerate(content.items()):
        try:
            for row in _people(name, number, frame):
                rows.setdefault(row["track_id"], []).append(row)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else "values of another shape"
            raise FormatError(path, f"is not a result of PHALP or 4D-Humans: frame {number} has {what}") from None
    if not rows:
        raise FormatError(path, "holds no tracked person")
    tracks = [_track(track_id, found) for track_id, found in rows.items()]
    return sorted(tracks, key=lambda t: (-len(t), t.track_id))


def _people(key: Any, number: int, frame: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The people that were seen in one frame."""
    out = []
    since = frame.get("tracked_time") or [0] * len(frame["tid"])
    for i, track_id in enumerate(frame["tid"]):
        if int(since[i]) > 0:
            continue
        smpl = frame["smpl"][i]
        size = np.asarray(frame["size"][i], np.float64).reshape(2)
        height, width = (int(n) for n in size)
        if height < 1 or width < 1:
            raise ValueError("a frame without pixels")
        camera = _numbers(frame["camera"][i], (3,))
        name = frame["img_name"][i] if "img_name" in frame else None
        row = {
            "track_id": int(track_id),
            "frame": int(frame.get("time", number)),
            "name": _file_name(name if isinstance(name, str) else key),
            "global_orient": _numbers(smpl["global_orient"], (3, 3)),
            "body_pose": _numbers(smpl["body_pose"], (23, 3, 3)),
            "betas": _numbers(smpl["betas"], (10,)),
            "pelvis": camera + _pelvis(frame, i),
            "intrinsics": _intrinsics(width, height, _focal_ratio(frame, i, camera)),
            "size": np.array([width, height]),
            "confidence": float(np.asarray(frame["conf"][i]).reshape(-1)[0]) if "conf" in frame else 1.0,
            "box": _numbers(frame["bbox"][i], (4,)),
        }
        if not all(np.isfinite(v).all() for v in row.values() if not isinstance(v, str)):
            raise ValueError("not finite")
        if camera[2] <= 0:
            raise ValueError("a person behind the camera")
        out.append(row)
    return out


def _track(track_id: int, rows: list[dict[str, Any]]) -> PhalpTrack:
    rows = sorted({row["frame"]: row for row in rows}.values(), key=lambda row: row["frame"])
    names = tuple(row["name"] for row in rows)
    arrays = {
        key: np.stack([row[key] for row in rows])
        for key in rows[0]
        if key not in ("track_id", "name")
    }  # fmt: skip
    return PhalpTrack(track_id=track_id, name=names, **arrays)


def _file_name(key: Any) -> str:
    """The key of a frame is its path, or (for a video) a path and a time."""
    return key.replace("\\", "/").rsplit("/", 1)[-1] if isinstance(key, str) else ""


def _numbers(value: Any, shape: tuple[int, ...]) -> Doubles:
    return np.asarray(value, np.float64).reshape(shape)


def _pelvis(frame: Mapping[str, Any], i: int) -> Doubles:
    joints = frame.get("3d_joints")
    if not joints:
        return np.array(MEAN_PELVIS)
    return np.asarray(joints[i], np.float64).reshape(-1, 3)[MID_HIP]


def _focal_ratio(frame: Mapping[str, Any], i: int, camera: Doubles) -> float:
    """Focal length over the side of the square picture."""
    joints = frame.get("2d_joints")
    usual = FOCAL / RESOLUTION
    if not joints:
        return usual
    seen = np.asarray(joints[i], np.float64).reshape(-1, 2)[-1] - 0.5  # in sides of the square, from its middle
    axis = int(np.argmax(np.abs(camera[:2])))
    if abs(camera[axis]) < 1e-3:  # in the very middle any focal length gives the same
        return usual
    ratio = float(seen[axis] * camera[2] / camera[axis])
    return ratio if ratio > 0.1 else usual


def _intrinsics(width: int, height: int, ratio: float) -> Doubles:
    side = max(width, height)
    left, top = (side - width) // 2, (side - height) // 2
    return np.array([[ratio * side, 0, side / 2 - left], [0, ratio * side, side / 2 - top], [0, 0, 1.0]])
