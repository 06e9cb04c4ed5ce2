"""The body: kinematic tree, shape components and linear blend skinning, in numpy.

Two frames occur. *Rest frame*: SMPL's own, metres, Y up, the body facing +Z, its left side at +X. *World*: Z up, as in
Blender. A pose carries the change: a `global_orient` that comes from `MotionClip` already turns Y up into Z up, so
skinning itself knows nothing of worlds.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

JOINT_NAMES: tuple[str, ...] = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip
"""The 24 joints of SMPL, in its order."""

PARENTS: tuple[int, ...] = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
"""Parent of each joint, -1 for the pelvis."""

Y_UP_TO_Z_UP: NDArray[np.float64] = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""Rotation (3, 3) of the rest frame into the world: the body then stands along +Z and faces -Y."""


@dataclass(frozen=True, eq=False)
class BodyModel:
    """Arrays of a skinned body with a linear shape space, all in the rest frame.

    Shapes: V vertices, J = 24 joints, B shape components, F triangles, Q quads, T texture coordinates, K keypoints.
    """

    v_template: Floats
    """(V, 3) metres."""
    shapedirs: Floats
    """(V, 3, B) metres per unit of beta."""
    posedirs: Floats | None
    """(V, 3, 207) pose correctives, or None where the body has none."""
    j_template: Floats
    """(J, 3) joints of the mean shape."""
    j_shapedirs: Floats
    """(J, 3, B) exact linear joints: J(beta) = j_template + j_shapedirs beta."""
    weights: Floats
    """(V, J) skinning weights, rows sum to 1."""
    parents: tuple[int, ...]
    """(J,) parent of each joint, -1 for the root."""
    faces: Ints
    """(F, 3) triangles into V, counter-clockwise from outside."""
    uvs: Floats
    """(T, 2) in [0, 1], origin at the bottom left as in Blender."""
    face_uvs: Ints
    """(F, 3) into T."""
    quads: Ints | None = None
    """(Q, 4) the same surface in quads, for meshes that an artist edits."""
    quad_uvs: Ints | None = None
    """(Q, 4) into T."""
    keypoint_names: tuple[str, ...] = ()
    """(K,) COCO body and feet names."""
    keypoint_regressor: Floats | None = None
    """(K, V), rows sum to 1."""
    phenotype_labels: tuple[str, ...] = ()
    """Names of the sliders: gender, age, muscle, weight, height, proportions."""
    phenotype_to_betas: Floats | None = None
    """(len(phenotype_labels) + 1, B): betas = [phenotypes, 1] @ this."""

    @property
    def num_betas(self) -> int:
        """B."""
        return self.shapedirs.shape[2]

    def shaped(self, betas: Floats) -> Floats:
        """Rest vertices (V, 3) of a shape `betas` (B,), without pose."""
        return (self.v_template + self.shapedirs @ _betas(betas, self.num_betas)).astype(np.float32, copy=False)

    def joints(self, betas: Floats) -> Floats:
        """Rest joints (J, 3) of a shape `betas` (B,)."""
        return (self.j_template + self.j_shapedirs @ _betas(betas, self.num_betas)).astype(np.float32, copy=False)


def _betas(betas: Floats, count: int) -> Floats:
    """Pads with zeros or cuts to `count`: files carry 10, 16 or 300 of them."""
    betas = np.asarray(betas, np.float32).reshape(-1)
    out = np.zeros(count, np.float32)
    out[: min(count, len(betas))] = betas[:count]
    return out


def from_arrays(data: dict[str, NDArray]) -> BodyModel:
    """Builds a body from the arrays of an SMPL-format file, plus the free body's own (`vt`, `ft`, `J_template`, ...).

    Raises:
        KeyError: an array that skinning needs is absent.
    """

    def get(name: str, dtype: type) -> NDArray | None:
        return np.ascontiguousarray(data[name], dtype) if name in data else None

    v_template = np.ascontiguousarray(data["v_template"], np.float32)
    shapedirs = np.ascontiguousarray(data["shapedirs"], np.float32)
    regressor = data["J_regressor"]
    j_template, j_shapedirs = get("J_template", np.float32), get("J_shapedirs", np.float32)
    if j_template is None or j_shapedirs is None:
        dense = np.asarray(regressor, np.float64)
        j_template = (dense @ v_template).astype(np.float32)
        j_shapedirs = np.einsum("jv,vab->jab", dense, shapedirs).astype(np.float32)
    posedirs = get("posedirs", np.float32)
    if posedirs is not None and not posedirs.any():
        posedirs = None
    parents = np.asarray(data["kintree_table"])[0].astype(np.int64)
    parents[0] = -1
    uvs, face_uvs = get("vt", np.float32), get("ft", np.int32)
    faces = np.ascontiguousarray(data["f"], np.int32)
    return BodyModel(
        v_template=v_template,
        shapedirs=shapedirs,
        posedirs=posedirs,
        j_template=j_template,
        j_shapedirs=j_shapedirs,
        weights=np.ascontiguousarray(data["weights"], np.float32),
        parents=tuple(int(p) for p in parents),
        faces=faces,
        uvs=uvs if uvs is not None else np.zeros((0, 2), np.float32),
        face_uvs=face_uvs if face_uvs is not None else np.zeros((0, 3), np.int32),
        quads=get("f_quad", np.int32),
        quad_uvs=get("ft_quad", np.int32),
        keypoint_names=tuple(str(n) for n in data.get("keypoint_names", ())),
        keypoint_regressor=get("keypoint_regressor", np.float32),
        phenotype_labels=tuple(str(n) for n in data.get("phenotype_labels", ())),
        phenotype_to_betas=get("phenotype_to_betas", np.float32),
    )


