"""Builds the Blender extension: one zip for every Blender and system, its repository listing, and a check of both.

    python packaging/build_extension.py                          into build/extension/
    python packaging/build_extension.py --platform linux-x64     a smaller zip for one system, for tests
    python packaging/build_extension.py --blender PATH           checked by that Blender

The zip has every wheel that it needs, so that it installs without a network; Blender unpacks those that fit. The same
sources and wheels give the same bytes. Wheels are downloaded once, at the versions below, into build/wheels/.

Checked is with Blender's own `extension validate`, and the listing is made by its `extension server-generate`: by a
Blender on the PATH (or `--blender`), else by the same program in a `bpy` module that `make test` has installed. Without
either the zip is built and only what this file knows is checked.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ADDON = ROOT / "blender_addon"

NAME = "understudy"

PINNED = ("pyzmq==27.3.0", "msgspec==0.22.0")
"""Blender keeps the newest of all extensions' wheels, so these are what we test with, not what we insist on."""

PYTHONS = ("3.11", "3.13", "3.14")
"""Of Blender 4.5 and 5.0, of 5.2, and of 5.2 as Linux distributions build it."""

OLD_MAC = "macos-x64"
"""Blender left it after 4.5, so that it needs the first of `PYTHONS` alone."""

PLATFORMS: dict[str, tuple[str, ...]] = {
    "linux-x64": ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
    "windows-x64": ("win_amd64",),
    OLD_MAC: ("macosx_10_9_x86_64", "macosx_10_15_x86_64", "macosx_10_15_universal2", "macosx_11_0_universal2"),
    "macos-arm64": ("macosx_11_0_arm64", "macosx_12_0_arm64", "macosx_10_15_universal2", "macosx_11_0_universal2"),
}
"""Blender's names of platforms, and what pip calls the wheels that run there."""

_EPOCH = (1980, 1, 1, 0, 0, 0)


class BuildError(RuntimeError):
    """The extension cannot be built; the message says what to do."""


@dataclass(frozen=True)
class WheelName:
    """A wheel's file name in its parts."""

    project: str
    version: str
    python: str
    abi: str
    platform: str

    @classmethod
    def parse(cls, name: str) -> WheelName:
        """Raises BuildError where it is none."""
        match = re.fullmatch(r"([^-]+)-([^-]+)(?:-\d[^-]*)?-([^-]+)-([^-]+)-([^-]+)\.whl", name)
        if match is None:
            raise BuildError(f"{name} is not the name of a wheel")
        return cls(*match.groups())

    def __str__(self) -> str:
        return f"{self.project}-{self.version}-{self.python}-{self.abi}-{self.platform}.whl"


def retag(wheel: Path, python: str, folder: Path) -> Path:
    """A copy of a wheel under another Python tag, as `cp313-cp313` for `python` = "cp313".

    Blender works out the Python versions of an extension from its wheels' tags, and drops `cp312-abi3` as soon as
    another version is named: an abi3 wheel beside a cp311 one is refused by 5.2 (Python 3.13), although it would run.
    So the copy names the version. Its code stays as it is; only the tags in `WHEEL`, and `RECORD`, change.

    Raises:
        BuildError: it is no wheel of the stable ABI.
    """
    name = WheelName.parse(wheel.name)
    if name.abi != "abi3":
        raise BuildError(f"{wheel.name} is not of the stable ABI: it runs on the Python that it names, and no other")
    out = folder / str(WheelName(name.project, name.version, python, python, name.platform))
    with zipfile.ZipFile(wheel) as source:
        files = {info.filename: source.read(info) for info in source.infolist() if not info.is_dir()}
    meta = f"{name.project}-{name.version}.dist-info"
    lines = [line for line in files[f"{meta}/WHEEL"].decode().splitlines() if not line.startswith("Tag:")]
    tags = [f"Tag: {python}-{python}-{tag}" for tag in name.platform.split(".")]
    files[f"{meta}/WHEEL"] = ("\n".join([*[line for line in lines if line.strip()], *tags]) + "\n").encode()
    files[f"{meta}/RECORD"] = _record(files, f"{meta}/RECORD")
    write_zip(out, files)
    return out


