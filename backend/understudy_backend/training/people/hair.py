"""Hair: colour on the scalp, brows and beards on the face, and volume that leaves the head."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from understudy_backend.training.people.mesh import Hang, Part, grid_faces, grid_uvs, resample
from understudy_backend.training.people.noise import value_noise
from understudy_backend.training.people.surface import Surface, vertex_surface

Floats = NDArray[np.floating]
Style = Literal["bald", "shaved", "short", "curly", "afro", "bob", "long", "ponytail", "bun"]

COLOURS = (
    (0.05, 0.04, 0.04), (0.08, 0.06, 0.05), (0.13, 0.09, 0.07), (0.20, 0.13, 0.09), (0.28, 0.19, 0.12),
    (0.40, 0.29, 0.18), (0.60, 0.47, 0.30), (0.74, 0.62, 0.43), (0.42, 0.19, 0.10), (0.45, 0.44, 0.43),
    (0.72, 0.71, 0.69),
)  # fmt: skip
"""sRGB: blacks, browns, blonds, a red, greys."""
CROWN = np.array([0.0, 0.455, 0.055])


@dataclass(frozen=True, eq=False)
class Hair:
    """One head of hair."""

    style: Style
    colour: Floats
    """(3,) sRGB."""
    thickness: float
    """Metres the hair stands off the scalp."""
    length: float
    """y of the lower end of falling hair, metres."""
    forehead: float
    """y of the hairline above the nose."""
    temples: float
    """Metres that the hairline recedes at the temples."""
    wave: float
    """Metres of waviness of falling hair."""
    parting: float
    """x of the parting."""
    beard: float
    """0 shaven, 0.3 stubble, 1 full."""
    beard_depth: float
    seed: int

    def scalp(self, s: Surface) -> Floats:
        """Signed distance (N,) to the hairline, positive on the scalp."""
        x, y, z = s.position.T
        z_knots = [-0.01, 0.03, 0.06, 0.085, 0.105, 0.120, 0.130, 0.150, 0.165]
        side = [0.262, 0.275, 0.30, 0.365, 0.375, 0.345, 0.385, self.forehead - 0.012, self.forehead]
        limit = np.interp(z, z_knots, side)
        limit += self.temples * np.exp(-(((np.abs(x) - 0.05) / 0.018) ** 2)) * (z > 0.12)
        limit += value_noise(s.position * 70, self.seed, 2) * 0.006
        ear = np.hypot(y - 0.338, z - 0.088) + np.maximum(0.082 - np.abs(x), 0) * 3
        d = np.minimum(y - limit, ear - 0.034)
        return np.where(s.head > 0.35, d, -0.05)

    def face(self, s: Surface) -> Floats:
        """Share (N,) that the beard covers."""
        if self.beard == 0:
            return np.zeros(len(s), np.float32)
        x, y, z = s.position.T
        side = np.abs(x)
        cheek = 0.306 + np.clip(side - 0.028, 0, 1) * 0.9 + 0.5 * np.clip(side - 0.062, 0, 1)
        d = np.minimum(cheek - y, np.minimum(y - 0.258, z - 0.093))
        moustache = np.minimum(0.030 - side, np.minimum(0.3185 - y - side * 0.25, y - 0.303))
        d = np.maximum(d, np.where(z > 0.17, moustache, -1))
        lips = 1 - np.hypot(x / 0.027, (y - 0.2965) / 0.0085)
        d = np.minimum(d, np.where(z > 0.15, -lips * 0.012, 1)) + value_noise(s.position * 90, self.seed + 3) * 0.004
        return np.where(s.head > 0.3, np.clip(d / 0.007 + 0.2, 0, 1) * min(self.beard, 0.95), 0)

    def strands(self, p: Floats) -> Floats:
        """sRGB (N, 3) of hair at rest points (N, 3)."""
        q = p - CROWN
        azimuth, reach = np.arctan2(q[:, 0] - self.parting, q[:, 2]), np.linalg.norm(q, axis=1)
        if self.style in {"curly", "afro"}:
            n = value_noise(p * 130, self.seed + 1, 2) * 0.45 + value_noise(p * 45, self.seed + 2) * 0.2
        else:
            flow = np.stack([np.cos(azimuth) * 26, np.sin(azimuth) * 26, reach * 9], 1)
            n = value_noise(flow, self.seed + 1, 3) * 0.5 + value_noise(p * 25, self.seed + 2) * 0.12
        sheen = (
            0.25 * np.exp(-(((p[:, 1] - 0.43) / 0.018) ** 2)) if self.style not in {"curly", "afro", "shaved"} else 0.0
        )
        return np.clip(self.colour * np.exp(n + sheen)[:, None] + 0.01, 0, 1)

    def paint(self, skin: Floats, s: Surface) -> Floats:
        """Skin colours (N, 3) with hair, brows and beard on top."""
        out, strands = skin.copy(), self.strands(s.position)
        on_head = s.head > 0.3
        if self.style != "bald":
            strength = 0.72 if self.style == "shaved" else 1.0
            alpha = np.clip(self.scalp(s) / 0.008 + 0.3, 0, 1) * strength
        else:
            alpha = np.zeros(len(s), np.float32)
        x, y, z = np.abs(s.position[:, 0]), s.position[:, 1], s.position[:, 2]
        arch = 0.3795 + 0.004 * np.sin((x - 0.012) / 0.038 * np.pi * 0.8)
        brow = np.minimum(0.0033 - np.abs(y - arch), np.minimum(x - 0.011, 0.05 - x)) / 0.003
        brow = np.where(on_head & (z > 0.13), np.clip(brow + 0.3, 0, 1) * (0.4 + 0.03 * (self.seed % 10)), 0)
        beard = self.face(s) * (0.9 + 0.3 * value_noise(s.position * 240, self.seed + 9))
        for share, colour in ((np.maximum(brow, beard), strands * 0.85), (alpha, strands)):
            out += np.clip(share, 0, 1)[:, None] * (colour - out)
        return out

    def stand_off(self) -> Floats:
        """Metres (V,) that hair lifts the body's vertices."""
        s = vertex_surface()
        out = self.face(s) * self.beard_depth
        if self.style in {"bald", "shaved"}:
            return out
        inside = np.clip(self.scalp(s) / (0.022 if self.thickness < 0.03 else 0.05), 0, 1)
        lump = 1 + 0.35 * value_noise(s.position * (25 if self.thickness > 0.03 else 45), self.seed + 4, 2)
        top = 0.6 + 0.5 * np.clip((s.position[:, 1] - 0.33) / 0.1, 0, 1)
        return np.maximum(out, self.thickness * np.sqrt(inside) * lump * top)


