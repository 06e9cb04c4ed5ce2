"""Where the body is in every frame of a clip: our own file, and what a tracker's file becomes.

The file is an npz of plain arrays, T frames in time order:

    frame          (T,) int      number of the frame in the clip, from 0
    name           (T,) str      its file name, or empty; where every name is a file of the clip, names decide
    betas          (T, B) or (B,) shape of the body; one shape is used for the clip, the median over its frames
    global_orient  (T, 3)        axis-angle, radians; includes the turn from the rest frame (Y up) to the world (Z up)
    body_pose      (T, 23, 3)    axis-angle, radians
    transl         (T, 3)        metres, added to the rest pelvis as smplx does
    extrinsics     (T, 4, 4)     world to camera, OpenCV axes; (4, 4) for a camera that stands still
    intrinsics     (T, 3, 3)     K in pixels of `size`, pixel centres at half-integers; (3, 3) for one lens
    size           (2,)          width, height of the frames in pixels
    confidence     (T,)          in [0, 1]; 1 where it is absent
    body           str           whose shape `betas` are of: "free", the body that ships; anything else is fitted anew
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import BodyModel, free_body, skin
from understudy_shared.camera import CameraTrajectory
from understudy_shared.fit import FIT_ARRAYS
from understudy_shared.formats import phalp
from understudy_shared.formats.reading import FormatError, read_npz
from understudy_shared.rotations import axis_angle_from_matrix

from understudy_backend.atomic import write_atomically
from understudy_backend.photo.result import Estimate

CAMERA_AXES: NDArray[np.float64] = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""World (Z up) to a level camera that looks along +Y."""


@dataclass(frozen=True, eq=False)
class Track:
    """The body of one person in T frames of a clip; arrays as in the file, all with their leading axis."""

    frame: NDArray[np.int64]
    name: tuple[str, ...]
    betas: NDArray[np.float32]
    """(T, B)."""
    global_orient: NDArray[np.float32]
    body_pose: NDArray[np.float32]
    transl: NDArray[np.float32]
    extrinsics: NDArray[np.float64]
    intrinsics: NDArray[np.float64]
    size: tuple[int, int]
    confidence: NDArray[np.float64]
    body: str = "free"

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def shape(self) -> NDArray[np.float32]:
        """(B,) the one shape of the person."""
        return np.median(self.betas, axis=0).astype(np.float32)

    def estimate(self, row: int) -> Estimate:
        """One row, with the person's one shape."""
        here = slice(row, row + 1)
        camera = CameraTrajectory(self.extrinsics[here], self.intrinsics[here], *self.size)
        return Estimate(self.shape, self.global_orient[here], self.body_pose[here], self.transl[here], camera)

    def vertices(self, row: int, body: BodyModel) -> NDArray[np.float32]:
        """(V, 3) the posed body, world."""
        here = slice(row, row + 1)
        return skin(body, self.shape, self.global_orient[here], self.body_pose[here], self.transl[here])[0]

    def row_of(self, number: int) -> int | None:
        """The row of a frame."""
        found = np.flatnonzero(self.frame == number)
        return int(found[0]) if len(found) else None

    def on(self, size: tuple[int, int], files: tuple[str, ...]) -> Track:
        """The track on frames of another size, its frames numbered as in a list of files where their names are in it.

        Raises:
            ValueError: the shape of the frames is another.
        """
        if abs(size[0] * self.size[1] - size[1] * self.size[0]) > 2 * max(*size, *self.size):
            raise ValueError(
                f"the track is of frames of {self.size[0]} x {self.size[1]} px, the clip has {size[0]} x {size[1]}: "
                "it is of another video"
            )
        k = self.intrinsics.copy()
        k[:, 0] *= size[0] / self.size[0]
        k[:, 1] *= size[1] / self.size[1]
        frame = self.frame
        if files and all(name in files for name in self.name):
            frame = np.array([files.index(name) for name in self.name], np.int64)
        return replace(self, intrinsics=k, size=size, frame=frame)

    def save(self, path: Path) -> None:
        """Writes the file, whole or not at all."""
        arrays = {name: getattr(self, name) for name in ("frame", *FIT_ARRAYS, "confidence")}
        arrays |= {"name": np.array(self.name), "size": np.array(self.size), "body": np.array(self.body)}
        write_atomically(path, lambda file: np.savez(file, **arrays))


def from_estimates(
    numbers: list[int], estimates: list[Estimate], size: tuple[int, int], confidence: list[float]
) -> Track:
    """A track of fits, which may each have a shape of their own."""
    return Track(
        frame=np.array(numbers, np.int64),
        name=("",) * len(numbers),
        betas=np.stack([e.betas for e in estimates]),
        global_orient=np.concatenate([e.global_orient for e in estimates]),
        body_pose=np.concatenate([e.body_pose for e in estimates]),
        transl=np.concatenate([e.transl for e in estimates]),
        extrinsics=np.concatenate([e.camera.extrinsics for e in estimates]),
        intrinsics=np.concatenate([e.camera.intrinsics for e in estimates]),
        size=size,
        confidence=np.array(confidence, np.float64),
    )


