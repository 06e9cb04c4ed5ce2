"""TRAM's `hps/hps_track_0.npy`: one person in a video, with the camera of `camera.npy` beside it.

Both are `.npy` files with one pickled dictionary, and read without being run (see `npy_pickle`). A track holds torch's
tensors `pred_rotmat` (N, 24, 3, 3), `pred_shape` (N, 10), `pred_trans` (N, 1, 3) and `frame` (N,); a camera the arrays
`pred_cam_R` (F, 3, 3), `pred_cam_T` (F, 3), `img_focal` and `img_center` (2,), in older versions also `world_cam_R` and
`world_cam_T`.

Conventions:

- Poses are SMPL's in camera axes, OpenCV's (x right, y down, z forward); `pred_trans` is what is added to its rest
  pelvis.
- The camera's matrices are camera to world, in metres. The world of `pred_cam_*` is the first camera, which is taken to
  be level; that of `world_cam_*`, which goes before, has been levelled and has Y up.
- A track without a `camera.npy` beside it (or one folder above) stays in camera axes, as if the camera stood still.
- The files do not say the frame rate.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from understudy_shared.body import Y_UP_TO_Z_UP, BodyModel
from understudy_shared.camera import CameraTrajectory, rigid_inverse
from understudy_shared.formats.npy_pickle import holds_objects
from understudy_shared.formats.npy_pickle import load as read_npy
from understudy_shared.formats.reading import FormatError
from understudy_shared.formats.tracks import CAMERA_TO_WORLD, mean_betas, rotations, track_clip, video_camera
from understudy_shared.motion import MotionClip
from understudy_shared.rotations import axis_angle_from_matrix

Doubles = NDArray[np.float64]


class _Camera(NamedTuple):
    """Camera to world, Z up."""

    rotation: Doubles
    """(F, 3, 3)."""
    place: Doubles
    """(F, 3) metres."""
    focal: float
    """Pixels."""
    centre: Doubles
    """(2,) pixels."""


def sniff(path: Path | str) -> bool:
    """Whether the file is a `.npy` with a pickled dictionary that speaks of TRAM's tracks."""
    return _mentions(path, b"pred_rotmat")


def sniff_camera(path: Path | str) -> bool:
    """Whether the file is a `.npy` with a pickled dictionary that speaks of TRAM's camera."""
    return _mentions(path, b"img_focal") and _mentions(path, b"pred_cam_R")


