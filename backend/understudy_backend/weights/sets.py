"""The sets of 3DHM weights that are there, as a client is told of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from understudy_shared.protocol.description import WeightsDescription

from understudy_backend.weights.locations import SHIPPED, shipped_root, weights_root
from understudy_backend.weights.published import PUBLISHED
from understudy_backend.weights.threedhm import missing_parts

PREFIX = "threedhm-"
SAMPLE = 1 << 20
"""Bytes of each file that go into a set's digest: enough to tell a retrained set, and quick for gigabytes."""


def weight_sets(stage: str, purpose: str) -> tuple[WeightsDescription, ...]:
    """Every set that has the stage ("infill" or "render"); the shipped one first, even where it is missing."""
    folders = {SHIPPED: shipped_root() / f"{PREFIX}{SHIPPED}" / stage}
    if weights_root().is_dir():
        own = sorted(path / stage for path in weights_root().glob(f"{PREFIX}*") if (path / stage).is_dir())
        folders |= {path.parent.name.removeprefix(PREFIX): path for path in own}
    return tuple(_describe(name, folder, stage, purpose) for name, folder in folders.items())


def _describe(name: str, folder: Path, stage: str, purpose: str) -> WeightsDescription:
    files = [p for place in (folder, folder.parent / "vae") for p in sorted(place.rglob("*.safetensors"))]
    shipped = shipped_root() in folder.parents
    published = next((each for each in PUBLISHED if each.place == folder), None)
    return WeightsDescription(
        name=f"3DHM {name}, {purpose}",
        licence="Apache-2.0" if shipped else published.licence if published else "as its source says",
        source="ships with Understudy" if shipped else published.page if published else str(folder.parent.name),
        available=not missing_parts(folder, stage=stage),
        megabytes=round(sum(p.stat().st_size for p in files) / 1e6, 1),
        sha256=files_digest(folder.parent, files),
    )


def files_digest(root: Path, files: list[Path]) -> str:
    """The hash of the files' names, sizes and beginnings."""
    state = hashlib.sha256()
    for path in files:
        state.update(f"{path.relative_to(root)} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            state.update(file.read(SAMPLE))
    return state.hexdigest()
