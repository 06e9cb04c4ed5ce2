"""Cameras of nerfstudio: the viewer's `camera_path.json` and the data sets' `transforms.json`.

Both hold camera-to-world matrices with OpenGL axes (x right, y up, looking down -z) in a world with Z up. Their units
are those of the reconstruction; `scale` turns them into metres.

`transforms.json` may also hold an `applied_transform`. It is part of its matrices already and says how COLMAP's world
became this one, so it needs no handling here. Lens distortion (`k1`, `p1`, ...) is left out: what is loaded is the
pinhole camera that undistorted pictures have.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from understudy_shared.camera import OPENGL_TO_OPENCV, CameraTrajectory, Doubles
from understudy_shared.formats.reading import FormatError, read_json

DEFAULT_FPS = 24.0
"""For files that do not say, as most transforms.json do not."""
_PINHOLES = {"PERSPECTIVE", "PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "SIMPLE_RADIAL", "RADIAL"}
_ROUNDING = 1e-2
"""How far from a rotation a matrix may be before it is refused: files are often rounded to 3 or 4 digits."""


def sniff(path: Path | str) -> bool:
    """Whether the file is JSON with a camera path or with transform matrices."""
    try:
        data = read_json(path)
    except FormatError:
        return False
    frames = data.get("frames")
    return "camera_path" in data or (
        isinstance(frames, list) and all(isinstance(f, dict) and "transform_matrix" in f for f in frames[:1])
    )


def load(
    path: Path | str,
    *,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    order: Literal["file", "name"] = "file",
    scale: float = 1.0,
) -> CameraTrajectory:
    """Reads either layout.

    Args:
        path: the JSON file.
        size: (width, height) in pixels, for files that do not say.
        fps: frame rate, instead of the file's.
        order: frames of a transforms.json as they stand in the file, or by `file_path` with numbers in their order.
        scale: metres per unit of the file.

    Raises:
        FormatError: no such file, no frames, no perspective cameras, or matrices that are no camera.
    """
    data = read_json(path)
    if "camera_path" in data:
        poses, k, found, rate = _camera_path(path, data, size)
    elif "frames" in data:
        poses, k, found, rate = _transforms(path, data, size, order)
    else:
        raise FormatError(path, "has neither 'camera_path' nor 'frames': not a camera file of nerfstudio")
    poses[:, :3, 3] *= scale
    extrinsics = OPENGL_TO_OPENCV @ _rigid_inverse(poses)
    try:
        return CameraTrajectory(extrinsics, k, *found, fps=rate if fps is None else float(fps))
    except ValueError as error:
        raise FormatError(path, str(error)) from None


def save(
    path: Path | str, camera: CameraTrajectory, *, layout: Literal["camera_path", "transforms"] = "camera_path"
) -> None:
    """Writes one of the two layouts.

    Raises:
        FormatError: a camera path cannot hold this camera (off-centre, or pixels that are not square).
        OSError: the file cannot be written.
    """
    poses = _rigid_inverse(camera.extrinsics) @ OPENGL_TO_OPENCV
    if layout == "camera_path":
        data = _camera_path_json(path, camera, poses)
    else:
        names = ("fl_x", (0, 0)), ("fl_y", (1, 1)), ("cx", (0, 2)), ("cy", (1, 2))
        frames = [
            {
                "file_path": f"images/{i:05d}.png",
                "transform_matrix": pose.tolist(),
                **{n: float(k[at]) for n, at in names},
            }
            for i, (pose, k) in enumerate(zip(poses, camera.intrinsics, strict=True))
        ]
        data = {
            "camera_model": "OPENCV", "w": camera.width, "h": camera.height, "fps": camera.fps, "frames": frames
        }  # fmt: skip
    Path(path).write_text(json.dumps(data, indent=1), encoding="utf-8")


def _camera_path_json(path: Path | str, camera: CameraTrajectory, poses: Doubles) -> dict[str, Any]:
    focal = camera.intrinsics[:, 1, 1]
    middle = np.array([camera.width / 2, camera.height / 2])
    off_centre = np.abs(camera.intrinsics[:, :2, 2] - middle).max()
    if off_centre > 1e-6 or np.abs(camera.intrinsics[:, 0, 0] / focal - 1).max() > 1e-9:
        raise FormatError(path, "a camera path holds no lens shift and no oblong pixels; save as transforms instead")
    fov = np.degrees(2 * np.arctan(camera.height / 2 / focal))
    return {
        "camera_type": "perspective",
        "render_width": camera.width,
        "render_height": camera.height,
        "fps": camera.fps,
        "seconds": len(camera) / camera.fps,
        "smoothness_value": 0.0,
        "is_cycle": False,
        "crop": None,
        "keyframes": [],
        "camera_path": [
            {"camera_to_world": pose.reshape(-1).tolist(), "fov": float(angle), "aspect": camera.width / camera.height}
            for pose, angle in zip(poses, fov, strict=True)
        ],
    }


_Loaded = tuple[Doubles, Doubles, tuple[int, int], float]
"""Poses (T, 4, 4), K (T, 3, 3), (width, height), frames per second."""


def _camera_path(path: Path | str, data: dict[str, Any], size: tuple[int, int] | None) -> _Loaded:
    frames = _frames(path, data, "camera_path")
    _only_pinholes(path, data.get("camera_type", "perspective"))
    width, height = _size(path, (data.get("render_width"), data.get("render_height")), size)
    poses = np.stack([_pose(path, frame.get("camera_to_world"), i) for i, frame in enumerate(frames)])
    fov = np.array([_number(path, frame.get("fov"), f"'fov' of frame {i}") for i, frame in enumerate(frames)])
    if not ((fov > 0) & (fov < 180)).all():
        raise FormatError(path, "has a field of view that is not between 0 and 180 degrees")
    k = np.zeros((len(frames), 3, 3))
    k[:, 0, 0] = k[:, 1, 1] = height / 2 / np.tan(np.radians(fov) / 2)
    k[:] += np.array([[0, 0, width / 2], [0, 0, height / 2], [0, 0, 1]])
    if data.get("fps") is None and data.get("seconds"):
        return poses, k, (width, height), len(frames) / _positive(path, data["seconds"], "'seconds'")
    return poses, k, (width, height), _positive(path, data.get("fps", DEFAULT_FPS), "'fps'")


def _transforms(path: Path | str, data: dict[str, Any], size: tuple[int, int] | None, order: str) -> _Loaded:
    frames = _frames(path, data, "frames")
    if order == "name":
        frames = sorted(frames, key=lambda frame: _natural(str(frame.get("file_path", ""))))
    if data.get("is_fisheye"):
        raise FormatError(path, "holds fisheye cameras; only perspective ones can be used")
    _only_pinholes(path, data.get("camera_model", "OPENCV"))
    sizes = {_size(path, _either(frame, data, "w", "h"), size) for frame in frames}
    if len(sizes) > 1:
        raise FormatError(path, "its frames differ in size; one camera has one size, so give frames of one size")
    width, height = sizes.pop()
    poses = np.stack([_pose(path, frame.get("transform_matrix"), i) for i, frame in enumerate(frames)])
    k = np.stack([_frame_intrinsics(path, {**data, **frame}, width, height) for frame in frames])
    rate = _positive(path, data.get("fps", DEFAULT_FPS), "'fps'")
    return poses, k, (width, height), rate


def _frame_intrinsics(path: Path | str, values: dict[str, Any], width: int, height: int) -> Doubles:
    """K (3, 3) from `fl_x`, `fl_y`, `cx`, `cy`, or from angles of view in radians."""
    focal: dict[str, float] = {}
    for axis, side in (("x", width), ("y", height)):
        if values.get(f"fl_{axis}") is not None:
            focal[axis] = _positive(path, values[f"fl_{axis}"], f"'fl_{axis}'")
        elif values.get(f"camera_angle_{axis}") is not None:
            angle = _positive(path, values[f"camera_angle_{axis}"], f"'camera_angle_{axis}'")
            if angle >= math.pi:
                raise FormatError(path, f"'camera_angle_{axis}' is not an angle of view in radians")
            focal[axis] = side / 2 / math.tan(angle / 2)
    if not focal:
        raise FormatError(path, "has no focal length: 'fl_x' or 'camera_angle_x' is needed")
    fx, fy = focal.get("x", focal.get("y", 0)), focal.get("y", focal.get("x", 0))
    cx = width / 2 if values.get("cx") is None else _number(path, values["cx"], "'cx'")
    cy = height / 2 if values.get("cy") is None else _number(path, values["cy"], "'cy'")
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def _frames(path: Path | str, data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    frames = data[key]
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise FormatError(path, f"'{key}' is not a list of cameras")
    if not frames:
        raise FormatError(path, f"has no frames: '{key}' is empty; export the camera with at least one")
    for frame in frames:
        _only_pinholes(path, frame.get("camera_type", "perspective"))
        _only_pinholes(path, frame.get("camera_model", "OPENCV"))
    return frames


def _only_pinholes(path: Path | str, kind: Any) -> None:
    if str(kind).upper() not in _PINHOLES:
        raise FormatError(path, f"holds cameras of the kind '{str(kind)[:40]}'; only perspective ones can be used")


def _pose(path: Path | str, value: Any, index: int) -> Doubles:
    """A rigid camera-to-world matrix (4, 4) from 16 or 12 numbers, nested or flat."""
    try:
        pose = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        pose = np.empty(0)
    if pose.size not in (12, 16):
        raise FormatError(path, f"the matrix of frame {index} is not 4 x 4 numbers")
    pose = np.concatenate([pose.reshape(-1, 4)[:3], [[0.0, 0.0, 0.0, 1.0]]]) if pose.size == 12 else pose.reshape(4, 4)
    if not np.isfinite(pose).all():
        raise FormatError(path, f"the matrix of frame {index} holds numbers that are not finite")
    if not np.allclose(pose[3], [0, 0, 0, 1], atol=1e-6):
        raise FormatError(path, f"the last row of the matrix of frame {index} is not 0 0 0 1")
    u, size, vt = np.linalg.svd(pose[:3, :3])
    if np.abs(size - 1).max() > _ROUNDING or np.linalg.det(u @ vt) < 0:
        raise FormatError(
            path, f"the matrix of frame {index} is not a rotation and a place; remove scale and mirroring"
        )
    if np.abs(size - 1).max() > 1e-12:
        pose[:3, :3] = u @ vt
    return pose


def _rigid_inverse(matrices: Doubles) -> Doubles:
    out = np.zeros_like(matrices)
    out[:, :3, :3] = matrices[:, :3, :3].transpose(0, 2, 1)
    out[:, :3, 3] = -(out[:, :3, :3] @ matrices[:, :3, 3:])[..., 0]
    out[:, 3, 3] = 1
    return out


def _either(frame: dict[str, Any], data: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(frame.get(name, data.get(name)) for name in names)


def _size(path: Path | str, found: tuple[Any, ...], given: tuple[int, int] | None) -> tuple[int, int]:
    if found[0] is None or found[1] is None:
        if given is None:
            raise FormatError(path, "does not say how large its pictures are; give it as the option size")
        return given
    width, height = (_number(path, value, "the size of its pictures") for value in found)
    if not (1 <= width <= 65536 and 1 <= height <= 65536):
        raise FormatError(path, f"says that its pictures are {width:g} x {height:g} pixels, which cannot be used")
    return round(width), round(height)


def _number(path: Path | str, value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e300:
        raise FormatError(path, f"{what} is missing or not a number")
    return float(value)


def _positive(path: Path | str, value: Any, what: str) -> float:
    number = _number(path, value, what)
    if number <= 0:
        raise FormatError(path, f"{what} is not a positive number")
    return number


def _natural(name: str) -> list[str]:
    """A sort key in which frame_10 comes after frame_9."""
    return [part.zfill(24) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
