"""Visibility of texels against rays cast by embree, a library that shares no code with ours."""

from __future__ import annotations

import numpy as np
import pytest
from understudy_backend.texture.bake import texel_map
from understudy_backend.texture.visibility import visible_texels
from understudy_shared.body import free_body, skin

SIZE = 256


def posed(**joints: tuple[float, float, float]) -> np.ndarray:
    """The free body, world, standing on z = 0, with some joints (by index `j16`) bent."""
    body = free_body()
    pose = np.zeros((1, 23, 3), np.float32)
    for name, angle in joints.items():
        pose[0, int(name[1:]) - 1] = angle
    vertices = skin(body, np.zeros(10), np.array([[np.pi / 2, 0, 0]]), pose, np.zeros((1, 3)))[0]
    vertices[:, 2] -= vertices[:, 2].min()
    return vertices


def camera(azimuth: float, height: float = 1.0, distance: float = 3.2) -> tuple[np.ndarray, np.ndarray]:
    """A level camera around the body, and K of a 640 x 640 image."""
    a = np.radians(azimuth)
    forward = np.array([-np.sin(a), np.cos(a), 0])
    right = np.cross(forward, [0, 0, 1])
    rotation = np.stack([right, np.cross(forward, right), forward])
    eye = -forward * distance + [0, -0.3, height]
    extrinsics = np.eye(4)
    extrinsics[:3, :3], extrinsics[:3, 3] = rotation, -rotation @ eye
    return extrinsics, np.array([[900.0, 0, 320], [0, 900, 320], [0, 0, 1]])


POSES = {
    "arms_down": posed(j16=(0, 0, -1.2), j17=(0, 0, 1.2)),
    "arms_crossed_before_the_trunk": posed(j16=(0, -0.9, -1.0), j17=(0, 0.9, 1.0), j18=(0, -1.6, 0), j19=(0, 1.6, 0)),
    "step": posed(j1=(-0.6, 0, 0), j2=(0.5, 0, 0), j4=(0.8, 0, 0), j16=(0, -0.5, -1.2), j17=(0, 0.5, 1.2)),
}


@pytest.mark.parametrize("pose", POSES)
@pytest.mark.parametrize("azimuth", [0.0, 60.0, 200.0])
def test_visibility_agrees_with_ray_casting(pose: str, azimuth: float) -> None:
    trimesh = pytest.importorskip("trimesh")
    pytest.importorskip("embreex")
    body, vertices = free_body(), POSES[pose]
    extrinsics, k = camera(azimuth)
    ours = visible_texels(vertices, body, k, extrinsics, (640, 640), SIZE, min_cosine=0.0, border_px=0.0)

    texels = texel_map(body, SIZE)
    points = texels.points(vertices, body).astype(np.float64)
    eye = -extrinsics[:3, :3].T @ extrinsics[:3, 3]
    mesh = trimesh.Trimesh(vertices, body.faces, process=False)
    way = eye - points
    distance = np.linalg.norm(way, axis=1, keepdims=True)
    corners = vertices[body.faces[texels.face[texels.rows, texels.columns]]].astype(np.float64)
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    towards = (flat * way).sum(1) > 0
    origin = points + way / distance * 5e-4
    theirs = towards & ~mesh.ray.intersects_any(origin, way / distance)
    found = ours.mask[texels.rows, texels.columns]
    assert 0.25 < theirs.mean() < 0.6
    assert (found == theirs).mean() >= 0.995, f"agreement {(found == theirs).mean():.4f}"


def test_arms_hide_the_trunk() -> None:
    extrinsics, k = camera(0.0)
    body = free_body()
    open_arms = visible_texels(posed(), body, k, extrinsics, (640, 640), SIZE, border_px=0.0)
    crossed = visible_texels(
        POSES["arms_crossed_before_the_trunk"], body, k, extrinsics, (640, 640), SIZE, border_px=0.0
    )
    texels = texel_map(body, SIZE)
    chest = (np.abs(texels.position[..., 0]) < 0.1) & (np.abs(texels.position[..., 1]) < 0.12) & texels.mask
    chest &= texels.normal[..., 2] > 0.5
    assert open_arms.mask[chest].mean() > 0.95
    assert crossed.mask[chest].mean() < 0.8


def test_borders_and_flat_angles_are_rejected() -> None:
    extrinsics, k = camera(0.0)
    body, vertices = free_body(), POSES["arms_crossed_before_the_trunk"]
    everything = visible_texels(vertices, body, k, extrinsics, (640, 640), SIZE, min_cosine=0, border_px=0)
    half = np.zeros((640, 640), np.float32)
    half[:, :320] = 1
    careful = visible_texels(vertices, body, k, extrinsics, (640, 640), SIZE, mask=half, min_cosine=0.3, border_px=5)
    assert careful.mask.any()
    assert not (careful.mask & ~everything.mask).any()
    assert careful.pixel[careful.mask][:, 0].max() < 316
    assert careful.weight[careful.mask].min() > 0.3
    assert (careful.weight[~careful.mask] == 0).all()
