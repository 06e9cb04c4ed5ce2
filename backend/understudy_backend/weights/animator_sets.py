"""The sets of Animate Anyone's and Champ's weights: where they are looked for, and what a client is told of them."""

from __future__ import annotations

import re
from pathlib import Path

from understudy_shared.protocol.description import WeightsDescription

from understudy_backend.methods.contract import MethodError
from understudy_backend.weights.animate_anyone import Kind, missing_parts
from understudy_backend.weights.locations import shipped_root, weights_root
from understudy_backend.weights.published import describe_published, find_published
from understudy_backend.weights.sets import files_digest

PUBLISHED = "published"
"""Name of the set that the panel offers: the published files."""
TITLES: dict[Kind, str] = {"animate_anyone": "Animate Anyone", "champ": "Champ"}


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
        fix=(f"Fetch it (understudy weights get {kind}-{name}), or put" if name == PUBLISHED else "Put")
        + f" its files into {weights_root() / f'{kind}-{name}'}.",
    )


def animator_sets(kind: Kind) -> tuple[WeightsDescription, ...]:
    """Every set of a kind; the published one first, even where it is missing."""
    found: dict[str, Path | None] = {PUBLISHED: None}
    for root in (shipped_root(), weights_root()):
        for folder in sorted(root.glob(f"{kind}-*")) if root.is_dir() else ():
            found[folder.name.removeprefix(f"{kind}-")] = folder
    return tuple(_describe(kind, name, folder) for name, folder in found.items())


def _megabytes(files: list[Path]) -> float:
    return round(sum(path.stat().st_size for path in files) / 1e6, 1)


def set_digest(folder: Path) -> str:
    """Tells a set from a retrained one."""
    return files_digest(folder, sorted(p for p in folder.rglob("*") if p.is_file()))


def _describe(kind: Kind, name: str, folder: Path | None) -> WeightsDescription:
    shipped = folder is not None and shipped_root() in folder.parents
    published = find_published(f"{kind}-{name}")
    files = [] if folder is None else [p for p in folder.rglob("*") if p.is_file()]
    available = folder is not None and not missing_parts(folder, kind)
    return WeightsDescription(
        name=f"{TITLES[kind]} {name}",
        licence="Apache-2.0" if shipped else published.licence if published else "as its source says",
        source="ships with Understudy" if shipped else published.page if published else "your own",
        available=available,
        megabytes=published.megabytes if published and not available else _megabytes(files),
        sha256="" if folder is None else set_digest(folder),
        **describe_published(f"{kind}-{name}"),
    )
