# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension's running parts, made by `register` and ended by `unregister`: jobs, pump, connection, local backend.

This is the one thing that is kept at module level (Blender gives add-ons no other place for what is not data).
"""

from __future__ import annotations

import atexit
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent
from understudy_shared.protocol.security import KeyFileError, is_private, load_client_keys

from ..presets import PresetShelf
from ..timeline import prefetch
from ..timeline.lock import SceneLock
from ..timeline.upkeep import Upkeep
from . import folders, results
from .book import JobBook
from .checkup import Checkup
from .connection import BackendLink
from .local_backend import BackendState, LocalBackend
from .method_book import MethodBook
from .moving import Saving
from .pump import Pump
from .weight_fetch import WeightFetch


class ConnectionRefused(RuntimeError):
    """A connection may not be made; the message says what to do."""


class Session:
    """Everything that runs, in one object. `open` it once and `close` it once."""

    def __init__(self) -> None:
        self.jobs = JobBook()
        self.lock = SceneLock()
        self.pump = Pump(self.jobs, self.lock, results.apply)
        self.backend = LocalBackend(folders.user_folder() / "backend.log")
        self.weights = WeightFetch(folders.user_folder() / "weights.log")
        self.method_book = MethodBook(folders.user_folder() / "methods.json")
        self.presets = PresetShelf(folders.user_folder("presets"))
        self.checkup = Checkup()
        self.pump.every_tick = self._every_tick
        self.pump.sender.describe = lambda name: next((m for m in self.method_book.methods if m.name == name), None)
        self.pump.on_connected = self._connected
        self._unread = False
        self._death = ""
        self._saving = Saving(self.jobs, self.pump.sender)
        self.upkeep = Upkeep(self.jobs)
        self._handlers = self._make_handlers()

    @property
    def status(self) -> str:
        """How the connection is, in one sentence for the artist."""
        died = self.backend.state is BackendState.DIED and not self.pump.online
        return self._death if died else self.pump.status

    @property
    def lost(self) -> bool:
        """Nothing will go on by itself: there is no connection, or the local backend that it led to has ended."""
        link = self.pump.link
        return link is None or (self.backend.state is BackendState.DIED and link.address == self.backend.address)

    def open(self) -> None:
        """Attaches handlers and timer, and reads the jobs of the file that is open."""
        self.lock.attach()
        for name, function in self._handlers.items():
            getattr(bpy.app.handlers, name).append(function)
        atexit.register(self._quit)
        self.pump.start()
        if hasattr(bpy.data, "texts"):
            self.read_file()
        else:  # Blender hides its data while it enables add-ons at start or at installation
            self._unread = True

    def close(self) -> None:
        """Ends timer, thread and child process, and takes the handlers away."""
        self.checkup.close()
        self.weights.cancel()
        self.pump.stop()
        self.disconnect()
        self.backend.stop_and_wait()
        atexit.unregister(self._quit)
        for name, function in self._handlers.items():
            functions = getattr(bpy.app.handlers, name)
            if function in functions:
                functions.remove(function)
        self.lock.detach()

    def _quit(self) -> None:
        """Blender ends without `unregister` (a script's `bpy` does): no thread of ours may be at work when it goes."""
        self.pump.stop()
        self.weights.cancel()
        self.disconnect()
        self.backend.stop_and_wait()

    def connect(self, address: str, key_folder: Path | None = None) -> None:
        """Connects in the background, in place of an earlier connection. Active jobs go on there.

        Args:
            address: `tcp://host:port` or `ipc://path`.
            key_folder: path of the client's keys: needed for another machine's backend, and for one of this machine
                that has keys, too.

        Raises:
            ConnectionRefused: online access is off, or the keys are missing.
        """
        keys = None
        if not is_private(address):
            if not bpy.app.online_access:
                raise ConnectionRefused(
                    f"{address} is not on this machine: switch on Allow Online Access in Preferences, System"
                )
            if key_folder is None:
                raise ConnectionRefused(f"{address} is not on this machine: choose the folder of your keys")
        if key_folder is not None:
            try:
                keys = load_client_keys(key_folder)
            except KeyFileError as error:
                raise ConnectionRefused(f"{error}") from error
        self.disconnect()
        link = BackendLink(address, folders.owner(), keys)
        link.start()
        self.pump.attach(link)

    def disconnect(self) -> None:
        """Ends the connection, if there is one. Jobs run on at the backend, and here wait for the next connection."""
        link = self.pump.link
        if link is not None:
            self.pump.attach(None)
            link.close()

    def start_backend(self, python: str, data_folder: Path, address: str = "", arguments: tuple[str, ...] = ()) -> None:
        """Starts the local backend and connects to it; see `LocalBackend.start`. One that died comes back at its
        address, so that the connection finds it again by itself.

        Raises:
            BackendError, ConnectionRefused: it cannot be.
        """
        again = self.backend.state is BackendState.DIED and not address
        address = address or (self.backend.address if again else "")
        address = self.backend.start(python, data_folder, address, arguments)
        if self.pump.link is None or self.pump.link.address != address:
            self.connect(address)

    def stop_backend(self) -> None:
        """Disconnects from the local backend and asks it to stop; the pump sees to it."""
        if self.pump.link is not None and self.pump.link.address == self.backend.address:
            self.disconnect()
        self.backend.stop()

    def read_file(self) -> None:
        """Takes over the jobs of the file that is open now."""
        self._unread = False
        self.pump.forget()
        self.upkeep.forget()
        self.jobs.read()
        for scene in bpy.data.scenes:
            prefetch.restore(scene)

    def _connected(self) -> None:
        self.method_book.remember(self.pump.methods)
        if self.pump.link is not None and self.pump.link.address == self.backend.address:
            self.backend.connected()

    def catch_up(self) -> None:
        """Reads the jobs of the file if that had to wait until Blender shows its data."""
        if self._unread and hasattr(bpy.data, "texts"):
            self.read_file()

    def _every_tick(self) -> None:
        self.catch_up()
        self.upkeep.tend()
        self.method_book.describe_scenes()
        if self.weights.poll() and self.pump.link is not None:
            self.pump.link.ask_methods()
        before = self.backend.state
        if self.backend.poll() is BackendState.DIED and before is not BackendState.DIED:
            last = next((line for line in reversed(self.backend.tail()) if line.strip()), "it said nothing")
            self._death = f"The local backend has ended: {last}. Its log is {self.backend.log_file}; start it again"
            for job in self.jobs.active():
                job.say(self._death)

    def _make_handlers(self) -> dict[str, Any]:
        @persistent
        def load_post(*_: object) -> None:  # not load_pre: that is also called for a file that then cannot be opened
            self.read_file()

        @persistent
        def save_pre(target: object = "", *_: object) -> None:
            from .. import preferences

            # The startup file has no path.
            blend = Path(target) if isinstance(target, str) and target else None
            self._saving.before(blend, preferences.settings().output_folder)

        @persistent
        def save_post(*_: object) -> None:
            self._saving.after()

        @persistent
        def undo_post(*_: object) -> None:
            # Undo has taken strips and the text back to an earlier state; the jobs went on.
            self.upkeep.undone()

        @persistent
        def exit_pre(*_: object) -> None:
            self.backend.stop_and_wait()

        handlers = {
            "load_post": load_post,
            "save_pre": save_pre,
            "save_post": save_post,
            "save_post_fail": save_post,
            "undo_post": undo_post,
            "redo_post": undo_post,
            "exit_pre": exit_pre,  # not in 4.5 and 5.0: there atexit does it
        }
        return {name: function for name, function in handlers.items() if hasattr(bpy.app.handlers, name)}


_session: Session | None = None


def open_session() -> None:
    """From `register`."""
    global _session  # noqa: PLW0603 - see the module's text
    if _session is None:
        _session = Session()
        _session.open()


def close_session() -> None:
    """From `unregister`."""
    global _session  # noqa: PLW0603
    if _session is not None:
        _session.close()
        _session = None


def current() -> Session:
    """The session.

    Raises:
        RuntimeError: the extension is not enabled.
    """
    if _session is None:
        raise RuntimeError("Understudy is not enabled: switch it on in Preferences, Add-ons")
    _session.catch_up()
    return _session
