"""Builds the Blender extension: one zip for every Blender and system, its repository listing, and a check of both.

    python packaging/build_extension.py                          into build/extension/
    python packaging/build_extension.py --platform linux-x64     a smaller zip for one system, for tests
    python packaging/build_extension.py --blender PATH           checked by that Blender

The zip has every wheel that it needs, so that it installs without a network; Blender unpacks those that fit. The same
sources and wheels give the same bytes. Wheels are downloaded once, at the versions in `wheels.py`, into build/wheels/.

Checked is with Blender's own `extension validate`, and the listing is made by its `extension server-generate`: by a
Blender on the PATH (or `--blender`), else by the same program in a `bpy` module that `make test` has installed. Without
either the zip is built and only what this file knows is checked.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from wheels import PLATFORMS, ROOT, BuildError, foreign_wheels, ignored, shared_wheel, write_zip

ADDON = ROOT / "blender_addon"

NAME = "understudy"


def manifest(platforms: Sequence[str], wheels: list[str]) -> bytes:
    """The extension's manifest with platforms and wheels filled in.

    Raises:
        BuildError: the source has them already.
    """
    text = (ADDON / "blender_manifest.toml").read_text("utf-8")
    if {"wheels", "platforms"} & set(tomllib.loads(text)):
        raise BuildError("blender_manifest.toml must leave wheels and platforms to packaging/build_extension.py")
    listed = "".join(f'  "./wheels/{name}",\n' for name in wheels)
    filled = f"platforms = {json.dumps(list(platforms))}\nwheels = [\n{listed}]\n\n[permissions]"
    text = re.sub(r"^# `wheels` and `platforms`.*\n+", "", text, flags=re.MULTILINE)
    return text.replace("[permissions]", filled, 1).encode()


def build(platforms: Sequence[str], out: Path, cache: Path) -> Path:
    """Builds the zip for some platforms, or for all of them, and returns its path.

    Raises:
        BuildError: a wheel is not to be had.
    """
    with tempfile.TemporaryDirectory(prefix="understudy-extension-") as scratch:
        folder = Path(scratch)
        found = [shared_wheel(folder)]
        for name in platforms:
            found += foreign_wheels(name, cache, folder)
        # Some wheels serve two platforms
        wheels = [wheel for _, wheel in sorted({wheel.name: wheel for wheel in found}.items())]
        files = {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in wheels}
        files["blender_manifest.toml"] = manifest(platforms, [wheel.name for wheel in wheels])
    for path in sorted(ADDON.rglob("*")):
        relative = path.relative_to(ADDON)
        if path.is_file() and not ignored(relative) and relative.name != "blender_manifest.toml":
            files[relative.as_posix()] = path.read_bytes()
    version = tomllib.loads(files["blender_manifest.toml"].decode())["version"]
    out.mkdir(parents=True, exist_ok=True)
    some = "" if set(platforms) == set(PLATFORMS) else "-" + "-".join(name.replace("-", "_") for name in platforms)
    target = out / f"{NAME}-{version}{some}.zip"
    for old in out.glob(f"{NAME}-*.zip"):  # a listing of two would offer both
        old.unlink()
    write_zip(target, files)
    return target


def blender_command(blender: str = "") -> list[str]:
    """What `extension` commands are given to: Blender, or the program in a `bpy` module that does its work; empty where
    there is neither.

    Args:
        blender: a Blender to be taken; default: one on the PATH.
    """
    found = shutil.which(blender or "blender")
    if found is not None:
        return [found, "--factory-startup", "--command", "extension"]
    if blender:
        raise BuildError(f"{blender} is no program that can be started: give the path of a Blender")
    inside = "lib/python3*/site-packages/bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py"
    for environment in sorted(ROOT.glob(".venv-blender-*"), reverse=True):
        for program in environment.glob(inside):
            return [str(environment / "bin/python"), str(program)]
    return []


def validate(path: Path, command: Sequence[str]) -> None:
    """Lets Blender look at the zip.

    Raises:
        BuildError: it is not as Blender wants it, with what Blender says.
    """
    _blender([*command, "validate", str(path)], f"{path.name} is not valid")


def list_repository(folder: Path, command: Sequence[str]) -> Path:
    """Writes `index.json`, which makes the folder a repository of extensions once it is on a web server.

    Raises:
        BuildError: Blender cannot, or lists something else than the one extension.
    """
    _blender([*command, "server-generate", f"--repo-dir={folder}"], "the listing was not made")
    listing = folder / "index.json"
    listed = json.loads(listing.read_text("utf-8"))["data"]
    if [entry["id"] for entry in listed] != [NAME]:
        raise BuildError(f"{listing} lists {[entry['id'] for entry in listed]}: empty {folder} and build again")
    return listing


def _blender(command: list[str], problem: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode or any(line.startswith(("Error", "FATAL_ERROR")) for line in said):
        raise BuildError(f"{problem}: {said[-1] if said else 'Blender does not say why'}")


def this_platform() -> str:
    """Blender's name for this machine.

    Raises:
        BuildError: there is no pyzmq for it that Blender could use.
    """
    machine = platform.machine().lower()
    key = (sys.platform, "x64" if machine in ("x86_64", "amd64") else machine)
    names = {("linux", "x64"): "linux-x64", ("win32", "x64"): "windows-x64", ("darwin", "arm64"): "macos-arm64"}
    if key not in names:
        raise BuildError(f"no extension is built for {sys.platform} on {machine}: choose one of {', '.join(PLATFORMS)}")
    return names[key]


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--platform", choices=[*PLATFORMS, "this"], help="for one system alone; default: for all")
    parser.add_argument("--out", type=Path, default=ROOT / "build/extension")
    parser.add_argument("--wheels", type=Path, default=ROOT / "build/wheels", help="cache of downloaded wheels")
    parser.add_argument("--blender", default="", help="checks the zip and makes the listing; default: one on the PATH")
    options = parser.parse_args(arguments)
    try:
        one = this_platform() if options.platform == "this" else options.platform
        path = build([one] if one else list(PLATFORMS), options.out, options.wheels)
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
        command = blender_command(options.blender)
        if command:
            validate(path, command)
            print(f"{list_repository(options.out, command)}  checked and listed by {command[0]}")
        else:
            print("no Blender was found: the zip was not validated, and there is no listing", file=sys.stderr)
    except (BuildError, OSError) as error:
        print(f"build_extension: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
