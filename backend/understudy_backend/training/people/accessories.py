"""What is worn on head and neck and changes the outline: scarves, hoods, caps, hats, headscarves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from understudy_backend.training.people.drapery import cloth_part, once_around
from understudy_backend.training.people.fabric import Fabric, random_fabric
from understudy_backend.training.people.garments import Garment, Top, line
from understudy_backend.training.people.hair import Hair, neck_and_head
from understudy_backend.training.people.limbs import reach
from understudy_backend.training.people.mesh import Hang, Part
from understudy_backend.training.people.noise import value_noise
from understudy_backend.training.people.surface import TORSO_DEPTH, Surface

Floats = NDArray[np.floating]
Kind = Literal["beanie", "cap", "hat", "hood", "headscarf"]
HEAD_Z = 0.09
"""z of the head's vertical axis, metres."""
SPINE = 9
"""The joint of the chest."""


@dataclass(frozen=True, eq=False)
class Scarf:
    """A scarf around the neck, or the lowered hood of a jumper, with or without ends that hang."""

    fabric: Fabric
    thickness: float
    """Metres of the roll."""
    tail: float = 0.0
    """Metres the ends hang down the chest."""
    lowered_hood: bool = False

    def distance(self, s: Surface) -> Floats:
        """See `Garment`."""
        y = s.position[:, 1]
        near = 0.12 - np.hypot(s.position[:, 0], s.position[:, 2] - 0.06)
        if self.lowered_hood:
            near = np.minimum(near, 0.03 - s.position[:, 2])
        return np.where(s.head < 0.97, np.minimum(near, np.minimum(y - 0.185, 0.25 - y)), -0.05)

    def paint(self, s: Surface, distance: Floats) -> Floats:
        """See `Garment`."""
        return self.fabric.paint(s)

    def ease(self, s: Surface) -> Floats:
        """See `Garment`."""
        return np.full(len(s), 0.004, np.float32)

    def parts(self) -> list[Part]:
        """A roll of cloth, and its ends."""
        roll, theta = np.linspace(-np.pi, np.pi, 14), once_around(40, 0.0)
        ahead = 0.5 + 0.5 * np.cos(theta)  # 1 in front
        if self.lowered_hood:
            thick = self.thickness * (0.25 + 0.9 * (1 - ahead) ** 0.7)
            ring, height, middle = 0.072 + 0.6 * thick, 0.235 - 0.045 * ahead, 0.062
        else:
            lumps = value_noise(np.stack([np.sin(theta), np.cos(theta), 0 * theta], 1) * 3, self.fabric.seed + 40)
            thick = self.thickness * (0.85 + 0.3 * lumps + 0.25 * ahead)
            ring, height, middle = 0.056 + thick, 0.232 - 0.022 * ahead, 0.078
        across = ring + thick * np.cos(roll)[:, None]
        up = height + 1.15 * thick * np.sin(roll)[:, None]
        grid = np.stack([np.sin(theta) * across * 0.95, up, middle + np.cos(theta) * across], -1)
        weights = np.zeros((grid.shape[0] * grid.shape[1], 24), np.float32)
        weights[:, 12], weights[:, SPINE] = 0.45, 0.55
        out = [cloth_part(self, grid, weights, SPINE, np.cos(theta * 5), (48, 128))]
        if self.tail > 0:
            out += [self._end(side, self.tail * share) for side, share in ((1, 1.0), (-1, 0.8))]
        return out

    def _end(self, side: int, length: float) -> Part:
        """An end that hangs down the chest."""
        rows, columns = 16, 6
        y = 0.2 - np.linspace(0, length, rows)
        across = np.linspace(-0.05, 0.05, columns)
        theta = (side * 0.055 + across) / 0.13
        hull = np.maximum.accumulate(reach("trunk").at(np.minimum(y, 0.14), theta), axis=0)
        radius = hull + 0.022 + 0.004 * np.cos(across * 120)
        x, z = radius * np.sin(theta), TORSO_DEPTH + radius * np.cos(theta)
        z[0] -= 0.03
        grid = np.stack([x, np.broadcast_to(y[:, None], x.shape), z], -1)
        down = np.repeat(np.linspace(0, 1, rows), columns)
        weights = np.zeros((rows * columns, 25), np.float32)
        weights[:, SPINE], weights[:, 24] = 1 - down, down
        hang = Hang(SPINE, np.array([side * 0.05, 0.17, 0.16]), upright=0.85, forward_only=True)
        return cloth_part(self, grid, weights, SPINE, 0 * across, (96, 32), (hang,))


