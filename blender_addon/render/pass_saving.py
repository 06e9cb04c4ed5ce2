# SPDX-License-Identifier: GPL-3.0-or-later
"""Saving the passes of a take, one frame at a time, so that a window stays alive meanwhile.

In a window a timer calls `step_apart`: another Blender, without a window, renders and writes. `wait` calls `step` in
scripts without one: there Blender renders on the main thread; packing and writing is done in a thread beside it. What
is on disk and still right is not made again: a saving that was cancelled goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Literal, Protocol

import bpy
from understudy_shared.frames import Frame
from understudy_shared.job import frame_digest
from understudy_shared.standstill import Writer

from ..link import disk
from ..link.jobs import Job
from ..link.png import write_atomically
from . import pass_files
from .choose import lights
from .conditions import frame_geometry
from .frame_file import read_frame
from .passes import SAMPLES, BlenderBusy, render_passes

FileFormat = Literal["EXR", "PNG"]

_OF_BODY = frozenset(pass_files.PASSES) - {"beauty", "alpha"}
_OF_PIXELS = frozenset({"intermediate", "mask"})
"""The passes that need more than one look at each pixel: they take most of the time."""

_UNWRITTEN = 2
"""Frames that may wait for the writer: a slow disk holds up the rendering rather than fill the memory."""


@dataclass
class News:
    """What a Blender without a window has done since the last look."""

    done: set[int] = field(default_factory=set)
    """Frames."""
    missing: set[int] = field(default_factory=set)
    made: int = 0
    """Files; told at the end."""
    problem: str = ""
    ended: bool = False
    begun: bool = True
    """False where it has ended before it could begin."""


class Apart(Protocol):
    """A Blender without a window that saves the passes: see `passes_apart`."""

    def poll(self) -> News:
        """What it has done; never waits."""
        ...

    def stop(self) -> None:
        """Ends it."""
        ...


def file_number(job: Job, number: int) -> int:
    """The number in the name of a frame's pass files. It is the frame's own, unless the take begins before frame 0:
    other programs and Blender's compositor know no negative ones, so all of such a take are counted from 0."""
    return number - min(job.numbers[0], 0)