def load(path: Path, track_id: int | None = None) -> Track:
    """Reads a track: our npz, or a result of PHALP or 4D-Humans.

    Args:
        path: the file.
        track_id: who, where a tracker's file holds several people; the longest track when absent.

    Raises:
        FormatError: neither, damaged, or without that person.
    """
    return from_phalp(path, track_id) if phalp.sniff(path) else load_npz(path)


def load_npz(path: Path) -> Track:
    """Reads our own file.

    Raises:
        FormatError: no npz, an array is absent, or its shape is wrong.
    """
    data = read_npz(path)
    missing = [name for name in ("frame", *FIT_ARRAYS, "size") if name not in data]
    if missing:
        raise FormatError(path, f"has no '{missing[0]}': not a track of the body")
    count = data["frame"].size
    shapes = {
        "frame": (count,), "global_orient": (count, 3), "body_pose": (count, 23, 3), "transl": (count, 3),
        "extrinsics": (count, 4, 4), "intrinsics": (count, 3, 3), "confidence": (count,), "size": (2,),
    }  # fmt: skip
    arrays = dict(data)
    arrays.setdefault("confidence", np.ones(count))
    for name, shape in shapes.items():
        array = arrays[name]
        if name in ("extrinsics", "intrinsics") and array.shape == shape[1:]:
            array = np.broadcast_to(array, shape)
        if array.shape != shape or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise FormatError(path, f"'{name}' does not hold numbers of shape {shape}")
        arrays[name] = array
    betas = np.atleast_2d(data["betas"])
    if betas.ndim != 2 or len(betas) not in (1, count) or betas.dtype.kind not in "fiu" or not np.isfinite(betas).all():
        raise FormatError(path, "'betas' are neither one row for the clip nor one a frame")
    if not count or (np.diff(arrays["frame"]) <= 0).any():
        raise FormatError(path, "its frames are not in time order, each once")
    if min(arrays["size"]) < 1:
        raise FormatError(path, "'size' is no width and height")
    names = np.atleast_1d(data["name"]) if "name" in data else np.zeros(count, "U1")
    return Track(
        frame=arrays["frame"].astype(np.int64),
        name=tuple(str(n) for n in names) if len(names) == count else ("",) * count,
        betas=np.repeat(betas, count // len(betas), 0).astype(np.float32),
        global_orient=arrays["global_orient"].astype(np.float32),
        body_pose=arrays["body_pose"].astype(np.float32),
        transl=arrays["transl"].astype(np.float32),
        extrinsics=arrays["extrinsics"].astype(np.float64),
        intrinsics=arrays["intrinsics"].astype(np.float64),
        size=(int(arrays["size"][0]), int(arrays["size"][1])),
        confidence=arrays["confidence"].astype(np.float64),
        body=str(data["body"]) if "body" in data else "free",
    )


def from_phalp(path: Path, track_id: int | None = None) -> Track:
    """One person of a result of PHALP or 4D-Humans, in a world in which the camera stands at the origin, level.

    SMPL's shape means nothing on the free body, so the betas are zeros and the body's own pelvis is put where SMPL's
    was: poses and places are right, lengths of limbs are not yet. `body` says so, and the route then fits the body to
    the frames, beginning from here. Both bodies rest in a T-pose; what little those differ by is left to that fit.

    Raises:
        FormatError: see `phalp.read_tracks`; there is no such person, or frames of several sizes.
    """
    tracks = phalp.read_tracks(path)
    found = tracks if track_id is None else [t for t in tracks if t.track_id == track_id]
    if not found:
        known = ", ".join(str(t.track_id) for t in tracks[:8])
        raise FormatError(path, f"has no track {track_id}; it has {known}")
    track = found[0]
    if (track.size != track.size[0]).any():
        raise FormatError(path, "is of frames of several sizes; use one video at a time")
    body, count = free_body(), len(track)
    rest = body.j_template[0].astype(np.float64)
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = CAMERA_AXES
    return Track(
        frame=track.frame,
        name=track.name,
        betas=np.zeros((count, body.num_betas), np.float32),
        global_orient=axis_angle_from_matrix(CAMERA_AXES.T @ track.global_orient).astype(np.float32),
        body_pose=axis_angle_from_matrix(track.body_pose).astype(np.float32),
        transl=(track.pelvis @ CAMERA_AXES - rest).astype(np.float32),
        extrinsics=np.repeat(extrinsics[None], count, 0),
        intrinsics=track.intrinsics,
        size=(int(track.size[0, 0]), int(track.size[0, 1])),
        confidence=track.confidence,
        body="smpl",
    )
