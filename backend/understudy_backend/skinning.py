"""Linear blend skinning in torch: batched, differentiable, and equal to `understudy_shared.body.skin`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from understudy_shared.body import BodyModel


@dataclass(frozen=True, eq=False)
class PosedBody:
    """What a pose gives, for a batch of N."""

    vertices: Tensor
    """(N, V, 3) metres; V is the size of the subset."""
    joints: Tensor
    """(N, J, 3) metres."""
    rotations: Tensor
    """(N, J, 3, 3) rotation of every joint in the frame that the root's rotation leads to."""


class TorchBody:
    """A body whose vertices (or some of them) follow shape, pose and translation.

    Args:
        body: the arrays.
        vertices: indices of the vertices wanted, (M,); all of them when absent. Fitting needs a tenth of the surface.
        device, dtype: where and as what the arrays live.
    """

    def __init__(
        self,
        body: BodyModel,
        vertices: NDArray[np.integer] | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        chosen = slice(None) if vertices is None else np.asarray(vertices)

        def tensor(array: NDArray[np.floating]) -> Tensor:
            return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype, device=device)

        self.parents = body.parents
        self.v_template = tensor(body.v_template[chosen])
        self.shapedirs = tensor(body.shapedirs[chosen])
        self.posedirs = None if body.posedirs is None else tensor(body.posedirs[chosen])
        self.j_template = tensor(body.j_template)
        self.j_shapedirs = tensor(body.j_shapedirs)
        self.weights = tensor(body.weights[chosen])
        self._levels = _levels(body.parents)

    @property
    def num_betas(self) -> int:
        """B."""
        return self.shapedirs.shape[2]

    def vertices(self, betas: Tensor, rotations: Tensor, transl: Tensor) -> Tensor:
        """Posed vertices (N, V, 3); arguments as in `pose`."""
        return self.pose(betas, rotations, transl).vertices

    def joints(self, betas: Tensor, rotations: Tensor, transl: Tensor) -> Tensor:
        """Posed joints (N, J, 3); arguments as in `pose`."""
        rest = self.rest_joints(betas)
        return self._chain(rest, _as_matrices(rotations), transl)[1]

    def rest_joints(self, betas: Tensor) -> Tensor:
        """Joints (N, J, 3) of shapes `betas` (N, B), without pose."""
        return self.j_template + torch.einsum("jab,nb->nja", self.j_shapedirs, betas)

    def pose(self, betas: Tensor, rotations: Tensor, transl: Tensor) -> PosedBody:
        """Poses the body.

        Args:
            betas: (N, B), or (1, B) for one shape in all poses.
            rotations: (N, J, 3) axis-angle in radians or (N, J, 3, 3) matrices; joint 0 is the global orientation, the
                others are relative to their parents.
            transl: (N, 3) metres, added after the root's rotation about the rest pelvis, as smplx does.
        """
        matrices = _as_matrices(rotations)
        rest = self.rest_joints(betas)
        world, joints = self._chain(rest, matrices, transl)
        shaped = self.v_template + torch.einsum("vab,nb->nva", self.shapedirs, betas)
        if self.posedirs is not None:
            bent = (matrices[:, 1:] - torch.eye(3, dtype=matrices.dtype, device=matrices.device)).flatten(1)
            shaped = shaped + torch.einsum("vab,nb->nva", self.posedirs, bent)
        offset = joints - torch.einsum("njab,njb->nja", world, rest.expand(len(joints), -1, -1))
        relative = torch.cat([world, offset[..., None]], -1).flatten(2)  # (N, J, 12)
        blended = (self.weights @ relative).unflatten(-1, (3, 4))  # (N, V, 3, 4)
        vertices = (blended[..., :3] * shaped[:, :, None, :]).sum(-1) + blended[..., 3]
        return PosedBody(vertices, joints, world)

    def _chain(self, rest: Tensor, matrices: Tensor, transl: Tensor) -> tuple[Tensor, Tensor]:
        """Forward kinematics, one tree level at a time: rotations (N, J, 3, 3) and joints (N, J, 3)."""
        count = len(matrices)
        world: list[Tensor] = [matrices[:, 0]] * len(self.parents)
        places: list[Tensor] = [rest.expand(count, -1, -1)[:, 0] + transl] * len(self.parents)
        for joints, parents in self._levels:
            above = torch.stack([world[p] for p in parents], 1)
            bones = rest[:, joints] - rest[:, parents]
            turned = above @ matrices[:, joints]
            moved = torch.stack([places[p] for p in parents], 1) + (above @ bones[..., None])[..., 0]
            for i, joint in enumerate(joints):
                world[joint], places[joint] = turned[:, i], moved[:, i]
        return torch.stack(world, 1), torch.stack(places, 1)


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Rodrigues: (..., 3) in radians to (..., 3, 3); smooth at zero, where its gradient is exact too."""
    squared = (axis_angle * axis_angle).sum(-1)[..., None, None]
    small = squared < 1e-8
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    a = torch.where(small, 1 - squared / 6, torch.sin(angle) / angle)
    b = torch.where(small, 0.5 - squared / 24, (1 - torch.cos(angle)) / safe)
    x, y, z = axis_angle.unbind(-1)
    o = torch.zeros_like(x)
    k = torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).unflatten(-1, (3, 3))
    return torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device) + a * k + b * (k @ k)


def _as_matrices(rotations: Tensor) -> Tensor:
    return rotations if rotations.ndim == 4 else axis_angle_to_matrix(rotations)


def _levels(parents: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Joints grouped by their distance from the root, each group with its parents: nine products in place of 23."""
    depth = [0] * len(parents)
    for joint, parent in enumerate(parents[1:], 1):
        depth[joint] = depth[parent] + 1
    levels = []
    for level in range(1, max(depth) + 1):
        joints = [j for j, d in enumerate(depth) if d == level]
        levels.append((joints, [parents[j] for j in joints]))
    return levels
