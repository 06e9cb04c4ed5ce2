"""A user's own SMPL, SMPL-H or SMPL-X file as a `BodyModel`.

Read are `.npz` and `.pkl`, also those that chumpy wrote under Python 2; no code of a pickle runs (see `inert_pickle`).

The body has SMPL's 24 joints. Those of SMPL-H (52) and SMPL-X (55) fold into them: fingers into the hands, jaw and eyes
into the head. With those at rest, as they are in a `MotionClip`, the result is the same surface.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import PARENTS, BodyModel, from_arrays
from understudy_shared.formats.reading import FormatError, existing, read_npz

from understudy_backend.inert_pickle import read_pickled_arrays
from understudy_backend.methods.contract import MethodError

MAX_FILE_BYTES = 2 << 30
"""SMPL-X with all 400 components is 0.5 GB."""
_NEEDED = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
_OPTIONAL = ("vt", "ft")
_EXPORT = "download the model file again, or save it as .npz"


@dataclass(frozen=True)
class _Folding:
    """How the joints of a model fold into SMPL's 24."""

    joints_of: tuple[tuple[int, ...], ...]
    """For each of the 24, the file's joints whose skin weights it takes."""
    place_of: tuple[tuple[int, ...], ...]
    """For each of the 24, the file's joints in whose middle it lies."""


def _with_hands(face: int) -> _Folding:
    """22 body joints, then `face` joints of the head, then 15 of each hand (five fingers, the thumb last)."""
    body = [(j,) for j in range(22)]
    hands = [tuple(range(22 + face + 15 * side, 22 + face + 15 * (side + 1))) for side in (0, 1)]
    head = (15, *range(22, 22 + face))
    knuckles = [hand[0:12:3] for hand in hands]
    return _Folding((*body[:15], head, *body[16:], *hands), (*body, *knuckles))


_FOLDINGS = {
    24: _Folding(tuple((j,) for j in range(24)), tuple((j,) for j in range(24))),
    52: _with_hands(face=0),
    55: _with_hands(face=3),
}


def load_body(path: Path | str, *, num_betas: int = 10) -> BodyModel:
    """Reads an SMPL, SMPL-H or SMPL-X model file.

    Args:
        path: `.npz` or `.pkl`.
        num_betas: how many shape components to keep, from the first.

    Raises:
        MethodError: no such file, not a body model, or a pickle that holds more than arrays (code `bad_body_file`).
    """
    try:
        path = existing(path)
        if path.stat().st_size > MAX_FILE_BYTES:
            raise FormatError(path, f"is larger than {MAX_FILE_BYTES >> 30} GB: no body model")
        is_npz = path.suffix.lower() == ".npz"
        arrays = (read_npz if is_npz else read_pickled_arrays)(path, (*_NEEDED, *_OPTIONAL))
        return from_arrays(_fold(path, arrays, num_betas))
    except FormatError as error:
        raise MethodError(str(error), code="bad_body_file", fix=_EXPORT) from None


def _fold(path: Path, arrays: dict[str, NDArray], num_betas: int) -> dict[str, NDArray]:
    """The arrays of a body with 24 joints, after checks of every shape."""
    missing = [name for name in _NEEDED if name not in arrays]
    if missing:
        raise FormatError(path, f"has no '{missing[0]}': not an SMPL, SMPL-H or SMPL-X model")
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise FormatError(path, f"'{name}' does not hold finite numbers")
    vertices, joints = len(np.atleast_1d(arrays["v_template"])), np.shape(arrays["weights"])[-1:]
    folding = _FOLDINGS.get(joints[0] if joints else 0)
    if folding is None:
        raise FormatError(path, "has neither the 24 joints of SMPL, nor 52 of SMPL-H, nor 55 of SMPL-X")
    count = joints[0]
    expected = {
        "v_template": (vertices, 3),
        "shapedirs": (vertices, 3, None),
        "posedirs": (vertices, 3, 9 * (count - 1)),
        "J_regressor": (count, vertices),
        "weights": (vertices, count),
        "kintree_table": (2, count),
        "f": (None, 3),
    }
    for name, shape in expected.items():
        found = arrays[name].shape
        if len(found) != len(shape) or any(b not in (None, a) for a, b in zip(found, shape, strict=True)):
            raise FormatError(path, f"'{name}' has shape {found}, which fits no body of {vertices} vertices")
    body_joints = 24 if count == 24 else 22
    parents = np.asarray(arrays["kintree_table"])[0, 1:body_joints].astype(np.int64)
    if parents.tolist() != list(PARENTS[1:body_joints]):
        raise FormatError(path, "its joints do not hang together as SMPL's do")
    faces = arrays["f"].astype(np.int64)
    if not len(faces) or faces.min() < 0 or faces.max() >= vertices:
        raise FormatError(path, "its faces name vertices that it has not")
    kept = 9 * (body_joints - 1)
    posedirs = np.zeros((vertices, 3, 207), np.float32)
    posedirs[..., :kept] = arrays["posedirs"][..., :kept]
    out = {
        "v_template": arrays["v_template"],
        "shapedirs": arrays["shapedirs"][..., :num_betas],
        "posedirs": posedirs,
        "J_regressor": np.stack([arrays["J_regressor"][list(j)].mean(0) for j in folding.place_of]),
        "weights": np.stack([arrays["weights"][:, list(j)].sum(1) for j in folding.joints_of], 1),
        "kintree_table": np.array([PARENTS, range(24)]),
        "f": faces,
    }
    if all(name in arrays for name in _OPTIONAL) and arrays["ft"].shape == faces.shape and arrays["vt"].ndim == 2:
        out |= {name: arrays[name] for name in _OPTIONAL}
    return out
