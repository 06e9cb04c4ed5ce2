"""What people wear together: a random outfit as a list of garments, the innermost first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from understudy_backend.training.people.fabric import Fabric, random_colour, random_fabric
from understudy_backend.training.people.garments import Garment, Neck, Shoes, Skirt, Socks, Top, Trousers

NECKS: tuple[Neck, ...] = ("crew", "v", "scoop")


def random_outfit(rng: np.random.Generator, female: bool) -> list[Garment]:
    """A complete outfit: nobody leaves without trunk and hips covered."""
    outfit: list[Garment] = []
    dress = female and rng.random() < 0.22
    skirt = female and not dress and rng.random() < 0.2
    outfit += _legs(rng, bare=dress or skirt)
    shirt = _shirt(rng)
    if dress:
        outfit += _dress(rng)
    elif skirt:
        waist, end = rng.uniform(-0.1, -0.02), rng.choice([rng.uniform(-0.6, -0.48), rng.uniform(-0.95, -0.65)])
        kind = "denim" if rng.random() < 0.15 else "top" if rng.random() < 0.5 else "bottom"
        outfit += [shirt, Skirt(random_fabric(rng, kind), waist, float(end), rng.uniform(0.01, 0.14), _pleats(rng))]
    else:
        trousers = _trousers(rng, female)
        outfit += [shirt, trousers] if rng.random() < 0.15 else [trousers, shirt]
    if rng.random() < (0.2 if dress else 0.42):
        outfit += _coat(rng) if not (dress or skirt) and rng.random() < 0.3 else [_outer(rng)]
    return _layered(outfit)


def _layered(outfit: list[Garment]) -> list[Garment]:
    """The outfit with no loose hem or sleeve under something that would hold it close."""
    out: list[Garment] = []
    for i, garment in enumerate(outfit):
        over = outfit[i + 1 :]
        if isinstance(garment, Top):
            if any(isinstance(g, Top | Skirt | Trousers) for g in over):
                garment = replace(garment, drape=0.0)
            if any(isinstance(g, Top) and g.sleeve > garment.sleeve - 0.15 for g in over):
                garment = replace(garment, bell=0.0)
        elif isinstance(garment, Shoes) and any(isinstance(g, Trousers) and g.end < garment.top for g in over):
            garment = replace(garment, shaft=0.0)
        elif isinstance(garment, Trousers) and any(isinstance(g, Skirt) for g in over):
            garment = replace(garment, wide=min(garment.wide, 0.02))
        out.append(garment)
    return out


def _legs(rng: np.random.Generator, bare: bool) -> list[Garment]:
    """Socks or tights, then shoes."""
    out: list[Garment] = []
    plain = replace(random_fabric(rng, "shoe"), folds=0.03)
    if bare and rng.random() < 0.35:
        out.append(Socks(replace(plain, colour=random_colour(rng, 0.0) * 0.5), -0.2))
    elif rng.random() < 0.75:
        white = np.array([0.9, 0.9, 0.88], np.float32)
        colour = white if rng.random() < 0.4 else random_colour(rng, 0.2)
        out.append(Socks(replace(plain, colour=colour), float(rng.uniform(-1.11, -0.98))))
    colour = np.array([0.93, 0.93, 0.92], np.float32) if rng.random() < 0.25 else random_colour(rng, 0.12)
    if rng.random() < 0.2:
        colour = np.array([0.36, 0.22, 0.13], np.float32) * np.float32(rng.uniform(0.6, 1.4))
    leather = replace(random_fabric(rng, "shoe"), colour=colour, weave=0.015, folds=0.05)
    top = float(
        rng.choice(
            [rng.uniform(-1.14, -1.115), rng.uniform(-1.1, -1.05), rng.uniform(-0.95, -0.8)], p=[0.65, 0.25, 0.1]
        )
    )
    sole = np.array([0.9, 0.9, 0.88]) if rng.random() < 0.45 else np.array([0.12, 0.11, 0.1])
    laces = None if rng.random() < 0.35 else np.clip(colour * 0.4 + (0.55 if rng.random() < 0.6 else 0.0), 0, 1)
    out.append(
        Shoes(
            leather,
            top,
            sole.astype(np.float32),
            laces,
            sole_height=float(rng.uniform(0.006, 0.03)),
            heel=float(rng.uniform(0.005, 0.02)) if rng.random() < 0.35 else 0.0,
            point=float(rng.uniform(0.005, 0.025)) if rng.random() < 0.3 else 0.0,
            shaft=float(rng.uniform(0.008, 0.03)),
        )
    )
    return out


def _shirt(rng: np.random.Generator) -> Top:
    fabric = random_fabric(rng, "top")
    if rng.random() < 0.18:
        fabric = replace(fabric, colour=np.array([0.93, 0.93, 0.92], np.float32))
    hem = float(rng.uniform(-0.36, -0.22))
    kind = rng.choice(["tee", "vest", "long", "shirt", "jumper", "hoodie"], p=[0.36, 0.06, 0.14, 0.2, 0.14, 0.1])
    if kind in {"tee", "long", "vest"}:
        sleeve = {"tee": rng.uniform(0.22, 0.5), "long": rng.uniform(0.75, 1.0), "vest": -0.05}[str(kind)]
        neck: Neck = NECKS[rng.choice(3, p=[0.65, 0.2, 0.15])]
        depth = {"crew": rng.uniform(0.06, 0.085), "v": rng.uniform(0.1, 0.15), "scoop": rng.uniform(0.09, 0.13)}[neck]
        printed = (
            random_colour(rng, 0.5)
            if kind == "tee" and fabric.pattern in {"plain", "heather"} and rng.random() < 0.35
            else None
        )
        trim = random_colour(rng) if rng.random() < 0.1 else None
        return Top(
            fabric, hem, float(sleeve), neck, float(depth), loose=rng.uniform(0.003, 0.02), flare=rng.uniform(0, 0.025),
            trim=trim, print_colour=printed, print_shape=int(rng.integers(4)), drape=_drape(rng, 0.55),
            bell=_bell(rng, 0.5),
        )  # fmt: skip
    if kind == "shirt":
        sleeve = rng.choice(
            [rng.uniform(0.25, 0.45), rng.uniform(0.55, 0.7), rng.uniform(0.93, 1.0)], p=[0.25, 0.2, 0.55]
        )
        return Top(
            fabric, hem, float(sleeve), "collar", rng.uniform(0.03, 0.14), "buttons", loose=rng.uniform(0.005, 0.018),
            flare=rng.uniform(0, 0.02), pockets=bool(rng.random() < 0.3), drape=_drape(rng, 0.5), bell=_bell(rng, 0.45),
        )  # fmt: skip
    neck = "roll" if rng.random() < 0.2 else "crew"
    zipped = kind == "hoodie" and rng.random() < 0.5
    return Top(
        replace(fabric, folds=min(fabric.folds + 0.04, 0.3)), hem, rng.uniform(0.95, 1.02), neck,
        rng.uniform(0.06, 0.085),
        "zip" if zipped else "whole", loose=rng.uniform(0.012, 0.032), flare=rng.uniform(-0.006, 0.01),
        trim=fabric.colour * 0.85 if rng.random() < 0.6 else None,
        print_colour=random_colour(rng, 0.5) if rng.random() < 0.2 and not zipped else None,
        print_shape=int(rng.integers(4)), drape=_drape(rng, 0.35), bell=_bell(rng, 0.3),
    )  # fmt: skip


def _drape(rng: np.random.Generator, share: float) -> float:
    """How far a hem hangs off; `share` of them do."""
    return float(rng.uniform(0.01, 0.07)) if rng.random() < share else 0.0


def _bell(rng: np.random.Generator, share: float) -> float:
    """How far sleeves stand off; `share` of them do, few of them very wide."""
    return (
        float(rng.choice([rng.uniform(0.01, 0.035), rng.uniform(0.05, 0.1)], p=[0.75, 0.25]))
        if rng.random() < share
        else 0.0
    )


def _trousers(rng: np.random.Generator, female: bool) -> Trousers:
    denim = rng.random() < 0.4
    fabric = random_fabric(rng, "denim" if denim else "bottom")
    waist = float(rng.uniform(-0.17, -0.1))
    short = rng.random() < 0.2
    end = float(rng.uniform(-0.75, -0.52)) if short else float(rng.uniform(-1.15, -1.06))
    belt = random_colour(rng, 0.05) * np.float32(0.5) if rng.random() < 0.4 else None
    if not short and not denim and rng.random() < (0.3 if female else 0.08):  # leggings
        return Trousers(replace(fabric, folds=0.05), waist, end, 0.001, 0.0, details=False)
    loose, flare, wide = rng.uniform(0.003, 0.022), rng.uniform(0.0, 0.03), 0.0
    if rng.random() < 0.45:  # legs that hang, as far as over the shoe
        wide, flare = rng.uniform(0.015, 0.06 if short else 0.11), 0.0
        end = end if short else float(rng.uniform(-1.18, -1.04))
    stripe = random_colour(rng) if not denim and rng.random() < 0.08 else None
    return Trousers(
        fabric,
        waist,
        end,
        loose,
        flare + (0.015 if short and not wide else 0),
        details=denim or rng.random() < 0.6,
        stripe=stripe,
        belt=belt,
        wide=wide,
        wide_from=float(rng.choice([rng.uniform(0.7, 1.4), 3.5], p=[0.7, 0.3])),
    )


def _dress(rng: np.random.Generator) -> list[Garment]:
    fabric = random_fabric(rng, "top")
    waist = float(rng.uniform(-0.1, 0.0))
    end = float(rng.choice([rng.uniform(-0.68, -0.5), rng.uniform(-1.05, -0.7)]))
    neck, sleeve = NECKS[rng.integers(3)], rng.choice([-0.05, rng.uniform(0.2, 0.5), rng.uniform(0.6, 1.0)])
    bodice = Top(
        fabric,
        waist - 0.03,
        float(sleeve),
        neck,
        rng.uniform(0.07, 0.13),
        loose=rng.uniform(0.002, 0.01),
        bell=_bell(rng, 0.4),
    )
    return [Skirt(fabric, waist, end, rng.uniform(0.02, 0.2), _pleats(rng)), bodice]


def _pleats(rng: np.random.Generator) -> int:
    return int(rng.integers(12, 36)) if rng.random() < 0.4 else 0


def _coat(rng: np.random.Generator) -> list[Garment]:
    """A coat, closed or open: a jacket with a strip of cloth from the waist down."""
    gap = float(rng.uniform(0.02, 0.08)) if rng.random() < 0.5 else 0.0
    fabric = random_fabric(rng, "outer")
    waist = float(rng.uniform(-0.12, -0.05))
    trunk = Top(
        fabric,
        waist - 0.02,
        rng.uniform(0.95, 1.02),
        "collar",
        rng.uniform(0.06, 0.14),
        "open" if gap else "buttons",
        gap=gap,
        loose=rng.uniform(0.014, 0.024),
        bell=_bell(rng, 0.35),
    )
    end, flare = float(rng.uniform(-1.0, -0.45)), float(rng.uniform(0.02, 0.12))
    return [Skirt(fabric, waist, end, flare, gap=gap, loose=0.012), trunk]


def _outer(rng: np.random.Generator) -> Top:
    kind = rng.choice(["jacket", "blazer", "puffer", "cardigan", "denim"], p=[0.28, 0.24, 0.15, 0.16, 0.17])
    fabric: Fabric = random_fabric(rng, "denim" if kind == "denim" else "outer")
    opened = rng.random() < (0.9 if kind in {"cardigan", "blazer"} else 0.6)
    loose = rng.uniform(0.03, 0.05) if kind == "puffer" else rng.uniform(0.01, 0.024)
    hem = rng.uniform(-0.24, -0.18) if kind == "denim" else rng.uniform(-0.36, -0.24)
    collar = kind in {"blazer", "denim"} or rng.random() < 0.4
    trim = fabric.colour * np.float32(rng.uniform(0.7, 1.2)) if rng.random() < 0.35 else None
    return Top(
        fabric, float(hem), rng.uniform(0.93, 1.02), "collar" if collar else "crew", rng.uniform(0.06, 0.16),
        "open" if opened else ("zip" if kind in {"jacket", "puffer"} else "buttons"), gap=rng.uniform(0.025, 0.1),
        loose=loose,
        flare=rng.uniform(0, 0.02), trim=trim, quilted=bool(kind == "puffer"), pockets=kind in {"denim", "jacket"},
        drape=_drape(rng, 0.6 if opened else 0.3), bell=_bell(rng, 0.35),
    )  # fmt: skip