def random_hair(rng: np.random.Generator, female: bool, dark: bool, old: bool) -> Hair:
    """Hair that fits a person."""
    styles: list[Style] = ["bald", "shaved", "short", "curly", "afro", "bob", "long", "ponytail", "bun"]
    p = (
        [0.01, 0.02, 0.12, 0.08, 0.04, 0.2, 0.3, 0.13, 0.1]
        if female
        else [0.07, 0.12, 0.55, 0.12, 0.03, 0.02, 0.04, 0.02, 0.03]
    )
    if dark:
        p = (
            [0.02, 0.06, 0.17, 0.2, 0.2, 0.08, 0.12, 0.07, 0.08]
            if female
            else [0.12, 0.3, 0.25, 0.2, 0.1, 0.0, 0.01, 0.01, 0.01]
        )
    style = styles[rng.choice(len(styles), p=np.array(p) / np.sum(p))]
    if old and rng.random() < 0.7:
        colour = COLOURS[rng.integers(9, 11)]
    elif dark:
        colour = COLOURS[rng.integers(0, 3)]
    else:
        colour = COLOURS[rng.choice(11, p=[0.13, 0.15, 0.17, 0.16, 0.12, 0.09, 0.06, 0.04, 0.03, 0.03, 0.02])]
    thickness = {
        "short": rng.uniform(0.006, 0.03),
        "curly": rng.uniform(0.015, 0.035),
        "afro": rng.uniform(0.035, 0.085),
    }
    long_ends = {"bob": rng.uniform(0.2, 0.29), "long": rng.uniform(-0.12, 0.16), "ponytail": rng.uniform(0.02, 0.26)}
    wave = float(rng.uniform(0.0, 0.016))
    beard, beard_depth = 0.0, 0.0
    if not female and rng.random() < 0.5:
        beard = float(rng.choice([rng.uniform(0.15, 0.4), rng.uniform(0.6, 1.0)]))
        beard_depth = float(rng.uniform(0.003, 0.014)) if beard > 0.5 else 0.0
    return Hair(
        style=style,
        colour=np.clip(np.array(colour) * rng.uniform(0.85, 1.2) + rng.normal(0, 0.008, 3), 0.02, 0.9).astype(
            np.float32
        ),
        thickness=float(thickness.get(style, rng.uniform(0.008, 0.016))),
        length=float(long_ends.get(style, 0.3)),
        forehead=float(rng.uniform(0.414, 0.432)) + (0.015 * rng.random() if not female and old else 0),
        temples=float(rng.uniform(0, 0.012 if female else 0.03)),
        wave=wave,
        parting=float(rng.choice([0.0, rng.normal(0, 0.02)])),
        beard=beard,
        beard_depth=beard_depth,
        seed=int(rng.integers(1 << 20)),
    )