@dataclass(frozen=True, eq=False)
class Headwear:
    """A cap, a hat, a hood over the head, a headscarf."""

    fabric: Fabric
    kind: Kind
    room: float
    """Metres it stands off the head."""
    brim: float = 0.0
    """Metres of the brim."""

    @property
    def whole_head(self) -> bool:
        """Whether hair does not show."""
        return self.kind in {"hood", "headscarf"}

    def _edge(self, theta: Floats) -> Floats:
        """y of the lower edge of a cap or hat at angles from the front."""
        return np.interp(np.abs(theta), [0, 0.7, 1.5, np.pi], [0.425, 0.415, 0.383, 0.368])

    def _opening(self, y: Floats) -> Floats:
        """Half angle of the face's opening of a hood at heights y."""
        if self.kind == "headscarf":
            return np.interp(y, [0.24, 0.262, 0.3, 0.40, 0.43, 0.446], [0.0, 0.55, 0.88, 0.84, 0.5, 0.0])
        return np.interp(y, [0.2, 0.26, 0.3, 0.40, 0.44, 0.47], [0.35, 0.8, 1.05, 1.0, 0.75, 0.0])

    def distance(self, s: Surface) -> Floats:
        """See `Garment`."""
        x, y, z = s.position.T
        theta = np.arctan2(x, z - HEAD_Z)
        if not self.whole_head:
            return np.where(s.head > 0.5, np.minimum(y - self._edge(theta), 0.1), -0.05)
        d = (np.abs(theta) - self._opening(y)) * 0.09
        below = y - 0.2
        neck = 0.1 - np.hypot(x, z - 0.07)
        return np.minimum(d, np.where(s.head > 0.6, np.minimum(below, 0.1), np.minimum(below, neck)))

    def paint(self, s: Surface, distance: Floats) -> Floats:
        """See `Garment`."""
        rgb = self.fabric.paint(s)
        x, y, z = s.position.T
        if self.kind == "beanie":
            rgb = rgb * (1 + 0.07 * np.sin(np.arctan2(x, z - HEAD_Z) * 44))[:, None]
            return rgb * line(y - self._edge(np.arctan2(x, z - HEAD_Z)) - 0.04, 0.004, 0.3)[:, None]
        if self.kind == "hat":  # a ribbon
            return rgb * np.where((y > 0.425) & (y < 0.443), 0.5, 1)[:, None]
        return rgb

    def ease(self, s: Surface) -> Floats:
        """See `Garment`."""
        return np.full(len(s), 0.004 if self.whole_head else 0.006, np.float32)

    def parts(self) -> list[Part]:
        """A shell around the head, and a brim."""
        if self.whole_head:
            return [self._cowl()]
        theta = once_around(40, 0.0)
        t = np.linspace(0.0, 1, 16)
        top = 0.474 + self.room + {"beanie": 0.018, "cap": 0.008, "hat": 0.03}.get(self.kind, 0.0)
        edge = self._edge(theta)
        flat = 2.0 if self.kind != "hat" else 5.0  # a hat's crown is flat on top
        low = 0.395
        y = top + (edge - top)[None] * t[:, None]
        rise = np.clip((y - low) / (top - low), 0, 1)
        profile = (1 - rise**flat) ** (1 / flat)
        grid = self._shell(theta, y, profile)
        out = [self._part(grid, np.cos(theta * 6), (64, 128))]
        if self.brim > 0:
            out.append(self._brim(theta, edge, grid[-1]))
        return out

    def _shell(self, theta: Floats, y: Floats, profile: Floats) -> Floats:
        across = (0.079 + self.room) * profile
        deep = (np.where(np.cos(theta) > 0, 0.101, 0.096) + self.room) * profile
        return np.stack([np.sin(theta) * across, y, HEAD_Z + np.cos(theta) * deep], -1)

    def _brim(self, theta: Floats, edge: Floats, rim: Floats) -> Part:
        """A visor in front, or a ring all round, from just inside the rim (N, 3)."""
        ahead = np.clip(np.cos(theta) * 1.25 - 0.25, 0, 1) ** 0.6 if self.kind == "cap" else np.ones_like(theta)
        width = np.linspace(-0.006, 1, 6)[:, None] * self.brim * ahead
        out = np.stack([np.sin(theta), 0 * theta, np.cos(theta)], 1)
        grid = rim[None] + width[..., None] * out[None]
        grid[..., 1] = 0.006 + edge - 0.28 * width if self.kind == "cap" else 0.004 + rim[:, 1] - 0.12 * width
        return self._part(grid, 0 * theta, (32, 96))

    def _cowl(self) -> Part:
        """A hood or headscarf: around the head and down to the shoulders, open for the face."""
        rows, columns = 36, 48
        top, bottom = 0.474 + self.room, 0.165 if self.kind == "headscarf" else 0.185
        y = np.linspace(top, bottom, rows)
        opening = self._opening(y)
        share = np.linspace(0, 1, columns)
        theta = opening[:, None] + share * (2 * np.pi - 2 * opening[:, None])
        rise = np.clip((y - 0.385) / (top - 0.385), 0, 1)
        profile = np.sqrt(1 - rise**2)[:, None]
        # it gathers under the chin and goes down around the neck, on to the shoulders
        spread = 1.0 if self.kind == "headscarf" else 0.85
        size = np.interp(-y, [-0.3, -0.25, -0.215, -0.16], [1.0, 0.84, 0.88 * spread, 1.35 * spread])[:, None]
        flat = np.interp(-y, [-0.3, -0.24, -0.19], [1.0, 0.82, 0.84])[:, None]
        middle = np.interp(-y, [-0.3, -0.25, -0.2], [HEAD_Z, 0.085, 0.068])[:, None]
        grid = self._shell(theta, np.broadcast_to(y[:, None], theta.shape), profile * size)
        lumps = value_noise(np.stack([np.sin(theta) * 3, np.cos(theta) * 3, y[:, None] * 14 + 0 * theta], -1)
                            .reshape(-1, 3), self.fabric.seed + 41).reshape(theta.shape)  # fmt: skip
        grid[..., ::2] *= 1 + (0.05 * lumps)[..., None] * np.clip((0.42 - y) / 0.1, 0, 1)[:, None, None]
        grid[..., 2] = middle + (grid[..., 2] - HEAD_Z) * flat
        return self._part(grid, np.zeros(columns), (112, 128))

    def _part(self, grid: Floats, wave: Floats, size: tuple[int, int]) -> Part:
        return cloth_part(self, grid, neck_and_head(grid[..., 1].reshape(-1)), 15, wave, size)


