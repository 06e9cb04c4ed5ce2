"""The first start: which Python has the backend, in which version, without ever waiting for it."""

from __future__ import annotations

import os
import stat
import sys
import threading
import time

import pytest

bpy = pytest.importorskip("bpy")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="stands a shell script in for Python")


def program(path, lines: str):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def checkup():
    from blender_addon.link.checkup import Checkup

    checkup = Checkup()
    yield checkup
    checkup.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "understudy-checkup"]


def test_the_first_python_that_has_the_backend_is_found(checkup, tmp_path):
    lacks = program(tmp_path / "a", "echo none")
    broken = program(tmp_path / "b", "exit 3")
    good = program(tmp_path / "c", "echo understudy 0.1.0")
    never = program(tmp_path / "d", f"touch {tmp_path}/asked; echo understudy 9")
    checkup.start([lacks, broken, str(tmp_path / "no such"), good, never])
    found = checkup.wait()
    assert (found.python, found.version, found.good) == (good, "0.1.0", True)
    assert not (tmp_path / "asked").exists()


def test_a_real_python_answers_the_question(checkup):
    checkup.start([sys.executable])
    found = checkup.wait()
    # Blender's environment of the tests has no backend.
    assert not found.good and found.sentence == "This Python lacks the backend"


@pytest.mark.parametrize("lines", ["exit 1", "echo hello", "echo understudy"])
def test_a_program_that_is_no_python_is_named(checkup, tmp_path, lines):
    checkup.start([program(tmp_path / "a", lines)])
    assert not checkup.wait().good and "Python" in checkup.found.sentence


def test_nothing_is_found_where_nothing_is(checkup):
    checkup.start([])
    assert checkup.wait().sentence == "No Python with the backend was found on this computer"


def test_asking_returns_at_once_and_closing_ends_it(checkup, tmp_path):
    begun = time.monotonic()
    checkup.start([program(tmp_path / "a", "exec sleep 60")])
    assert time.monotonic() - begun < 1 and checkup.busy and checkup.found is None
    while checkup._process is None:
        time.sleep(0.01)
    checkup.close()
    assert not checkup.busy and time.monotonic() - begun < 10


def test_candidates_are_where_a_backend_is_installed(tmp_path):
    from blender_addon.link.checkup import candidates

    home, bin_ = tmp_path / "home", tmp_path / "bin"
    assert candidates({"PATH": str(bin_)}, home) == []
    own = program(home / ".understudy/venv/bin/python", "")
    behind = program(tmp_path / "venv/bin/python", "")
    command = program(bin_ / "understudy", "")
    (bin_ / "understudy").write_text(f"#!{behind}\nimport sys\n")
    named = program(tmp_path / "named", "")
    environment = {"PATH": str(bin_), "UNDERSTUDY_PYTHON": named, "VIRTUAL_ENV": str(tmp_path / "nowhere")}
    assert command and candidates(environment, home) == [named, behind, own]
    (bin_ / "understudy").write_bytes(b"\xff\xfe\x00")
    assert candidates({"PATH": str(bin_)}, home) == [own]


@pytest.fixture
def enabled(scene, tmp_path, monkeypatch):
    """The extension enabled as an add-on, so that it has preferences."""
    import addon_utils

    from blender_addon.link import folders

    def user_folder(path: str = ""):
        folder = tmp_path / "user" / path
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    monkeypatch.setattr(folders, "user_folder", user_folder)
    bpy.context.preferences.addons.new().module = "blender_addon"
    addon_utils.enable("blender_addon", default_set=False)
    from blender_addon import preferences

    yield preferences.stored()
    addon_utils.disable("blender_addon", default_set=True)


def test_the_welcome_stays_until_a_backend_has_answered(enabled, tmp_path):
    from types import SimpleNamespace

    from blender_addon.link.session import current
    from blender_addon.panels.backend import is_new
    from blender_addon.panels.redraw import Redraw

    assert enabled is not None and is_new(current())
    enabled.address = "tcp://127.0.0.1:1"
    assert is_new(current())  # half a way is no way yet
    Redraw().look()
    assert not enabled.welcomed
    session = current()
    session.pump.online = True
    Redraw().look()
    session.pump.online = False
    assert enabled.welcomed and not is_new(SimpleNamespace(pump=session.pump))


def test_a_python_that_was_found_is_set_and_one_that_was_chosen_stays(enabled, tmp_path):
    from blender_addon.api.backend import adopt_found
    from blender_addon.link.session import current

    good = program(tmp_path / "good", "echo understudy 0.1.0")
    current().checkup.start([good])
    current().checkup.wait()
    assert adopt_found() and enabled.python == good
    enabled.python = "/usr/bin/mine"
    assert not adopt_found() and enabled.python == "/usr/bin/mine"


def test_keys_are_checked_when_they_are_chosen(enabled, tmp_path):
    from understudy_shared.protocol.security import make_keys

    enabled.key_folder = str(tmp_path / "nothing")
    assert "no key in" in enabled.key_problem
    make_keys(tmp_path / "server", "server")
    make_keys(tmp_path / "keys", "client")
    (tmp_path / "keys/server.pub").write_bytes((tmp_path / "server/server.pub").read_bytes())
    enabled.key_folder = str(tmp_path / "keys")
    assert enabled.key_problem == ""
    enabled.key_folder = ""
    assert enabled.key_problem == ""
