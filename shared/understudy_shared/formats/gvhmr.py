"""GVHMR's `hmr4d_results.pt`: one person in a video, in a world whose up is known, and the camera that saw them.

A file of torch with one dictionary: `smpl_params_global` and `smpl_params_incam`, each of `global_orient` (F, 3),
`body_pose` (F, 63), `transl` (F, 3) and `betas` (F, 10), and `K_fullimg` (F, 3, 3); `net_outputs` is not read. Programs
made from GVHMR that follow several people put one such dictionary for each under the person's id. It is read without
torch and without being run (see `torch_zip`).

Conventions:

- Poses are SMPL-X's as axis-angle; of its joints these are the 22 of the body. The world has Y up and no known floor;
  `incam` is the same body in camera axes, OpenCV's (x right, y down, z forward).
- The camera is what takes the one into the other. SMPL-X turns about a pelvis that is not at the origin, and its place
  at rest is part of that: `SMPLX_PELVIS`, of the mean shape.
- The file does not say the frame rate: GVHMR takes every video for one of 30.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from understudy_shared.body import Y_UP_TO_Z_UP, BodyModel
from understudy_shared.camera import CameraTrajectory
from understudy_shared.formats import torch_zip
from understudy_shared.formats.reading import FormatError
from understudy_shared.formats.tracks import mean_betas, track_clip, video_camera
from understudy_shared.motion import MotionClip
from understudy_shared.rotations import matrix_from_axis_angle

Doubles = NDArray[np.float64]

SMPLX_PELVIS = (0.003, -0.351, 0.012)
"""Metres: SMPL-X's pelvis at rest."""
_PARTS = {"smpl_params_global", "smpl_params_incam", "K_fullimg"}


def sniff(path: Path | str) -> bool:
    """Whether this may be such a file: what is in it is known only once it is read."""
    return torch_zip.is_torch_zip(path)


def load_tracks(
    path: Path | str,
    body: BodyModel,
    *,
    fps: float | None = None,
    up: str = "auto",
    betas: Literal["zeros", "file"] = "zeros",
) -> list[MotionClip]:
    """The person of the file (or all of them), in a world with Z up.

    Args:
        path: the file.
        body: who wears it.
        fps: frames per second of the video; 30 by default.
        up: not needed: the format defines it.
        betas: the shape: zeros, or the mean of the file's, which mean something only on SMPL-X.

    Raises:
        FormatError: not a file of torch with plain data, or not one of GVHMR's.
    """
    clips = []
    for track, found in _people(path).items():
        values = _values(path, found, "smpl_params_global")
        shape = np.zeros(body.num_betas, np.float32)
        if betas == "file":
            shape = mean_betas(path, found["smpl_params_global"].get("betas", ()), body)
        root = matrix_from_axis_angle(values["global_orient"])
        pose = np.zeros((len(root), 23, 3))
        pose[:, :21] = values["body_pose"]
        pelvis = body.joints(shape)[0] + values["transl"]
        clips.append(
            track_clip(
                path,
                body,
                frames=np.arange(len(root)),
                root=Y_UP_TO_Z_UP @ root,
                pose=pose,
                pelvis=pelvis @ Y_UP_TO_Z_UP.T,
                betas=shape,
                fps=fps,
                track_id=track,
            )
        )
    return sorted(clips, key=lambda clip: -len(clip))


def load_camera(
    path: Path | str,
    *,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    scale: float = 1.0,
    track: str = "",
    pelvis: tuple[float, float, float] = SMPLX_PELVIS,
    **_: Any,
) -> CameraTrajectory:
    """The camera of the video, in the world of `load_tracks`.

    Args:
        path: the file.
        fps: frames per second of the video; 30 by default.
        size: (width, height) in pixels; by default twice the middle of the picture that the file gives.
        scale: metres per unit of the file.
        track: of a file with several people, through whom the camera is found; each has a world of their own.
        pelvis: (3,) metres, where the body that the file was made with has its pelvis at rest.
        **_: what other cameras need and this one knows.

    Raises:
        FormatError: as `load_tracks`, or the file has no camera.
    """
    people = _people(path)
    if track and track not in people:
        raise FormatError(path, f"has no track '{track[:40]}'")
    found = people[track] if track else next(iter(people.values()))
    there, seen = _values(path, found, "smpl_params_global"), _values(path, found, "smpl_params_incam")
    k = np.asarray(found.get("K_fullimg", ()), np.float64)
    k = np.broadcast_to(k, (len(there["transl"]), 3, 3)) if k.shape == (3, 3) else k
    if k.shape != (len(there["transl"]), 3, 3) or len(seen["transl"]) != len(k):
        raise FormatError(path, "has no camera: 'K_fullimg' (F, 3, 3) and 'smpl_params_incam' with F frames are needed")
    to_camera = matrix_from_axis_angle(seen["global_orient"]) @ np.swapaxes(
        matrix_from_axis_angle(there["global_orient"]), -1, -2
    )
    # the pelvis of the clip stands at the body's own rest pelvis, as with every format; the camera moves along
    shown = there["transl"] + np.asarray(pelvis)
    extrinsics = np.tile(np.eye(4), (len(k), 1, 1))
    extrinsics[:, :3, :3] = to_camera @ Y_UP_TO_Z_UP.T
    extrinsics[:, :3, 3] = scale * (np.asarray(pelvis) + seen["transl"] - (to_camera @ shown[..., None])[..., 0])
    return video_camera(path, extrinsics, k.copy(), size, fps)


def _people(path: Path | str) -> dict[str, dict[str, Any]]:
    content = torch_zip.load(path, _PARTS)
    if isinstance(content, dict) and isinstance(content.get("smpl_params_global"), dict):
        return {"": content}
    if isinstance(content, dict) and content:
        inside = {str(k): v for k, v in content.items() if isinstance(v, dict) and "smpl_params_global" in v}
        if len(inside) == len(content):
            return inside
    raise FormatError(path, "is a file of torch, but not a result of GVHMR: it has no 'smpl_params_global'")


def _values(path: Path | str, found: dict[str, Any], name: str) -> dict[str, Doubles]:
    part = found.get(name)
    if not isinstance(part, dict):
        raise FormatError(path, f"has no '{name}'; make it again with GVHMR's demo")
    out = {}
    try:
        frames = len(part["global_orient"])
        for key, shape in (("global_orient", (3,)), ("body_pose", (21, 3)), ("transl", (3,))):
            out[key] = np.asarray(part[key], np.float64).reshape(frames, *shape)
    except KeyError as error:
        raise FormatError(path, f"has no {error} in '{name}'") from None
    except (TypeError, ValueError):
        raise FormatError(path, f"has values of another shape in '{name}'") from None
    if not all(np.isfinite(a).all() for a in out.values()):
        raise FormatError(path, f"'{name}' holds numbers that are not finite; make the file again")
    return out
