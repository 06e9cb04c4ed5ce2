"""Torch skinning against the numpy skinning and against smplx, which reads the same arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from understudy_backend.skinning import TorchBody, axis_angle_to_matrix
from understudy_shared.body import BodyModel, free_body, joint_transforms, skin


def with_correctives(body: BodyModel) -> BodyModel:
    """The free body has no pose correctives; SMPL has: these are random ones."""
    rng = np.random.default_rng(5)
    return replace(body, posedirs=rng.normal(0, 2e-3, (*body.v_template.shape, 207)).astype(np.float32))


def poses(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    pose = rng.normal(0, 0.5, (count, 24, 3)).astype(np.float32)
    pose[0] = 0
    return rng.normal(0, 1, (count, 10)).astype(np.float32), pose, rng.normal(0, 1, (count, 3)).astype(np.float32)


@pytest.mark.parametrize("correctives", [False, True])
def test_equals_numpy_skinning(correctives: bool) -> None:
    body = with_correctives(free_body()) if correctives else free_body()
    betas, pose, transl = poses(3)
    ours = TorchBody(body).pose(torch.tensor(betas), torch.tensor(pose), torch.tensor(transl))
    for n in range(3):
        args = (betas[n], pose[n : n + 1, 0], pose[n : n + 1, 1:], transl[n : n + 1])
        assert np.abs(ours.vertices[n].numpy() - skin(body, *args)[0]).max() < 1e-5
        assert np.abs(ours.joints[n].numpy() - joint_transforms(body, *args)[0, :, :3, 3]).max() < 1e-5


@pytest.mark.parametrize("correctives", [False, True])
def test_equals_smplx(correctives: bool) -> None:
    smplx = pytest.importorskip("smplx")
    body = with_correctives(free_body()) if correctives else free_body()
    # smplx regresses joints from vertices: one vertex per joint, given that joint's own template and shape components,
    # makes its regressor exact for our linear joints
    v_template = np.vstack([body.v_template, body.j_template])
    shapedirs = np.concatenate([body.shapedirs, body.j_shapedirs])
    weights = np.vstack([body.weights, np.eye(24, dtype=np.float32)])
    posedirs = np.zeros((len(v_template), 3, 207), np.float32)
    if body.posedirs is not None:
        posedirs[: len(body.v_template)] = body.posedirs
    regressor = np.zeros((24, len(v_template)), np.float32)
    regressor[np.arange(24), len(body.v_template) + np.arange(24)] = 1
    tree = np.stack([np.array(body.parents), np.arange(24)])
    data = smplx.utils.Struct(
        v_template=v_template, shapedirs=shapedirs, posedirs=posedirs, J_regressor=regressor, weights=weights,
        kintree_table=tree, f=body.faces,
    )  # fmt: skip
    betas, pose, transl = poses(3)
    model = smplx.SMPL(model_path="", data_struct=data, batch_size=3, num_betas=10)
    theirs = model(
        betas=torch.tensor(betas), global_orient=torch.tensor(pose[:, 0]),
        body_pose=torch.tensor(pose[:, 1:]).flatten(1),
        transl=torch.tensor(transl),
    )  # fmt: skip
    ours = TorchBody(body).pose(torch.tensor(betas), torch.tensor(pose), torch.tensor(transl))
    count = len(body.v_template)
    assert (ours.vertices - theirs.vertices[:, :count]).abs().max() < 1e-5
    assert (ours.joints - theirs.joints[:, :24]).abs().max() < 1e-5


def test_subset_is_those_rows() -> None:
    betas, pose, transl = (torch.tensor(a) for a in poses(2))
    chosen = np.array([5, 1000, 13000])
    everything = TorchBody(free_body()).vertices(betas, pose, transl)
    some = TorchBody(free_body(), chosen).vertices(betas, axis_angle_to_matrix(pose), transl)
    assert torch.allclose(everything[:, chosen], some, atol=1e-6)


def test_one_shape_serves_all_poses() -> None:
    betas, pose, transl = (torch.tensor(a) for a in poses(3))
    body = TorchBody(free_body(), np.arange(50))
    assert torch.allclose(
        body.vertices(betas[:1], pose, transl), body.vertices(betas[:1].expand(3, -1), pose, transl), atol=1e-6
    )


def test_gradients_match_finite_differences() -> None:
    body = TorchBody(with_correctives(free_body()), np.array([0, 4000, 9000]), dtype=torch.float64)
    betas, pose, transl = (torch.tensor(a[:1], dtype=torch.float64, requires_grad=True) for a in poses(1))
    assert torch.autograd.gradcheck(body.vertices, (betas, pose, transl), eps=1e-6, atol=1e-6)  # the pose is zero: the
    bent = torch.full((1, 24, 3), 0.3, dtype=torch.float64, requires_grad=True)  # hard place of the exponential map
    assert torch.autograd.gradcheck(body.vertices, (betas, bent, transl), eps=1e-6, atol=1e-6)
