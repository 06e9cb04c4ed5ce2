"""SMPL's parameters by any of their usual names: the common core of files that hold them, and a format of our own.

A motion is `poses` for all joints, or `global_orient` with `body_pose`; `transl`; a frame rate; `betas`. Rotations are
axis-angle (T, 72), matrices (T, 24, 3, 3) or (T, 216), or six numbers (T, 24, 6) or (T, 144). Of SMPL-H and SMPL-X the
22 body joints are used; hands, jaw and eyes are not, so that SMPL's two hand roots stay at rest.

Six numbers are two rows or two columns of a matrix, and programs disagree which. The first two rows one after the
other, and the first two columns number by number in turn, are told apart because both parts are then of unit length
and at right angles. Two columns one after the other look just like rows and are taken for rows.

Read are `.npz`, `.json` (one object of lists), `.npy` (only poses: the body stays where it is; or a pickled
dictionary), and `.pkl` (a dictionary, as of AIST++, whose `smpl_scaling` divides the way). `save` writes `.npz` or
`.json` with all that a `MotionClip` holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from understudy_shared.body import Y_UP_TO_Z_UP, BodyModel
from understudy_shared.formats.joblib_pickle import load as read_pickle
from understudy_shared.formats.npy_pickle import load as read_npy
from understudy_shared.formats.reading import FormatError, read_json, read_npz
from understudy_shared.formats.tracks import VIDEO_FPS
from understudy_shared.motion import MotionClip
from understudy_shared.rotations import axis_angle_from_matrix, matrix_from_axis_angle

Doubles = NDArray[np.float64]
Up = Literal["auto", "y", "z"]
Betas = Literal["zeros", "file"]

POSES = ("poses", "pose", "fullpose", "smpl_poses")
ROOT = ("root_orient", "global_orient")
BODY = ("pose_body", "body_pose")
TRANSLATION = ("trans", "transl", "translation", "smpl_trans")
RATE = ("mocap_framerate", "mocap_frame_rate", "fps", "framerate", "frame_rate")
_OWN = ("betas", "smpl_scaling", "present", "start", "track_id")
NAMES = {*POSES, *ROOT, *BODY, *TRANSLATION, *RATE, *_OWN}
"""Every name that is read."""
_JOINTS = {22: 22, 24: 24, 52: 22, 55: 22}
"""Joints of a file to how many of them, from the first, are SMPL's."""
_AIST_FPS = 60.0


def speaks_of_poses(names: set[str]) -> bool:
    """Whether entries of these names hold a motion."""
    return bool(names & set(POSES)) or (bool(names & set(ROOT)) and bool(names & set(BODY)))


def sniff(path: Path | str) -> bool:
    """Whether the file is a `.json` with poses, or a `.npy` that could be some."""
    path = Path(path)
    if path.suffix.lower() == ".npy":
        return True
    if path.suffix.lower() != ".json":
        return False
    try:
        return speaks_of_poses(set(read_json(path)))
    except FormatError:
        return False


def is_ours(raw: bytes) -> bool:
    """Whether a pickle names poses."""
    split = any(n.encode() in raw for n in ROOT) and any(n.encode() in raw for n in BODY)
    return (split or b"poses" in raw) and b"trans" in raw


