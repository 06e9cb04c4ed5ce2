# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbers of a camera file in double precision, kept beside the keys that were made of them.

Blender holds keys, lenses and matrices in single precision: some seven digits, of which a chain of parents or a place
far from the origin takes one or two more. A camera that is written back would differ from its file by that. So the
camera object remembers what the file said, as arrays of doubles in a custom property (128 bytes a frame, which the
.blend and copies of the object keep), and `as_imported` puts those numbers in the place of Blender's wherever the two
mean the same: same frame, and apart by no more than single precision explains.

That is asked of every sample by itself, of what Blender shows in the end and not of its curves. So whatever the artist
did (moved a key, retimed, added a constraint, moved the parent) is written as Blender shows it, and frames that nothing
has touched are still written to the last digit. No edit is undone by this: a difference of a few millionths of the
distance to the origin is what Blender itself makes when it plays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from bpy.types import Object
from numpy.typing import NDArray
from understudy_shared.camera import CameraTrajectory

PROPERTY = "understudy_source"
"""Custom property of a camera object."""

_SINGLE = 1.2e-7
"""Spacing of single precision numbers around 1."""
_STEPS = 16.0
"""Roundings in a row that are forgiven, from a key to a matrix in the world and back into a parent's space."""


def remember(camera: Object, trajectory: CameraTrajectory, start_frame: float, step: float) -> None:
    """Keeps the numbers of a file.

    Args:
        camera: made of `trajectory`, in the space of its parent if it has one.
        trajectory: as read from the file.
        start_frame: scene frame of the first sample.
        step: scene frames from one sample to the next.
    """
    camera[PROPERTY] = {
        "extrinsics": np.ascontiguousarray(trajectory.extrinsics[:, :3], np.float64).reshape(-1),
        "lenses": np.ascontiguousarray(trajectory.intrinsics[:, (0, 1, 0, 1), (0, 1, 2, 2)], np.float64).reshape(-1),
        "size": [trajectory.width, trajectory.height],
        "times": [float(start_frame), float(step), float(trajectory.fps), float(trajectory.start)],
        "notes": "\n".join(trajectory.notes),
    }
    if camera.parent is not None:
        camera[PROPERTY]["parent"] = camera.parent


def notes(camera: Object) -> list[str]:
    """What was assumed or left out when the file was read, in sentences."""
    source = camera.get(PROPERTY)
    return [line for line in str(source.get("notes", "")).splitlines() if line] if source else []


def as_imported(
    camera: Object, shown: CameraTrajectory, frames: Sequence[float], relative_to: Object | None = None
) -> CameraTrajectory:
    """`shown`, with the file's own numbers wherever Blender shows the same.

    Args:
        camera: was read.
        shown: by Blender, one sample for each of `frames`, in the space of `relative_to`.
        frames: scene frames.
        relative_to: None for the world. Only the space that the camera was imported into can give the file's numbers.
    """
    source = camera.get(PROPERTY)
    if source is None or source.get("parent") != relative_to:
        return shown
    try:
        extrinsics, k, (start, step, fps, begins) = _stored(source)
    except (KeyError, TypeError, ValueError):  # somebody edited the property: the keys count
        return shown
    index = (np.asarray(frames, np.float64) - start) / step
    sample = np.clip(np.rint(index), 0, len(extrinsics) - 1).astype(np.int64)
    here = (np.abs(index - sample) < 1e-3) | (len(extrinsics) == 1)  # a camera that stands still does so at all times
    wanted, seen = extrinsics[sample], shown.extrinsics
    same = here & _same_place(camera, wanted, seen, extrinsics, np.asarray(frames, np.float64), step)
    out, lenses = seen.copy(), shown.intrinsics.copy()
    out[same] = wanted[same]
    if tuple(source["size"]) == (shown.width, shown.height):
        near = np.abs(k[sample] - lenses) < _STEPS * _SINGLE * (np.abs(k[sample]) + max(shown.width, shown.height))
        alike = here & near.all((1, 2))
        lenses[alike] = k[sample][alike]
    return replace(
        shown,
        extrinsics=out,
        intrinsics=lenses,
        fps=fps if abs(shown.fps / fps - 1) < 1e-6 else shown.fps,
        start=begins + float(index[0]) / fps if same.any() else shown.start,
    )


def _stored(
    source,
) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[float, float, float, float]]:
    rows = np.array(source["extrinsics"], np.float64).reshape(-1, 3, 4)
    lenses = np.array(source["lenses"], np.float64).reshape(-1, 4)
    if not len(rows) or len(rows) != len(lenses):
        raise ValueError("damaged")
    extrinsics, k = np.zeros((len(rows), 4, 4)), np.zeros((len(rows), 3, 3))
    extrinsics[:, :3], extrinsics[:, 3, 3] = rows, 1
    k[:, (0, 1, 0, 1), (0, 1, 2, 2)], k[:, 2, 2] = lenses, 1
    start, step, fps, begins = (float(number) for number in source["times"])
    if not (step > 0 and fps > 0):
        raise ValueError("damaged")
    return extrinsics, k, (start, step, fps, begins)


def _same_place(
    camera: Object,
    wanted: NDArray[np.float64],
    seen: NDArray[np.float64],
    samples: NDArray[np.float64],
    frames: NDArray[np.float64],
    step: float,
) -> NDArray[np.bool_]:
    """(T,) whether poses are the same but for single precision, of numbers and of the times of keys."""
    places = _places(samples)
    moves = np.linalg.norm(np.diff(places, axis=0), axis=-1).max(initial=0.0)
    turns = np.linalg.norm(np.diff(samples[:, :3, :3], axis=0), axis=(1, 2)).max(initial=0.0)
    late = 2 * _SINGLE * np.abs(frames) / step  # samples
    parent = np.array(camera.parent.matrix_world, np.float64) if camera.parent else np.eye(4)
    scale = float(np.linalg.svd(parent[:3, :3])[1].min())
    reach = np.linalg.norm(_places(wanted), axis=-1) + (1 + float(np.linalg.norm(parent[:3, 3]))) / max(scale, 1e-12)
    apart = np.linalg.norm(_places(wanted) - _places(seen), axis=-1)
    turned = np.linalg.norm(wanted[:, :3, :3] - seen[:, :3, :3], axis=(1, 2))
    return (apart < _STEPS * _SINGLE * reach + late * moves) & (turned < _STEPS * _SINGLE + late * turns)


def _places(extrinsics: NDArray[np.float64]) -> NDArray[np.float64]:
    return -(np.swapaxes(extrinsics[:, :3, :3], 1, 2) @ extrinsics[:, :3, 3:])[..., 0]
