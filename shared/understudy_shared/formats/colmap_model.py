"""What COLMAP's text and binary models have in common: where they lie, their lenses, and images in order.

A model is a folder with `cameras` (lenses), `images` (a pose for each picture) and `points3D` (not needed here), all
.txt or all .bin. Newer programs add `rigs` and `frames`; the poses in `images` hold without them.

Poses are world to camera, a quaternion with its real part first and a translation; camera axes are OpenCV's. Pixel
centres are at half-integers, as ours. World and unit are whatever the reconstruction came out with; -Y is often about
up. There is no time: pictures come in the order of the numbers in their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from understudy_shared.camera import CameraTrajectory, Doubles
from understudy_shared.formats import camera_file, numbering
from understudy_shared.formats.reading import FormatError
from understudy_shared.rotations import quaternion_from_matrix, sign_continuous

PARTS = ("cameras", "images", "points3D", "rigs", "frames")
"""Names of a model's files."""
PLACES = ("", "sparse/0", "sparse", "0")
"""Where a project keeps its model."""
MODELS = {
    "SIMPLE_PINHOLE": (0, 3),
    "PINHOLE": (1, 4),
    "SIMPLE_RADIAL": (2, 4),
    "RADIAL": (3, 5),
    "OPENCV": (4, 8),
    "FULL_OPENCV": (6, 12),
}
"""Lenses that are a pinhole once they bend nothing: number in binary files, and how many parameters."""
_ONE_FOCAL_LENGTH = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")


class Lens(NamedTuple):
    """One camera of a model."""

    k: Doubles
    """(3, 3) in pixels."""
    size: tuple[int, int]
    """(width, height) in pixels."""


class Image(NamedTuple):
    """One picture of a model."""

    name: str
    """Its file, relative to the folder of pictures."""
    camera: int
    """Id of its lens."""
    pose: tuple[float, ...]
    """World to camera: qw, qx, qy, qz, tx, ty, tz."""


@dataclass(frozen=True)
class Layout:
    """How a model lies on the disk, as text or as binary files, and with it the three functions of a format."""

    suffix: Literal[".txt", ".bin"]
    lenses: Callable[[Path], dict[int, Lens]]
    """Reads a file of cameras."""
    images: Callable[[Path], Iterator[Image]]
    """Reads a file of images, one after the other, however long it is."""
    write: Callable[[Path, dict[int, Lens], list[Image]], None]
    """Writes all files into a folder, the images numbered from 1."""

    def sniff(self, path: Path | str) -> bool:
        """Whether it is the folder, or a file, of such a model."""
        folder = find(path, self.suffix)
        if folder is None:
            return False
        try:
            next(self.images(folder / f"images{self.suffix}"), None)
        except FormatError:
            return False
        return True

    def load(
        self,
        path: Path | str,
        *,
        size: tuple[int, int] | None = None,
        fov: float | None = None,
        k: object = None,
        fps: float | None = None,
        scale: float = 1.0,
        up: camera_file.Up = "Z",
        order: Literal["name", "file"] = "name",
        fill_gaps: bool = False,
    ) -> CameraTrajectory:
        """Reads a model.

        Args:
            path: its folder, one of its files, or a project's folder with the model in sparse/0.
            size: not needed: the model says.
            fov: not needed: the model says.
            k: not needed: the model says.
            fps: frames per second.
            scale: metres per unit of the model.
            up: which axis of the model's world is up.
            order: pictures by their names with numbers in their order, or as they stand in the file.
            fill_gaps: makes cameras for the pictures whose numbers are missing.

        Raises:
            FormatError: no such model, a lens with distortion, pictures of several sizes, or poses that are none.
        """
        folder = required(path, self.suffix)
        lenses = self.lenses(folder / f"cameras{self.suffix}")
        file = folder / f"images{self.suffix}"
        images = list(islice(self.images(file), camera_file.MAX_FRAMES + 1))
        return build(file, lenses, images, fps=fps, scale=scale, up=up, order=order, fill_gaps=fill_gaps)

    def save(self, path: Path | str, camera: CameraTrajectory, *, scale: float = 1.0, up: camera_file.Up = "Z") -> None:
        """Writes a model of PINHOLE cameras without points; the frame rate has no place in it.

        Raises:
            FormatError: another model lies in the folder.
            OSError: a file cannot be written.
        """
        lenses, images = taken_apart(path, camera, up, scale)
        self.write(folder_for(path, self.suffix), lenses, images)


def find(path: Path | str, suffix: Literal[".txt", ".bin"]) -> Path | None:
    """The folder of the model that `path` is, is a file of, or has in one of the usual places."""
    path = Path(path)
    try:
        if path.is_file():
            folders = [path.parent] if path.suffix.lower() == suffix and path.stem in PARTS else []
        else:
            folders = [path / place for place in PLACES]
        return next((f for f in folders if all((f / f"{part}{suffix}").is_file() for part in PARTS[:2])), None)
    except (OSError, ValueError):  # names that the system cannot hold
        return None


