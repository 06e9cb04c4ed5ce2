"""Opens a motion or a camera of any known format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from understudy_shared.body import BodyModel
from understudy_shared.camera import CameraTrajectory
from understudy_shared.formats import (
    amass,
    bvh,
    chan,
    colmap,
    colmap_binary,
    gvhmr,
    joblib_pickle,
    kitti,
    nerfstudio,
    opencv,
    phalp,
    smpl_codec,
    smpl_params,
    tram,
    tum,
    wham,
)
from understudy_shared.formats.reading import FormatError, existing
from understudy_shared.motion import MotionClip


def load_motion(path: Path | str, body: BodyModel, track: str = "", **options: Any) -> MotionClip:
    """Reads one person's motion for `body`.

    Args:
        path: a file of any format that `load_tracks` knows.
        body: who wears it.
        track: whose motion, by `track_id`; by default theirs who are seen longest.
        options: as in `load_tracks`.

    Raises:
        FormatError: as `load_tracks`, or nobody in the file has that track id.
    """
    clips = load_tracks(path, body, **options)
    if not track:
        return clips[0]
    for clip in clips:
        if clip.track_id == track:
            return clip
    there = ", ".join(f"'{clip.track_id}'" for clip in clips[:12]) + (" and more" if len(clips) > 12 else "")
    raise FormatError(path, f"has no track '{track[:40]}'; it has {there}")


def load_tracks(path: Path | str, body: BodyModel, **options: Any) -> list[MotionClip]:
    """Reads the motion of everybody in a file for `body`, those who are seen longest first.

    Each has a `track_id` of their own (empty where the format holds but one person). Frames of a track in which they
    were not seen are there all the same, with `present` False and the nearest pose that was seen.

    Args:
        path: the file; its format is known by its content, or by its name where the content is damaged.
        body: who wears it.
        options: for the format's own `load`; all know `fps` (frames per second, where the file does not say or is
            wrong) and `up` ("auto", "y" or "z", the file's up axis; formats that define it ignore it).

    Raises:
        FormatError: no known format, or the file is damaged.
    """
    path = existing(path)
    key = motion_format(path).key
    if key in _SINGLE:
        clips = [_SINGLE[key].load(path, body, **options)]
    else:
        clips = _SEVERAL[key].load_tracks(path, body, **options)
    return sorted(clips, key=lambda clip: -int(clip.seen.sum()))


@dataclass(frozen=True)
class MotionFormat:
    """One kind of motion file, as a menu shows it."""

    key: str
    """Name of its module in `formats`."""
    label: str
    """For a menu."""
    extensions: tuple[str, ...]
    """Usual endings of its files, in lower case."""


MOTION_FORMATS = (
    MotionFormat("amass", "AMASS, SMPL-H and SMPL-X", (".npz",)),
    MotionFormat("smpl_params", "SMPL parameters", (".npz", ".json", ".npy", ".pkl")),
    MotionFormat("smpl_codec", "Meshcapade", (".smpl",)),
    MotionFormat("phalp", "PHALP and 4D-Humans", (".pkl",)),
    MotionFormat("wham", "WHAM", (".pkl",)),
    MotionFormat("gvhmr", "GVHMR", (".pt",)),
    MotionFormat("tram", "TRAM", (".npy",)),
    MotionFormat("bvh", "BVH", (".bvh",)),
)
"""Every kind of motion file, in the order of a menu."""
_SINGLE = {"amass": amass, "smpl_params": smpl_params, "smpl_codec": smpl_codec, "bvh": bvh}
_SEVERAL = {"phalp": phalp, "wham": wham, "gvhmr": gvhmr, "tram": tram}
_PICKLES = (".pkl", ".pickle", ".joblib")
_BY_NAME = {".npz": "amass", ".smpl": "smpl_codec", ".bvh": "bvh", ".pt": "gvhmr", ".pth": "gvhmr"}


def motion_format(path: Path | str) -> MotionFormat:
    """Which kind of motion file this is, by its content, or by its name where the content does not say.

    Raises:
        FormatError: no such file, a damaged pickle, or no known format.
    """
    path = existing(path)
    suffix = path.suffix.lower()
    key = ""
    if suffix in _PICKLES:
        raw = joblib_pickle.decompressed(path)
        kinds = (("wham", wham.is_ours), ("phalp", phalp.is_ours), ("smpl_params", smpl_params.is_ours))
        key = next((name for name, is_ours in kinds if is_ours(raw)), "")
        if not key:
            joblib_pickle.parsed(path, raw)  # says so if it is damaged
    else:
        for name in ("bvh", "smpl_codec", "amass", "gvhmr", "tram"):
            if {**_SINGLE, **_SEVERAL}[name].sniff(path):
                key = name
                break
        else:
            key = "smpl_params" if smpl_params.sniff(path) else _BY_NAME.get(suffix, "")
    for known in MOTION_FORMATS:
        if known.key == key:
            return known
    read = "; ".join(f"{known.label} ({', '.join(known.extensions)})" for known in MOTION_FORMATS)
    raise FormatError(path, f"is not a known motion; these are read: {read}; FBX and glTF through Blender's own import")


@dataclass(frozen=True)
class CameraFormat:
    """One kind of camera file, as a menu shows it."""

    key: str
    """What `load_camera` and `save_camera` call it."""
    label: str
    """For a menu."""
    extensions: tuple[str, ...]
    """Usual endings of its files, in lower case, the first being the one for new files; "" is a folder."""
    can_save: bool
    """Whether `save_camera` writes it."""
    needs: tuple[str, ...]
    """What its files do not say, so that it must be given or is assumed: some of "size", "fov" and "fps"."""
    options: tuple[str, ...] = ()
    """Names of what its `load` takes beyond `size`, `fov`, `k`, `fps`, `scale` and `up`, which all of them take."""
    up: str = "Z"
    """The `up` that holds if none is given."""


_CENTRE = ("centre", "fill_gaps")
_ORDER = ("order", "fill_gaps")
CAMERA_FORMATS = (
    CameraFormat("camera_path", "nerfstudio camera path", (".json",), True, ()),
    CameraFormat("transforms", "nerfstudio transforms", (".json",), True, ("fps",), _ORDER),
    CameraFormat("colmap_text", "COLMAP model (text)", ("", ".txt"), True, ("fps",), _ORDER),
    CameraFormat("colmap_binary", "COLMAP model (binary)", ("", ".bin"), True, ("fps",), _ORDER),
    CameraFormat("tum", "TUM trajectory", (".txt", ".tum"), True, ("size", "fov")),
    CameraFormat("kitti", "KITTI poses", (".txt",), True, ("size", "fov", "fps"), ("calib", "camera", *_CENTRE)),
    CameraFormat("chan", "Nuke channels", (".chan",), True, ("size", "fps"), ("rotation_order", "aperture"), "Y"),
    CameraFormat("opencv", "OpenCV matrices", (".json", ".npz", ".yml", ".yaml", ".xml"), True, ("fps",), _CENTRE),
    CameraFormat("phalp", "PHALP and 4D-Humans, its camera", (".pkl",), False, ("fps",)),
    CameraFormat("gvhmr", "GVHMR, its camera", (".pt",), False, ("fps",), ("track",)),
    CameraFormat("tram", "TRAM, its camera", (".npy",), False, ("fps",)),
)
"""Every kind of camera file, in the order of a menu; the last ones are the cameras beside motion that was estimated."""


def camera_format(path: Path | str) -> CameraFormat:
    """Which kind of camera file this is, by its content, or by its name where the content is damaged.

    Args:
        path: a file, or for COLMAP also the folder of its model or of its project.

    Raises:
        FormatError: no such file, or no known format.
    """
    key = _camera_key(Path(path))
    for known in CAMERA_FORMATS:
        if known.key == key:
            return known
    read = "; ".join(f"{known.label} ({', '.join(filter(None, known.extensions))})" for known in CAMERA_FORMATS)
    raise FormatError(path, f"is not a known camera; these are read: {read}; Alembic, USD and FBX through Blender")


def _camera_key(path: Path) -> str:
    for key, module in (("colmap_binary", colmap_binary), ("colmap_text", colmap)):
        if module.sniff(path):
            return key
    if path.is_dir():
        raise FormatError(path, "is a folder without a COLMAP model (cameras and images, as .txt or .bin)")
    path = existing(path)
    suffix = path.suffix.lower()
    layout = nerfstudio.layout(path)
    if layout:
        return layout
    for key, module in (("opencv", opencv), ("chan", chan), ("tum", tum), ("kitti", kitti)):
        if module.sniff(path):
            return key
    if tram.sniff_camera(path) or tram.sniff(path):
        return "tram"
    if suffix in _PICKLES:
        return "phalp" if phalp.is_ours(joblib_pickle.decompressed(path)) else ""
    if gvhmr.sniff(path):
        return "gvhmr"
    if path.stem in ("cameras", "images") and suffix in (".txt", ".bin"):  # one without the other
        return "colmap_text" if suffix == ".txt" else "colmap_binary"
    return _CAMERAS_BY_NAME.get(suffix, "")


def load_camera(path: Path | str, *, format: str = "", **assumptions: Any) -> CameraTrajectory:
    """Reads a camera of any kind; what had to be assumed stands in the `notes` of the result.

    Args:
        path: a file, or for COLMAP also the folder of its model.
        format: key of a `CameraFormat`; by default found out from the content.
        **assumptions: for what the file does not say. Every format takes `size` (width, height) in pixels, `fov`
            (vertical, degrees), `k` (3, 3) in pixels in place of `fov`, `fps`, `scale` (metres per unit of the file)
            and `up` ("Z", "Y" or "-Y": which way is up in the file's world). More, see `CameraFormat.options`.

    Raises:
        FormatError: no known format, the file is damaged, or it needs what was not given.
    """
    key = format or camera_format(path).key
    if key in _ESTIMATED:
        return _ESTIMATED[key].load_camera(path, **assumptions)
    if key not in _CAMERAS:
        raise FormatError(path, f"there is no camera format '{key[:40]}'; there are {', '.join(_CAMERAS)}")
    return _CAMERAS[key].load(path, **assumptions)


def save_camera(trajectory: CameraTrajectory, path: Path | str, format: str, **options: Any) -> None:
    """Writes a camera.

    Args:
        trajectory: what to write.
        path: a file; for COLMAP a folder, which is made if it is not there.
        format: key of a `CameraFormat` with `can_save`.
        **options: every format takes `scale` and `up`, as `load_camera` does. KITTI also takes `calib`, a file for the
            lens; Nuke channels `rotation_order`, `aperture` and `first_frame`; OpenCV matrices `centre`.

    Raises:
        FormatError: the format cannot hold this camera, or there is no such format.
        OSError: the file cannot be written.
    """
    if format not in _CAMERAS:
        raise FormatError(path, f"there is no camera format '{format[:40]}' to write; there are {', '.join(_CAMERAS)}")
    if format in ("camera_path", "transforms"):
        options["layout"] = format
    _CAMERAS[format].save(path, trajectory, **options)


_CAMERAS = {
    "camera_path": nerfstudio,
    "transforms": nerfstudio,
    "colmap_text": colmap,
    "colmap_binary": colmap_binary,
    "tum": tum,
    "kitti": kitti,
    "chan": chan,
    "opencv": opencv,
}
_ESTIMATED = {"phalp": phalp, "gvhmr": gvhmr, "tram": tram}
_CAMERAS_BY_NAME = {
    ".json": "camera_path",
    ".npz": "opencv",
    ".yml": "opencv",
    ".yaml": "opencv",
    ".xml": "opencv",
    ".chan": "chan",
    ".tum": "tum",
    ".pt": "gvhmr",
    ".pth": "gvhmr",
}
