# SPDX-License-Identifier: GPL-3.0-or-later
"""Saving passes in a Blender of its own without a window, so that rendering them takes no time in this one.

The scene is copied once, as it is now, which takes as long as saving it; what happens to it afterwards is not seen.
Caches of physics that lie in files beside the .blend are not copied: bake them into the .blend.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import bpy
import msgspec
import numpy as np

from ..link.jobs import Job, Record
from .pass_saving import FileFormat, News, subjects
from .passes_child import COPY, REQUEST, TOLD, Request

LOG = "log.txt"


def possible() -> bool:
    """Whether this Blender can start another: it has a window, and is a program rather than a module of Python."""
    return not bpy.app.background and bool(bpy.app.binary_path)


def command(folder: Path) -> list[str]:
    """What starts the other Blender: with the user's preferences, in which the extension is enabled."""
    start = f"from {__package__}.passes_child import main; main({str(folder)!r})"
    return [bpy.app.binary_path, "--background", "--python-exit-code", "1", "--python-expr", start]


class PassesApart:
    """One other Blender, at work from the moment that this is made. Call `poll` now and then; it never waits.

    Args:
        job: the take.
        passes: of `pass_files.PASSES`.
        file_format: "EXR" or "PNG".

    Raises:
        ValueError: scene, body or camera of the take were deleted.
        OSError: the scene cannot be copied, or Blender not be started.
    """

    def __init__(self, job: Job, passes: tuple[str, ...], file_format: FileFormat) -> None:
        self._job = job
        self._begun = False
        self._over: tuple[int, str] | None = None
        """How many files it has made and what went wrong, once it is through."""
        self._read = 0
        self._folder = Path(tempfile.mkdtemp(prefix="understudy-passes-"))
        try:
            pixels = _copy_scene(job, self._folder)
            record = msgspec.json.decode(msgspec.json.encode(job.record), type=Record)
            record.folder = str(job.folder)
            for ref in record.refs:
                ref.uid = 0  # a number of this session; the copy has the names
            request = Request(record, passes, file_format, pixels)
            (self._folder / REQUEST).write_bytes(msgspec.json.encode(request))
            with (self._folder / LOG).open("wb") as log:
                self._process = subprocess.Popen(
                    command(self._folder),
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=os.name == "posix",  # Ctrl-C in Blender's terminal is not for it
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def poll(self) -> News:
        """What has happened; after `ended` there is no more to ask."""
        code = self._process.poll()  # before reading, so that its last words are not missed
        news = News()
        for line in self._new_lines():
            self._begun |= "begun" in line
            if "done" in line:
                news.done.add(line["done"])
                if line["missing"]:
                    news.missing.add(line["done"])
            if "problem" in line:
                self._over = line["made"], line["problem"]
        if code is None:
            return news
        news.ended, news.begun = True, self._begun
        if self._over is not None:
            news.made, news.problem = self._over
        elif self._begun:
            news.problem = f"Blender without a window has ended ({code}): {self._last_words()}. Save the passes again"
        self.stop()
        return news

    def stop(self) -> None:
        """Ends it at once; what is written stays."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(5)
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        for half in (*self._job.folder.glob("passes_*.part"), *self._job.folder.glob("passes/*.part")):
            half.unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _new_lines(self) -> list[dict]:
        try:
            with (self._folder / TOLD).open("rb") as told:
                told.seek(self._read)
                text = told.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self._folder / LOG).read_text("utf-8", "replace").split("\n")
            return next((line.strip()[:160] for line in reversed(lines) if line.strip()), "it said nothing")
        return "it said nothing"


def _copy_scene(job: Job, folder: Path) -> dict[str, str]:
    """Writes scene, body and camera with all that they need, and the pixels of images that were painted on and not
    saved, which a .blend does not keep. Returns the names of these images and of their files."""
    scene, body, camera = subjects(job)
    bpy.data.libraries.write(str(folder / COPY), {scene, body, camera}, path_remap="ABSOLUTE")
    files: dict[str, str] = {}
    for image in bpy.data.images:
        if image.is_dirty and image.source in ("FILE", "GENERATED") and image.has_data:
            pixels = np.empty(len(image.pixels), np.float32)
            image.pixels.foreach_get(pixels)
            files[image.name] = f"{len(files)}.npy"
            if not image.is_float:  # a quarter of the bytes: the disk is what takes the time
                pixels = np.rint(pixels * 255).astype(np.uint8)
            np.save(folder / files[image.name], pixels, allow_pickle=False)
    return files
