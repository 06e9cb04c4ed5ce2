"""AMASS-like motion: an npz of SMPL, SMPL-H or SMPL-X poses as axis-angle.

Known spellings: `poses` (T, 72 | 156 | 165 | 66) or `root_orient`/`global_orient` with `pose_body`/`body_pose`; `trans`
or `transl`; `mocap_framerate`, `mocap_frame_rate` or `fps`; `betas`. Of SMPL-H and SMPL-X the 22 body joints are used;
hands, jaw and eyes are not, so that SMPL's two hand roots stay at rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from understudy_shared.body import Y_UP_TO_Z_UP, BodyModel
from understudy_shared.formats.reading import FormatError, npz_names, read_npz
from understudy_shared.motion import MotionClip
from understudy_shared.rotations import axis_angle_from_matrix, matrix_from_axis_angle

Up = Literal["auto", "y", "z"]

_POSES = ("poses", "pose", "fullpose")
_ROOT = ("root_orient", "global_orient")
_BODY = ("pose_body", "body_pose")
_TRANSLATION = ("trans", "transl", "translation")
_RATE = ("mocap_framerate", "mocap_frame_rate", "fps", "framerate", "frame_rate")
_MODELS = {22: 22, 24: 24, 52: 22, 55: 22}
"""Joints of a `poses` array to how many of them, from the first, are SMPL's."""


def sniff(path: Path | str) -> bool:
    """Whether the file is an npz that holds poses under one of the known names."""
    names = set(npz_names(path))
    return bool(names & set(_POSES)) or (bool(names & set(_ROOT)) and bool(names & set(_BODY)))


def load(
    path: Path | str,
    body: BodyModel,
    *,
    fps: float | None = None,
    up: Up = "auto",
    betas: Literal["zeros", "file"] = "zeros",
) -> MotionClip:
    """Reads a clip for `body`, into a world with Z up.

    Args:
        path: the npz.
        body: who wears it: turning the world moves the pelvis, which is the body's own.
        fps: the file's frame rate, where the file does not say it or says it wrongly.
        up: the file's up axis; "auto" takes the axis along which the body stands on average.
        betas: the shape. A file's betas mean something only on the body model that they were made with, so they are
            left out unless asked for.

    Raises:
        FormatError: the file is damaged, lacks a part, or holds shapes or numbers that are no motion.
    """
    data = read_npz(path, {*_POSES, *_ROOT, *_BODY, *_TRANSLATION, *_RATE, "betas"})
    pose = _poses(path, data)
    transl = _translation(path, data, len(pose))
    rate = _frame_rate(path, data) if fps is None else fps
    shape = _shape(path, data, body) if betas == "file" else np.zeros(body.num_betas, np.float32)
    if len(pose) == 0:
        raise FormatError(path, "holds no frames")
    if not (np.isfinite(pose).all() and np.isfinite(transl).all() and np.isfinite(shape).all()):
        raise FormatError(path, "holds numbers that are not finite (NaN or infinity); clean the motion first")
    root = matrix_from_axis_angle(pose[:, 0])
    if up == "auto":
        up = up_axis(path, root[:, :, 1])
    if up == "y":
        pelvis = body.joints(shape)[0].astype(np.float64)
        root = Y_UP_TO_Z_UP @ root
        transl = (pelvis + transl) @ Y_UP_TO_Z_UP.T - pelvis
        pose[:, 0] = axis_angle_from_matrix(root)
    try:
        return MotionClip(
            global_orient=pose[:, 0].astype(np.float32),
            body_pose=pose[:, 1:].astype(np.float32),
            transl=transl.astype(np.float32),
            betas=shape,
            fps=float(rate),
        )
    except ValueError as error:
        raise FormatError(path, str(error)) from None


def save(path: Path | str, clip: MotionClip) -> None:
    """Writes `poses` (T, 72), `trans`, `betas` and `mocap_framerate`, Z up, as AMASS does.

    Raises:
        OSError: the file cannot be written.
    """
    poses = np.concatenate([clip.global_orient[:, None], clip.body_pose], 1).reshape(len(clip), 72)
    with Path(path).open("wb") as file:  # an open file, because numpy would add .npz to a name
        np.savez_compressed(
            file, poses=poses, trans=clip.transl, betas=clip.betas, mocap_framerate=np.float64(clip.fps)
        )


