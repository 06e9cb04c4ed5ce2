"""Camera matrices as people write them around OpenCV: K, R and t in JSON, npz, or OpenCV's FileStorage (YAML, XML).

There is no one format, only names that most agree on. They are read without regard to case and to anything but letters
and digits, for all frames together (a first axis of length T, or one value for all) or in a list or an object of
frames under `frames`, `cameras`, `views` or `images`, or of nothing else; what stands outside the frames holds for
each:

- lens: `K`, `camera_matrix`, `intrinsics`, `mtx`, ... (3, 3), or `fx`, `fy`, `cx`, `cy`. Pixels; `centre` says whether
  pixel centres are at halves as ours or, as OpenCV's own calibration has them, at whole numbers.
- pose, *world to camera*: `R` (3, 3) or `rvec` (3,), an axis times its angle in radians, with `t` or `tvec` (3,); or
  `extrinsics`, `w2c`, ... (3, 4) or (4, 4); or OpenCV's `extrinsic_parameters` (T, 6). Only names that say so, as `c2w`
  or `camera_to_world`, are camera to world.
- picture: `width` and `height`, `image_size` [width, height], ...; time: `fps`.
- `dist_coeffs`, `distortion_coefficients`, `dist`, ... must be zero: pictures have to be undistorted.

World and unit are the file's own.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from understudy_shared.camera import CameraTrajectory, Doubles, rigid_inverse
from understudy_shared.formats import camera_file, numbering, opencv_storage
from understudy_shared.formats.reading import FormatError, npz_names, read_npz, read_text
from understudy_shared.rotations import axis_angle_from_matrix, matrix_from_axis_angle

LENS = ("k", "cameramatrix", "intrinsics", "intrinsic", "intrinsicmatrix", "cameraintrinsics", "camk", "mtx")
ROTATION = ("r", "rotation", "rotationmatrix", "rot", "rotations", "rmat", "camr")
AXIS_ANGLE = ("rvec", "rvecs", "rotationvector", "rotationvectors", "rodrigues")
TRANSLATION = ("t", "tvec", "tvecs", "translation", "translations", "trans", "translationvector", "camt")
TO_CAMERA = ("extrinsics", "extrinsic", "extrinsicmatrix", "w2c", "worldtocamera", "worldtocam", "world2cam", "rt")
TO_WORLD = ("c2w", "cameratoworld", "camtoworld", "cam2world")
BOTH = ("extrinsicparameters",)
DISTORTION = ("dist", "distcoeffs", "distcoef", "distortion", "distortioncoefficients", "distortionparams")
WIDTH = ("width", "imagewidth", "imgwidth", "w", "imgw")
HEIGHT = ("height", "imageheight", "imgheight", "h", "imgh")
SIZE = ("imagesize", "imgsize", "resolution", "imageresolution", "size")
RATE = ("fps", "framerate")
FRAMES = ("frames", "cameras", "views", "images")
_POSE = ROTATION + AXIS_ANGLE + TO_CAMERA + TO_WORLD + BOTH


def sniff(path: Path | str) -> bool:
    """Whether the file has poses under one of these names."""
    try:
        if zipfile.is_zipfile(path):
            names = {_plain(name) for name in npz_names(path)}
            # the pose parameters of a body are a `pose`, never one of these
            return bool(names & set(_POSE))
        frames, shared = _frames(path, _read(path))
    except (FormatError, OSError):
        return False
    return any(name in _POSE for values in (shared, *(values for _, values in frames[:1])) for name in values)


def load(
    path: Path | str,
    *,
    size: tuple[int, int] | None = None,
    fov: float | None = None,
    k: ArrayLike | None = None,
    fps: float | None = None,
    scale: float = 1.0,
    up: camera_file.Up = "Z",
    centre: Literal["half", "integer"] = "half",
    fill_gaps: bool = False,
) -> CameraTrajectory:
    """Reads cameras.

    Args:
        path: a .json, .npz, .yml, .yaml or .xml file; what it is, its content says.
        size: (width, height) in pixels, for files that do not say; by default from the centre of the lens.
        fov: vertical field of view in degrees, for files without a lens.
        k: (3, 3) in pixels, in place of `fov`.
        fps: frames per second, instead of the file's.
        scale: metres per unit of the file.
        up: which axis of the file's world is up.
        centre: where the file's pixels have their centres: at halves as ours, or at whole numbers.
        fill_gaps: makes cameras for missing frames, where they are named by numbers.

    Raises:
        FormatError: not such a file, distortion, or matrices that make no camera.
    """
    frames, shared = _frames(path, _read(path))
    camera_file.count(path, len(frames))
    notes: list[str] = []
    each = [{**shared, **values} for _, values in frames]
    lenses = [_lens(path, values) for values in each]
    poses = [_pose(path, values) for values in each]
    for values in each:
        _undistorted(path, values)
    if any(found is None for found in lenses):
        matrix, pixels = camera_file.lens(path, size or _size(path, each), fov, k, notes)
        matrices = matrix[None]
    else:
        matrices = np.concatenate([found for found in lenses if found is not None])
        pixels = _size(path, each) or size or camera_file.size_of_centre(path, matrices[0], notes)
    if centre == "integer":
        matrices = matrices + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    extrinsics = np.concatenate(poses)
    if len(matrices) not in (1, len(extrinsics)):
        raise FormatError(path, f"has {len(matrices)} lenses for {len(extrinsics)} poses; give one, or one for each")
    rate = _number(path, each[0], RATE) if fps is None else fps
    camera = camera_file.trajectory(
        path,
        camera_file.rigid(path, extrinsics[:, :, :3], extrinsics[:, :, 3]),
        matrices if len(matrices) > 1 else matrices[0],
        pixels,
        fps=camera_file.rate(rate, notes),
        up=up,
        scale=scale,
        notes=notes,
    )
    names = [name for name, _ in frames]
    return numbering.mend(camera, numbering.positions(names) if len(names) == len(camera) else None, fill_gaps)


def save(
    path: Path | str,
    camera: CameraTrajectory,
    *,
    scale: float = 1.0,
    up: camera_file.Up = "Z",
    centre: Literal["half", "integer"] = "half",
) -> None:
    """Writes all frames together, as the path's ending says: .json, .npz, .yml, .yaml or .xml.

    JSON and npz have `K` (3, 3), or (T, 3, 3) where the lens changes, `R` (T, 3, 3), `t` (T, 3), `width`, `height` and
    `fps`. YAML and XML are FileStorage with `camera_matrix`, `rvecs` (T, 3) and `tvecs` (T, 3).

    Raises:
        FormatError: another ending, or a lens that changes, for which FileStorage has no place.
        OSError: the file cannot be written.
    """
    extrinsics = camera_file.in_file(path, camera, up, scale)
    turns, places = extrinsics[:, :3, :3], extrinsics[:, :3, 3]
    k = camera.intrinsics.copy()
    if centre == "integer":
        k[:, :2, 2] -= 0.5
    constant = bool((k == k[0]).all())
    ending = Path(path).suffix.lower()
    sizes = {"width": camera.width, "height": camera.height, "fps": camera.fps}
    if ending in (".json", ".npz"):
        lens = k[0] if constant else k
        if ending == ".json":
            arrays = {"K": lens.tolist(), "R": turns.tolist(), "t": places.tolist()}
            camera_file.write(path, json.dumps({**sizes, **arrays}))
        else:
            file = io.BytesIO()
            width, height, fps = (np.array(value) for value in sizes.values())
            np.savez(file, K=lens, R=turns, t=places, width=width, height=height, fps=fps)
            camera_file.write(path, file.getvalue())
        return
    if ending not in (".yml", ".yaml", ".xml"):
        raise FormatError(path, "give it a name that ends in .json, .npz, .yml or .xml")
    if not constant:
        raise FormatError(path, "this format holds no lens that changes; save as .json or .npz")
    values = {
        "image_width": camera.width,
        "image_height": camera.height,
        "fps": float(camera.fps),
        "camera_matrix": k[0],
        "distortion_coefficients": np.zeros((5, 1)),
        "rvecs": axis_angle_from_matrix(turns),
        "tvecs": places,
    }
    camera_file.write(path, opencv_storage.xml(values) if ending == ".xml" else opencv_storage.yaml(values))


_Frame = dict[str, Any]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _read(path: Path | str) -> Any:
    if zipfile.is_zipfile(path):
        return dict(read_npz(path))
    text = read_text(path)
    if opencv_storage.is_storage(text):
        return opencv_storage.read(path, text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise FormatError(path, f"is not valid JSON{where}; export it again") from None


def _frames(path: Path | str, data: Any) -> tuple[list[tuple[str, _Frame]], _Frame]:
    """Frames by name, in the order of numbers in their names or of the file, and what holds for all of them."""
    shared: _Frame = {}
    if isinstance(data, list):
        camera_file.count(path, max(1, len(data)))
    if isinstance(data, Mapping):
        top = {_plain(str(name)): value for name, value in data.items() if _plain(str(name))}
        if any(name in _POSE for name in top):
            return [("", {name: opencv_storage.decoded(path, value) for name, value in top.items()})], {}
        inner = next((name for name in FRAMES if isinstance(top.get(name), (list, Mapping))), None)
        if inner is not None:
            shared = {n: opencv_storage.decoded(path, v) for n, v in top.items() if n != inner}
            data = top[inner]
    if isinstance(data, Mapping):
        keys = sorted((str(name) for name, value in data.items() if isinstance(value, Mapping)), key=numbering.natural)
        found = [(name, data[name]) for name in keys] or [("", data)]
    elif isinstance(data, list) and all(isinstance(value, Mapping) for value in data):
        found = [("", value) for value in data]
    else:
        found = []
    camera_file.count(path, max(1, len(found)))
    frames = [
        (name, {_plain(str(n)): opencv_storage.decoded(path, v) for n, v in values.items()}) for name, values in found
    ]
    return frames, shared


def _array(path: Path | str, values: _Frame, names: tuple[str, ...]) -> Doubles | None:
    name = next((name for name in names if values.get(name) is not None), None)
    if name is None:
        return None
    try:
        array = np.asarray(values[name], np.float64)
    except (TypeError, ValueError, OverflowError):
        raise FormatError(path, f"'{name}' is not a table of numbers; all its rows must be equally long") from None
    if array.size > camera_file.MAX_FRAMES * 16:
        camera_file.count(path, array.size // 16)
    if not (np.abs(array) < 1e100).all():
        raise FormatError(path, f"'{name}' holds numbers that are not finite or far too large; take them out")
    return array


def _number(path: Path | str, values: _Frame, names: tuple[str, ...]) -> float | None:
    array = _array(path, values, names)
    if array is None:
        return None
    if array.size != 1:
        raise FormatError(path, f"'{names[0]}' is not one number")
    return float(array.reshape(-1)[0])


def _lens(path: Path | str, values: _Frame) -> Doubles | None:
    """K (1 or T, 3, 3), if the file has it."""
    matrix = _array(path, values, LENS)
    if matrix is not None:
        if matrix.shape[-2:] != (3, 3) or matrix.ndim > 3:
            raise FormatError(path, "its camera matrix is not one of 3 x 3 numbers")
        matrix = matrix.reshape(-1, 3, 3)
        if (matrix[:, 2, 2] == 0).any():
            raise FormatError(path, "its camera matrix is not one of the form fx 0 cx, 0 fy cy, 0 0 1")
        return matrix / matrix[:, 2:, 2:]
    found = [_number(path, values, (name,)) for name in ("fx", "fy", "cx", "cy")]
    fx, fy, cx, cy = found
    if fx is None or cx is None or cy is None:
        return None
    return np.array([[[fx, 0, cx], [0, fx if fy is None else fy, cy], [0, 0, 1]]])


def _pose(path: Path | str, values: _Frame) -> Doubles:
    """World to camera (1 or T, 3, 4)."""
    for names in (TO_CAMERA, TO_WORLD):
        matrix = _array(path, values, names)
        if matrix is None:
            continue
        if matrix.ndim not in (2, 3) or matrix.shape[-2:] not in ((3, 4), (4, 4)):
            raise FormatError(path, "its extrinsics are not matrices of 3 x 4 or 4 x 4 numbers")
        matrix = matrix.reshape(-1, *matrix.shape[-2:])
        if matrix.shape[1] == 4 and np.abs(matrix[:, 3] - [0, 0, 0, 1]).max(initial=0) > 1e-6:
            raise FormatError(path, "the last row of its extrinsics is not 0 0 0 1")
        if names is TO_CAMERA:
            return matrix[:, :3]
        return rigid_inverse(camera_file.rigid(path, matrix[:, :3, :3], matrix[:, :3, 3]))[:, :3]
    both = _array(path, values, BOTH)
    if both is not None:
        if both.ndim != 2 or both.shape[1] != 6:
            raise FormatError(path, "its extrinsic parameters are not six numbers for each frame")
        return _joined(path, matrix_from_axis_angle(both[:, :3]), both[:, 3:])
    rotation, place = _array(path, values, AXIS_ANGLE), _array(path, values, TRANSLATION)
    if rotation is None:
        rotation = _array(path, values, ROTATION)
        if rotation is not None and rotation.shape[-2:] == (3, 3):
            return _joined(path, rotation.reshape(-1, 3, 3), place)
    if rotation is None:
        raise FormatError(path, "has no pose: R and t, rvec and tvec, or extrinsics are needed")
    if rotation.size % 3 or rotation.size == 0 or 3 not in rotation.shape:
        raise FormatError(path, "its rotations are neither 3 x 3 matrices nor vectors of three numbers")
    return _joined(path, matrix_from_axis_angle(rotation.reshape(-1, 3)), place)


def _joined(path: Path | str, turns: Doubles, place: Doubles | None) -> Doubles:
    if place is None or place.size != 3 * len(turns):
        raise FormatError(path, f"has {len(turns)} rotations, but not as many translations t of three numbers")
    return np.concatenate([turns, place.reshape(-1, 3, 1)], 2)


def _undistorted(path: Path | str, values: _Frame) -> None:
    distortion = _array(path, values, DISTORTION)
    if distortion is not None and np.abs(distortion).max(initial=0) > 1e-12:
        raise FormatError(path, "has lens distortion; undistort the pictures (cv2.undistort) and set it to zero")


def _size(path: Path | str, each: list[_Frame]) -> tuple[int, int] | None:
    """(width, height) in pixels, if all frames have the same or none."""
    found: set[tuple[int, int]] = set()
    for values in each:
        width, height = _number(path, values, WIDTH), _number(path, values, HEIGHT)
        both = _array(path, values, SIZE)
        if width is None or height is None:
            if both is None or both.size != 2:
                continue
            width, height = both.reshape(-1).tolist()
        if not (1 <= width <= 65536 and 1 <= height <= 65536):
            raise FormatError(path, f"says that its pictures are {width:g} x {height:g} pixels, which cannot be used")
        found.add((round(width), round(height)))
    if len(found) > 1:
        raise FormatError(path, "its frames differ in size; one camera has one size, so give frames of one size")
    return found.pop() if found else None
