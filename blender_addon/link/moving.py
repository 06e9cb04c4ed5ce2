# SPDX-License-Identifier: GPL-3.0-or-later
"""Saving: the file that is written names the folders of its takes from where it will be.

When a file is saved for the first time, its takes move from the extension's own folder to a folder beside it, so that
they are found by whoever is given the project. Takes that are being made move too.
"""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

import bpy

from ..timeline import strip
from . import disk, folders
from .book import JobBook
from .jobs import Job
from .sender import Sender


class Saving:
    """Call `before` and `after` around every saving.

    Args:
        jobs: the jobs of the open file.
        sender: its writer's thread has to rest while folders are moved.
    """

    def __init__(self, jobs: JobBook, sender: Sender) -> None:
        self._jobs, self._sender = jobs, sender
        self._places: dict[str, Path] = {}
        """The folder of each take while the file is being saved."""
        self._moved: dict[str, str] = {}
        """The folder of takes that were moved, as the saved file names it."""

    def before(self, blend: Path | None, chosen: str) -> None:
        """The file is about to be saved.

        Args:
            blend: at this path; None where it is the startup file, which has none.
            chosen: the folder for takes from the preferences.
        """
        self._moved = self._move_beside(blend, chosen) if blend is not None and not bpy.data.filepath else {}
        self._places = {job.take: job.folder for job in self._jobs}
        self._jobs.write(blend.parent if blend is not None else None, self._moved)

    def after(self) -> None:
        """It was saved; or a copy was, or nothing could be, and it is where it was."""
        for job in self._jobs:
            where = self._places.get(job.take)
            if where is None:
                continue
            if bpy.data.filepath:
                here = Path(bpy.data.filepath).parent
                there = "//" if job.take in self._moved else job.record.folder
                job.record.folder = folders.seen_from(there, where, here)
            elif job.take in self._moved:  # the open file still has no place, and `//` leads nowhere
                _point(job, Path(self._moved[job.take]), str(where))
        self._moved = {}
        self._jobs.write()

    def _move_beside(self, blend: Path, chosen: str) -> dict[str, str]:
        """Moves what lies in the extension's own folder; what cannot be moved stays, and its job says why.

        Jobs then name the new folder in full, for the file has no place yet. Strips and images name it as the saved
        file should, from its own folder: Blender writes them as they are.
        """
        moved: dict[str, str] = {}
        for job in self._jobs:
            old = job.folder
            there = "" if job.record.folder.startswith("//") else folders.beside(old, blend, chosen)
            if not there or not old.is_dir():
                continue
            new = Path(os.path.normpath(blend.parent / there.removeprefix("//")))
            self._sender.settle()
            link = self._sender.link
            try:
                if link is not None and job.wire_id:
                    link.redirect(job.wire_id, new, functools.partial(_move, old, new))
                else:
                    _move(old, new)
            except OSError as error:
                job.say(f"The frames stay in {old}. {'. '.join(disk.in_words(error, new))}")
                continue
            job.record.folder, moved[job.take] = str(new), there
            _point(job, old, there)
        return moved


def _move(old: Path, new: Path) -> None:
    """Raises OSError; then everything is where it was."""
    new.parent.mkdir(parents=True, exist_ok=True)
    try:
        old.rename(new)
    except OSError:  # another disk
        try:
            shutil.copytree(old, new)
        except shutil.Error as error:  # several files: the first tells enough
            shutil.rmtree(new, ignore_errors=True)
            raise OSError(str(error.args[0][0][2])) from None
        except OSError:
            shutil.rmtree(new, ignore_errors=True)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _point(job: Job, old: Path, new: str) -> None:
    """Lets strips and images (a fit's photo) name the new folder."""
    for scene in bpy.data.scenes:
        for found in strip.parts(scene, job.take):
            found.directory = f"{new}/"
    for image in bpy.data.images:
        if image.library is None and image.filepath and Path(image.filepath).parent == old:
            image.filepath = f"{new}/{Path(image.filepath).name}"