def random_accessories(
    rng: np.random.Generator, clothes: list[Garment], head: Hair, female: bool
) -> tuple[list[Scarf | Headwear], Hair]:
    """What a person wears on head and neck, and the hair that is left under it."""
    out: list[Scarf | Headwear] = []
    outer = [g for g in clothes if isinstance(g, Top)][-1]
    hooded = outer.neck == "crew" and outer.sleeve > 0.9 and outer.loose > 0.012 and rng.random() < 0.6
    draw = rng.random()
    kind: Kind | None = None
    if hooded and draw < 0.3:
        kind = "hood"
    elif female and draw < 0.08:
        kind = "headscarf"
    elif draw < 0.27 and head.style not in {"afro", "bun"} and head.thickness < 0.025:
        kind = ("beanie", "cap", "hat")[rng.choice(3, p=[0.4, 0.38, 0.22])]
    if kind in {"hood", "headscarf"}:
        fabric = outer.fabric if kind == "hood" else random_fabric(rng, "top")
        room = float(rng.uniform(0.016, 0.035) if kind == "hood" else rng.uniform(0.012, 0.018))
        out.append(Headwear(fabric, kind, room))
        head = replace(head, style="short", thickness=0.006)
    elif kind is not None:
        brim = {"beanie": 0.0, "cap": float(rng.uniform(0.065, 0.085)), "hat": float(rng.uniform(0.04, 0.1))}[kind]
        room = 0.008 + 1.3 * head.thickness if head.style not in {"bald", "shaved"} else 0.008
        out.append(Headwear(replace(random_fabric(rng, "outer"), folds=0.04), kind, room, brim))
    if hooded and kind != "hood":
        out.append(Scarf(outer.fabric, float(rng.uniform(0.03, 0.042)), lowered_hood=True))
    elif kind not in {"hood", "headscarf"} and rng.random() < 0.13:
        tail = float(rng.uniform(0.2, 0.42)) if rng.random() < 0.6 else 0.0
        out.append(Scarf(random_fabric(rng, "top"), float(rng.uniform(0.02, 0.036)), tail))
    return out, head
