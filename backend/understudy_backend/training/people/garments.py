"""Garments as functions of a body `Surface`: how far inside a point is, its colour, how far the cloth stands off.

Distances are signed metres, positive inside, so an edge stays one texel wide at any resolution.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from understudy_backend.training.people.fabric import Fabric, fold_shade
from understudy_backend.training.people.surface import SHOULDER_X, SOLE_Y, TORSO_DEPTH, WRIST_X, Surface

Floats = NDArray[np.floating]
Neck = Literal["crew", "v", "scoop", "collar", "roll"]
ARM_LENGTH = WRIST_X - SHOULDER_X


class Garment(Protocol):
    """What dressing needs to know of a garment."""

    @property
    def fabric(self) -> Fabric:
        """The main cloth."""
        ...

    def distance(self, s: Surface) -> Floats:
        """(N,) signed metres to the garment's edge, positive inside."""
        ...

    def paint(self, s: Surface, distance: Floats) -> Floats:
        """(N, 3) sRGB of the cloth."""
        ...

    def ease(self, s: Surface) -> Floats:
        """(N,) metres that the cloth stands off the skin."""
        ...


def line(distance: Floats, width: float, strength: float | Floats) -> Floats:
    """Darkening factor (N,) of a seam: `strength` at distance 0, 1 beyond `width` metres."""
    return (1 - strength * np.clip(1 - np.abs(distance) / width, 0, 1)).astype(np.float32)


def within(t: Floats, low: float, high: float) -> Floats:
    """Signed distance (N,) into the interval, positive inside."""
    return np.minimum(t - low, high - t)


