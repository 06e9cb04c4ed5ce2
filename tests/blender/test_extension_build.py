"""The extension's zip: what is in it, that it is the same twice, and that a Python that never saw us can run from it.

Wheels are taken from build/wheels/, and downloaded there the first time.
"""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "packaging"))
import build_extension as builder  # noqa: E402
import wheels as carried  # noqa: E402

TAGS = {"Sequencer", "Animation", "Camera", "Import-Export", "Render", "Compositing", "Pipeline"}
"""Of Blender's closed list, those that fit."""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    try:
        return builder.build(list(builder.PLATFORMS), out, ROOT / "build/wheels")
    except builder.BuildError as error:
        if "not to be had" in str(error):
            pytest.skip(f"needs the network once: {error}")
        raise


@pytest.fixture(scope="module")
def content(built):
    with zipfile.ZipFile(built) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def test_the_manifest_keeps_blenders_rules(content):
    manifest = tomllib.loads(content["blender_manifest.toml"].decode())
    assert manifest["id"] == "understudy" and manifest["type"] == "add-on" and manifest["schema_version"] == "1.0.0"
    assert manifest["license"] == ["SPDX:GPL-3.0-or-later"] and manifest["blender_version_min"] == "4.5.0"
    assert set(manifest["tags"]) <= TAGS
    assert set(manifest["permissions"]) == {"files", "network", "clipboard"}
    for text in (manifest["tagline"], *manifest["permissions"].values()):
        assert 0 < len(text) <= 64 and text[-1].isalnum()
    assert re.fullmatch(r"\d+\.\d+\.\d+", manifest["version"])
    assert manifest["platforms"] == ["linux-x64", "windows-x64", "macos-x64", "macos-arm64"]
    assert "Blender" not in manifest["name"]


def test_every_wheel_listed_is_there_and_whole(content):
    manifest = tomllib.loads(content["blender_manifest.toml"].decode())
    listed = [name.removeprefix("./") for name in manifest["wheels"]]
    assert sorted(listed) == sorted(name for name in content if name.endswith(".whl"))
    tags = set()
    for name in listed:
        parsed = carried.WheelName.parse(Path(name).name)
        tags.add((parsed.project, parsed.python, parsed.abi))
        with zipfile.ZipFile(io.BytesIO(content[name])) as wheel:
            meta = f"{parsed.project}-{parsed.version}.dist-info"
            inside = wheel.read(f"{meta}/WHEEL").decode()
            expected = {f"{parsed.python}-{parsed.abi}-{p}" for p in parsed.platform.split(".")}
            assert set(re.findall(r"^Tag: (.+)$", inside, re.MULTILINE)) == expected
            recorded = set()
            for path, digest, size in csv.reader(io.StringIO(wheel.read(f"{meta}/RECORD").decode())):
                recorded.add(path)
                if digest:
                    data = wheel.read(path)
                    sha = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                    assert (digest, int(size)) == (f"sha256={sha}", len(data))
            assert recorded == {i.filename for i in wheel.infolist() if not i.is_dir()}
    # abi3 is never named: Blender drops it beside another version, and then refuses or half installs the extension
    expected = {(p, v, v) for p in ("pyzmq", "msgspec") for v in ("cp311", "cp313", "cp314")}
    assert tags == expected | {("understudy_shared", "py3", "none")}


def test_only_what_belongs_is_in_it(content):
    names = {name for name in content if not name.startswith("wheels/")}
    sources = {p.relative_to(ROOT / "blender_addon").as_posix() for p in (ROOT / "blender_addon").rglob("*.py")}
    assert sources <= names and "__init__.py" in names
    assert content["LICENSE"].startswith(b"                    GNU GENERAL PUBLIC LICENSE")
    (shared,) = (n for n in content if n.startswith("wheels/understudy_shared"))
    with zipfile.ZipFile(io.BytesIO(content[shared])) as wheel:
        (licence,) = (n for n in wheel.namelist() if n.endswith(".dist-info/licenses/LICENSE"))
        assert wheel.read(licence) == (ROOT / "shared/LICENSE").read_bytes()
    assert not [n for n in names if "__pycache__" in n or n.endswith(".pyc") or Path(n).name.startswith(".")]
    roots = {"bpy", "bpy_extras", "mathutils", "gpu", "bl_math", "numpy", "pxr"}  # Blender's own
    roots |= {"msgspec", "zmq", "understudy_shared"}
    for name in sorted(n for n in names if n.endswith(".py")):
        for node in ast.walk(ast.parse(content[name])):
            found = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            found += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for module in found:
                root = module.partition(".")[0]
                assert root in roots or root in sys.stdlib_module_names, f"{name} imports {module}"


def test_the_same_sources_give_the_same_bytes(built, tmp_path):
    again = builder.build(list(builder.PLATFORMS), tmp_path, ROOT / "build/wheels")
    assert again.read_bytes() == built.read_bytes()