@dataclass(eq=False)
class PassSaving:
    """See the module's text.

    Raises:
        ValueError: the job is no take, or there is no such pass.
    """

    job: Job
    passes: tuple[str, ...] = pass_files.PASSES
    file_format: FileFormat = "EXR"
    held: Callable[[], bool] = lambda: False
    """Says when the scene must be left alone."""
    done: set[int] = field(default_factory=set, init=False)
    """Frames whose files are there."""
    missing: set[int] = field(default_factory=set, init=False)
    """Those of them whose finished frame is not there."""
    made: int = field(default=0, init=False)
    """How many files this saving has written."""
    problem: str = field(default="", init=False)
    """Why it stopped, in one sentence."""
    cancelled: bool = field(default=False, init=False)
    _writing: dict[int, Future[int]] = field(default_factory=dict, init=False)
    _apart: Apart | None = field(default=None, init=False)
    _alone: bool = field(default=False, init=False)
    """No other Blender can help."""
    _writer: Writer = field(init=False)

    def __post_init__(self) -> None:
        if self.job.record.role != "frames":
            raise ValueError(f"{self.job.record.title} is no take: it has no frames")
        unknown = [name for name in self.passes if name not in pass_files.PASSES]
        if unknown or not self.passes:
            known = ", ".join(pass_files.PASSES)
            raise ValueError(f"There is no pass {unknown[0]}: choose from {known}" if unknown else "Choose a pass")
        self.passes = tuple(name for name in pass_files.PASSES if name in self.passes)
        self._to_do = list(self.job.numbers)
        self._writer = Writer("understudy-passes")

    @property
    def running(self) -> bool:
        if self.cancelled or self.problem:
            return False
        return len(self.done) < len(self.job.numbers) or self._apart is not None

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        return len(self.done) / len(self.job.numbers)

    @property
    def words(self) -> str:
        """Where it stands, for the artist."""
        title, count = self.job.record.title, len(self.job.numbers)
        if self.problem:
            return self.problem
        if self.running:
            return f"Passes of {title}: {len(self.done)} of {count} frames"
        if self.cancelled:
            return f"Passes of {title}: stopped after {len(self.done)} of {count} frames. Save again to go on"
        lacking = len(self.missing)
        note = f". {lacking} of its frames {'is' if lacking == 1 else 'are'} missing" if lacking else ""
        return f"Passes of {title}: {count} frames{note}"

    def cancel(self) -> None:
        """Stops it. What is being written is finished first, what is there stays."""
        if self.running:
            self.cancelled = True
        self._end_apart()
        self._writer.shutdown(wait=True)

    def step(self) -> bool:
        """Makes the files of one frame, if the disk keeps up and Blender is free. Returns whether there is more."""
        if not self.running:
            return False
        try:
            self._collect()
            if self._to_do and len(self._writing) < _UNWRITTEN and not self.held():
                with contextlib.suppress(BlenderBusy):
                    self._begin(self._to_do[0])
                    self._to_do.pop(0)
        except OSError as error:
            message, fix = disk.in_words(error, self.job.folder)
            self.problem = f"{message}. {fix}, then save the passes again: what is finished is safe"
        except (ValueError, RuntimeError) as error:
            self.problem = str(error)
        if not self.running:
            self._writer.shutdown(wait=True)
        return self.running

    def step_apart(self, start: Callable[[Job, tuple[str, ...], FileFormat], Apart]) -> bool:
        """As `step`, but another Blender does the work, begun with the first call; where it cannot begin, `step` goes
        on. Returns whether there is more.

        Args:
            start: starts it.
        """
        if not self.running or self._alone or self._writing:
            return self.step()
        if self._apart is None and self.held():
            return True
        try:
            self._apart = self._apart or start(self.job, self.passes, self.file_format)
        except OSError as error:
            print(f"Understudy: no other Blender can save the passes ({error}): this one does it")
            self._alone = True
            return True
        except ValueError as error:
            self.problem = str(error)
            return False
        news = self._apart.poll()
        self.done |= news.done
        self.missing |= news.missing
        self.made += news.made
        if news.ended:
            self._apart = None
            self.problem, self._alone = news.problem, not news.begun
        return self.running

    def wait(self) -> None:
        """Goes on until it is done; a window freezes meanwhile, so only scripts without one should.

        Raises:
            RuntimeError: it could not be done; the message says why and what to do.
        """
        while self.step():
            if not self._to_do or len(self._writing) >= _UNWRITTEN:
                time.sleep(0.005)
        if self.problem:
            raise RuntimeError(self.problem)

    def first(self) -> None:
        """Makes the files of the first frame now.

        Raises:
            RuntimeError: as `wait`.
        """
        while not self._writing and not self.done and self.step():
            time.sleep(0.005)
        wait(self._writing.values())
        self.step()
        if self.problem:
            raise RuntimeError(self.problem)

    # -- inside

    def _end_apart(self) -> None:
        if self._apart is not None:
            self._apart.stop()
            self._apart = None

    def _collect(self) -> None:
        for number in [number for number, future in self._writing.items() if future.done()]:
            self.made += self._writing.pop(number).result()
            self.done.add(number)

    def _begin(self, number: int) -> None:
        """Renders a frame, if it must be, and hands it to the writer."""
        job, folder = self.job, self.job.folder
        print_of_frame = pass_files.fingerprint(job.file_of(number))
        if not print_of_frame:
            self.missing.add(number)
        scene, body, camera = subjects(job)
        pose = _pose(scene, body, camera, number, job.spec.size)
        wanted = self.passes
        if self.file_format == "EXR":
            there = pass_files.kept(folder / pass_files.exr_name(file_number(job, number)), print_of_frame, pose)
            if there.issuperset(wanted):
                self._writing[number] = self._writer.submit(self._hold, number, 0)
                return
            wanted = tuple(name for name in pass_files.PASSES if name in there or name in wanted)
        elif self._png_kept(number):
            self.done.add(number)
            return
        beauty = read_frame(job.file_of(number))
        rendered = None
        if _OF_BODY.intersection(wanted):
            samples = SAMPLES if _OF_PIXELS.intersection(wanted) else 1
            rendered = render_passes(scene, body, camera, number, job.spec.size, include=lights(scene), samples=samples)
        self._writing[number] = self._writer.submit(
            self._write, number, wanted, (beauty, rendered, print_of_frame, pose)
        )

    def _png_kept(self, number: int) -> bool:
        """Whether all PNG files of a frame are there, and not older than the frame."""
        frame = self.job.file_of(number)
        wanted = [name for name in self.passes if frame.is_file() or name in _OF_BODY]
        files = [self.job.folder / pass_files.png_name(name, file_number(self.job, number)) for name in wanted]
        if not all(file.is_file() for file in files):
            return False
        return not frame.is_file() or all(f.stat().st_mtime_ns >= frame.stat().st_mtime_ns for f in files)

    def _write(self, number: int, wanted: Collection[str], parts: tuple) -> int:
        """In the writer's thread. Returns how many files were written."""
        beauty, rendered, print_of_frame, pose = parts
        folder, to = self.job.folder, file_number(self.job, number)
        if self.file_format == "EXR":
            data = pass_files.encode_exr(wanted, self.job.spec.size, beauty, rendered, print_of_frame, pose)
            write_atomically(folder / pass_files.exr_name(to), data)
            return self._hold(number, 1)
        count = 0
        for name in wanted:
            data = pass_files.encode_png(name, beauty, rendered)
            if data is not None:
                path = folder / pass_files.png_name(name, to)
                path.parent.mkdir(exist_ok=True)
                write_atomically(path, data)
                count += 1
        return count

    def _hold(self, number: int, made: int) -> int:
        """Gives the scene frames between two of the take's, where it has a step, the file of the first, as its strip
        shows them: one file under several names."""
        numbers = self.job.numbers
        source = self.job.folder / pass_files.exr_name(file_number(self.job, number))
        for between in range(number + 1, min(number + numbers.step, numbers[-1])):
            name = self.job.folder / pass_files.exr_name(file_number(self.job, between))
            if name.exists() and (made == 0 or name.samefile(source)):
                continue
            part = name.with_name(f"{name.name}.part")
            try:
                os.link(source, part)
            except OSError:
                shutil.copyfile(source, part)
            part.replace(name)
        return made


def subjects(job: Job) -> tuple[bpy.types.Scene, bpy.types.Object, bpy.types.Object]:
    """Scene, body and camera of a take.

    Raises:
        ValueError: one of them was deleted, or a clip drove the take.
    """
    record = job.record
    scene = record.scene.find()
    body = record.body.find() if record.body else None
    camera = record.camera.find() if record.camera else None
    for thing, what in ((scene, "scene"), (body, "body"), (camera, "camera")):
        if thing is None:
            if record.driving is not None:
                raise ValueError(f"{record.title} was driven by a clip: the scene has no passes of it")
            raise ValueError(f"The {what} of {record.title} was deleted: undo that, or render a new take")
    assert isinstance(scene, bpy.types.Scene) and isinstance(body, bpy.types.Object)
    assert isinstance(camera, bpy.types.Object)
    return scene, body, camera


def _pose(
    scene: bpy.types.Scene, body: bpy.types.Object, camera: bpy.types.Object, number: int, size: tuple[int, int]
) -> str:
    """Tells whether body or camera have moved; empty for a body that is more than its pose."""
    try:
        frame = frame_geometry(body, camera, scene, number, size)
    except ValueError:
        return ""
    return frame_digest(Frame(0, frame.channels))
