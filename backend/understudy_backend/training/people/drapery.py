"""Cloth that leaves the body, as meshes of its own: skirts, loose hems, open fronts, wide sleeves and trouser legs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import free_body

from understudy_backend.training.people.garments import ARM_LENGTH, Garment, Skirt, Top, Trousers
from understudy_backend.training.people.kernels import vertex_normals
from understudy_backend.training.people.limbs import place, reach
from understudy_backend.training.people.mesh import Anchors, Hang, Part, anchors, grid_faces, grid_uvs, resample
from understudy_backend.training.people.noise import value_noise
from understudy_backend.training.people.surface import SHOULDER_X, describe

Floats = NDArray[np.floating]
TAU = 2 * np.pi


def drapery(clothes: Sequence[Garment], rng: np.random.Generator) -> list[Part]:
    """All that hangs from an outfit, the innermost garment first."""
    parts: list[Part] = []
    for i, garment in enumerate(clothes):
        if isinstance(garment, Skirt):
            over = [g.hem + 0.01 for g in clothes[i + 1 :] if isinstance(g, Top)]
            top = max(min([garment.waist, *over]), garment.end + 0.1)  # it begins under what is worn over it
            parts.append(skirt_part(garment, top, rng))
        elif isinstance(garment, Trousers) and garment.wide > 0:
            parts += [leg_part(garment, side, rng) for side in (1, -1)]
        elif isinstance(garment, Top):
            if garment.drape > 0:
                parts.append(hem_part(garment, rng))
            if garment.bell > 0 and garment.sleeve > 0.15:
                parts += [sleeve_part(garment, side, rng) for side in (1, -1)]
    return parts


def skirt_part(skirt: Skirt, top: float, rng: np.random.Generator) -> Part:
    """The strip of cloth from `top` (y in metres, at or below the waist) to the hem, open in front where it is so."""
    rows, columns = 32, 96
    y = np.linspace(top, skirt.end, rows)
    theta = once_around(columns, skirt.gap)
    down = np.clip((skirt.waist - y) / (skirt.waist - skirt.end), 0, 1)[:, None]
    wave = _folds(theta, skirt.pleats or int(rng.integers(5, 12)), skirt.fabric.seed)
    hull = np.maximum.accumulate(reach("trunk").at(y, theta), axis=0)  # never narrowing downward
    radius = hull + 0.008 + skirt.loose + skirt.flare * down + wave * down * min(0.2 * skirt.flare + 0.004, 0.02)
    grid = place("trunk", 1, y, theta, radius)
    weights = _skirt_weights(grid.reshape(-1, 3))
    return cloth_part(skirt, grid, weights, 0, wave, (128, 256))


def hem_part(top: Top, rng: np.random.Generator) -> Part:
    """The lower part of a loose shirt or jacket, from under the chest to a hem that stands off hips and belly."""
    rows, columns = 18, 72
    start = min(0.03, top.hem + 0.3)
    y = np.linspace(start, top.hem, rows)
    theta = once_around(columns, top.gap if top.front == "open" else 0.0)
    down = ((start - y) / (start - top.hem))[:, None]
    wave = _folds(theta, int(rng.integers(4, 9)), top.fabric.seed)
    hull = reach("trunk").at(y, theta)
    hull = np.maximum(hull, np.maximum.accumulate(hull, axis=0) - 0.03 * down)  # it falls from chest and belly
    off = np.interp(down, [0, 0.12, 1], [-0.012, top.loose + 0.004, top.loose + 0.004 + top.drape])
    grid = place("trunk", 1, y, theta, hull + off + wave * down * min(0.25 * top.drape, 0.012))
    points = grid.reshape(-1, 3)
    upper = np.clip((points[:, 1:2] + 0.16) / 0.12, 0, 1)
    trunk = anchors(place("trunk", 1, y, theta, 0.9 * hull).reshape(-1, 3)).mix(free_body().weights)
    trunk[:, 16:] = 0  # no arm pulls it
    trunk /= trunk.sum(1, keepdims=True)
    weights = upper * trunk + (1 - upper) * _skirt_weights(points)
    return cloth_part(top, grid, weights, 0, wave, (80, 192))


def leg_part(trousers: Trousers, side: int, rng: np.random.Generator) -> Part:
    """A trouser leg that stands off, wider towards its end."""
    rows, columns = 28, 36
    start = -0.41
    y, theta = np.linspace(start, trousers.end, rows), once_around(columns, 0.0)
    down = ((start - y) / (start - trousers.end))[:, None]
    wave = _folds(theta, int(rng.integers(3, 6)), trousers.fabric.seed + side)
    hull = reach("leg").at(y, side * theta)
    body = hull.copy()
    if trousers.end < -0.9:  # a leg falls from the knee and does not follow the calf
        hull = np.maximum(hull, np.minimum(np.maximum.accumulate(hull, axis=0), 0.066))
    off = np.interp(down, [0, 0.15, 1], [-0.015, trousers.loose + 0.004, trousers.loose + 0.004])
    off += trousers.wide * down**trousers.wide_from
    grid = place("leg", side, y, side * theta, hull + off + wave * down * min(0.2 * trousers.wide, 0.012))
    held = anchors(place("leg", side, y, side * theta, body).reshape(-1, 3))
    weights = _one_leg(held.mix(free_body().weights), side)
    return cloth_part(trousers, grid, weights, 4 if side > 0 else 5, wave, (144, 80), held=held)


def sleeve_part(top: Top, side: int, rng: np.random.Generator) -> Part:
    """A sleeve that stands off the arm, wider towards its end, and hangs from it."""
    rows, columns = 20, 30
    end = SHOULDER_X + ARM_LENGTH * min(top.sleeve, 1.0) + (0.02 if top.sleeve > 0.9 else 0.0)
    x, theta = np.linspace(SHOULDER_X + 0.03, end, rows), once_around(columns, 0.0)
    out = ((x - x[0]) / (x[-1] - x[0]))[:, None]
    wave = _folds(theta, int(rng.integers(2, 5)), top.fabric.seed + side)
    hull = reach("arm").at(x, theta)
    if top.sleeve > 0.55:
        hull = np.maximum(hull, 0.042)  # the forearm narrows, cloth does not
    off = np.interp(out, [0, 0.2, 1], [-0.018, top.loose + 0.004, top.loose + 0.004]) + top.bell * out**1.3
    grid = place("arm", side, x, theta, hull + off + wave * out * min(0.2 * top.bell, 0.01))
    held = anchors(place("arm", side, x, theta, 0.9 * reach("arm").at(x, theta)).reshape(-1, 3))
    weights = held.mix(free_body().weights)
    weights[:, [22, 23]] = 0
    weights /= weights.sum(1, keepdims=True)
    # the whole ring sinks until its upper side lies on the arm
    pull = np.broadcast_to(np.clip(out * 1.2, 0, 1), grid.shape[:2]).reshape(-1, 1)
    joints = (16, 18) if side > 0 else (17, 19)
    sunk = [weights[:, joints[0]] + weights[:, joints[0] - 3], weights[:, joints[1]] + weights[:, joints[1] + 2]]
    reduced = weights.copy()
    reduced[:, [joints[0], joints[0] - 3, joints[1], joints[1] + 2]] *= 1 - pull
    hung = np.stack(sunk, 1) * pull
    hangs = tuple(Hang(joint, np.zeros(3), sag=0.8 * (top.bell + top.loose)) for joint in joints)
    total = np.concatenate([reduced, hung], 1)
    return cloth_part(top, grid, total, joints[1], wave, (96, 80), hangs, held)


def once_around(columns: int, gap: float) -> Floats:
    """Angles (columns,) once around, or from side to side of an opening of half width `gap` metres in front."""
    if gap <= 0:
        return np.linspace(-np.pi, np.pi, columns)
    opening = gap / 0.14
    return np.linspace(opening, TAU - opening, columns)


def _folds(theta: Floats, count: int, seed: int) -> Floats:
    """Folds (N,) in [-1, 1] around an axis, not all alike."""
    ring = np.stack([np.cos(theta), np.sin(theta), theta * 0], 1)
    return np.sin(theta * count + value_noise(ring * 2, seed) * 3)


def cloth_part(
    garment: Garment,
    grid: Floats,
    weights: Floats,
    joint: int,
    wave: Floats,
    size: tuple[int, int],
    hangs: tuple[Hang, ...] = (),
    held: Anchors | None = None,
) -> Part:
    """A sheet of a garment's cloth.

    Args:
        garment: what it is painted as.
        grid: (R, C, 3) rest vertices.
        weights: (R * C, 24 + H) skinning weights.
        joint: the part of the body that it is painted as.
        wave: (C,) folds in [-1, 1], whose shadows are painted.
        size: (height, width) of its texture.
        hangs: H joints of its own.
        held: what it moves with as the body's shape changes; what is nearest without.
    """
    rows, columns = grid.shape[:2]
    vertices, faces = grid.reshape(-1, 3).astype(np.float32), grid_faces(rows, columns, closed=False)
    normals = vertex_normals(vertices, faces)
    where, direction = (resample(v.reshape(rows, columns, -1), *size) for v in (vertices, normals))
    surface = describe(where, direction, np.eye(24, dtype=np.float32)[np.full(len(where), joint)])
    at = np.interp(np.linspace(0, columns - 1, size[1]), np.arange(columns), wave)
    shadow = 1 + 0.14 * at[None] * np.linspace(0.1, 1, size[0])[:, None]
    colours = garment.paint(surface, garment.distance(surface)) * shadow.reshape(-1, 1)
    texture = (np.clip(colours, 0, 1) * 255).astype(np.uint8).reshape(*size, 3)
    return Part(vertices, weights.astype(np.float32), faces, grid_uvs(rows, columns), texture, hangs, held)


def _one_leg(weights: Floats, side: int) -> Floats:
    """(N, 24) without the other leg's joints and the foot's, to which no trouser leg is bound."""
    other, own = ([2, 5, 8, 11], (1, 4, 7, 10)) if side > 0 else ([1, 4, 7, 10], (2, 5, 8, 11))
    out = weights.copy()
    out[:, other] = 0
    out[:, own[1]] += out[:, own[2]] + out[:, own[3]]
    out[:, [own[2], own[3]]] = 0
    total = out.sum(1, keepdims=True)
    out[:, own[0]] += np.where(total[:, 0] < 1e-3, 1.0, 0.0)
    return out / out.sum(1, keepdims=True)


def _skirt_weights(p: Floats) -> Floats:
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
