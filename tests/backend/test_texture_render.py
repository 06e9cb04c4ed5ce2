"""The intermediate frame against rays cast by embree, and against what a camera model predicts."""

from __future__ import annotations

import numpy as np
import pytest
from understudy_backend.texture import render
from understudy_backend.texture.bake import texel_map
from understudy_backend.texture.render import Texture, decode_srgb, encode_srgb, render_body
from understudy_shared.body import free_body, skin
from understudy_shared.camera import project
from understudy_shared.frames import Channel

SIZE = (200, 240)
K = np.array([[330.0, 0, 100], [0, 330, 120], [0, 0, 1]])
EXTRINSICS = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0.85], [0, 1, 0, 3.2], [0, 0, 0, 1]])


def standing() -> np.ndarray:
    pose = np.zeros((1, 23, 3), np.float32)
    pose[0, 15], pose[0, 16] = (0, 0, -1.0), (0, 0.8, 0.9)
    vertices = skin(free_body(), np.zeros(10), np.array([[np.pi / 2, 0, 0.4]]), pose, np.zeros((1, 3)))[0]
    vertices[:, 2] -= vertices[:, 2].min()
    return vertices


def test_geometry_passes_agree_with_ray_casting() -> None:
    trimesh = pytest.importorskip("trimesh")
    pytest.importorskip("embreex")
    body, vertices = free_body(), standing()
    frame = render_body(vertices, body, np.zeros((16, 16, 3), np.uint8), K, EXTRINSICS, SIZE)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    rays = np.stack([(x + 0.5 - 100) / 330, (y + 0.5 - 120) / 330, np.ones(x.shape)], -1).reshape(-1, 3)
    eye = -EXTRINSICS[:3, :3].T @ EXTRINSICS[:3, 3]
    world = rays @ EXTRINSICS[:3, :3]
    mesh = trimesh.Trimesh(vertices, body.faces, process=False)
    face = mesh.ray.intersects_first(np.broadcast_to(eye, world.shape), world)
    hit = face >= 0
    triangles = vertices[body.faces[face[hit]]].astype(np.float64)
    flat = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    along = ((triangles[:, 0] - eye) * flat).sum(1) / (world[hit] * flat).sum(1)
    points = eye + world[hit] * along[:, None]
    bary = trimesh.triangles.points_to_barycentric(triangles, points)
    uv = (body.uvs[body.face_uvs[face[hit]]] * bary[..., None]).sum(1)

    depth = frame[Channel.DEPTH].reshape(-1)
    mask = frame[Channel.MASK].reshape(-1)
    assert (np.isfinite(depth) == (mask > 0)).all()
    assert (np.isfinite(depth)[hit]).mean() > 0.999
    assert np.percentile(np.abs(depth[hit] - along), 99.5) < 1e-4  # ray z is 1, so the ray's length is depth
    assert np.percentile(np.abs(frame[Channel.UV].reshape(-1, 2)[hit] - uv), 99.5) < 1e-4
    normal = frame[Channel.NORMAL].reshape(-1, 3)[hit]
    assert np.allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-5)
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True) @ EXTRINSICS[:3, :3].T
    assert np.median((normal * unit).sum(1)) > 0.99


def test_mask_is_the_covered_share() -> None:
    body, vertices = free_body(), standing()
    texture = np.zeros((16, 16, 3), np.uint8)
    mask = render_body(vertices, body, texture, K, EXTRINSICS, SIZE, supersample=2)[Channel.MASK]
    fine = render_body(vertices, body, texture, K * [[8], [8], [1]], EXTRINSICS, (1600, 1920), supersample=1)
    share = (fine[Channel.MASK] > 0).reshape(240, 8, 200, 8).mean((1, 3))
    assert abs(mask.sum() - share.sum()) < 0.005 * share.sum()
    assert np.abs(mask - share).max() < 0.6
    assert np.abs(mask - share).mean() < 0.01


