"""Bare skins: the CC0-marked textures that ship, with irises, brows and small repairs, tinted a little per person."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import cv2
import numpy as np
from numpy.typing import NDArray

from understudy_backend.training.people.surface import Surface, texels

Floats = NDArray[np.floating]

EYE = np.array([0.0297, 0.3592])
"""x and y of the left eye's centre in metres; the right eye mirrors it."""

HELD_OUT = ("middleage_african_male", "middleage_asian_female", "young_caucasian_female_2", "young_caucasian_male_2")
"""Skins that only the people of the evaluation wear."""


@dataclass(frozen=True, eq=False)
class Skin:
    """One bare skin."""

    name: str
    colours: Floats
    """(M, 3) sRGB in [0, 1] at the texels of a 512 px texture."""
    female: bool
    dark: bool
    old: bool

    @property
    def tone(self) -> Floats:
        """(3,) the middle colour of chest and arms."""
        s = texels(512).surface
        return np.median(self.colours[(s.position[:, 1] > 0) & (s.head < 0.1) & (s.hand < 0.1)], axis=0)


@cache
def names() -> tuple[str, ...]:
    """Names of the skins that ship."""
    folder = files("understudy_backend") / "assets" / "skins"
    return tuple(sorted(entry.name[:-4] for entry in folder.iterdir() if entry.name.endswith(".jpg")))


@cache
def load(name: str) -> Skin:
    """Reads one skin; the result is shared, do not write to it."""
    raw = (files("understudy_backend") / "assets" / "skins" / f"{name}.jpg").read_bytes()
    image = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)
    if image is None or image.shape != (512, 512, 3):
        raise ValueError(f"skin {name} is not a 512 px image")
    colours = image[texels(512).mask][:, ::-1].astype(np.float32) / 255
    return Skin(name, colours, "female" in name, "african" in name, name.startswith("old"))


def random_skin(rng: np.random.Generator, among: Collection[str] | None = None) -> Skin:
    """A skin with a tint of its own and coloured eyes; `among` defaults to all that are not held out."""
    choice = [name for name in names() if name not in HELD_OUT] if among is None else sorted(among)
    skin = load(str(rng.choice(choice)))
    vivid = rng.uniform(0.6, 0.85) if skin.dark else rng.uniform(0.7, 0.95)  # dark ones are redder than photographs
    bright = rng.uniform(0.85, 1.15) if not skin.dark else rng.uniform(0.95, 1.5)
    change = (np.eye(3) * vivid + (1 - vivid) / 3) * bright * (1 + rng.normal(0, 0.02, 3))
    colours = skin.colours @ change.astype(np.float32)
    lids = texels(512).inner
    colours[lids] = 0.5 * colours[lids] + 0.35 * colours.mean(0)  # less red
    _paint_eyes(colours, texels(512).surface, rng, skin.dark)
    return Skin(skin.name, np.clip(colours, 0, 1).astype(np.float32), skin.female, skin.dark, skin.old)


def _paint_eyes(colours: Floats, surface: Surface, rng: np.random.Generator, dark: bool) -> None:
    """Irises and pupils on the eyeballs, in place: the skins leave the eyeballs skin-coloured."""
    t = texels(512)
    rows, columns = np.nonzero(t.mask)
    u, v = (columns + 0.5) / 512, 1 - (rows + 0.5) / 512
    ball = (u > 0.755) & (u < 0.82) & (v > 0.925)
    p = surface.position[ball]
    distance = np.hypot(np.abs(p[:, 0]) - EYE[0], p[:, 1] - EYE[1])
    browns, others = [(0.30, 0.18, 0.10), (0.22, 0.13, 0.08)], [(0.26, 0.35, 0.44), (0.28, 0.31, 0.20)]
    iris = np.array((browns if dark or rng.random() < 0.6 else others)[rng.integers(2)])
    white = np.array([0.72, 0.69, 0.67]) * rng.uniform(0.85, 1.05)
    colour = np.where((distance < 0.0062)[:, None], iris, white)
    colour = np.where((distance < 0.0028)[:, None], 0.05, colour)
    colours[ball] = np.where((p[:, 2] < 0.168)[:, None], white * 0.9, colour)
