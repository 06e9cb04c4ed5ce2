"""Meshcapade's `.smpl`: an npz of SMPL, SMPL-H, SMPL-X or SUPR bodies and their motion, numbers only.

Entries (camelCase, scalars int32 or float32): `codecVersion`; `smplVersion` (0 SMPL, 1 SMPL-H, 2 SMPL-X, 3 SUPR, 4 and
5 bodies with other joints); `gender` (0 neutral, 1 male, 2 female); `shapeParameters` (B,); `frameCount` N;
`frameRate`; `bodyTranslation` (N, 3); `bodyPose` (N, 24, 3) for SMPL, else (N, 22, 3), axis-angle with the pelvis
first; hands, head and expression apart. Everything but the versions and the gender may be absent. The world has Y up,
metres.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from understudy_shared.body import Y_UP_TO_Z_UP, BodyModel
from understudy_shared.formats.reading import FormatError, npz_names, read_npz
from understudy_shared.formats.smpl_params import Betas, Up, clip_of
from understudy_shared.formats.tracks import VIDEO_FPS
from understudy_shared.motion import MotionClip
from understudy_shared.rotations import axis_angle_from_matrix, matrix_from_axis_angle

_JOINTS = {0: 24, 1: 22, 2: 22, 3: 22}
"""`smplVersion` to the joints of `bodyPose`."""
_NAMES = {
    "smplVersion": "version", "shapeParameters": "betas", "frameCount": "count", "frameRate": "fps",
    "bodyTranslation": "trans", "bodyPose": "poses",
}  # fmt: skip


def sniff(path: Path | str) -> bool:
    """Whether the file is an npz with entries of these names."""
    names = set(npz_names(path))
    return "smplVersion" in names or {"bodyPose", "frameCount"} <= names


def load(
    path: Path | str, body: BodyModel, *, fps: float | None = None, up: Up = "auto", betas: Betas = "zeros"
) -> MotionClip:
    """Reads a clip for `body`, into a world with Z up.

    Args:
        path: the file.
        body: who wears it.
        fps: frames per second, instead of the file's.
        up: its up axis; "auto" is Y, unless the body stands along Z.
        betas: the shape: zeros, or the file's, which mean something only on its own body model.

    Raises:
        FormatError: damaged, a body without motion, or one with other joints.
    """
    data = {_NAMES[name]: value for name, value in read_npz(path, _NAMES).items()}
    version = int(data["version"]) if "version" in data and data["version"].size == 1 else 2
    if version not in _JOINTS:
        raise FormatError(path, "is of a body with other joints (SMPL++ or SKEL); export it as SMPL, SMPL-H or SMPL-X")
    if "poses" not in data and "trans" not in data:
        raise FormatError(path, "holds a body, but no motion; export it with its animation")
    frames = len(data["poses"] if "poses" in data else data["trans"])
    data.setdefault("poses", np.zeros((frames, _JOINTS[version], 3), np.float32))
    data.setdefault("trans", np.zeros((frames, 3), np.float32))
    if data["poses"].shape != (frames, _JOINTS[version], 3):
        raise FormatError(path, f"'bodyPose' has shape {data['poses'].shape}, not (N, {_JOINTS[version]}, 3)")
    if "count" in data and data["count"].size == 1 and int(data["count"].reshape(-1)[0]) != frames:
        raise FormatError(path, f"declares {int(data['count'].reshape(-1)[0])} frames, but holds {frames}")
    if "fps" not in data and frames == 1:
        data["fps"] = np.array(VIDEO_FPS)
    return clip_of(path, data, body, fps=fps, up=up, betas=betas, usual_up="y")


def save(path: Path | str, clip: MotionClip, body: BodyModel) -> None:
    """Writes the clip as SMPL (24 joints), neutral, Y up.

    Raises:
        OSError: the file cannot be written.
    """
    pose = clip.pose.astype(np.float64)
    pose[:, 0] = axis_angle_from_matrix(Y_UP_TO_Z_UP.T @ matrix_from_axis_angle(pose[:, 0]))
    pelvis = body.joints(clip.betas)[0].astype(np.float64)
    with Path(path).open("wb") as file:  # an open file, because numpy would add .npz to a name
        np.savez_compressed(
            file,
            codecVersion=np.int32(2),
            smplVersion=np.int32(0),
            gender=np.int32(0),
            shapeParameters=clip.betas.astype(np.float32),
            frameCount=np.int32(len(clip)),
            frameRate=np.float32(clip.fps),
            bodyTranslation=((pelvis + clip.transl) @ Y_UP_TO_Z_UP - pelvis).astype(np.float32),
            bodyPose=pose.astype(np.float32),
        )
