"""Light of a photograph: sky and ground, a sun or window, a fill; cast shadows and dark corners; per vertex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import free_body

from understudy_backend.training.people.kernels import lit, scan

Floats = NDArray[np.floating]

DOME = np.array([[0.0, 0, 1], [0.85, 0, 0.4], [-0.85, 0, 0.4], [0, 0.85, 0.4], [0, -0.85, 0.4]])
"""Directions (world, Z up) from which ambient light is tested for occlusion."""


@dataclass(frozen=True, eq=False)
class Light:
    """A light setup fixed in the world (Z up); colours are linear and sum to about 1 on a lit surface."""

    sky: Floats
    """(3,) ambient from above."""
    ground: Floats
    """(3,) ambient from below."""
    directions: Floats
    """(L, 3) unit vectors towards the lights."""
    colours: Floats
    """(L, 3)."""

    def shade(self, vertices: Floats, normals: Floats, faces: NDArray[np.int32], openness: Floats) -> Floats:
        """Linear factors (N, 3) on the albedo of posed world vertices (N, 3) with unit normals and `openness` (N,)."""
        up = normals[:, 2:] * 0.5 + 0.5
        out = (self.ground * (1 - up) + self.sky * up) * openness[:, None]
        for i, (direction, colour) in enumerate(zip(self.directions, self.colours, strict=True)):
            facing = np.clip((normals @ direction + 0.1) / 1.1, 0, None)
            if i == 0:  # only the main light casts shadows
                facing = facing * visibility(vertices, faces, direction, 192)
            out += np.outer(facing, colour)
        return out.astype(np.float32)


def openness(vertices: Floats, faces: NDArray[np.int32]) -> Floats:
    """(N,) share of ambient light that reaches each vertex, 0.35 in a deep corner, 1 in the open."""
    return (0.35 + 0.65 * np.mean([visibility(vertices, faces, d, 64) for d in DOME], axis=0)).astype(np.float32)


def random_light(rng: np.random.Generator, toward_camera: Floats) -> Light:
    """Outdoor or studio light; the main one mostly comes from about `toward_camera` (3,), a direction in the world."""
    warmth = rng.normal(0, 0.07)
    tint = np.array([1 + warmth, 1 + 0.2 * warmth, 1 - warmth])
    contrast = rng.uniform(0.1, 0.7)
    azimuth = np.arctan2(toward_camera[1], toward_camera[0]) + rng.normal(0, 0.9)
    elevation = rng.uniform(0.25, 1.2)
    main = [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
    around = azimuth + rng.uniform(1.5, 4.5)
    fill = np.array([np.cos(around) * 0.9, np.sin(around) * 0.9, 0.4])
    exposure = np.exp(rng.normal(0.05, 0.16)) * 1.18
    ambient, strength = (1 - 0.75 * contrast), 0.95 * contrast
    cold = np.array([1 - 0.5 * warmth, 1.0, 1 + 0.5 * warmth])
    ground = np.array([1.02, 1.0, 0.94]) * rng.uniform(0.55, 0.9)
    colours = np.array([tint * strength, cold * strength * rng.uniform(0, 0.4)]) * exposure
    directions = np.array([main, fill / np.linalg.norm(fill)])
    scale = ambient * exposure
    return Light((cold * scale).astype(np.float32), (ground * tint * scale).astype(np.float32),
                 directions.astype(np.float32), colours.astype(np.float32))  # fmt: skip


def visibility(vertices: Floats, faces: NDArray[np.int32], direction: Floats, size: int) -> Floats:
    """Share (N,) of a distant light from `direction` (3,) that reaches each vertex: a shadow map with 3x3 taps."""
    w = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    u = np.cross(w, [0.0, 0, 1] if abs(w[2]) < 0.9 else [1.0, 0, 0])
    u /= np.linalg.norm(u)
    axes = np.stack([u, np.cross(w, u), -w])
    p = axes.astype(np.float32) @ vertices.T
    low, high = p.min(1), p.max(1)
    scale = (size - 6) / max(high[0] - low[0], high[1] - low[1])
    xy = (p[:2] - low[:2, None]) * scale + 3
    depth = p[2] - low[2] + 1.0
    far = depth.max() + 1
    near = scan(xy.T, far - depth, faces, len(free_body().faces), (size, size))[1]
    bias = 0.012 + 1.2 / scale
    return lit(np.ascontiguousarray(xy), far - depth + bias, near)
