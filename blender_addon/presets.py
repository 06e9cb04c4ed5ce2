# SPDX-License-Identifier: GPL-3.0-or-later
"""Named settings of methods: JSON files in the extension's folder, which upgrades keep. Nothing here touches `bpy`."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

_MOST_BYTES = 64 * 1024
"""A larger file is none of ours."""

KEEP_SIZE, SCENE_SIZE = -1, 0


class Preset(msgspec.Struct, frozen=True):
    """A method's settings under a name."""

    name: str
    method: str
    """Empty: for every method; settings that a method lacks are passed over."""
    params: dict[str, str | int | float | bool] = {}
    """Those that differ from the defaults."""
    longer_side: int = KEEP_SIZE
    """Of the frames, in pixels, with the proportions of the scene. `SCENE_SIZE`: the scene's resolution."""


SHIPPED = (
    Preset("Draft", "", {"steps": 1}, longer_side=256),
    Preset("Final", "", longer_side=SCENE_SIZE),
)
"""Draft: one step and small, to judge motion and camera. Final: as many steps as suit the weights, at full size."""


class PresetShelf:
    """The presets that there are; read once, so that a panel may ask at every redraw.

    Args:
        folder: of the files; it is made when the first preset is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: dict[tuple[str, str], Preset] = {}
        self.read()

    def read(self) -> None:
        """Takes over what is on disk. A file that is no preset is left alone."""
        found = (load(path) for path in sorted(self._folder.glob("*.json"))) if self._folder.is_dir() else ()
        self._own = {(preset.method, preset.name): preset for preset in found if preset is not None}

    def of(self, method: str) -> list[Preset]:
        """The presets that a method can take, those that came with Understudy first."""
        return [*SHIPPED, *self.own(method)]

    def own(self, method: str) -> list[Preset]:
        """Those that the user made."""
        return [preset for preset in self._own.values() if preset.method == method]

    def get(self, method: str, name: str) -> Preset:
        """One of them.

        Raises:
            ValueError: there is none of that name.
        """
        found = next((preset for preset in self.of(method) if preset.name == name), None)
        if found is None:
            raise ValueError(f'There is no preset "{name}": choose {", ".join(p.name for p in self.of(method))}')
        return found

    def keep(self, preset: Preset) -> None:
        """Writes a preset, in place of an earlier one of that name.

        Raises:
            ValueError: the name is empty, or that of a shipped preset. OSError: it cannot be written.
        """
        if not preset.name.strip():
            raise ValueError("A preset needs a name")
        if any(preset.name == shipped.name for shipped in SHIPPED):
            raise ValueError(f'"{preset.name}" comes with Understudy: choose another name')
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(preset)
        # Written aside first: a full disk must not cost the earlier preset.
        aside = path.with_suffix(".part")
        aside.write_bytes(msgspec.json.format(msgspec.json.encode(preset), indent=1))
        aside.replace(path)
        self._own[preset.method, preset.name] = preset

    def remove(self, method: str, name: str) -> None:
        """Removes a preset of the user's.

        Raises:
            ValueError: there is none of that name. OSError: it cannot be removed.
        """
        preset = self._own.get((method, name))
        if preset is None:
            raise ValueError(f'There is no preset of yours called "{name}"')
        for path in self._folder.glob("*.json"):
            if load(path) == preset:
                path.unlink()
        del self._own[method, name]

    def _path(self, preset: Preset) -> Path:
        for path in self._folder.glob("*.json"):
            known = load(path)
            if known is not None and (known.method, known.name) == (preset.method, preset.name):
                return path
        stem = re.sub(r"[^\w-]+", "_", f"{preset.method}_{preset.name}")[:80]
        paths = (self._folder / f"{stem}{f'_{n}' if n else ''}.json" for n in range(10_000))
        return next(path for path in paths if not path.exists())


def load(path: Path) -> Preset | None:
    """A preset from a file, None where it is none."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        return msgspec.json.decode(path.read_bytes(), type=Preset)
    except (OSError, ValueError):
        return None
