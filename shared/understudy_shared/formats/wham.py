"""WHAM's `wham_output.pkl`: everybody in a video, in a world whose up is known.

A pickle by joblib of one dictionary: subject id to `pose_world` (N, 72) and `trans_world` (N, 3) in the world, `pose`
(N, 72) and `trans` (N, 3) in camera axes, `betas` (N, 10), `verts`, and `frame_ids` (N,), the frames of the video in
which the subject was tracked. It is read without being run (see `joblib_pickle`).

Conventions:

- Poses are SMPL's as axis-angle. The world has Y up and no known floor; everybody has their own: it begins where the
  person does, so that two people of one file do not stand to each other as they did in the video.
- `trans_world` is where the point between the hips is, not what is added to SMPL's rest pelvis.
- `trans` is what is added to SMPL's rest pelvis; camera axes are OpenCV's (x right, y down, z forward). It is used
  where a file has no `pose_world`.
- The file does not say the frame rate, nor the camera.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from understudy_shared.body import Y_UP_TO_Z_UP, BodyModel
from understudy_shared.formats.joblib_pickle import decompressed
from understudy_shared.formats.joblib_pickle import load as read_pickle
from understudy_shared.formats.reading import FormatError
from understudy_shared.formats.tracks import CAMERA_TO_WORLD, mean_betas, track_clip
from understudy_shared.motion import MotionClip
from understudy_shared.rotations import matrix_from_axis_angle

Doubles = NDArray[np.float64]


def sniff(path: Path | str) -> bool:
    """Whether the file is a pickle that speaks of WHAM's results."""
    if Path(path).suffix.lower() not in (".pkl", ".pickle", ".joblib", ".pth"):
        return False
    try:
        return is_ours(decompressed(path))
    except FormatError:
        return False


def is_ours(raw: bytes) -> bool:
    """Whether a pickle names what WHAM's do."""
    return b"frame_ids" in raw and (b"trans_world" in raw or (b"trans" in raw and b"verts" in raw))


def load_tracks(
    path: Path | str,
    body: BodyModel,
    *,
    fps: float | None = None,
    up: str = "auto",
    betas: Literal["zeros", "file"] = "zeros",
) -> list[MotionClip]:
    """Everybody in the file, those who were tracked longest first.

    Args:
        path: the pickle.
        body: who wears it.
        fps: frames per second of the video; 30 by default.
        up: not needed: the format defines it.
        betas: the shape: zeros, or the mean of the file's, which mean something only on SMPL.

    Raises:
        FormatError: not a pickle of plain data, or not one of WHAM's.
    """
    content = read_pickle(path)
    if not isinstance(content, dict) or not content or not all(isinstance(v, dict) for v in content.values()):
        raise FormatError(path, "is not a result of WHAM: it has no subjects")
    clips = []
    for subject, found in content.items():
        try:
            clips.append(_clip(path, body, str(subject), found, fps, betas))
        except KeyError as error:
            raise FormatError(path, f"is not a result of WHAM: subject {subject!s:.40} has no {error}") from None
        except (TypeError, IndexError, ValueError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(
                path, f"is not a result of WHAM: subject {subject!s:.40} has values of another shape"
            ) from None
    return sorted(clips, key=lambda clip: -int(clip.seen.sum()))


def _clip(
    path: Path | str,
    body: BodyModel,
    subject: str,
    found: dict[str, Any],
    fps: float | None,
    betas: Literal["zeros", "file"],
) -> MotionClip:
    frames = np.asarray(found["frame_ids"]).reshape(-1)
    in_world = "pose_world" in found and "trans_world" in found
    pose = np.asarray(found["pose_world" if in_world else "pose"], np.float64).reshape(len(frames), 24, 3)
    place = np.asarray(found["trans_world" if in_world else "trans"], np.float64).reshape(len(frames), 3)
    shape = mean_betas(path, found["betas"], body) if betas == "file" else np.zeros(body.num_betas, np.float32)
    root = matrix_from_axis_angle(pose[:, 0])
    rest = body.joints(shape).astype(np.float64)
    if in_world:
        pelvis = place - root @ (rest[1:3].mean(0) - rest[0])
        world = Y_UP_TO_Z_UP
    else:
        pelvis = rest[0] + place
        world = CAMERA_TO_WORLD
    return track_clip(
        path,
        body,
        frames=frames,
        root=world @ root,
        pose=pose[:, 1:],
        pelvis=pelvis @ world.T,
        betas=shape,
        fps=fps,
        track_id=subject,
    )