@dataclass(frozen=True, eq=False)
class Top:
    """T-shirts, shirts, jumpers, hoodies, jackets, coats, bodices."""

    fabric: Fabric
    hem: float
    """y of the lower edge, metres."""
    sleeve: float
    """Where the sleeve ends: 0 at the shoulder, 1 at the wrist; below 0 is sleeveless."""
    neck: Neck
    depth: float
    """Metres from the neck's base down to the lowest point of the neckline at the front."""
    front: Literal["whole", "buttons", "zip", "open"] = "whole"
    gap: float = 0.0
    """Half width in metres of an open front at the hem; it narrows to half of that at the collar."""
    loose: float = 0.008
    """Metres the cloth stands off."""
    flare: float = 0.0
    """Metres more at the hem and at the sleeves' ends."""
    trim: Floats | None = None
    """(3,) colour of collar, cuffs and hem where it differs."""
    quilted: bool = False
    pockets: bool = False
    print_colour: Floats | None = None
    """(3,) of a print on the chest."""
    print_shape: int = 0
    drape: float = 0.0
    """Metres that the hem hangs away from the body, as cloth of its own; 0 where the shirt is close or tucked in."""
    bell: float = 0.0
    """Metres that the sleeves' ends stand off the arms, as cloth of their own."""

    def distance(self, s: Surface) -> Floats:
        """See `Garment`."""
        x, y, z = s.position.T
        d = np.minimum(y - self.hem, self._neckline(s))
        d = np.minimum(d, np.where(s.arm > -0.3, (self.sleeve - s.arm) * ARM_LENGTH, 1.0))
        if self.sleeve < 0:  # arm holes
            d = np.minimum(d, np.where(y > 0.0, 0.165 - np.abs(x), 1.0))
        if self.front == "open":
            width = self.gap * np.interp(y, [self.hem, 0.15], [1.0, 0.5])
            d = np.minimum(
                d, np.where((z > TORSO_DEPTH) & (s.arm <= 0) & (s.normal[:, 2] > -0.3), np.abs(x) - width, 1.0)
            )
        return np.where(s.hand > 0.9, -0.05, d)

    def _neckline(self, s: Surface) -> Floats:
        x, y, z = s.position.T
        forward = np.clip((z - 0.02) / 0.08, 0, 1)
        if self.neck == "roll":
            return np.where(s.head > 0.02, 0.262 - y + 0.25 * (TORSO_DEPTH - z), 0.1)
        if self.neck == "collar":
            top = 0.232 - 0.035 * forward
            opening = np.where(z > TORSO_DEPTH, np.abs(x) - np.clip((y - 0.2 + self.depth) * 0.5, 0, 0.06), 0.1)
            return np.minimum(np.where(np.abs(x) < 0.1, top - y, 0.1), np.where(y > 0.2 - self.depth, opening, 0.1))
        depth = 0.015 + (self.depth - 0.015) * forward
        down, across = (0.212 - y) / depth, np.abs(x) / (0.082 + 0.25 * max(self.depth - 0.07, 0))
        inside = down + across if self.neck == "v" else np.hypot(np.maximum(down, 0), across)
        inside = np.where((y > 0.2) & (np.abs(x) < 0.075), np.minimum(inside, across), inside)
        return np.where(s.head > 0.5, -0.05, (inside - 1) * np.minimum(depth, 0.07))

    def paint(self, s: Surface, distance: Floats) -> Floats:
        """See `Garment`."""
        x, y, z = s.position.T
        rgb = self.fabric.paint(s)
        ahead, neckline = (z > TORSO_DEPTH) & (s.arm <= 0), self._neckline(s)
        set_in = line(np.abs(x) - 0.165 + 0.25 * (0.15 - y), 0.004, 0.25)
        shade = np.where((y > 0.03) & (self.sleeve > 0), set_in, 1)  # where sleeves are set in
        shade *= np.where(s.arm < 0.02, line(s.position[:, 2] - 0.055, 0.003, 0.2), 1)  # side seams
        ends = np.minimum(y - self.hem, np.where(s.arm > 0, (self.sleeve - s.arm) * ARM_LENGTH, 1))
        shade *= line(ends - 0.022, 0.003, 0.3) * line(distance, 0.006, 0.35)
        if self.front in {"buttons", "zip"}:
            shade *= np.where(ahead, line(x - 0.016, 0.003, 0.35), 1)
            if self.front == "zip":
                shade *= np.where(ahead, line(x, 0.006, 0.5), 1)
            else:
                button = np.hypot(x, (y % 0.085) - 0.042) < 0.006
                shade = np.where(ahead & button, 1.45 if self.fabric.colour.mean() < 0.45 else 0.5, shade)
        if self.pockets:
            pocket = np.minimum(within(np.abs(x), 0.045, 0.125), within(y, -0.03, 0.075))
            shade *= np.where(
                ahead, line(pocket, 0.003, 0.4) * line(y - 0.045, 0.003, np.clip(pocket * 900, 0, 0.3)), 1
            )
        if self.quilted:
            channel = (np.where(s.arm > 0, s.limb[:, 0] * 1.0, y) % 0.075) / 0.075
            shade *= 0.72 + 0.4 * np.sin(np.pi * channel) ** 0.7
        if self.neck == "collar":
            shade *= line(neckline - 0.034, 0.004, 0.4)
            shade *= np.where(neckline < 0.034, 1.06, 1)
        rgb = rgb * shade[:, None]
        if self.trim is not None:
            band = (
                (ends < 0.03)
                | ((neckline < 0.022) & (s.arm < 0))
                | ((self.front != "whole") & ahead & (distance < 0.02))
            )
            rgb = np.where(band[:, None], self.trim * (0.93 + 0.07 * np.sin(s.fabric[:, :1] * 900)), rgb)
        if self.print_colour is not None:
            rgb += self._print(s)[:, None] * (self.print_colour - rgb) * 0.9
        return rgb

    def _print(self, s: Surface) -> Floats:
        """Share (N,) of the print's colour: a badge, a bar of letters, two stripes, or diamonds."""
        x, y, z = s.position.T
        px, py = x, y - 0.045
        if self.print_shape == 0:
            d = 0.062 - np.hypot(px, py)
            d = np.maximum(np.minimum(d, np.abs(d - 0.03) - 0.006), np.minimum(d, 0.012 - np.abs(py)))
        elif self.print_shape == 1:
            letter = np.sin(px * 260 + np.sin(px * 71) * 2) * 0.01 + 0.004 * np.sin(py * 400)
            d = np.minimum(np.minimum(0.085 - np.abs(px), 0.018 - np.abs(py)), letter)
        elif self.print_shape == 2:
            d = 0.016 - np.abs(np.abs(py + 0.02) - 0.03)
        else:
            diamonds = (np.sin(px * 130) + np.cos(py * 90)) * 0.008
            d = np.minimum(np.minimum(0.055 - np.abs(px + 0.35 * py), 0.055 - np.abs(py)), diamonds)
        return np.where((z > TORSO_DEPTH) & (s.arm < 0), np.clip(d / 0.003 + 0.5, 0, 1), 0)

    def ease(self, s: Surface) -> Floats:
        """See `Garment`."""
        y = s.position[:, 1]
        toward_hem = np.clip((0.12 - y) / (0.12 - self.hem), 0, 1) ** 2
        toward_cuff = np.clip(s.arm / max(self.sleeve, 0.1), 0, 1)
        out = self.loose * np.clip(0.5 + toward_hem, 0.5, 1.2) + self.flare * np.where(
            s.arm > 0, toward_cuff, toward_hem
        )
        out += self.fabric.folds * 0.025 * fold_shade(s, self.fabric.seed)
        if self.quilted:
            out += 0.008 * np.sin(np.pi * ((np.where(s.arm > 0, s.limb[:, 0], y) % 0.075) / 0.075))
        near_neck = np.clip(self._neckline(s) / 0.06, 0.25, 1)
        return np.maximum(out * near_neck, 0.001)


