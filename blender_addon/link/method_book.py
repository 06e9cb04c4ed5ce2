# SPDX-License-Identifier: GPL-3.0-or-later
"""What the backend last said of its methods, kept in the extension's folder so that panels work before it is there."""

from __future__ import annotations

from pathlib import Path

import bpy
import msgspec
from understudy_shared.protocol.description import MethodDescription

from ..scene import method_settings
from .png import write_atomically

ALWAYS = ("fit", "threedhm_texture")
"""Methods whose settings every scene has, besides the chosen one's."""


class MethodBook:
    """Descriptions of methods.

    Args:
        file: where they are kept; it may be missing, or of another version.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.methods: tuple[MethodDescription, ...] = ()
        self._versions: dict[str, str] = {}
        try:
            self._take(msgspec.json.decode(file.read_bytes(), type=tuple[MethodDescription, ...]))
        except (OSError, ValueError):  # the next connection brings them
            return

    def remember(self, methods: tuple[MethodDescription, ...]) -> None:
        """Takes over what a backend has said."""
        if methods == self.methods:
            return
        self._take(methods)
        try:
            write_atomically(self._file, msgspec.json.encode(methods))
        except OSError as error:
            print(f"Understudy: the methods' descriptions cannot be kept in {self._file} ({error})")

    def describe_scenes(self) -> None:
        """Gives scenes the settings that they lack: new scenes, opened files, and after an undo."""
        for scene in bpy.data.scenes:
            if scene.library is not None or scene.override_library is not None:
                continue
            wanted = (*ALWAYS, scene.understudy.method or "threedhm")
            for description in self.methods:
                if description.name in wanted:
                    found = method_settings.find(scene, description.name)
                    if found is None or found.version != self._versions[description.name]:
                        method_settings.describe(scene, description)

    def _take(self, methods: tuple[MethodDescription, ...]) -> None:
        self.methods = methods
        self._versions = {method.name: method_settings.version(method) for method in methods}
