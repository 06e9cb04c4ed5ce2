# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Blender without a window does for one that has: it saves the passes of a take from a copy of the scene.

It is started by `passes_apart`, and ends when its standard input closes, so that it never outlives its window.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import bpy
import msgspec
import numpy as np

from ..link.jobs import Job, Record
from .pass_saving import FileFormat, PassSaving

REQUEST, COPY, TOLD = "request.json", "scene.blend", "told.jsonl"
"""Files in the folder that both share: what is wanted, the scene, and a line for every frame."""


class Request(msgspec.Struct):
    """What is wanted."""

    record: Record
    """Of the take, its folder absolute."""
    passes: tuple[str, ...]
    file_format: FileFormat
    pixels: dict[str, str]
    """Names of images that were painted on and not saved, and the .npy files with what they show."""


def main(folder: str) -> None:
    """Saves the passes that the request in `folder` asks for, tells of each frame in a file there, and ends Blender."""
    closed = threading.Event()
    watch = threading.Thread(target=_end_with_the_window, args=(Path(folder), closed), daemon=True)
    watch.start()
    code = 1
    try:
        _save(Path(folder))
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        if closed.is_set():  # it is just tidying up, which is why we failed, and ends us then
            watch.join(5)
        _end(code)


def _save(place: Path) -> None:
    request = msgspec.json.decode((place / REQUEST).read_bytes(), type=Request)
    _open_copy(place, request)
    with (place / TOLD).open("a", encoding="utf-8") as told:

        def tell(**line: object) -> None:
            told.write(json.dumps(line) + "\n")
            told.flush()

        saving = PassSaving(Job(request.record), request.passes, request.file_format)
        tell(begun=True)
        known: set[int] = set()
        while saving.step():
            known = _tell_new(saving, known, tell)
            time.sleep(0.002)
        _tell_new(saving, known, tell)
        tell(made=saving.made, problem=saving.problem)


def _tell_new(saving: PassSaving, known: set[int], tell: Callable[..., None]) -> set[int]:
    for number in sorted(saving.done - known):
        tell(done=number, missing=number in saving.missing)
    return set(saving.done)


def _open_copy(place: Path, request: Request) -> None:
    """Takes all of the copied scene into an empty file."""
    bpy.ops.wm.read_homefile(use_empty=True)
    for scene in bpy.data.scenes:
        scene.name = ".empty"  # the copy's scenes keep their names
    with bpy.data.libraries.load(str(place / COPY)) as (there, here):
        here.scenes, here.objects = there.scenes, there.objects
    for name, file in request.pixels.items():
        pixels = np.load(place / file, allow_pickle=False)
        if pixels.dtype == np.uint8:
            pixels = pixels.astype(np.float32) / 255
        image = bpy.data.images[name]
        image.pixels.foreach_set(pixels)
        image.update()


def _end_with_the_window(place: Path, closed: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    closed.set()
    shutil.rmtree(place, ignore_errors=True)
    _end(1)


def _end(code: int) -> None:
    """At once: there is nothing to keep, and Blender 4.5 as a module never comes to the end of quitting properly."""
    sys.stderr.flush()
    with contextlib.suppress(OSError):
        os.rmdir(bpy.app.tempdir)  # noqa: PTH106 - if it is empty: where it could not be made it is everybody's folder
    os._exit(code)
