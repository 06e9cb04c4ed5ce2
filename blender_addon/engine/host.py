# SPDX-License-Identifier: GPL-3.0-or-later
"""What lasts from frame to frame of a render, because Blender makes a new engine for each: the run, and its end.

Blender tells of a render by handlers: `render_init` at its begin, `render_pre` before each frame, and at the end
`render_complete` or `render_cancel`. Snapshots are taken before each frame, because Blender must not render (the
body, for its passes) while an engine does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import bpy
from bpy.app.handlers import persistent
from numpy.typing import NDArray

from ..link import session as link
from ..link.local_backend import BackendState
from ..scene import evaluation
from . import picture, way
from .courier import PATIENCE, BackendFailure, Progress, Watch
from .dither import DitherOff
from .main_thread import MainThread
from .run import Run

ENGINE = "UNDERSTUDY"

GREETING = 10.0
"""Seconds in which a backend that runs has to answer, for an artist who waits."""


class Host:
    """`attach` and `detach` in register and unregister; the engine asks it for `images`."""

    def __init__(self) -> None:
        self.main = MainThread()
        self._dither = DitherOff()
        self._run: Run | None = None
        self._scene = ""
        self._more = False
        self._read: int | None = None
        self._passes: dict[str, NDArray] = {}
        self._error: Exception | None = None
        self._handlers = self._make_handlers()

    def attach(self) -> None:
        """Appends the handlers and starts the timer."""
        for name, function in self._handlers.items():
            getattr(bpy.app.handlers, name).append(function)
        self.main.attach()

    def detach(self) -> None:
        """Ends a render that still runs, and takes all away again."""
        self.main.detach()
        self._end()
        for name, function in self._handlers.items():
            functions = getattr(bpy.app.handlers, name)
            if function in functions:
                functions.remove(function)

    def images(self, scene: bpy.types.Scene, watch: Watch, *, animation: bool) -> dict[str, NDArray]:
        """The passes of the scene's current frame, (H, W, C) by name, top row first; waits for the backend.

        Args:
            scene: that is rendered, the original.
            watch: see `courier.Watch`.
            animation: other frames will follow.

        Raises:
            ValueError, RuntimeError, OSError: what is wrong, and what to do. What `watch` raises.
        """
        number = scene.frame_current
        if self._error is None and (self._read != number or self._scene != scene.name):
            # Another scene's compositor asks for this one: Blender has not told of it before.
            self._prepare(scene, number, with_passes=False)
        if self._error is not None:
            raise self._error
        assert self._run is not None
        # Blender tells that it is an animation only now: the first frame is asked for alone, the rest at once.
        self._more = animation and not _only_named_frames()
        colour = picture.premultiplied(self._run.frame(number, watch))
        return {picture.COMBINED: colour, **self._passes}

    # -- the handlers

    def _make_handlers(self) -> dict[str, Callable[..., None]]:
        @persistent
        def render_init(scene: bpy.types.Scene, *_: object) -> None:
            if scene.render.engine == ENGINE:
                self._end()
                self._more = _whole_animation()

        @persistent
        def render_pre(scene: bpy.types.Scene, *_: object) -> None:
            if scene.render.engine == ENGINE:
                self._prepare(scene, scene.frame_current, with_passes=True)

        @persistent
        def render_end(scene: bpy.types.Scene, *_: object) -> None:
            # Of any engine: its compositor may have asked for a scene of ours. Renders of the body go on within ours.
            if not scene.name.startswith(evaluation.NAME):
                self._end()

        @persistent
        def settings_back(*_: object) -> None:
            self._dither.restore()

        return {
            "render_init": render_init,
            "render_pre": render_pre,
            "render_complete": render_end,
            "render_cancel": render_end,
            "save_pre": settings_back,
        }

    def _prepare(self, scene: bpy.types.Scene, number: int, *, with_passes: bool) -> None:
        """Reads the scene for one frame. What goes wrong is kept for the engine, which can report it."""
        self._error, self._passes, self._read = None, {}, None
        try:
            if self._run is None or self._scene != scene.name:
                more = self._more
                self._end()
                self._more = more
                self._run = self.main.call(lambda: Run(scene, way.find()))
                self._scene = scene.name
            run = self._run
            run.greet(_greeting())
            self.main.call(lambda: self._read_scene(run, scene, number, with_passes=with_passes))
        except Exception as error:
            self._error = error

    def _read_scene(self, run: Run, scene: bpy.types.Scene, number: int, *, with_passes: bool) -> None:
        """In the main thread."""
        try:
            run.read(number, more=self._more)
            if with_passes and (samples := samples_for(scene)):
                self._passes = picture.body_passes(run.shot.passes(number, samples))
        finally:
            # Snapshots leave view layers behind that Blender brings in line when it needs them. A render that has begun
            # needs them at once, and 5.2 crashes: asking for the active object brings them in line.
            for layer in (layer for each in bpy.data.scenes for layer in each.view_layers):
                layer.objects.active  # noqa: B018
        self._dither.begin(scene)
        self._read = number

    def _end(self) -> None:
        run, self._run = self._run, None
        self._scene, self._read, self._passes, self._error, self._more = "", None, {}, None, False
        self._dither.restore()
        if run is not None:
            run.close()


def samples_for(scene: bpy.types.Scene) -> int:
    """How many samples the body's passes take that the scene's view layers ask for; 0 where they ask for none."""
    layers = [layer for layer in scene.view_layers if layer.use]
    if any(layer.understudy.use_pass_mask or layer.understudy.use_pass_body for layer in layers):
        return 16
    return int(any(layer.use_pass_z or layer.use_pass_normal or layer.use_pass_uv for layer in layers))


def _greeting() -> Watch:
    """For waiting where Esc is not heard: not long, in a window."""
    starting = link.current().backend.state is BackendState.STARTING
    seconds = PATIENCE if bpy.app.background or starting else GREETING
    end = time.monotonic() + seconds

    def watch(_: Progress) -> None:
        if time.monotonic() > end:
            raise BackendFailure("The backend does not answer: look at Understudy's preferences", away=True)

    return watch


def _arguments() -> list[str]:
    """Blender's own, without those for scripts."""
    return sys.argv[: sys.argv.index("--")] if "--" in sys.argv else sys.argv


def _whole_animation() -> bool:
    """Whether Blender was started to render the scene's range: `blender -b FILE -a`."""
    return bpy.app.background and any(a in ("-a", "--render-anim") for a in _arguments())


def _only_named_frames() -> bool:
    """Whether Blender was started to render single frames, which it calls an animation: `blender -b FILE -f 7`."""
    named = any(a in ("-f", "--render-frame") for a in _arguments())
    return bpy.app.background and named and not _whole_animation()


_host: Host | None = None
"""Kept at module level, as `link.session` is: Blender makes engines itself, and gives them nothing."""


def open_host() -> None:
    """From `register`."""
    global _host  # noqa: PLW0603 - see above
    if _host is None:
        _host = Host()
        _host.attach()


def close_host() -> None:
    """From `unregister`."""
    global _host  # noqa: PLW0603
    if _host is not None:
        _host.detach()
        _host = None


def current() -> Host:
    """The host.

    Raises:
        RuntimeError: the extension is not enabled.
    """
    if _host is None:
        raise RuntimeError("Understudy is not enabled: switch it on in Preferences, Add-ons")
    return _host
