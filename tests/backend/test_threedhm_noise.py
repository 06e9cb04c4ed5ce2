"""Noise anchored to the surface: unit Gaussian, white within a frame, the same on the same surface in other frames."""

from __future__ import annotations

import numpy as np
from scipy import stats
from understudy_backend.models.threedhm.noise import SurfaceNoise
from understudy_backend.texture.render import render_body
from understudy_shared.body import free_body
from understudy_shared.camera_paths import look_at
from understudy_shared.frames import Channel

SIZE, CELL = 256, 8


def plane(shift: float = 0.0, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """A plane that fills the frame, its texture moved by `shift` pixels to the right and magnified."""
    y, x = np.indices((SIZE, SIZE)) + 0.5
    uv = np.stack([((x - shift) / scale) / SIZE, 1 - (y / scale) / SIZE], -1).clip(0, 1)
    return uv, np.ones((SIZE, SIZE), bool)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_each_cell_is_unit_gaussian_over_seeds() -> None:
    """Over many seeds, at places with body, background and both; against the normal distribution itself."""
    uv, cover = plane(scale=0.7)
    cover[:, 90:] = False  # cells from 88 to 96 hold both
    values = np.concatenate(
        [SurfaceNoise(seed, 8, CELL, 256).latent(uv, cover).numpy()[0, :, 3:9, 6:18] for seed in range(60)]
    )
    assert stats.kstest(values.ravel(), "norm").pvalue > 1e-3
    variance = values.var(0)
    assert np.allclose(variance.mean(), 1, atol=0.03) and variance.min() > 0.75 and variance.max() < 1.3
    border = values[:, :, 5]
    assert abs(border.std() - 1) < 0.05


def test_it_is_white_within_a_frame() -> None:
    noise = SurfaceNoise(1, 32, CELL, 256).latent(*plane(3.3)).numpy()[0]
    assert abs(correlation(noise[:, 1:], noise[:, :-1])) < 0.06
    assert abs(correlation(noise[:, :, 1:], noise[:, :, :-1])) < 0.2  # a cell's border cuts texels
    assert abs(correlation(noise[0], noise[1])) < 0.1
    assert abs(noise.std() - 1) < 0.02


def test_it_follows_the_surface() -> None:
    """Moved by a whole cell, the noise moves along exactly; by a part of it, it changes by that part."""
    noise = SurfaceNoise(1, 32, CELL, 256)
    still = noise.latent(*plane()).numpy()[0]
    moved = noise.latent(*plane(CELL)).numpy()[0]
    assert np.allclose(moved[:, :, 2:], still[:, :, 1:-1], atol=1e-5)
    for part in (1, 2, 4):
        partly = noise.latent(*plane(part)).numpy()[0]
        assert abs(correlation(partly[:, :, 1:], still[:, :, 1:]) - (1 - part / CELL)) < 0.03
    other = SurfaceNoise(2, 32, CELL, 256).latent(*plane()).numpy()[0]
    assert abs(correlation(other, still)) < 0.05


def test_on_a_turning_body_it_correlates_where_a_new_draw_does_not() -> None:
    body = free_body()
    vertices = body.v_template
    texture = np.full((64, 64, 3), 128, np.uint8)
    noise = SurfaceNoise(0, 32, CELL, 256)
    frames = []
    for degrees in (0.0, 2.0):
        angle = np.radians(degrees)
        eye = 3 * np.array([np.sin(angle), 0.0, np.cos(angle)]) + [0, 0.0, 0]
        extrinsics = look_at(eye, np.zeros(3), up=(0, 1, 0))
        k = np.array([[700.0, 0, 128], [0, 700.0, 128], [0, 0, 1]])
        parts = render_body(vertices - vertices.mean(0), body, texture, k, extrinsics, (SIZE, SIZE))
        cover = parts[Channel.MASK] > 0.5
        frames.append((noise.latent(parts[Channel.UV], cover).numpy()[0], cover))
    inside = np.logical_and(*(cover.reshape(32, 8, 32, 8).all((1, 3)) for _, cover in frames))
    assert inside.sum() > 40
    assert correlation(frames[0][0][:, inside], frames[1][0][:, inside]) > 0.6
