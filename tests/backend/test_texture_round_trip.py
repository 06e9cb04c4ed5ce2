"""A known texture, rendered, extracted again from the renders, and fused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from understudy_backend.texture.bake import TexelMap, texel_map
from understudy_backend.texture.fusion import fuse
from understudy_backend.texture.projection import PartialTexture, project_photo
from understudy_backend.texture.render import render_body
from understudy_backend.texture.visibility import visible_texels
from understudy_shared.body import free_body, skin
from understudy_shared.frames import Channel

SIZE, IMAGE = 256, (1024, 1024)


def standing() -> np.ndarray:
    pose = np.zeros((1, 23, 3), np.float32)
    pose[0, 15], pose[0, 16] = (0, 0, -0.9), (0, 0, 0.9)
    vertices = skin(free_body(), np.zeros(10), np.array([[np.pi / 2, 0, 0]]), pose, np.zeros((1, 3)))[0]
    vertices[:, 2] -= vertices[:, 2].min()
    return vertices


def camera(azimuth: float) -> tuple[np.ndarray, np.ndarray]:
    a = np.radians(azimuth)
    forward = np.array([-np.sin(a), np.cos(a), 0])
    right = np.cross(forward, [0, 0, 1])
    rotation = np.stack([right, np.cross(forward, right), forward])
    extrinsics = np.eye(4)
    extrinsics[:3, :3], extrinsics[:3, 3] = rotation, -rotation @ (-forward * 3.0 + [0, -0.3, 0.85])
    return extrinsics, np.array([[1500.0, 0, 512], [0, 1500, 512], [0, 0, 1]])


def known_texture(texels: TexelMap) -> np.ndarray:
    """Smooth noise of features about eight texels wide, from a fixed seed."""
    noise = np.random.default_rng(0).uniform(0, 255, (SIZE // 8, SIZE // 8, 3))
    smooth = cv2.resize(noise, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    return texels.fill_gutter(smooth)


def seen_from(texture: np.ndarray, azimuth: float) -> PartialTexture:
    body, vertices = free_body(), standing()
    extrinsics, k = camera(azimuth)
    frame = render_body(vertices, body, texture, k, extrinsics, IMAGE)
    mask = frame[Channel.MASK]
    visibility = visible_texels(vertices, body, k, extrinsics, IMAGE, SIZE, mask=mask, border_px=2.0)
    return project_photo(frame[Channel.RGBA], visibility, mask)


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a[where].astype(float) - b[where]) ** 2)))


@pytest.mark.parametrize("mode", ["median", "best"])
def test_round_trip_of_a_texture(mode: str) -> None:
    body = free_body()
    texels = texel_map(body, SIZE)
    texture = known_texture(texels)
    fused = fuse([seen_from(texture, azimuth) for azimuth in (0, 50, 180, 230)], mode)  # type: ignore[arg-type]
    away_from_seams = cv2.erode(texels.mask.astype(np.uint8), np.ones((5, 5))) > 0
    where = fused.visible & away_from_seams
    assert fused.visible[texels.mask].mean() > 0.6
    assert psnr(fused.color, texture, where) >= 30


def test_unseen_texels_stay_empty() -> None:
    texels = texel_map(free_body(), SIZE)
    partial = seen_from(known_texture(texels), 0)
    assert not partial.visible[~texels.mask].any()
    assert (partial.color[~partial.visible] == 0).all()
    back = texels.mask & (texels.normal[..., 2] < -0.5)
    assert partial.visible[back].mean() < 0.02


def test_background_never_bleeds_in() -> None:
    """A black body before a glaring magenta background: no texel may turn magenta."""
    body, vertices = free_body(), standing()
    extrinsics, k = camera(20)
    frame = render_body(vertices, body, np.zeros((64, 64, 3), np.uint8), k, extrinsics, IMAGE)
    mask = frame[Channel.MASK]
    photo = (np.array([255, 0, 255]) * (1 - mask[..., None])).astype(np.uint8)
    visibility = visible_texels(vertices, body, k, extrinsics, IMAGE, 128, mask=mask, border_px=2.0)
    partial = project_photo(photo, visibility, mask)
    assert partial.visible.mean() > 0.1
    assert partial.color.max() <= 3


def test_sampling_averages_what_a_texel_covers() -> None:
    """A photo of alternating black and white columns: texels larger than a pixel see grey, in linear light."""
    body, vertices = free_body(), standing()
    extrinsics, k = camera(0)
    photo = np.zeros((1024, 1024, 3), np.uint8)
    photo[:, ::2] = 255
    visibility = visible_texels(vertices, body, k, extrinsics, IMAGE, 64, min_cosine=0.7, border_px=0)
    large = visibility.mask & (visibility.footprint > 6)
    colors = project_photo(photo, visibility).color[large]
    assert large.sum() > 50
    assert abs(float(np.median(colors)) - 188) <= 2  # half of linear white is 188 in sRGB


def test_fusion_takes_the_median_of_the_visible() -> None:
    rng = np.random.default_rng(3)
    colors = rng.integers(0, 256, (5, 70, 70, 3), dtype=np.uint8)
    weights = np.where(rng.random((5, 70, 70)) < 0.5, rng.random((5, 70, 70)) + 0.1, 0).astype(np.float32)
    fused = fuse([PartialTexture(c, w) for c, w in zip(colors, weights, strict=True)])
    hidden = np.broadcast_to((weights == 0)[..., None], colors.shape)
    expected = np.ma.median(np.ma.array(colors.astype(float), mask=hidden), axis=0)
    seen = weights.any(0)
    assert (fused.visible == seen).all()
    assert np.abs(fused.color[seen] - expected.filled(0)[seen]).max() <= 0.5
    assert (fused.color[~seen] == 0).all()


@pytest.mark.parametrize("partials", [[], [(4, 4), (8, 8)]])
def test_fusion_refuses_what_it_cannot_fuse(partials: list[tuple[int, int]]) -> None:
    made = [PartialTexture(np.zeros((*s, 3), np.uint8), np.zeros(s, np.float32)) for s in partials]
    with pytest.raises(ValueError, match="fuse"):
        fuse(made)
