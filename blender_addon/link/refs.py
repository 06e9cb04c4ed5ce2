# SPDX-License-Identifier: GPL-3.0-or-later
"""References to scenes and objects that survive ticks, undo, renaming, saving and reopening.

Blender's own pointers do not: undo and file loading free what they point to, and using them afterwards crashes.
"""

from __future__ import annotations

from typing import Literal

import bpy
import msgspec

Kind = Literal["scenes", "objects", "images"]


class Ref(msgspec.Struct):
    """A datablock by its session number, which renaming and undo keep, else by its name, which the file keeps."""

    kind: Kind
    name: str
    uid: int = 0
    """`session_uid`; 0 after loading, because it differs from session to session."""

    def find(self) -> bpy.types.ID | None:
        """The datablock as it is now, or None where the artist has deleted it. Never keep what this returns."""
        collection = getattr(bpy.data, self.kind)
        if self.uid:
            found = next((item for item in collection if item.session_uid == self.uid), None)
            if found is not None:
                self.name = found.name
            return found
        found = collection.get(self.name)
        if found is not None:
            self.uid = found.session_uid
        return found


def ref(kind: Kind, item: bpy.types.ID) -> Ref:
    """A reference to `item`, one of `bpy.data`'s collection `kind`."""
    return Ref(kind, item.name, item.session_uid)