def hair_parts(hair: Hair) -> list[Part]:
    """What falls or is bound: a curtain, a tail, a knot."""
    if hair.style in {"bob", "long"}:
        return [_curtain(hair)]
    if hair.style == "ponytail":
        return [_tail(hair)]
    if hair.style == "bun":
        return [_knot(hair)]
    return []


def neck_and_head(y: Floats) -> Floats:
    """Skinning weights (N, 24) at heights (N,): head above the chin, then neck and upper spine."""
    weights = np.zeros((len(y), 24), np.float32)
    low = np.clip((0.27 - y) / 0.2, 0, 1) * 0.75
    weights[:, 15], weights[:, 12], weights[:, 9] = 1 - low, low * 0.35, low * 0.65
    return weights


def _part(hair: Hair, grid: Floats, closed: bool, hang: Hang | None = None) -> Part:
    rows, columns = grid.shape[:2]
    height, width = (96, 192) if rows > 30 else (64, 64)
    texture = (hair.strands(resample(grid, height, width)) * 255).astype(np.uint8).reshape(height, width, 3)
    vertices = grid.reshape(-1, 3).astype(np.float32)
    faces = grid_faces(rows, columns, closed)
    weights, hangs = neck_and_head(vertices[:, 1]), ()
    if hang is not None:  # bound at the root, free below
        free = np.repeat(np.clip(np.linspace(0, 1, rows) / 0.25, 0, 1), columns)[:, None]
        fixed = np.eye(24, dtype=np.float32)[np.full(len(vertices), hang.joint)]
        weights, hangs = np.concatenate([fixed * (1 - free), free], 1).astype(np.float32), (hang,)
    return Part(vertices, weights, faces, grid_uvs(rows, columns), texture, hangs)


def _curtain(hair: Hair) -> Part:
    """Hair that falls around the head and, when long, down the back."""
    rows, columns = 44, 64
    noise_at = np.linspace(0, 2 * np.pi, columns)
    ring = np.stack([np.cos(noise_at), np.sin(noise_at), 0 * noise_at], 1)
    end = hair.length + value_noise(ring * 4, hair.seed + 20) * 0.02
    t = np.linspace(0, 1, rows)
    y = 0.468 + hair.thickness + np.outer(t, end - 0.468 - hair.thickness)
    opening = np.interp(-y, [-0.475, -0.445, -0.41, -0.37, -0.30, -0.24, -0.19], [0.0, 0.3, 0.8, 1.1, 1.2, 1.35, 1.75])
    share = np.linspace(0, 1, columns)[None]
    theta = opening + share * (2 * np.pi - 2 * opening)
    rise = np.clip((y - 0.385) / (0.085 + hair.thickness), 0, 1)
    profile = np.sqrt(1 - rise**2)
    spread = 1 + 0.15 * np.clip((0.36 - y) / 0.1, 0, 1)
    strand = value_noise(
        np.stack([np.cos(theta) * 5, np.sin(theta) * 5, y * 6], -1).reshape(-1, 3), hair.seed + 21
    ).reshape(theta.shape)
    swing = hair.wave * np.sin(y * 55 + 3 * strand) * np.clip((0.42 - y) / 0.1, 0, 1) + 0.006 * strand
    across, deep = 0.079 + hair.thickness + swing, np.where(np.cos(theta) > 0, 0.098, 0.092) + hair.thickness + swing
    x = np.sin(theta) * across * profile * spread
    z = 0.082 + np.cos(theta) * deep * profile
    low = np.clip((0.26 - y) / 0.08, 0, 1)
    z += low * (np.minimum(z, _back(x, y) - 0.012 - np.abs(swing)) - z)
    return _part(hair, np.stack([x, y, z], -1), closed=False)