def up_axis(path: Path | str, body_up: NDArray[np.floating]) -> Literal["y", "z"]:
    """Which axis of a file's world is up, from the body's own up direction (T, 3) in that world.

    Raises:
        FormatError: the body lies or hangs most of the time, so that nothing can be said.
    """
    mean = np.mean(body_up, axis=0)
    if max(mean[1], mean[2]) < 0.5:
        raise FormatError(path, "the body does not stand upright, so the up axis is unclear; say which one: 'y' or 'z'")
    return "y" if mean[1] > mean[2] else "z"


def _first(data: dict[str, NDArray], names: tuple[str, ...]) -> NDArray | None:
    return next((data[name] for name in names if name in data), None)


def _numbers(path: Path | str, name: str, array: NDArray) -> NDArray[np.float64]:
    if array.dtype.kind not in "fiu":
        raise FormatError(path, f"'{name}' does not hold numbers")
    return array.astype(np.float64)


def _poses(path: Path | str, data: dict[str, NDArray]) -> NDArray[np.float64]:
    """(T, 24, 3) axis-angle."""
    poses = _first(data, _POSES)
    if poses is None:
        root, body = _first(data, _ROOT), _first(data, _BODY)
        if root is None or body is None:
            raise FormatError(path, "has no 'poses', nor 'root_orient' with 'pose_body': not an AMASS-like motion")
        root, body = _numbers(path, "root_orient", root), _numbers(path, "pose_body", body)
        if root.size != 3 * len(root) or root.ndim == 0 or body.ndim == 0 or len(body) != len(root):
            raise FormatError(path, f"pose arrays have shapes {root.shape} and {body.shape}, not (T, 3) and (T, 63)")
        poses = np.concatenate([root.reshape(len(root), 3), body.reshape(len(root), _row(body))], 1)
    poses = _numbers(path, "poses", poses)
    columns = _row(poses) if poses.ndim in (2, 3) else 0
    used = _MODELS.get(columns // 3) if columns % 3 == 0 else None
    if used is None:
        raise FormatError(path, f"'poses' has shape {poses.shape}; (T, 72), (T, 156) or (T, 165) is understood")
    out = np.zeros((len(poses), 24, 3))
    out[:, :used] = poses.reshape(len(poses), columns // 3, 3)[:, :used]
    return out


def _row(array: NDArray) -> int:
    """Numbers per frame; also of no frames."""
    return int(np.prod(array.shape[1:]))


def _translation(path: Path | str, data: dict[str, NDArray], frames: int) -> NDArray[np.float64]:
    transl = _first(data, _TRANSLATION)
    if transl is None:
        raise FormatError(path, "has no 'trans': where the body goes is missing; add 'trans' (T, 3), zeros to stay")
    if transl.shape != (frames, 3):
        raise FormatError(path, f"'trans' has shape {transl.shape}, but the poses need ({frames}, 3)")
    return _numbers(path, "trans", transl)


def _frame_rate(path: Path | str, data: dict[str, NDArray]) -> float:
    rate = _first(data, _RATE)
    if rate is None:
        raise FormatError(path, "does not say its frame rate ('mocap_framerate'); give it as the option fps")
    if rate.size != 1 or rate.dtype.kind not in "fiu" or not (np.isfinite(rate).all() and float(rate.item()) > 0):
        raise FormatError(path, "its frame rate is not a positive number; give it as the option fps")
    return float(rate.item())


def _shape(path: Path | str, data: dict[str, NDArray], body: BodyModel) -> NDArray[np.float32]:
    """The file's betas, of the first frame where there is one row a frame, padded or cut to the body's number."""
    if "betas" not in data or data["betas"].size == 0:
        raise FormatError(path, "has no 'betas'; load it with zeros")
    found = np.atleast_2d(_numbers(path, "betas", data["betas"]))[0].reshape(-1)
    out = np.zeros(body.num_betas, np.float32)
    count = min(len(found), body.num_betas)
    out[:count] = found[:count]
    return out
