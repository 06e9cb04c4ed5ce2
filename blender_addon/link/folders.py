# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are kept: frames beside the .blend, the rest in the extension's own folder, which upgrades keep."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import bpy

_PACKAGE = __package__.rpartition(".")[0]


def user_folder(path: str = "") -> Path:
    """The extension's writable folder. Outside an extension repository (tests, a script's import) Blender has none for
    us, and its data folder serves."""
    try:
        return Path(bpy.utils.extension_path_user(_PACKAGE, path=path, create=True))
    except ValueError:
        folder = Path(bpy.utils.user_resource("DATAFILES", path="understudy", create=True)) / path
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def owner() -> str:
    """Who this user is to a backend: jobs are kept apart by it. Random, made once, readable by the user only."""
    path = user_folder() / "owner"
    if path.is_file() and (text := path.read_text("ascii").strip()):
        return text
    path.touch(mode=0o600)
    path.write_text(uuid.uuid4().hex, "ascii")
    return path.read_text("ascii")


def new_take_folder(title: str, take: str, chosen: str = "") -> str:
    """Makes the folder of a take and gives it as Blender writes paths (`//` beside the .blend).

    Args:
        title: for its name, so that an artist finds it.
        take: the take's key; makes the name unique.
        chosen: a folder from the preferences, or empty: `understudy/` beside the .blend, or the extension's own folder
            while the file was never saved.

    Raises:
        OSError: it cannot be made.
    """
    name = f"{re.sub(r'[^A-Za-z0-9_-]+', '_', title)}_{take}"
    if chosen and (bpy.data.filepath or not chosen.startswith("//")):
        root = chosen
    elif bpy.data.filepath:
        root = f"//understudy/{Path(bpy.data.filepath).stem}"
    else:
        root = str(user_folder("takes"))
    folder = f"{root}{name}" if root.endswith("/") else f"{root}/{name}"
    Path(bpy.path.abspath(folder)).mkdir(parents=True, exist_ok=True)
    return folder


def seen_from(folder: str, where: Path, blend_folder: Path) -> str:
    """A take's folder as a .blend in `blend_folder` writes it: relative if it was so, absolute if it was so.

    Args:
        folder: as Blender writes paths, from the .blend where it is now.
        where: the same, absolute.
        blend_folder: where the .blend will be.
    """
    if not folder.startswith("//"):
        return folder
    try:
        return bpy.path.relpath(str(where), start=str(blend_folder))
    except ValueError:  # another drive
        return str(where)