@dataclass(frozen=True, eq=False)
class Trousers:
    """Trousers, jeans, shorts, leggings."""

    fabric: Fabric
    waist: float
    """y of the upper edge, metres."""
    end: float
    """y of the lower edge, metres."""
    loose: float = 0.006
    flare: float = 0.0
    """Metres more at the lower end."""
    details: bool = True
    """Pockets, fly and stitched seams."""
    stripe: Floats | None = None
    """(3,) colour of a stripe along the outer seam."""
    belt: Floats | None = None
    wide: float = 0.0
    """Metres that the legs' ends stand off, as cloth of their own."""
    wide_from: float = 1.0
    """1 where a leg widens all the way down, 4 where only below the knee."""

    def distance(self, s: Surface) -> Floats:
        """See `Garment`."""
        y = s.position[:, 1]
        d = np.minimum(self.waist - y, y - self.end)
        return np.where((s.arm > -0.3) | (s.hand > 0.05), -0.05, d)

    def paint(self, s: Surface, distance: Floats) -> Floats:
        """See `Garment`."""
        x, y, z = s.position.T
        rgb, ahead = self.fabric.paint(s), z > TORSO_DEPTH
        outer = (np.abs(np.abs(s.angle) - np.pi / 2)) * 0.075
        shade = np.where(y < -0.2, line(outer, 0.004, 0.25), 1) * line(distance - 0.02, 0.003, 0.25)
        shade *= line(distance, 0.006, 0.35)
        shade *= np.where(np.abs(x) < 0.06, 1 - 0.25 * np.exp(-(((y + 0.44) / 0.05) ** 2)), 1)  # between the legs
        if self.details:
            shade *= np.where(ahead, line(np.hypot(np.abs(x) - 0.15, y - self.waist) - 0.075, 0.003, 0.35), 1)
            shade *= np.where(ahead & (y > -0.36), line(x - 0.02, 0.003, 0.3), 1)
            pocket = np.minimum(within(np.abs(x), 0.03, 0.125), within(y, -0.37, -0.24))
            shade *= np.where(ahead, 1, line(pocket, 0.003, 0.4))
        rgb = rgb * shade[:, None]
        if self.stripe is not None:
            rgb = np.where(((y < -0.2) & (outer < 0.012) & (np.sign(s.angle) == np.sign(x)))[:, None], self.stripe, rgb)
        if self.belt is not None:
            band = self.waist - y < 0.035
            buckle = band & ahead & (np.abs(x) < 0.022)
            rgb = np.where(band[:, None], self.belt * line(self.waist - y - 0.035, 0.004, 0.5)[:, None], rgb)
            rgb = np.where(buckle[:, None], np.array([0.62, 0.58, 0.5]), rgb)
        return rgb

    def ease(self, s: Surface) -> Floats:
        """See `Garment`."""
        x, y, _ = s.position.T
        down = np.clip((-0.25 - y) / (-0.25 - self.end), 0, 1)
        inner = np.clip((np.abs(x) - 0.015) / 0.08, 0, 1)  # no room between the thighs
        out = (self.loose * np.clip((self.waist - y) / 0.12, 0.3, 1) + self.flare * down) * np.maximum(
            inner, down * 0.6
        )
        out += self.fabric.folds * 0.025 * fold_shade(s, self.fabric.seed)
        return np.maximum(out, 0.001)


