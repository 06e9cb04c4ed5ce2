# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences of the extension: where the backend is. They belong to this machine and never enter a .blend; of keys
they hold the folder, not the content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy
from bpy.props import StringProperty

from .link import folders


@dataclass(frozen=True)
class Settings:
    """The preferences as plain values, defaults filled in."""

    address: str
    """Of a backend that somebody else started; empty for a local one."""
    key_folder: Path
    """With client.key, client.pub and server.pub, for a backend on another machine."""
    python: str
    """Interpreter of the environment that the local backend is installed in."""
    device: str
    """What the local backend computes on."""
    data_folder: Path
    """Where the local backend keeps jobs and frames."""
    output_folder: str
    """Where takes go; empty: beside the .blend."""


class UnderstudyPreferences(bpy.types.AddonPreferences):
    bl_idname = __package__

    address: StringProperty(
        name="Backend",
        description="Address of a backend that runs already, as tcp://host:port. Empty: a local one is started",
    )
    key_folder: StringProperty(
        name="Keys",
        subtype="DIR_PATH",
        description="Folder with client.key, client.pub and the backend's server.pub, for a backend on another machine",
    )
    python: StringProperty(
        name="Python of the Local Backend",
        subtype="FILE_PATH",
        description="The Python program of the environment in which understudy-backend is installed",
    )
    device: StringProperty(
        name="Device",
        default="cpu",
        description="What the local backend computes on: cpu, cuda for an NVIDIA card, mps for a Mac",
    )
    data_folder: StringProperty(
        name="Backend Data",
        subtype="DIR_PATH",
        description="Where the local backend keeps jobs and finished frames. Empty: in the extension's own folder",
    )
    output_folder: StringProperty(
        name="Takes",
        subtype="DIR_PATH",
        description="Where finished frames go. Empty: a folder beside the .blend",
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        for name in ("python", "device", "data_folder", "address", "key_folder", "output_folder"):
            layout.prop(self, name)
        if self.address and not bpy.app.online_access:
            layout.label(text="A backend on another machine needs Allow Online Access (System)", icon="INFO")


def settings() -> Settings:
    """The preferences as they are; the defaults where the package was imported without being enabled as an add-on."""
    addon = bpy.context.preferences.addons.get(__package__)
    values = addon.preferences if addon else None

    def get(name: str) -> str:
        return getattr(values, name, "") or ""

    def folder(name: str, default: str) -> Path:
        return Path(bpy.path.abspath(get(name))) if get(name) else folders.user_folder(default)

    return Settings(
        address=get("address"),
        key_folder=folder("key_folder", "keys"),
        python=bpy.path.abspath(get("python")),
        device=get("device") or "cpu",
        data_folder=folder("data_folder", "backend"),
        output_folder=get("output_folder"),
    )


CLASSES = (UnderstudyPreferences,)
