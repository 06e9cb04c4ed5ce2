# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames straight into a folder, without a strip: for farms and scripts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import bpy
from understudy_shared.job import FrameRange
from understudy_shared.protocol.description import MethodDescription

from ..engine import way as ways
from ..engine.courier import PATIENCE, BackendFailure, Progress
from ..engine.run import Run
from ..engine.shot import Asked
from ..engine.way import NoBackend
from ..link import png
from ..link.disk import DiskError
from ..link.names import frame_name


@dataclass(frozen=True)
class Told:
    """What `render_to_folder` says while it works."""

    number: int
    """The frame that it is about."""
    done: int
    """How many of the frames are there now."""
    total: int
    stage: str
    """What the backend does for it."""
    finished: bool = False
    """It was finished just now."""


def render_to_folder(
    folder: str | Path,
    scene: bpy.types.Scene | None = None,
    *,
    frames: tuple[int, int, int] | None = None,
    method: str = "",
    size: tuple[int, int] | None = None,
    seed: int | None = None,
    params: Mapping | Callable[[MethodDescription], Mapping] | None = None,
    overwrite: bool = False,
    address: str = "",
    key_folder: str | Path | None = None,
    python: str = "",
    patience: float = PATIENCE,
    on_told: Callable[[Told], None] = lambda told: None,
) -> int:
    """Makes frames of the person as `000001.png` and so on, exactly those of a take. Waits until all are there.

    Frames that are in the folder already are left as they are, so that the same call goes on after a break.

    Args:
        folder: made where there is none.
        scene: default: the current one; what is left out below is taken from its settings.
        frames: (first, last, step); default: the scene's range. A method that looks at neighbouring frames is given
            the whole range of the scene all the same, if these frames are of it.
        method: name of the backend's method.
        size: (width, height) in pixels.
        seed: another one, another take.
        params: the method's parameters that differ from its defaults, or what gives them for its description.
        overwrite: make all frames, also those that are there.
        address: of the backend; default: the one that is connected, that of the preferences, or a local one.
        key_folder: with this client's keys.
        python: interpreter that a local backend is started with; default: the preferences'.
        patience: seconds that the backend may be away.
        on_told: called with what happens, several times a second.

    Returns:
        How many frames were made, and not there already.

    Raises:
        ValueError: body, camera, photo or texture is missing, or a setting is wrong. NoBackend, BackendFailure: it
            cannot be reached, or the job failed. OSError: a frame cannot be written.
    """
    scene = scene or bpy.context.scene
    where = Path(folder)
    shot = FrameRange(scene.frame_start, scene.frame_end, scene.frame_step)
    asked = FrameRange(*frames) if frames else shot
    numbers = asked.numbers()
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(error, where) from error
    to_make = [n for n in numbers if overwrite or not (where / frame_name(n)).is_file()]
    if not to_make:
        return 0
    whole = shot if set(numbers) <= set(shot.numbers()) else asked
    settings = scene.understudy
    wanted = Asked(
        method=method,
        size=size or (settings.width, settings.height),
        seed=seed,
        params=params if isinstance(params, Mapping) else None,
        frames=asked,
        whole=whole,
        skip=frozenset(numbers) - frozenset(to_make),
        take_camera=True,
    )
    run = Run(scene, ways.find(address, key_folder, python), wanted, patience=patience)
    try:
        begun = len(numbers) - len(to_make)

        def watch(progress: Progress) -> None:
            on_told(Told(number, begun + made, len(numbers), progress.stage))

        number, made = to_make[0], 0
        described = run.greet(watch)
        if callable(params):
            run.shot.params = dict(params(described))
        for made, number in enumerate(to_make):
            run.read(number, more=made + 1 < len(to_make))
            picture = png.encode(png.to_bytes(run.frame(number, watch)))
            try:
                png.write_atomically(where / frame_name(number), picture)
            except OSError as error:
                raise DiskError(error, where) from error
            on_told(Told(number, begun + made + 1, len(numbers), "", finished=True))
    finally:
        run.close()
    return len(to_make)


__all__ = ["BackendFailure", "NoBackend", "Told", "render_to_folder"]
