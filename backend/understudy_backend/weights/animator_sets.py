"""The sets of Animate Anyone's and Champ's weights: where they are looked for, and what a client is told of them."""

from __future__ import annotations

import re
from pathlib import Path

from understudy_shared.protocol.description import WeightsDescription

from understudy_backend.methods.contract import MethodError
from understudy_backend.weights.animate_anyone import Kind, missing_parts
from understudy_backend.weights.locations import shipped_root, weights_root
from understudy_backend.weights.sets import files_digest

PUBLISHED = "published"
"""Name of the set that the panel offers: the published files."""
TITLES: dict[Kind, str] = {"animate_anyone": "Animate Anyone", "champ": "Champ"}
SOURCES: dict[Kind, str] = {
    "animate_anyone": "patrolli/AnimateAnyone, lambdalabs/sd-image-variations-diffusers (image_encoder) and "
    "stabilityai/sd-vae-ft-mse (vae) on Hugging Face",
    "champ": "fudan-generative-ai/champ on Hugging Face",
}
LICENCES: dict[Kind, str] = {
    "animate_anyone": "CreativeML OpenRAIL-M (made from Stable Diffusion 1.5); see the source",
    "champ": "CreativeML OpenRAIL-M (made from Stable Diffusion 1.5); see the source",
}
MEGABYTES: dict[Kind, float] = {"animate_anyone": 8700.0, "champ": 8760.0}
"""Of the published files, in float32."""


def find_set(kind: Kind, name: str) -> Path:
    """The folder of a set: the user's own before a shipped one.

    Raises:
        MethodError: there is none of that name, with where it comes from, or the name is a path.
    """
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
        raise MethodError(
            f"'{name[:60]}' is no name of a weight set", code="bad_params", fix="Give a name, not a path."
        )
    for root in (weights_root(), shipped_root()):
        if (folder := root / f"{kind}-{name}").is_dir():
            return folder
    raise MethodError(
        f"weights are missing: {TITLES[kind]} has no set '{name}'",
        code="missing_weights",
        fix=f"Put the files of {SOURCES[kind]} into {weights_root() / f'{kind}-{name}'}.",
    )


def animator_sets(kind: Kind) -> tuple[WeightsDescription, ...]:
    """Every set of a kind; the published one first, even where it is missing."""
    found: dict[str, Path | None] = {PUBLISHED: None}
    for root in (shipped_root(), weights_root()):
        for folder in sorted(root.glob(f"{kind}-*")) if root.is_dir() else ():
            found[folder.name.removeprefix(f"{kind}-")] = folder
    return tuple(_describe(kind, name, folder) for name, folder in found.items())


def set_digest(folder: Path) -> str:
    """Tells a set from a retrained one."""
    return files_digest(folder, sorted(p for p in folder.rglob("*") if p.is_file()))


def _describe(kind: Kind, name: str, folder: Path | None) -> WeightsDescription:
    shipped = folder is not None and shipped_root() in folder.parents
    files = [] if folder is None else [p for p in folder.rglob("*") if p.is_file()]
    return WeightsDescription(
        name=f"{TITLES[kind]} {name}",
        licence="Apache-2.0" if shipped else LICENCES[kind],
        source="ships with Understudy" if shipped else SOURCES[kind],
        available=folder is not None and not missing_parts(folder, kind),
        megabytes=round(sum(p.stat().st_size for p in files) / 1e6, 1) if files else MEGABYTES[kind],
        sha256="" if folder is None else set_digest(folder),
    )
