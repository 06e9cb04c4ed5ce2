"""Cameras of nerfstudio: the viewer's `camera_path.json` and the data sets' `transforms.json`.

Both hold camera-to-world matrices with OpenGL axes (x right, y up, looking down -z) in a world with Z up, row by row,
nested or flat. Their units are those of the reconstruction; `scale` turns them into metres. Pixel centres are at
half-integers, as ours.

- `camera_path.json`: frames under `camera_path` with `camera_to_world` and `fov`, the *vertical* angle in degrees, for
  pictures of `render_width` x `render_height`; `aspect` repeats their ratio. The `keyframes` beside it are what the
  viewer's editor made the path from; they are not a camera for each frame, so they are not read.
- `transforms.json`, also of instant-ngp: frames with `transform_matrix`, and `fl_x`, `fl_y`, `cx`, `cy`, `w`, `h` in
  pixels or `camera_angle_x`, `camera_angle_y` in radians, for all or of each frame. An `applied_transform` is part of
  its matrices already and says how COLMAP's world became this one, so it needs no handling here. Lens distortion (`k1`,
  `p1`, ...) is left out, with a note: what is loaded is the pinhole camera that undistorted pictures have.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from understudy_shared.camera import OPENGL_TO_OPENCV, CameraTrajectory, Doubles, rigid_inverse
from understudy_shared.formats import camera_file, numbering
from understudy_shared.formats.reading import FormatError, read_json, read_text

_PINHOLES = {"PERSPECTIVE", "PINHOLE", "SIMPLE_PINHOLE", "OPENCV", "SIMPLE_RADIAL", "RADIAL"}
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
_LENS = (("fl_x", (0, 0)), ("fl_y", (1, 1)), ("cx", (0, 2)), ("cy", (1, 2)))


def sniff(path: Path | str) -> bool:
    """Whether the file is JSON with a camera path or with transform matrices."""
    return bool(layout(path))


def layout(path: Path | str) -> Literal["camera_path", "transforms", ""]:
    """Which of the two layouts a file has, if any."""
    try:
        text = read_text(path)
        if '"camera_path"' not in text and '"frames"' not in text:  # spares large files of others the parsing
            return ""
        data = read_json(path)
    except FormatError:
        return ""
    if "camera_path" in data:
        return "camera_path"
    frames = data.get("frames")
    if isinstance(frames, list) and all(isinstance(f, dict) and "transform_matrix" in f for f in frames[:1]):
        return "transforms"
    return ""


def load(
    path: Path | str,
    *,
    size: tuple[int, int] | None = None,
    fov: float | None = None,
    k: ArrayLike | None = None,
    fps: float | None = None,
    scale: float = 1.0,
    up: camera_file.Up = "Z",
    order: Literal["file", "name"] = "file",
    fill_gaps: bool = False,
) -> CameraTrajectory:
    """Reads either layout.

    Args:
        path: the JSON file.
        size: (width, height) in pixels, for files that do not say.
        fov: vertical field of view in degrees, for files that do not say.
        k: (3, 3) in pixels, in place of `fov`.
        fps: frame rate, instead of the file's.
        scale: metres per unit of the file.
        up: which axis of the file's world is up.
        order: frames of a transforms.json as they stand in the file, or by `file_path` with numbers in their order.
        fill_gaps: makes cameras for the frames whose numbers are missing among the `file_path`s.

    Raises:
        FormatError: no such file, no frames, no perspective cameras, or matrices that are no camera.
    """
    data, notes = read_json(path), list[str]()
    matrix = None if k is None else np.asarray(k, np.float64)
    if "camera_path" in data:
        frames, at = _frames(path, data, "camera_path"), None
        poses = _poses(path, frames, "camera_to_world")
        width, height = _size(path, (data.get("render_width"), data.get("render_height")), size)
        lenses = _angles(path, frames, (width, height), fov, matrix)
    elif "frames" in data:
        frames = _frames(path, data, "frames")
        if order == "name":
            frames = sorted(frames, key=lambda frame: numbering.natural(str(frame.get("file_path", ""))))
        names = [str(frame["file_path"]) for frame in frames if frame.get("file_path")]
        numbering.unique(path, names)
        at = numbering.positions(names) if len(names) == len(frames) else None
        poses = _poses(path, frames, "transform_matrix")
        width, height = _one_size(path, data, frames, size)
        lenses = np.stack([_lens(path, {**data, **each}, (width, height), fov, matrix) for each in frames])
        notes += _distorted(path, data, frames)
    else:
        raise FormatError(path, "has neither 'camera_path' nor 'frames': not a camera file of nerfstudio")
    camera = camera_file.trajectory(
        path,
        OPENGL_TO_OPENCV @ rigid_inverse(poses),
        lenses,
        (width, height),
        fps=_rate(path, data, len(frames), fps, notes),
        up=up,
        scale=scale,
        notes=notes,
    )
    return numbering.mend(camera, at, fill_gaps)


def save(
    path: Path | str,
    camera: CameraTrajectory,
    *,
    layout: Literal["camera_path", "transforms"] = "camera_path",
    scale: float = 1.0,
    up: camera_file.Up = "Z",
) -> None:
    """Writes one of the two layouts; `scale` and `up` as in `load`.

    Raises:
        FormatError: a camera path cannot hold this camera (off-centre, or pixels that are not square).
        OSError: the file cannot be written.
    """
    poses = rigid_inverse(camera_file.in_file(path, camera, up, scale)) @ OPENGL_TO_OPENCV
    if layout == "camera_path":
        data = _camera_path_json(path, camera, poses)
    else:
        frames = [
            {
                "file_path": f"images/frame_{i:05d}.png",
                "transform_matrix": pose.tolist(),
                **{name: float(k[at]) for name, at in _LENS},
            }
            for i, (pose, k) in enumerate(zip(poses, camera.intrinsics, strict=True), 1)
        ]
        data = {
            "camera_model": "OPENCV", "w": camera.width, "h": camera.height, "fps": camera.fps, "frames": frames
        }  # fmt: skip
    camera_file.write(path, json.dumps(data, indent=1))


def _camera_path_json(path: Path | str, camera: CameraTrajectory, poses: Doubles) -> dict[str, Any]:
    fov = camera_file.no_shift(path, camera)
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


def _angles(
    path: Path | str, frames: list[dict[str, Any]], size: tuple[int, int], fov: float | None, k: Doubles | None
) -> Doubles:
    """K (T, 3, 3) of the frames of a camera path."""
    if any(frame.get("fov") is None for frame in frames) and k is not None:
        return np.broadcast_to(k, (len(frames), 3, 3))
    angles = [fov if frame.get("fov") is None else frame["fov"] for frame in frames]
    found = np.array([_number(path, angle, f"'fov' of frame {i}") for i, angle in enumerate(angles)])
    return camera_file.from_fov(path, found, *size)


def _lens(
    path: Path | str, values: dict[str, Any], size: tuple[int, int], fov: float | None, k: Doubles | None
) -> Doubles:
    """K (3, 3) from `fl_x`, `fl_y`, `cx`, `cy`, or from angles of view in radians."""
    focal: dict[str, float] = {}
    for axis, side in zip("xy", size, strict=True):
        if values.get(f"fl_{axis}") is not None:
            focal[axis] = _positive(path, values[f"fl_{axis}"], f"'fl_{axis}'")
        elif values.get(f"camera_angle_{axis}") is not None:
            angle = _positive(path, values[f"camera_angle_{axis}"], f"'camera_angle_{axis}'")
            if angle >= math.pi:
                raise FormatError(path, f"'camera_angle_{axis}' is not an angle of view in radians")
            focal[axis] = side / 2 / math.tan(angle / 2)
    if not focal:
        if k is None and fov is None:
            raise FormatError(path, "has no focal length: 'fl_x' or 'camera_angle_x' is needed, or the option fov")
        return camera_file.from_fov(path, fov, *size) if k is None and fov is not None else np.asarray(k)
    fx, fy = focal.get("x", focal.get("y", 0)), focal.get("y", focal.get("x", 0))
    cx = size[0] / 2 if values.get("cx") is None else _number(path, values["cx"], "'cx'")
    cy = size[1] / 2 if values.get("cy") is None else _number(path, values["cy"], "'cy'")
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def _distorted(path: Path | str, data: dict[str, Any], frames: list[dict[str, Any]]) -> list[str]:
    """A sentence if a lens bends what it sees."""
    for values in (data, *frames):
        for name in _DISTORTION:
            if values.get(name) is not None and abs(_number(path, values[name], f"'{name}'")) > 1e-12:
                return [f"Lens distortion ({name} = {values[name]:.3g}) was left out: use undistorted pictures with it"]
    return []


def _rate(path: Path | str, data: dict[str, Any], frames: int, fps: float | None, notes: list[str]) -> float:
    if fps is not None:
        return float(fps)
    if data.get("fps") is not None:
        return _positive(path, data["fps"], "'fps'")
    if data.get("seconds"):
        return frames / _positive(path, data["seconds"], "'seconds'")
    return camera_file.rate(None, notes)


def _frames(path: Path | str, data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    frames = data[key]
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise FormatError(path, f"'{key}' is not a list of cameras")
    if not frames:
        raise FormatError(path, f"has no frames: '{key}' is empty; export the camera with at least one")
    for values in (data, *frames):
        _only_pinholes(path, values.get("camera_type", "perspective"))
        _only_pinholes(path, values.get("camera_model", "OPENCV"))
        if values.get("is_fisheye"):
            raise FormatError(path, "holds fisheye cameras; only perspective ones can be used")
    return frames


def _only_pinholes(path: Path | str, kind: Any) -> None:
    if str(kind).upper() not in _PINHOLES:
        raise FormatError(path, f"holds cameras of the kind '{str(kind)[:40]}'; only perspective ones can be used")


def _poses(path: Path | str, frames: list[dict[str, Any]], key: str) -> Doubles:
    """Rigid camera-to-world matrices (T, 4, 4) from 16 or 12 numbers each, nested or flat."""
    camera_file.count(path, len(frames))
    found = np.stack([_matrix(path, frame.get(key), i) for i, frame in enumerate(frames)])
    return camera_file.rigid(path, found[:, :3, :3], found[:, :3, 3])


def _matrix(path: Path | str, value: Any, index: int) -> Doubles:
    try:
        matrix = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        matrix = np.empty(0)
    if matrix.size == 16:
        matrix = matrix.reshape(4, 4)
        if np.isfinite(matrix).all() and not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6):
            raise FormatError(path, f"the last row of the matrix of frame {index} is not 0 0 0 1")
    elif matrix.size != 12:
        raise FormatError(path, f"the matrix of frame {index} is not 4 x 4 numbers")
    return matrix.reshape(-1, 4)[:3]


def _one_size(
    path: Path | str, data: dict[str, Any], frames: list[dict[str, Any]], given: tuple[int, int] | None
) -> tuple[int, int]:
    sizes = {_size(path, tuple(frame.get(name, data.get(name)) for name in ("w", "h")), given) for frame in frames}
    if len(sizes) > 1:
        raise FormatError(path, "its frames differ in size; one camera has one size, so give frames of one size")
    return sizes.pop()


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