def test_the_wheels_run_where_nothing_else_is_installed(content, tmp_path):
    """As Blender does it: the wheels that fit are unpacked into a folder, and the folder is all there is."""
    version = f"cp{sys.version_info.major}{sys.version_info.minor}"
    here = {"linux": "manylinux", "win32": "win", "darwin": "macosx"}[sys.platform]
    for name, data in content.items():
        if name.endswith(".whl") and (f"{version}-{version}-{here}" in name or "py3-none" in name):
            with zipfile.ZipFile(io.BytesIO(data)) as wheel:
                wheel.extractall(tmp_path)
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import numpy; import zmq, msgspec, understudy_shared\n"
        "from understudy_shared.body import free_body; from understudy_shared.protocol.client import Connection\n"
        "s = zmq.Context().socket(zmq.DEALER); s.close()\n"
        "print(json.dumps([m.__file__ for m in (zmq, msgspec, understudy_shared)] + [len(free_body().v_template)]))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    *files, vertices = json.loads(done.stdout)
    assert all(Path(f).is_relative_to(tmp_path) for f in files) and vertices > 1000


def test_bad_wheels_are_refused(tmp_path):
    with pytest.raises(builder.BuildError, match="stable ABI"):
        carried.retag(tmp_path / "x-1.0-cp311-cp311-win_amd64.whl", "cp313", tmp_path)
    with pytest.raises(builder.BuildError, match="not the name"):
        carried.WheelName.parse("nonsense.zip")


def test_every_blender_on_every_system_finds_its_wheels(content):
    """By Blender's rule: the platform by the end of the wheel's tag, and exactly its own Python."""
    wheels = [carried.WheelName.parse(Path(name).name) for name in content if name.endswith(".whl")]
    systems = {
        "linux-x64": lambda tag: tag.startswith("manylinux") and tag.endswith("_x86_64"),
        "windows-x64": lambda tag: tag == "win_amd64",
        "macos-arm64": lambda tag: tag.startswith("macosx") and tag.endswith(("_arm64", "_universal2")),
        "macos-x64": lambda tag: tag.startswith("macosx") and tag.endswith(("_x86_64", "_universal2")),
    }
    assert set(systems) == set(builder.PLATFORMS)
    for system, fits in systems.items():
        for version in ("cp311",) if system == "macos-x64" else ("cp311", "cp313", "cp314"):
            found = [w.project for w in wheels if w.python == version and fits(w.platform)]
            assert sorted(found) == ["msgspec", "pyzmq"], f"{system} {version}"
    assert [str(w) for w in wheels if w.python == "py3"] == [f"understudy_shared-{wheels[-1].version}-py3-none-any.whl"]


# -- Blender itself


@pytest.fixture(scope="module")
def command():
    found = builder.blender_command()
    if not found:
        pytest.skip("no Blender, and no `bpy` module, to check with")
    return found


def test_blender_validates_and_lists_it(built, content, command, tmp_path):
    builder.validate(built, command)
    shutil.copy(built, tmp_path)
    listing = json.loads(builder.list_repository(tmp_path, command).read_text("utf-8"))
    manifest = tomllib.loads(content["blender_manifest.toml"].decode())
    (entry,) = listing["data"]
    assert {k: entry[k] for k in ("id", "version", "platforms", "blender_version_min", "permissions")} == {
        k: manifest[k] for k in ("id", "version", "platforms", "blender_version_min", "permissions")
    }
    assert sorted(entry["python_versions"]) == ["3.11", "3.13", "3.14"]
    assert entry["archive_url"] == f"./{built.name}" and entry["archive_size"] == built.stat().st_size
    assert entry["archive_hash"] == f"sha256:{hashlib.sha256(built.read_bytes()).hexdigest()}"


def test_what_blender_refuses_is_an_error(built, command, tmp_path):
    damaged = tmp_path / "understudy-0.zip"
    with zipfile.ZipFile(built) as whole, zipfile.ZipFile(damaged, "w") as part:
        text = whole.read("blender_manifest.toml").decode()
        part.writestr("blender_manifest.toml", text.replace("moving person", "moving person."))
        part.writestr("__init__.py", "")
    with pytest.raises(builder.BuildError, match="not valid"):
        builder.validate(damaged, command)


def test_it_installs_and_goes_without_a_trace(built, tmp_path):
    """In a Blender of its own: installed from the zip, then twenty times on and off, each time with a connection."""
    script = Path(__file__).with_name("extension_cycle.py")
    environment = {**os.environ, "BLENDER_USER_RESOURCES": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script), str(built), "20"], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and "Error" not in done.stderr, done.stderr
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    # what Blender loads is what was in the zip, and its wheels were unpacked
    assert Path(found["files"]["bl_ext.user_default.understudy"]).is_relative_to(tmp_path / "extensions")
    assert Path(found["files"]["understudy_shared"]).is_relative_to(tmp_path / "extensions/.local")
    assert {"zmq", "msgspec", "understudy_shared"} <= set(found["unpacked"])
    # the look must see what there is to see
    kinds = ("Operator", "Panel", "Menu", "PropertyGroup", "AddonPreferences", "RenderEngine")
    seen = {f"subclasses.{kind}" for kind in kinds} | {"threads", "types", "operators", "engines"}
    seen |= {"translations"} if found["translates"] else set()
    assert seen | {"properties.Scene", "handlers.save_pre", "handlers.load_post"} <= set(found["added"])
    assert all(count > 0 for count in found["running"])
    assert found["registered_timers"] >= 20
    # and nothing of it stays; modules do, as Blender keeps those of every extension, but they do not become more
    assert set(found["first"]) <= {"modules"} and found["since"] == {}
    assert found["timers"] == [] and found["commands"] == 0