def load_tracks(
    path: Path | str,
    body: BodyModel,
    *,
    fps: float | None = None,
    up: str = "auto",
    betas: Literal["zeros", "file"] = "zeros",
) -> list[MotionClip]:
    """The one person of a track, whose id is the number in the file's name.

    Args:
        path: `hps_track_K.npy`.
        body: who wears it.
        fps: frames per second of the video; 30 by default.
        up: not needed: the format defines it.
        betas: the shape: zeros, or the mean of the file's, which mean something only on SMPL.

    Raises:
        FormatError: no pickle of plain data, not one of TRAM's, or a camera that is shorter than the track.
    """
    found = read_npy(path)
    if not isinstance(found, dict) or "pred_rotmat" not in found:
        raise FormatError(path, "is not a track of TRAM: it has no 'pred_rotmat'; choose one of hps/hps_track_*.npy")
    try:
        frames = np.asarray(found["frame"]).reshape(-1)
        turns = np.asarray(found["pred_rotmat"], np.float64).reshape(len(frames), 24, 3, 3)
        place = np.asarray(found["pred_trans"], np.float64).reshape(len(frames), 3)
        shape = np.zeros(body.num_betas, np.float32)
        if betas == "file":
            shape = mean_betas(path, found["pred_shape"], body)
    except KeyError as error:
        raise FormatError(path, f"is not a track of TRAM: it has no {error}") from None
    except (TypeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(path, "is not a track of TRAM: it has values of another shape") from None
    turns = rotations(path, "pred_rotmat", turns)
    root, pelvis = turns[:, 0], body.joints(shape)[0] + place
    beside = _beside(path)
    if beside is None:
        root, pelvis = CAMERA_TO_WORLD @ root, pelvis @ CAMERA_TO_WORLD.T
    else:
        camera = _camera(beside)
        if len(frames) and (frames.min() < 0 or frames.max() >= len(camera.place)):
            raise FormatError(path, f"has more frames than '{beside.name}' beside it; they are of different videos")
        rotation = camera.rotation[frames]
        root = rotation @ root
        pelvis = (rotation @ pelvis[..., None])[..., 0] + camera.place[frames]
    number = re.search(r"(\d+)$", Path(path).stem)
    clip = track_clip(
        path,
        body,
        frames=frames,
        root=root,
        pose=axis_angle_from_matrix(turns[:, 1:]),
        pelvis=pelvis,
        betas=shape,
        fps=fps,
        track_id=number[1] if number else "",
    )
    return [clip]


def load_camera(
    path: Path | str,
    *,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    scale: float = 1.0,
    **_: Any,
) -> CameraTrajectory:
    """The camera of the video, in the world of `load_tracks`.

    Args:
        path: `camera.npy`, or a track beside it.
        fps: frames per second of the video; 30 by default.
        size: (width, height) in pixels; by default twice the middle of the picture that the file gives.
        scale: metres per unit of the file.
        **_: what other cameras need and this one knows.

    Raises:
        FormatError: no pickle of plain data, or not a camera of TRAM's.
    """
    beside = Path(path) if sniff_camera(path) or not sniff(path) else _beside(path)
    if beside is None:
        raise FormatError(path, "has no 'camera.npy' beside it or one folder above")
    camera = _camera(beside)
    poses = np.tile(np.eye(4), (len(camera.place), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = camera.rotation, scale * camera.place
    k = np.array([[camera.focal, 0, camera.centre[0]], [0, camera.focal, camera.centre[1]], [0, 0, 1]])
    return video_camera(path, rigid_inverse(poses), np.tile(k, (len(poses), 1, 1)), size, fps)


def _mentions(path: Path | str, word: bytes) -> bool:
    if not holds_objects(path):
        return False
    try:
        with Path(path).open("rb") as file:
            return word in file.read(1 << 26)
    except OSError:
        return False


def _beside(path: Path | str) -> Path | None:
    folder = Path(path).resolve().parent
    return next((c for c in (folder / "camera.npy", folder.parent / "camera.npy") if c.is_file()), None)


def _camera(path: Path) -> _Camera:
    found = read_npy(path)
    if not isinstance(found, dict):
        raise FormatError(path, "is not a camera of TRAM")
    levelled = "world_cam_R" in found and "world_cam_T" in found
    kind, world = ("world", Y_UP_TO_Z_UP) if levelled else ("pred", CAMERA_TO_WORLD)
    try:
        place = np.asarray(found[f"{kind}_cam_T"], np.float64).reshape(-1, 3)
        rotation = np.asarray(found[f"{kind}_cam_R"], np.float64).reshape(len(place), 3, 3)
        focal = float(np.asarray(found["img_focal"]).reshape(-1)[0])
        centre = np.asarray(found["img_center"], np.float64).reshape(2)
    except KeyError as error:
        raise FormatError(path, f"is not a camera of TRAM: it has no {error}") from None
    except (TypeError, ValueError, IndexError):
        raise FormatError(path, "is not a camera of TRAM: it has values of another shape") from None
    rotation = rotations(path, f"{kind}_cam_R", rotation)
    if not (np.isfinite(place).all() and np.isfinite(centre).all() and focal > 0 and np.isfinite(focal)):
        raise FormatError(path, "holds numbers that are not finite, or no focal length")
    return _Camera(world @ rotation, place @ world.T, focal, centre)