def _record(files: dict[str, bytes], own: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for name in sorted(files):
        if name == own:
            continue
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=").decode()
        writer.writerow((name, f"sha256={digest}", len(files[name])))
    writer.writerow((own, "", ""))
    return text.getvalue().encode()


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    """A zip whose bytes depend on its content alone."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_STORED if name.endswith(".whl") else zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            info.create_system = 3  # as on Unix, wherever it is built
            archive.writestr(info, files[name])


def shared_wheel(folder: Path) -> Path:
    """The wheel of `shared/`: pure Python, so it is its files and three lines about them. Needs no build tool."""
    project = tomllib.loads((ROOT / "shared/pyproject.toml").read_text("utf-8"))["project"]
    name = WheelName(project["name"].replace("-", "_"), project["version"], "py3", "none", "any")
    meta = f"{name.project}-{name.version}.dist-info"
    files = {
        path.relative_to(ROOT / "shared").as_posix(): path.read_bytes()
        for path in (ROOT / "shared" / name.project).rglob("*")
        if path.is_file() and not _ignored(path.relative_to(ROOT / "shared"))
    }
    about = {
        "Metadata-Version": ["2.1"],
        "Name": [project["name"]],
        "Version": [project["version"]],
        "Summary": [project["description"]],
        "License": [project["license"]["text"]],
        "Requires-Python": [project["requires-python"]],
        "Requires-Dist": project["dependencies"],
    }
    lines = [f"{key}: {value}\n" for key, values in about.items() for value in values]
    files[f"{meta}/METADATA"] = "".join(lines).encode()
    files[f"{meta}/licenses/LICENSE"] = (ROOT / "shared/LICENSE").read_bytes()
    files[f"{meta}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: understudy\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{meta}/RECORD"] = _record(files, f"{meta}/RECORD")
    out = folder / str(name)
    write_zip(out, files)
    return out


def foreign_wheels(platform_name: str, cache: Path, folder: Path) -> list[Path]:
    """The pinned wheels for a platform and each of `PYTHONS`: from the cache, else downloaded; retagged where need be.

    Raises:
        BuildError: pip finds one neither in the cache nor on its index.
    """
    found: dict[str, Path] = {}
    for requirement in PINNED:
        for version in PYTHONS[:1] if platform_name == OLD_MAC else PYTHONS:
            wheel = _fetch(requirement, version, platform_name, cache)
            tag = "cp" + version.replace(".", "")
            name = WheelName.parse(wheel.name)
            if name.abi == "abi3" and name.python != tag:
                wheel = retag(wheel, tag, folder)
            found[wheel.name] = wheel
    return [found[name] for name in sorted(found)]


def _fetch(requirement: str, version: str, platform_name: str, cache: Path) -> Path:
    cached = _cached(requirement, version, platform_name, cache)
    if cached is not None:
        return cached
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", requirement, "--dest", str(cache), "--no-deps", "--quiet"]
    command += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", version]
    for tag in PLATFORMS[platform_name]:
        command += ["--platform", tag]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    cached = _cached(requirement, version, platform_name, cache)
    if done.returncode or cached is None:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it said nothing")
        raise BuildError(f"{requirement} for Python {version} on {platform_name} is not to be had: {last}")
    return cached


def _cached(requirement: str, version: str, platform_name: str, cache: Path) -> Path | None:
    """The wheel in the cache that pip would choose: one for exactly this Python, else one of the stable ABI."""
    tag, minor = "cp" + version.replace(".", ""), int(version.partition(".")[2])
    stable = None
    for path in sorted(cache.glob("*.whl")):
        name = WheelName.parse(path.name)
        if f"{name.project}=={name.version}" != requirement:
            continue
        if not set(name.platform.split(".")) & set(PLATFORMS[platform_name]):
            continue
        if (name.python, name.abi) == (tag, tag):
            return path
        if name.abi == "abi3" and int(name.python.removeprefix("cp3")) <= minor:
            stable = path
    return stable


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
        if path.is_file() and not _ignored(relative) and relative.name != "blender_manifest.toml":
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


def _ignored(relative: Path) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" or part.endswith(".egg-info") for part in relative.parts)
    return hidden or relative.suffix == ".pyc"


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
