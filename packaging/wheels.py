"""The wheels that the extension carries: of `shared/`, and the pinned ones of others for every Python and system."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

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
        if path.is_file() and not ignored(path.relative_to(ROOT / "shared"))
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


def ignored(relative: Path) -> bool:
    """Whether a file of a source folder stays out of what is built: hidden, or left there by Python."""
    hidden = any(part.startswith(".") or part == "__pycache__" or part.endswith(".egg-info") for part in relative.parts)
    return hidden or relative.suffix == ".pyc"