@cache
def free_body() -> BodyModel:
    """The body that ships with Understudy (CC0), loaded once."""
    with as_file(files("understudy_shared") / "assets" / "body.npz") as path:
        return load_npz(path, skip=("posedirs",))  # it has none, but the file holds zeros for other programs


def load_npz(path: Path | str, skip: Collection[str] = ()) -> BodyModel:
    """Reads an SMPL-format `.npz`, never unpickling, without the arrays named in `skip`.

    Raises:
        OSError, ValueError, KeyError: the file is not a readable npz, holds objects, or lacks an array.
    """
    with np.load(path, allow_pickle=False) as data:
        return from_arrays({name: data[name] for name in data.files if name not in skip})


def rotation_matrices(axis_angle: Floats) -> Floats:
    """Rodrigues: axis-angle (..., 3) in radians to rotations (..., 3, 3)."""
    v = np.asarray(axis_angle, np.float64)
    angle = np.linalg.norm(v, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(v, -1, 0)
    o = np.zeros_like(x)
    k = np.stack([o, -z, y, z, o, -x, -y, x, o], -1).reshape(*v.shape[:-1], 3, 3)
    small = angle < 1e-8
    safe = np.where(small, 1.0, angle)
    a = np.where(small, 1.0, np.sin(safe) / safe)
    b = np.where(small, 0.5, (1 - np.cos(safe)) / safe**2)
    return (np.eye(3) + a * k + b * (k @ k)).astype(np.float32)


def joint_transforms(
    body: BodyModel, betas: Floats, global_orient: Floats, body_pose: Floats, transl: Floats
) -> Floats:
    """World transform (T, J, 4, 4) of every joint, for T frames.

    Args:
        betas: (B,).
        global_orient: (T, 3) axis-angle of the pelvis, radians.
        body_pose: (T, J-1, 3) axis-angle of the other joints, relative to their parents.
        transl: (T, 3) metres, added to the rest pelvis as smplx does.
    """
    frames = len(global_orient)
    pose = np.concatenate([np.asarray(global_orient)[:, None], np.asarray(body_pose).reshape(frames, -1, 3)], 1)
    rest = body.joints(betas)
    local = np.zeros((frames, len(body.parents), 4, 4), np.float32)
    local[..., :3, :3] = rotation_matrices(pose)
    local[..., 3, 3] = 1
    offsets = rest.copy()
    offsets[1:] -= rest[list(body.parents[1:])]
    local[..., :3, 3] = offsets
    local[:, 0, :3, 3] += transl
    out = np.empty_like(local)
    out[:, 0] = local[:, 0]
    for j, parent in enumerate(body.parents[1:], 1):
        out[:, j] = out[:, parent] @ local[:, j]
    return out


def skin(body: BodyModel, betas: Floats, global_orient: Floats, body_pose: Floats, transl: Floats) -> Floats:
    """Posed vertices (T, V, 3) in float32 by linear blend skinning; arguments as in `joint_transforms`."""
    transforms = joint_transforms(body, betas, global_orient, body_pose, transl)
    rest, shaped = body.joints(betas), body.shaped(betas)
    relative = transforms[:, :, :3, :].copy()
    relative[..., 3] -= np.einsum("tjab,jb->tja", transforms[:, :, :3, :3], rest)
    out = np.empty((len(transforms), len(shaped), 3), np.float32)
    for t, matrices in enumerate(relative):  # one frame at a time: 12 V floats of blended matrices stay in cache
        v = shaped
        if body.posedirs is not None:
            pose = np.asarray(body_pose[t], np.float32).reshape(-1, 3)
            v = v + body.posedirs @ (rotation_matrices(pose) - np.eye(3, dtype=np.float32)).reshape(-1)
        blended = (body.weights @ matrices.reshape(len(matrices), 12)).reshape(-1, 3, 4)
        out[t] = np.einsum("vab,vb->va", blended[..., :3], v) + blended[..., 3]
    return out