def load(
    path: Path | str, body: BodyModel, *, fps: float | None = None, up: Up = "auto", betas: Betas = "zeros"
) -> MotionClip:
    """Reads a clip for `body`, into a world with Z up; arguments as in `clip_of`.

    Raises:
        FormatError: no such file, damaged, or it holds no motion.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".json":
        content: Any = read_json(path)
    elif suffix == ".npy":
        content = read_npy(path)
        if isinstance(content, np.ndarray):
            still = np.zeros((len(content) if content.ndim else 0, 3))
            content = {"poses": content, "trans": still, "fps": np.array(VIDEO_FPS)}
    elif suffix in (".pkl", ".pickle", ".joblib"):
        content = read_pickle(path)
    else:
        content = read_npz(path, NAMES)
    if not isinstance(content, dict):
        raise FormatError(path, "holds no named parameters of SMPL, such as 'poses' and 'trans'")
    data = {}
    for name in NAMES & {key for key in content if isinstance(key, str)}:
        try:
            data[name] = np.asarray(content[name])
        except ValueError:  # lists of different lengths
            raise FormatError(path, f"'{name}' has rows of different lengths") from None
    return clip_of(path, data, body, fps=fps, up=up, betas=betas)


def save(path: Path | str, clip: MotionClip) -> None:
    """Writes all of a clip, Z up, under smplx's names: `.json` if the path ends so, else an npz.

    Raises:
        OSError: the file cannot be written.
    """
    data: dict[str, Any] = {
        "global_orient": clip.global_orient,
        "body_pose": clip.body_pose.reshape(len(clip), 69),
        "transl": clip.transl,
        "betas": clip.betas,
        "fps": np.float64(clip.fps),
        "start": np.float64(clip.start),
        "track_id": np.array(clip.track_id),
    }
    if clip.present is not None:
        data["present"] = clip.present
    if Path(path).suffix.lower() == ".json":
        Path(path).write_text(json.dumps({k: v.tolist() for k, v in data.items()}), encoding="utf-8")
        return
    with Path(path).open("wb") as file:  # an open file, because numpy would add .npz to a name
        np.savez_compressed(file, **data)


def clip_of(
    path: Path | str,
    data: Mapping[str, NDArray],
    body: BodyModel,
    *,
    fps: float | None = None,
    up: Up = "auto",
    betas: Betas = "zeros",
    usual_up: Literal["", "y", "z"] = "",
) -> MotionClip:
    """The clip of named arrays, in a world with Z up.

    Args:
        path: for the errors.
        data: the arrays.
        body: who wears it: turning the world moves the pelvis, which is the body's own.
        fps: the file's frame rate, where the file does not say it or says it wrongly.
        up: the file's up axis; "auto" takes the axis along which the body stands on average.
        betas: the shape. A file's betas mean something only on the body model that they were made with, so they are
            left out unless asked for.
        usual_up: the axis where the body does not stand, if the format has one.

    Raises:
        FormatError: it lacks a part, or holds shapes or numbers that are no motion.
    """
    pose = _poses(path, data)
    transl = _translation(path, data, len(pose))
    rate = _frame_rate(path, data) if fps is None else fps
    shape = _shape(path, data, body) if betas == "file" else np.zeros(body.num_betas, np.float32)
    if len(pose) == 0:
        raise FormatError(path, "holds no frames")
    if not (np.isfinite(pose).all() and np.isfinite(transl).all() and np.isfinite(shape).all()):
        raise FormatError(path, "holds numbers that are not finite (NaN or infinity); clean the motion first")
    if up != "z":
        root = matrix_from_axis_angle(pose[:, 0])
        up = up_axis(path, root[:, :, 1], usual_up) if up == "auto" else up
        if up == "y":
            pelvis = body.joints(shape)[0].astype(np.float64)
            transl = (pelvis + transl) @ Y_UP_TO_Z_UP.T - pelvis
            pose[:, 0] = axis_angle_from_matrix(Y_UP_TO_Z_UP @ root)
    try:
        return MotionClip(
            global_orient=pose[:, 0].astype(np.float32),
            body_pose=pose[:, 1:].astype(np.float32),
            transl=transl.astype(np.float32),
            betas=shape,
            fps=float(rate),
            track_id=_text(data.get("track_id")),
            present=_present(path, data, len(pose)),
            start=float(data["start"]) if "start" in data and data["start"].size == 1 else 0.0,
        )
    except (ValueError, TypeError) as error:
        raise error if isinstance(error, FormatError) else FormatError(path, str(error)) from None


def up_axis(path: Path | str, body_up: NDArray[np.floating], usual: Literal["", "y", "z"] = "") -> Literal["y", "z"]:
    """Which axis of a file's world is up, from the body's own up direction (T, 3) in that world.

    Raises:
        FormatError: the body lies or hangs most of the time, so that nothing can be said, and there is no usual axis.
    """
    mean = np.mean(body_up, axis=0)
    if max(mean[1], mean[2]) >= 0.5:
        return "y" if mean[1] > mean[2] else "z"
    if usual:
        return usual
    raise FormatError(path, "the body does not stand upright, so the up axis is unclear; say which one: 'y' or 'z'")


def _first(data: Mapping[str, NDArray], names: tuple[str, ...]) -> NDArray | None:
    return next((data[name] for name in names if name in data), None)


def _numbers(path: Path | str, name: str, array: NDArray) -> Doubles:
    if array.dtype.kind not in "fiu":
        raise FormatError(path, f"'{name}' does not hold numbers")
    return array.astype(np.float64)


def _poses(path: Path | str, data: Mapping[str, NDArray]) -> Doubles:
    """(T, 24, 3) axis-angle."""
    poses = _first(data, POSES)
    if poses is not None:
        found = _rotations(path, "poses", _numbers(path, "poses", poses), tuple(_JOINTS))
        if found is None:
            raise FormatError(
                path, f"'poses' has shape {poses.shape}; (T, 72), (T, 156), (T, 165) or (T, 24, 3, 3) is understood"
            )
    else:
        root, rest = _first(data, ROOT), _first(data, BODY)
        if root is None or rest is None:
            raise FormatError(path, "has no 'poses', nor 'root_orient' with 'pose_body': not an AMASS-like motion")
        first = _rotations(path, "root_orient", _numbers(path, "root_orient", root), (1,))
        others = _rotations(path, "pose_body", _numbers(path, "pose_body", rest), tuple(n - 1 for n in _JOINTS))
        if first is None or others is None or len(first) != len(others):
            raise FormatError(path, f"pose arrays have shapes {root.shape} and {rest.shape}, not (T, 3) and (T, 63)")
        found = np.concatenate([first, others], 1)
    out = np.zeros((len(found), 24, 3))
    used = _JOINTS[found.shape[1]]
    out[:, :used] = found[:, :used]
    return out


def _rotations(path: Path | str, name: str, array: Doubles, joints: tuple[int, ...]) -> Doubles | None:
    """(T, J, 3) axis-angle of any way to write rotations of one of these counts of joints; None if it is none."""
    if array.ndim < 2 or array.ndim > 4:
        return None
    row = int(np.prod(array.shape[1:]))  # not of the whole: there may be no frames
    last = array.shape[-2:] if array.ndim == 4 or (array.ndim == 3 and joints == (1,)) else array.shape[-1:]
    for width, means in ((3, ((3,),)), (9, ((3, 3), (9,))), (6, ((6,),))):
        count = row // width
        if row % width or count not in joints or (array.ndim > 2 and last not in (*means, (1, *means[0]))):
            continue
        values = array.reshape(len(array), count, width)
        if width == 3:
            return values
        matrices = values.reshape(len(array), count, 3, 3) if width == 9 else _from_six(path, name, values)
        off = np.abs(matrices @ np.swapaxes(matrices, -1, -2) - np.eye(3)).max(initial=0)
        if np.isfinite(off) and (off > 0.02 or (np.linalg.det(matrices) < 0.5).any()):
            raise FormatError(path, f"'{name}' has shape {array.shape}, but its matrices are not rotations")
        if not np.isfinite(off):
            raise FormatError(path, f"'{name}' holds numbers that are not finite (NaN or infinity)")
        return axis_angle_from_matrix(matrices)
    return None


def _from_six(path: Path | str, name: str, values: Doubles) -> Doubles:
    """Matrices (T, J, 3, 3) of their first two rows, or of their first two columns in turn."""
    for layout in ("rows", "columns"):
        a, b = (values[..., :3], values[..., 3:]) if layout == "rows" else (values[..., ::2], values[..., 1::2])
        lengths = np.stack([(a * a).sum(-1), (b * b).sum(-1), (a * b).sum(-1)], -1)
        if np.abs(lengths - [1, 1, 0]).max(initial=0) < 0.02:
            m = np.stack([a, b, np.cross(a, b)], -2)
            return np.asarray(m if layout == "rows" else np.swapaxes(m, -1, -2), np.float64)
    raise FormatError(
        path, f"'{name}' has shape {values.shape}, six numbers a joint, but not of rotations; save it as axis-angle"
    )


def _translation(path: Path | str, data: Mapping[str, NDArray], frames: int) -> Doubles:
    transl = _first(data, TRANSLATION)
    if transl is None:
        raise FormatError(path, "has no 'trans': where the body goes is missing; add 'trans' (T, 3), zeros to stay")
    if transl.shape == (frames, 1, 3):
        transl = transl[:, 0]
    if transl.shape != (frames, 3):
        raise FormatError(path, f"'trans' has shape {transl.shape}, but the poses need ({frames}, 3)")
    out = _numbers(path, "trans", transl)
    if "smpl_scaling" in data:
        scaling = data["smpl_scaling"]
        if scaling.size != 1 or scaling.dtype.kind not in "fiu" or not float(scaling.reshape(-1)[0]) > 0:
            raise FormatError(path, "'smpl_scaling' is not a positive number")
        out /= float(scaling.reshape(-1)[0])
    return out


def _frame_rate(path: Path | str, data: Mapping[str, NDArray]) -> float:
    rate = _first(data, RATE)
    if rate is None and "smpl_scaling" in data:
        return _AIST_FPS
    if rate is None:
        raise FormatError(path, "does not say its frame rate ('mocap_framerate'); give it as the option fps")
    if rate.size != 1 or rate.dtype.kind not in "fiu" or not (np.isfinite(rate).all() and float(rate.item()) > 0):
        raise FormatError(path, "its frame rate is not a positive number; give it as the option fps")
    return float(rate.item())


def _shape(path: Path | str, data: Mapping[str, NDArray], body: BodyModel) -> NDArray[np.float32]:
    """The file's betas, of the first frame where there is one row a frame, padded or cut to the body's number."""
    if "betas" not in data or data["betas"].size == 0:
        raise FormatError(path, "has no 'betas'; load it with zeros")
    found = np.atleast_2d(_numbers(path, "betas", data["betas"]))[0].reshape(-1)
    out = np.zeros(body.num_betas, np.float32)
    count = min(len(found), body.num_betas)
    out[:count] = found[:count]
    return out


def _present(path: Path | str, data: Mapping[str, NDArray], frames: int) -> NDArray[np.bool_] | None:
    if "present" not in data:
        return None
    present = data["present"]
    if present.dtype.kind not in "biu" or present.shape != (frames,):
        raise FormatError(path, "'present' is not one yes or no a frame")
    return present.astype(np.bool_)


def _text(value: NDArray | None) -> str:
    return str(value) if value is not None and value.dtype.kind == "U" and value.ndim == 0 else ""
