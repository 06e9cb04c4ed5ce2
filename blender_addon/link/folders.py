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
    folder = _within(takes_root(bpy.data.filepath, chosen), name)
    Path(bpy.path.abspath(folder)).mkdir(parents=True, exist_ok=True)
    return folder


def takes_root(blend: str, chosen: str = "") -> str:
    """The folder of the takes of a .blend, as Blender writes paths.

    Args:
        blend: path of the .blend; empty for one that was never saved.
        chosen: see `new_take_folder`.
    """
    if chosen and (blend or not chosen.startswith("//")):
        return chosen
    return f"//understudy/{Path(blend).stem}" if blend else str(user_folder("takes"))


def beside(folder: Path, blend: Path, chosen: str = "") -> str:
    """Where a take's folder of a file that was never saved belongs once it is saved as `blend`, as Blender writes paths
    (`//` beside `blend`); empty where it should stay: it is in a folder that the artist has chosen.

    Args:
        folder: where it is, absolute.
        blend: see above.
        chosen: see `new_take_folder`.
    """
    if not folder.resolve().is_relative_to(user_folder("takes").resolve()):
        return ""
    root = takes_root(str(blend), chosen)
    return _within(root, folder.name) if root.startswith("//") else ""


def _within(root: str, name: str) -> str:
    return f"{root}{name}" if root.endswith("/") else f"{root}/{name}"


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
