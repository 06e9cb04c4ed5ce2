"""Cloth that leaves the body: skirts as strips of their own, and the stand-off of everything else from the skin."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from understudy_backend.training.people.garments import Garment, Shoes, Skirt
from understudy_backend.training.people.kernels import vertex_normals
from understudy_backend.training.people.mesh import Part, grid_faces, grid_uvs, resample
from understudy_backend.training.people.noise import value_noise
from understudy_backend.training.people.surface import TORSO_DEPTH, describe, vertex_surface

Floats = NDArray[np.floating]


def stand_off(outfit: list[Garment]) -> Floats:
    """Metres (V,) that each vertex of the body moves out along its normal to carry the outfit."""
    s = vertex_surface()
    out = np.zeros(len(s), np.float32)
    for garment in outfit:
        inside = np.clip(garment.distance(s) / 0.012 + 0.5, 0, 1)
        out = np.maximum(out, garment.ease(s) * inside)
    return out


def shod(vertices: Floats, outfit: list[Garment]) -> Floats:
    """Vertices (V, 3) with the toes closed into one shape where shoes are worn."""
    shoes = [g for g in outfit if isinstance(g, Shoes)]
    if not shoes:
        return vertices
    share = np.clip(shoes[0].distance(vertex_surface()) / 0.01, 0, 1)[:, None]
    return (vertices + share * (_shoe_last() - vertices)).astype(np.float32)


@cache
def _shoe_last() -> Floats:
    """The body's vertices (V, 3) with the front of the feet blown up to the convex hull of their cross-sections."""
    p = vertex_surface().position
    out = p.copy()
    for side in (-1, 1):
        foot = np.nonzero((p[:, 1] < -1.09) & (p[:, 0] * side > 0))[0]
        q = p[foot]
        middle = np.stack([np.interp(q[:, 2], [0, 0.1, 0.2], [0.128, 0.14, 0.15]) * side, np.full(len(q), -1.188)], 1)
        arm = q[:, :2] - middle
        angle, radius = np.arctan2(arm[:, 1], arm[:, 0]), np.hypot(*arm.T)
        near = np.abs(q[:, 2][:, None] - q[:, 2][None]) < 0.022
        support = np.where(near, radius[None] * np.cos(angle[:, None] - angle[None]), 0).max(1)
        forward = np.clip((q[:, 2] - 0.09) / 0.04, 0, 1)
        tip = np.sqrt(1 - np.clip((q[:, 2] - 0.205) / 0.04, 0, 0.97) ** 2)
        grown = radius + forward * np.maximum(support * tip - radius, 0)
        out[foot, 0] = middle[:, 0] + grown * np.cos(angle)
        out[foot, 1] = np.maximum(middle[:, 1] + grown * np.sin(angle), -1.212)
        out[foot, 2] += 0.008 * forward + 0.03 * np.clip(1 - radius / np.maximum(support, 1e-3), 0, 1) * np.clip(
            (q[:, 2] - 0.175) / 0.02, 0, 1
        )
    return out.astype(np.float32)


def skirt_part(skirt: Skirt, top: float, rng: np.random.Generator) -> Part:
    """The strip of cloth from `top` (y in metres, at or below the waist) to the hem."""
    rows, columns = 40, 96
    y = np.linspace(top, skirt.end, rows)
    theta = np.linspace(-np.pi, np.pi, columns)
    radius = _hull(y, theta)
    down = np.clip((skirt.waist - y) / (skirt.waist - skirt.end), 0, 1)[:, None]
    folds = int(rng.integers(5, 12)) if not skirt.pleats else skirt.pleats
    wave = np.sin(
        theta * folds + value_noise(np.stack([np.cos(theta), np.sin(theta), theta * 0], 1) * 2, skirt.fabric.seed) * 3
    )
    radius = radius + 0.008 + skirt.flare * down + wave * down * min(0.2 * skirt.flare + 0.004, 0.02)
    points = np.stack(
        [radius * np.sin(theta), np.broadcast_to(y[:, None], radius.shape), TORSO_DEPTH + radius * np.cos(theta)], -1
    )
    vertices = points.reshape(-1, 3).astype(np.float32)
    weights = _skirt_weights(vertices, skirt)
    faces = grid_faces(rows, columns, closed=False)
    place, direction = (
        resample(v.reshape(rows, columns, -1), 256, 256) for v in (vertices, vertex_normals(vertices, faces))
    )
    surface = describe(place, direction, np.eye(24, dtype=np.float32)[np.zeros(len(place), int)])  # all on the pelvis
    shadow = (
        1 + 0.14 * np.interp(np.linspace(-np.pi, np.pi, 256), theta, wave)[None] * np.linspace(0.1, 1, 256)[:, None]
    )
    colours = skirt.paint(surface, skirt.distance(surface)) * shadow.reshape(-1, 1)
    texture = (np.clip(colours, 0, 1) * 255).astype(np.uint8).reshape(256, 256, 3)
    return Part(vertices, weights, faces, grid_uvs(rows, columns), texture)


def _hull(y: NDArray, theta: NDArray) -> NDArray:
    """Radius (rows, columns) of the trunk and both legs around the trunk's axis, never narrowing downward."""
    v = vertex_surface()
    keep = (v.arm < -0.02) & (v.hand < 0.05)
    p = v.position[keep]
    angle, r = np.arctan2(p[:, 0], p[:, 2] - TORSO_DEPTH), np.hypot(p[:, 0], p[:, 2] - TORSO_DEPTH)
    out = np.zeros((len(y), len(theta)))
    for i, height in enumerate(y):
        near = np.abs(p[:, 1] - height) < 0.025
        # the farthest point that supports the convex hull in each direction
        gap = np.cos(theta[:, None] - angle[near][None])
        support = np.max(r[near][None] * gap, axis=1)
        out[i] = 0.5 * support + 0.5 * np.max(np.where(gap > 0.96, r[near][None], 0), axis=1, initial=0.0)
        out[i] = np.maximum(out[i], 0.9 * support)
    out = np.maximum.accumulate(out, axis=0)
    kernel = np.ones(7) / 7
    wrapped = np.concatenate([out[:, -4:-1], out, out[:, 1:4]], 1)
    return np.stack([np.convolve(row, kernel, "valid") for row in wrapped])


def _skirt_weights(p: Floats, skirt: Skirt) -> Floats:
    """(N, 24): pelvis at the waist, both thighs below, a little of the shins at the hem."""
    weights = np.zeros((len(p), 24), np.float32)
    left = np.clip(p[:, 0] / 0.22 + 0.5, 0, 1)
    thigh = np.clip((-0.2 - p[:, 1]) / 0.3, 0, 1) * 0.8
    shin = np.clip((-0.75 - p[:, 1]) / 0.3, 0, 1) * 0.5
    spine = np.clip((p[:, 1] + 0.17) / 0.12, 0, 1)
    weights[:, 3] = spine
    weights[:, 0] = (1 - spine) * (1 - thigh)
    for side, hip, knee in ((left, 1, 4), (1 - left, 2, 5)):
        weights[:, hip] = (1 - spine) * thigh * side * (1 - shin)
        weights[:, knee] = (1 - spine) * thigh * side * shin
    return weights
