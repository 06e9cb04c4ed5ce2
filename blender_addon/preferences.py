# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences of the extension: where the backend is. They belong to this machine and never enter a .blend; of keys
they hold the folder, not the content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty
from understudy_shared.protocol.security import KeyFileError, load_client_keys

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


@dataclass(frozen=True)
class Known:
    """What is set of the way to a backend, as written: for panels, which must not touch the disk."""

    python: str = ""
    address: str = ""

    @property
    def anything(self) -> bool:
        return bool(self.python or self.address)


def _check_keys(self: UnderstudyPreferences, _: bpy.types.Context) -> None:
    self.key_problem = ""
    if self.key_folder:
        try:
            load_client_keys(Path(bpy.path.abspath(self.key_folder)))
        except KeyFileError as error:
            self.key_problem = str(error)


class UnderstudyPreferences(bpy.types.AddonPreferences):
    bl_idname = __package__

    address: StringProperty(
        name="Address",
        description="Address of a backend that runs already, as tcp://host:port. Empty: a local one is started",
    )
    key_folder: StringProperty(
        name="Keys",
        subtype="DIR_PATH",
        update=_check_keys,
        description="Folder with client.key, client.pub and the backend's server.pub, for a backend on another machine",
    )
    key_problem: StringProperty(options={"HIDDEN"}, description="What was wrong with the keys when they were chosen")
    python: StringProperty(
        name="Python",
        subtype="FILE_PATH",
        description="The Python program of the environment in which the backend is installed on this computer",
    )
    device: EnumProperty(
        name="Runs On",
        items=(
            ("cpu", "Processor", "Works on every computer, slowly"),
            ("cuda", "NVIDIA Card", "A graphics card of NVIDIA, with CUDA"),
            ("mps", "Apple Chip", "The graphics part of an Apple chip"),
        ),
        default="cpu",
        description="What the local backend computes on",
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

    welcomed: BoolProperty(
        options={"HIDDEN"}, description="A backend has answered once: the welcome is not needed any more"
    )

    def draw(self, context: bpy.types.Context) -> None:
        from .panels import preferences_page

        preferences_page.draw(self.layout, context, self)


def stored() -> UnderstudyPreferences | None:
    """The preferences themselves; None where the package was imported without being enabled as an add-on."""
    addon = bpy.context.preferences.addons.get(__package__)
    return addon.preferences if addon else None


def known() -> Known:
    """See `Known`."""
    values = stored()
    return Known(values.python.strip(), values.address.strip()) if values is not None else Known()


def settings() -> Settings:
    """The preferences as they are; the defaults where the package was imported without being enabled as an add-on."""
    values = stored()

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