@cache
def _back_table() -> Floats:
    """z (Y, X) of the trunk's back over y from -0.3 to 0.3 and x from -0.25 to 0.25 metres."""
    s = vertex_surface()
    p = s.position[(s.normal[:, 2] < -0.2) & (s.arm < 0.1) & (s.head < 0.3)][::3]
    y, x = np.meshgrid(np.linspace(-0.3, 0.3, 61), np.linspace(-0.25, 0.25, 51), indexing="ij")
    distance = (x.reshape(-1, 1) - p[:, 0]) ** 2 + (y.reshape(-1, 1) - p[:, 1]) ** 2
    weight = np.exp(-(distance - distance.min(1, keepdims=True)) / 0.0012)
    return ((weight * p[:, 2]).sum(1) / weight.sum(1)).reshape(x.shape)


def _back(x: Floats, y: Floats) -> Floats:
    """z of the trunk's back at (x, y), metres."""
    return map_coordinates(_back_table(), [(y + 0.3) * 100, (x + 0.25) * 100], order=1, mode="nearest")


def _tail(hair: Hair) -> Part:
    """A ponytail from the back of the head."""
    rows, columns = 28, 20
    t = np.linspace(0, 1, rows)
    start = np.array([0.0, 0.40 + 0.4 * (hair.forehead - 0.42), -0.005])
    y = start[1] + (hair.length - start[1]) * t
    z = start[2] - 0.07 * np.sin(np.clip(t * 1.6, 0, 1) * np.pi * 0.5) + 0.02 * t
    y = y + 0.02 * np.sin(np.clip(t * 3, 0, 1) * np.pi)
    radius = (0.014 + 0.026 * np.sin(np.clip(t * 1.1 + 0.08, 0, 1) * np.pi) ** 0.7) * (
        1 + hair.wave * 8 * np.sin(t * 14)
    )
    radius[-1] = 0.002
    angle = np.linspace(0, 2 * np.pi, columns)
    x = radius[:, None] * np.sin(angle)
    grid = np.stack([x, np.broadcast_to(y[:, None], x.shape), z[:, None] + 0.8 * radius[:, None] * np.cos(angle)], -1)
    return _part(hair, grid, closed=False, hang=Hang(15, start, upright=0.9))


def _knot(hair: Hair) -> Part:
    """A bun at the back or on top."""
    high = hair.seed % 2 == 0
    centre = np.array([0.0, 0.475, 0.04]) if high else np.array([0.0, 0.375, -0.03])
    radius = 0.03 + 0.02 * ((hair.seed // 2) % 100) / 100
    polar, angle = np.meshgrid(np.linspace(0.01, np.pi - 0.01, 14), np.linspace(0, 2 * np.pi, 24), indexing="ij")
    direction = np.stack([np.sin(polar) * np.sin(angle), np.cos(polar), np.sin(polar) * np.cos(angle)], -1)
    lump = 1 + 0.12 * value_noise((direction * 3).reshape(-1, 3), hair.seed + 30).reshape(polar.shape)
    return _part(hair, centre + radius * lump[..., None] * direction, closed=False)
