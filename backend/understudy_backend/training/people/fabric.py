"""Cloth as seen from near: colour, weave, pattern and the soft shadows of folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numba
import numpy as np
from numpy.typing import NDArray

from understudy_backend.training.people.noise import value_noise
from understudy_backend.training.people.surface import KNEE_Y, Surface

Floats = NDArray[np.floating]
Pattern = Literal[
    "plain", "heather", "stripes", "pinstripes", "checks", "dots", "floral", "denim", "camouflage", "fade"
]

NEUTRALS = (
    (0.06, 0.06, 0.07), (0.10, 0.10, 0.11), (0.17, 0.17, 0.18), (0.28, 0.28, 0.30), (0.45, 0.46, 0.47),
    (0.62, 0.62, 0.62), (0.80, 0.80, 0.79), (0.92, 0.92, 0.91), (0.95, 0.94, 0.92), (0.10, 0.13, 0.22),
    (0.13, 0.18, 0.30), (0.78, 0.72, 0.62), (0.66, 0.58, 0.47), (0.45, 0.37, 0.28), (0.29, 0.22, 0.17),
    (0.33, 0.35, 0.26),
)  # fmt: skip
"""sRGB of what most people wear: blacks, greys, whites, navy, beige, brown, olive."""
SATURATED = (
    (0.62, 0.12, 0.13), (0.40, 0.09, 0.13), (0.82, 0.35, 0.18), (0.85, 0.66, 0.22), (0.20, 0.42, 0.28),
    (0.12, 0.35, 0.33), (0.16, 0.33, 0.62), (0.45, 0.62, 0.80), (0.36, 0.25, 0.50), (0.83, 0.55, 0.60),
    (0.75, 0.80, 0.62), (0.88, 0.80, 0.55), (0.10, 0.45, 0.55), (0.72, 0.25, 0.45),
)  # fmt: skip
DENIMS = (
    (0.13, 0.19, 0.31), (0.18, 0.26, 0.40), (0.29, 0.38, 0.52), (0.45, 0.55, 0.68), (0.10, 0.12, 0.18),
    (0.60, 0.67, 0.75), (0.13, 0.13, 0.14),
)  # fmt: skip


def random_colour(rng: np.random.Generator, saturated: float = 0.35) -> Floats:
    """An sRGB colour (3,) as clothes have it; `saturated` is the share of strong colours."""
    palette = SATURATED if rng.random() < saturated else NEUTRALS
    colour = np.array(palette[rng.integers(len(palette))]) * rng.uniform(0.85, 1.12)
    return np.clip(colour + rng.normal(0, 0.025, 3), 0.03, 0.96).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Fabric:
    """A cloth of one or two colours."""

    colour: Floats
    """(3,) sRGB."""
    second: Floats
    """(3,) sRGB of stripes, dots and so on."""
    pattern: Pattern
    scale: float
    """Metres of the pattern's period."""
    along: bool
    """Stripes run along the limb instead of around it."""
    weave: float
    """Amplitude of the fine grain."""
    folds: float
    """Depth of the fold shadows, 0 smooth to 0.3 crumpled."""
    seed: int

    def paint(self, s: Surface) -> Floats:
        """sRGB (N, 3)."""
        base = np.broadcast_to(self.colour, (len(s), 3)).astype(np.float32)
        amount = self._pattern(s)
        if amount is not None:
            base = base + amount[:, None] * (self.second - base)
        grain = value_noise(s.position * 330, self.seed) * self.weave
        blotches = value_noise(s.position * 14, self.seed + 1, 2) * 0.035
        return base * np.exp(grain + blotches + self.folds * fold_shade(s, self.seed))[:, None]

    def _pattern(self, s: Surface) -> Floats | None:
        """Share (N,) of the second colour."""
        around, along = (s.fabric / self.scale).T
        if self.pattern in {"stripes", "pinstripes"}:
            share = 0.5 if self.pattern == "stripes" else 0.12
            return _band(around if self.along else along, share, 0.004 / self.scale)
        if self.pattern == "checks":
            a, b = _band(around, 0.45, 0.004 / self.scale), _band(along, 0.45, 0.004 / self.scale)
            return 0.5 * a + 0.5 * b
        if self.pattern == "dots":
            row = np.floor(along)
            du, dv = (around + 0.5 * (row % 2)) % 1 - 0.5, along % 1 - 0.5
            return np.clip((0.3 - np.hypot(du, dv)) * self.scale / 0.004 + 0.5, 0, 1)
        if self.pattern in {"floral", "camouflage"}:
            n = value_noise(s.position / self.scale * 1.6, self.seed + 5, 2)
            m = value_noise(s.position / self.scale * 2.3, self.seed + 6)
            return np.clip((n - 0.12) * 14, 0, 1) * np.clip(0.75 + m, 0.2, 1)
        if self.pattern == "heather":
            return np.clip(0.5 + value_noise(s.position * [260, 90, 260], self.seed + 7) * 0.9, 0, 1) * 0.45
        if self.pattern == "denim":  # worn lighter at the front of thighs and at the knees
            wear = np.exp(-(((s.position[:, 1] + 0.58) / 0.17) ** 2)) * np.clip(s.normal[:, 2], 0, 1)
            streaks = value_noise(s.position * [160, 30, 160], self.seed + 8, 2) * 0.22
            return np.clip(wear * 0.5 + streaks, -0.15, 0.7)
        if self.pattern == "fade":
            return np.clip((along * self.scale + 0.35) / 0.5, 0, 1)
        return None


