# SPDX-License-Identifier: GPL-3.0-or-later
"""What all operators share: a mistake becomes one line in the status bar and {'CANCELLED'}, never a traceback."""

from __future__ import annotations

import bpy

from ..link.session import current


class Reporting:
    """Mix-in: subclasses write `run` in place of `execute`, and give a line to report, or nothing."""

    def run(self, context: bpy.types.Context) -> str | None:
        """Does the work. Raises RuntimeError, ValueError or OSError with a sentence for the artist."""
        raise TypeError(f"{type(self).__name__} does nothing")

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            done = self.run(context)
        except (RuntimeError, ValueError, OSError) as error:
            self.report({"ERROR"}, " ".join(str(error).split()))  # type: ignore[attr-defined]
            return {"CANCELLED"}
        if done:
            self.report({"INFO"}, done)  # type: ignore[attr-defined]
        return {"FINISHED"}


class FileChoosing(Reporting):
    """Mix-in: asks for a file first. Subclasses have the property `filepath`."""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def path(self) -> str:
        """The chosen file.

        Raises:
            ValueError: none was chosen.
        """
        if not self.filepath:  # type: ignore[attr-defined]
            raise ValueError("No file was chosen")
        return bpy.path.abspath(self.filepath)  # type: ignore[attr-defined]


class FileTaking(FileChoosing):
    """Mix-in: as `FileChoosing`, but a file that was dropped into the window is taken at once. `filepath` has the
    option SKIP_SAVE, so that the last file is not mistaken for a dropped one."""

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.filepath:  # type: ignore[attr-defined]
            return self.execute(context)
        return super().invoke(context, event)


def not_now(cls: type[bpy.types.Operator], condition: bool, message: str) -> bool:
    """For `poll`: whether `condition` holds; if not, the greyed-out button tells why."""
    if not condition:
        cls.poll_message_set(message)
    return bool(condition)


def online(cls: type[bpy.types.Operator]) -> bool:
    """For `poll`: whether there is a connection to a backend; if not, the greyed-out button tells what to do."""
    return not_now(cls, current().pump.link is not None, "Connect to a backend first, or start the local one")