def test_colour_is_the_texture_at_the_uv() -> None:
    """A texture whose colour says its own UV: what is rendered must equal the UV pass."""
    body, vertices = free_body(), standing()
    size = 256
    y, x = np.mgrid[:size, :size]
    texture = np.zeros((size, size, 3), np.uint8)
    texture[..., 0] = encode_srgb(((x + 0.5) / size).astype(np.float32))
    texture[..., 1] = encode_srgb((1 - (y + 0.5) / size).astype(np.float32))
    texture[..., 2] = 255
    frame = render_body(vertices, body, texture, K, EXTRINSICS, SIZE, supersample=3)
    inside = frame[Channel.MASK] == 1
    color = decode_srgb(frame[Channel.RGBA][..., :3])
    assert (frame[Channel.RGBA][inside][:, 3] == 255).all()
    assert (frame[Channel.RGBA][inside][:, 2] == 255).all()
    error = np.abs(color[inside][:, :2] - frame[Channel.UV][inside])
    assert np.median(error) < 0.004  # a pixel across a seam averages both sides
    assert (frame[Channel.RGBA][frame[Channel.MASK] == 0] == 0).all()


def test_rim_colour_is_straight_not_darkened() -> None:
    frame = render_body(standing(), free_body(), np.full((64, 64, 3), 200, np.uint8), K, EXTRINSICS, SIZE)
    rim = (frame[Channel.MASK] > 0) & (frame[Channel.MASK] < 1)
    assert rim.sum() > 100
    assert np.abs(frame[Channel.RGBA][rim][:, :3].astype(int) - 200).max() <= 1


def test_transparent_texels_show_nothing_but_are_in_the_mask() -> None:
    texture = np.full((64, 64, 4), 200, np.uint8)
    texture[..., 3] = 0
    frame = render_body(standing(), free_body(), texture, K, EXTRINSICS, SIZE)
    assert frame[Channel.RGBA].max() == 0
    assert frame[Channel.MASK].max() == 1


def test_vertices_land_where_the_camera_projects_them() -> None:
    vertices = standing()
    frame = render_body(vertices, free_body(), np.zeros((16, 16, 3), np.uint8), K, EXTRINSICS, SIZE)
    points, _ = project(vertices, EXTRINSICS, K)
    y, x = np.nonzero(frame[Channel.MASK] > 0)
    assert abs(x.min() - points[:, 0].min()) <= 1
    assert abs(x.max() + 1 - points[:, 0].max()) <= 1
    assert abs(y.min() - points[:, 1].min()) <= 1
    assert abs(y.max() + 1 - points[:, 1].max()) <= 1


def test_texel_map_inverts_the_uv_layout() -> None:
    body = free_body()
    texels = texel_map(body, 128)
    uv = (body.uvs[body.face_uvs[texels.face[texels.mask]]] * texels.barycentric[texels.mask][..., None]).sum(1)
    expected = np.column_stack([(texels.columns + 0.5) / 128, 1 - (texels.rows + 0.5) / 128])
    assert np.abs(uv - expected).max() < 1e-5
    assert 0.55 < texels.mask.mean() < 0.7


def test_gutter_takes_the_nearest_texel() -> None:
    texels = texel_map(free_body(), 128)
    texture = np.zeros((128, 128, 3), np.uint8)
    texture[texels.mask] = (10, 200, 30)
    filled = texels.fill_gutter(texture)
    assert (filled == (10, 200, 30)).all()
    known = texels.mask.copy()
    known[:, :64] = False
    half = texels.fill_gutter(texture * known[..., None], known)
    assert (half[texels.mask & ~known] == 0).all()
    assert (half[~texels.mask] == (10, 200, 30)).all()


def test_several_frames_decode_a_texture_once(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(3).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    alone = render_body(standing(), free_body(), image, K, EXTRINSICS, SIZE)[Channel.RGBA]
    made, chain = [], render.mip_chain
    monkeypatch.setattr(render, "mip_chain", lambda linear: made.append(linear) or chain(linear))
    texture = Texture(image)
    for _ in range(3):
        assert np.array_equal(render_body(standing(), free_body(), texture, K, EXTRINSICS, SIZE)[Channel.RGBA], alone)
    assert len(made) == 1