def _band(t: Floats, share: float, softness: float) -> Floats:
    """A periodic band of period 1 that fills `share`, with soft edges."""
    distance = share / 2 - np.abs(t % 1 - 0.5)
    return np.clip(distance / max(softness, 1e-3) + 0.5, 0, 1).astype(np.float32)


def fold_shade(s: Surface, seed: int) -> Floats:
    """Light and shadow (N,) of folds, about [-1, 1]: long folds along the limb, stacked ones where cloth bunches."""
    warp = value_noise(s.position * np.float32(9), seed + 11)
    along, across, deep = s.limb.T
    long = value_noise(_places(along / 0.17, across / 0.045, deep / 0.06, warp), seed + 12)
    cross = value_noise(_places((along + 0.7 * across) / 0.032, across / 0.1, deep / 0.12, warp), seed + 13)
    return _folds(long, cross, s.arm, s.position[:, 1])


def _places(x: Floats, y: Floats, z: Floats, warp: Floats) -> Floats:
    """(N, 3), laid out by columns as `value_noise` reads them."""
    return (np.stack([x, y, z]) + np.float32(0.5) * warp).T


@numba.njit(cache=True, nogil=True, fastmath=True)
def _folds(long, cross, arm, y):
    out = np.empty(len(long), np.float32)
    for i in range(len(long)):
        c = cross[i]
        ridge = 0.7 - 1.2 * abs(c) - 0.9 * np.exp(-((c / 0.1) ** 2))  # soft swellings, narrow creases
        bunch = 0.25 + _bump(arm[i], 0.5, 0.16) + 0.6 * _bump(arm[i], 0.95, 0.12)
        if arm[i] <= 0:
            bunch += 0.7 * _bump(y[i], KNEE_Y, 0.09) + 0.9 * _bump(y[i], -1.07, 0.07)
            bunch += 0.6 * _bump(y[i], -0.13, 0.09) + 0.7 * _bump(y[i], -0.40, 0.07)
        out[i] = 0.6 * long[i] + 0.6 * min(bunch, 1.2) * ridge
    return out


@numba.njit(cache=True, nogil=True, inline="always")
def _bump(t, centre, width):
    return np.exp(-(((t - centre) / width) ** 2))


def random_fabric(rng: np.random.Generator, kind: Literal["top", "bottom", "outer", "denim", "shoe"]) -> Fabric:
    """A cloth that fits the garment."""
    saturated = {"top": 0.42, "bottom": 0.15, "outer": 0.25, "denim": 0.0, "shoe": 0.15}[kind]
    colour, second = random_colour(rng, saturated), random_colour(rng, 0.4)
    along, scale = bool(rng.random() < 0.3), float(rng.uniform(0.025, 0.09))
    pattern: Pattern = "plain"
    if kind == "denim":
        colour = np.array(DENIMS[rng.integers(len(DENIMS))], np.float32) * np.float32(rng.uniform(0.85, 1.15))
        second, pattern = np.clip(colour * 1.5 + 0.08, 0, 1), "denim"
    elif kind == "top":
        names: list[Pattern] = ["plain", "heather", "stripes", "pinstripes", "checks", "dots", "floral", "fade"]
        pattern = names[rng.choice(len(names), p=[0.5, 0.12, 0.11, 0.04, 0.1, 0.03, 0.06, 0.04])]
    elif kind in {"bottom", "outer"}:
        names = ["plain", "heather", "pinstripes", "checks", "camouflage", "floral"]
        pattern = names[rng.choice(len(names), p=[0.74, 0.12, 0.03, 0.05, 0.03, 0.03])]
    if pattern == "heather":
        second = np.clip(colour * 1.5 + 0.1, 0, 1)
    if pattern in {"floral", "camouflage"}:
        scale = float(rng.uniform(0.06, 0.14))
    folds = {"top": (0.05, 0.26), "bottom": (0.06, 0.28), "outer": (0.08, 0.3), "denim": (0.08, 0.28)}
    fold = rng.uniform(*folds.get(kind, (0.02, 0.06)))
    weave = float(rng.uniform(0.01, 0.06))
    return Fabric(colour, second.astype(np.float32), pattern, scale, along, weave, fold, int(rng.integers(1 << 20)))