def required(path: Path | str, suffix: Literal[".txt", ".bin"]) -> Path:
    """As `find`.

    Raises:
        FormatError: there is no model.
    """
    folder = find(path, suffix)
    if folder is None:
        raise FormatError(path, f"is no COLMAP model: choose the folder with cameras{suffix} and images{suffix}")
    return folder


def lens(path: Path, number: int, model: str, size: tuple[int, int], numbers: Sequence[float]) -> Lens:
    """The pinhole camera that a lens without distortion is.

    Raises:
        FormatError: it bends what it sees, or has other parameters than its model.
    """
    if model not in MODELS:
        raise FormatError(path, f"camera {number} is of the kind {model[:40]}; {_UNDISTORT}")
    if len(numbers) != MODELS[model][1]:
        raise FormatError(path, f"camera {number} needs {MODELS[model][1]} parameters for {model}, not {len(numbers)}")
    alike = model in _ONE_FOCAL_LENGTH
    fx, fy, cx, cy = (numbers[0], *numbers[:3]) if alike else numbers[:4]
    distortion = numbers[3 if alike else 4 :]
    if not all(abs(value) <= 1e-12 for value in distortion):
        raise FormatError(path, f"camera {number} ({model}) has lens distortion; {_UNDISTORT}")
    return Lens(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64), size)


_UNDISTORT = "undistort the pictures first (colmap image_undistorter) and load the model that this makes"


def build(
    path: Path,
    lenses: dict[int, Lens],
    images: list[Image],
    *,
    fps: float | None,
    scale: float,
    up: str,
    order: str,
    fill_gaps: bool,
) -> CameraTrajectory:
    """A trajectory of a model's images.

    Args:
        path: of the images' file, for messages.
        lenses: by id.
        images: in the order of the file.
        fps: frames per second; None: assumed.
        scale: metres per unit of the model.
        up: which axis of the model's world is up.
        order: "name", numbers in their order, or "file".
        fill_gaps: makes cameras for the pictures whose numbers are missing.

    Raises:
        FormatError: no images, no lens for one, or pictures of several sizes.
    """
    camera_file.count(path, len(images))
    if order == "name":
        images = sorted(images, key=lambda image: numbering.natural(image.name))
    names = [image.name for image in images]
    numbering.unique(path, names)
    for image in images:
        if image.camera not in lenses:
            raise FormatError(path, f"'{image.name[-60:]}' has camera {image.camera}, which the model has not")
    used = [lenses[image.camera] for image in images]
    if len({each.size for each in used}) > 1:
        raise FormatError(path, "its pictures differ in size; one camera has one size, so give pictures of one size")
    notes: list[str] = []
    rate = camera_file.rate(fps, notes)
    folders = {name.rpartition("/")[0] for name in names}
    if len(folders) > 1:
        notes.append(f"Its pictures are in {len(folders)} folders; their cameras come one folder after the other")
    poses = np.array([image.pose for image in images])
    camera = camera_file.trajectory(
        path,
        camera_file.rigid(path, camera_file.turns(path, poses[:, :4], "image"), poses[:, 4:], "image"),
        np.stack([each.k for each in used]),
        used[0].size,
        fps=rate,
        up=up,
        scale=scale,
        notes=notes,
    )
    return numbering.mend(camera, numbering.positions(names), fill_gaps)


def taken_apart(
    path: Path | str, camera: CameraTrajectory, up: str, scale: float
) -> tuple[dict[int, Lens], list[Image]]:
    """The lenses and images of a model that holds this camera; pictures are called frame_00001.png and so on."""
    extrinsics = camera_file.in_file(path, camera, up, scale)
    quaternions = sign_continuous(quaternion_from_matrix(extrinsics[:, :3, :3]))
    poses = np.concatenate([quaternions, extrinsics[:, :3, 3]], 1).tolist()
    distinct, which = np.unique(camera.intrinsics.reshape(-1, 9), axis=0, return_inverse=True)
    size = camera.width, camera.height
    lenses = {i: Lens(k.reshape(3, 3), size) for i, k in enumerate(distinct, 1)}
    images = [
        Image(f"frame_{i:05d}.png", int(at) + 1, tuple(pose))
        for i, (at, pose) in enumerate(zip(which.reshape(-1), poses, strict=True), 1)
    ]
    return lenses, images


def folder_for(path: Path | str, suffix: Literal[".txt", ".bin"]) -> Path:
    """The folder to write a model to, made if it is not there; a file of a model stands for its folder.

    Raises:
        FormatError: another model lies there, which would be mixed with this one.
        OSError: it cannot be made.
    """
    path = Path(path)
    folder = path.parent if path.suffix.lower() == suffix and path.stem in PARTS else path
    folder.mkdir(parents=True, exist_ok=True)
    ours = {f"{part}{suffix}" for part in PARTS[:3]}
    others = [f"{p}{s}" for p in PARTS for s in (".txt", ".bin") if (folder / f"{p}{s}").exists()]
    others = [name for name in others if name not in ours]
    if others:
        raise FormatError(path, f"another COLMAP model lies there ({others[0]}); choose an empty folder")
    return folder
