# SPDX-License-Identifier: GPL-3.0-or-later
"""Dithering is off while our pictures are rendered: they have 8 bits already, and noise would change their numbers.

It stays on where the compositor mixes them with others.
"""

from __future__ import annotations

import bpy

from ..link.refs import Ref, ref
from ..scene.compat import composites


class DitherOff:
    """`begin` before frames, `restore` after the last one."""

    def __init__(self) -> None:
        self._scene: Ref | None = None
        self._was = 0.0

    def begin(self, scene: bpy.types.Scene) -> None:
        """Switches it off for a scene, once."""
        if self._scene is None and scene.render.dither_intensity and not composites(scene):
            self._scene, self._was = ref("scenes", scene), scene.render.dither_intensity
            scene.render.dither_intensity = 0.0

    def restore(self) -> None:
        """As it was."""
        kept, self._scene = self._scene, None
        scene = kept.find() if kept is not None else None
        if isinstance(scene, bpy.types.Scene) and scene.render.dither_intensity == 0.0:
            scene.render.dither_intensity = self._was
