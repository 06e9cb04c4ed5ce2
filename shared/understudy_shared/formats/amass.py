"""AMASS-like motion: an npz of SMPL, SMPL-H or SMPL-X poses.

Known spellings: `poses` (T, 72 | 156 | 165 | 66) or `root_orient`/`global_orient` with `pose_body`/`body_pose`; `trans`
or `transl`; `mocap_framerate`, `mocap_frame_rate` or `fps`; `betas`; see `smpl_params` for all of them. What AMASS adds
(`gender`, `dmpls`, `surface_model_type`, labels and markers of its stages) is not read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from understudy_shared.body import BodyModel
from understudy_shared.formats.reading import npz_names, read_npz
from understudy_shared.formats.smpl_params import NAMES, Betas, Up, clip_of, speaks_of_poses, up_axis
from understudy_shared.motion import MotionClip

__all__ = ["Up", "load", "save", "sniff", "up_axis"]


def sniff(path: Path | str) -> bool:
    """Whether the file is an npz that holds poses under one of the known names."""
    return speaks_of_poses(set(npz_names(path)))


def load(
    path: Path | str, body: BodyModel, *, fps: float | None = None, up: Up = "auto", betas: Betas = "zeros"
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
    return clip_of(path, read_npz(path, NAMES), body, fps=fps, up=up, betas=betas)


def save(path: Path | str, clip: MotionClip) -> None:
    """Writes `poses` (T, 72), `trans`, `betas` and `mocap_framerate`, Z up, as AMASS does.

    Raises:
        OSError: the file cannot be written.
    """
    with Path(path).open("wb") as file:  # an open file, because numpy would add .npz to a name
        np.savez_compressed(
            file,
            poses=clip.pose.reshape(len(clip), 72),
            trans=clip.transl,
            betas=clip.betas,
            mocap_framerate=np.float64(clip.fps),
        )