@dataclass(frozen=True, eq=False)
class Skirt:
    """A skirt, or the lower part of a dress: painted on hips and legs here, its own strip of cloth in `cloth`."""

    fabric: Fabric
    waist: float
    end: float
    flare: float
    """Metres the hem stands off beyond the hips."""
    pleats: int = 0
    gap: float = 0.0
    """Half width in metres of an open front, as of a coat."""
    loose: float = 0.0
    """Metres the whole stands off what is under it."""

    def distance(self, s: Surface) -> Floats:
        """See `Garment`."""
        y = s.position[:, 1]
        d = np.minimum(self.waist - y, y - self.end)
        if self.gap > 0:
            d = np.where(s.position[:, 2] > TORSO_DEPTH, np.minimum(d, np.abs(s.position[:, 0]) - self.gap), d)
        return np.where((s.arm > -0.3) | (s.hand > 0.05), -0.05, d)

    def paint(self, s: Surface, distance: Floats) -> Floats:
        """See `Garment`."""
        around = np.arctan2(s.position[:, 0], s.position[:, 2] - TORSO_DEPTH)
        hanging = replace(s, fabric=np.stack([around * 0.17, s.position[:, 1]], 1))  # both legs share one cloth
        rgb = self.fabric.paint(hanging)
        shade = line(distance - 0.015, 0.003, 0.25) * line(distance, 0.006, 0.3)
        if self.pleats:
            shade = shade * (0.88 + 0.12 * np.sin(around * self.pleats)) * np.where(s.position[:, 1] > -0.2, 1.05, 1)
        return rgb * shade[:, None]

    def ease(self, s: Surface) -> Floats:
        """See `Garment`."""
        return np.full(len(s), 0.005, np.float32)


@dataclass(frozen=True, eq=False)
class Shoes:
    """Shoes and boots."""

    fabric: Fabric
    top: float
    """y of the upper edge at the heel, metres."""
    sole: Floats
    """(3,)."""
    laces: Floats | None = None
    sole_height: float = 0.012
    """Metres under the foot."""
    heel: float = 0.0
    """Metres that the sole's arch is hollow, so that a heel shows."""
    point: float = 0.0
    """Metres that the toe is longer than round."""
    shaft: float = 0.012
    """Metres that a boot's upper edge stands off the leg; 0 where trousers hide it."""

    def distance(self, s: Surface) -> Floats:
        """See `Garment`."""
        y, z = s.position[:, 1], s.position[:, 2]
        low = self.top < -1.05
        d = (
            np.maximum(self.top - y - 0.15 * np.clip(z, 0, 0.1), np.minimum(z - 0.098, -1.05 - y))
            if low
            else self.top - y
        )
        return np.where(y < -0.7, d, -0.1)

    def paint(self, s: Surface, distance: Floats) -> Floats:
        """See `Garment`."""
        x, y, z = s.position.T
        rgb = self.fabric.paint(s) * line(distance, 0.008, 0.4)[:, None]
        rgb = rgb * np.where(y < -1.1, line(z - 0.165, 0.003, 0.35), 1)[:, None]
        if self.laces is not None:
            across = np.abs(np.abs(x) - 0.145)
            row = (across < 0.022) & (z > 0.1) & (z < 0.155) & (y > -1.18) & (z * 60 % 1 < 0.45)
            rgb = np.where(row[:, None], self.laces, rgb)
        edge = np.clip((SOLE_Y + np.where(z > 0.175, 0.008, 0.013) - y) / 0.004 + 0.5, 0, 1)[:, None]
        return rgb + edge * (self.sole - rgb)

    def ease(self, s: Surface) -> Floats:
        """See `Garment`."""
        return np.full(len(s), 0.001, np.float32)


@dataclass(frozen=True, eq=False)
class Socks:
    """Socks, stockings and tights."""

    fabric: Fabric
    top: float
    """y of the upper edge, metres."""

    def distance(self, s: Surface) -> Floats:
        """See `Garment`."""
        return np.where((s.arm > -0.3) | (s.hand > 0.05), -0.05, self.top - s.position[:, 1])

    def paint(self, s: Surface, distance: Floats) -> Floats:
        """See `Garment`."""
        ribs = 1 + 0.04 * np.sin(s.angle * 40)
        return self.fabric.paint(s) * (ribs * line(distance - 0.02, 0.003, 0.15))[:, None]

    def ease(self, s: Surface) -> Floats:
        """See `Garment`."""
        return np.full(len(s), 0.001, np.float32)
