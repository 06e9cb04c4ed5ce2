# SPDX-License-Identifier: GPL-3.0-or-later
"""What Blender loses of a camera in an Alembic file, read from the file and put back into it.

Blender 4.5 and 5.0 read the first lens of a zoom only. And all versions turn Alembic's world (Y up) into theirs through
Euler angles in single precision: a camera that looks along the world's X axis, as every orbit does twice, is off by
1e-5 rad there, on the way in and on the way out.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from understudy_shared.rotations import matrix_from_axis_angle

from .ogawa import Archive, Property

Doubles = NDArray[np.float64]

_CORE = 16
"""Doubles in a camera's sample: the first is the focal length in mm, the second the aperture across in cm."""
_Y_UP_TO_Z_UP = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
_WIDTHS = {0: 3, 1: 3, 2: 4, 3: 16, 4: 1, 5: 1, 6: 1}
"""Numbers of an operation: scale, translate, rotate (axis and degrees), matrix, rotate about x, y, z (degrees)."""
_DAMAGED = (OSError, ValueError, IndexError, struct.error, UnicodeDecodeError, OverflowError, np.linalg.LinAlgError)


def read(path: Path | str, object_path: str) -> tuple[Doubles, Doubles, Doubles] | None:
    """A camera at its own samples.

    Args:
        path: an Alembic file.
        object_path: of the camera or of the transform above it, as Blender's Transform Cache constraint has it.

    Returns:
        Times (S,) in seconds, poses (S, 4, 4) in Blender's world and camera axes, without scale, and focal length over
        aperture (S,). None where the file does not say so in a way that is understood: Blender may know better.
    """
    try:
        with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            archive = Archive(data)
            chain, core = _camera(archive, object_path)
            clock = max((core, *(prop for xform in chain for prop in xform.values())), key=lambda prop: prop.count)
            times = archive.times(clock)
            poses = np.tile(np.eye(4), (len(times), 1, 1))
            for xform in chain:
                if ".inherits" in xform and not archive.samples(xform[".inherits"], "u1")[0, 0]:
                    poses[:] = np.eye(4)
                poses = poses @ _matrices(archive, xform, times)
            lenses = _at(archive, core, times)
        poses = _Y_UP_TO_Z_UP @ poses
        u, size, vt = np.linalg.svd(poses[:, :3, :3])
        poses[:, :3, :3] = u @ vt
        zoom = lenses[:, 0] / (10 * lenses[:, 1])
        usable = (np.linalg.det(poses[:, :3, :3]) > 0).all() and size.min() > 1e-12 and (zoom > 0).all()
        return (times, poses, zoom) if usable and np.isfinite(poses).all() and np.isfinite(zoom).all() else None
    except _DAMAGED:
        return None


def put_back(path: Path | str, object_path: str, poses: Doubles) -> None:
    """Writes poses (S, 4, 4) in Blender's world and camera axes into a file that Blender has just written.

    A file that Blender has written in another way is left as it is.
    """
    try:
        with Path(path).open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
            archive = Archive(data)
            chain, _ = _camera(archive, object_path)
            values = chain[0].get(".vals") if len(chain) == 1 else None
            if values is None or values.extent != 16 or values.count not in (1, len(poses)):
                return
            matrices = _Y_UP_TO_Z_UP.T @ poses[: values.count]
            archive.overwrite(values, matrices.transpose(0, 2, 1).reshape(-1, 16))
    except _DAMAGED:
        return


def _camera(archive: Archive, object_path: str) -> tuple[list[dict[str, Property]], Property]:
    """The transforms above a camera, from the outermost on, and the samples of its lens."""
    here, chain = archive.top, []
    for name in filter(None, object_path.split("/")):
        children = archive.children(here)
        if name not in children:
            raise ValueError("no such object")
        here = children[name]
        chain.append(archive.schema(here, ".xform"))
    for place in (here, *archive.children(here).values()):
        core = archive.schema(place, ".geom").get(".core")
        if core is not None and core.extent == _CORE and core.count:
            return [xform for xform in chain if xform], core
    raise ValueError("no camera")


def _matrices(archive: Archive, xform: dict[str, Property], times: Doubles) -> Doubles:
    """(S, 4, 4) of one transform: its operations, the last of which is done first."""
    out = np.tile(np.eye(4), (len(times), 1, 1))
    if ".ops" not in xform or ".vals" not in xform:
        return out
    values, k = _at(archive, xform[".vals"], times), 0
    for operation in archive.samples(xform[".ops"], "u1")[0] >> 4:
        width = _WIDTHS.get(int(operation), 99)
        numbers = values[:, k : k + width]
        if numbers.shape[1] != width:
            raise ValueError("an unknown operation")
        k += width
        step = np.tile(np.eye(4), (len(times), 1, 1))
        if operation == 0:
            step[:, (0, 1, 2), (0, 1, 2)] = numbers
        elif operation == 1:
            step[:, :3, 3] = numbers
        elif operation == 3:
            step = numbers.reshape(-1, 4, 4).transpose(0, 2, 1)
        else:
            axis = numbers[:, :3] if operation == 2 else np.eye(3)[[int(operation) - 4]]
            unit = axis / np.linalg.norm(axis, axis=1, keepdims=True)
            step[:, :3, :3] = matrix_from_axis_angle(unit * np.radians(numbers[:, -1:]))
        out = out @ step
    return out


def _at(archive: Archive, prop: Property, times: Doubles) -> Doubles:
    """Samples at the given times, if they are those of the property, or it never changes."""
    samples = archive.samples(prop)
    if prop.count == 1:
        return np.repeat(samples, len(times), 0)
    if prop.count != len(times) or np.abs(archive.times(prop) - times).max() > 1e-6:
        raise ValueError("sampled at other times")
    return samples
