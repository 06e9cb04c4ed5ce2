# SPDX-License-Identifier: GPL-3.0-or-later
"""One render, from its first frame to its last: the scene is read, the backend asked, and frames handed out in order.

`greet` comes first; `read` comes before each frame and needs the main thread; `frame` waits for the picture. Both that
wait do so in any thread. All frames that
are likely to follow are asked for at once, as one job, and the scene is read a little ahead of them; a method that
looks at neighbouring frames is given the whole shot. Frames that the backend has made before are not made again.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from pathlib import Path

import bpy
from numpy.typing import NDArray
from understudy_shared.frames import Frame
from understudy_shared.job import FrameRange, frame_digest, scene_digest
from understudy_shared.protocol.description import MethodDescription

from ..link import gather, take_files
from ..link.session import current
from . import way as ways
from .courier import PATIENCE, BackendFailure, Courier, Progress, Watch
from .shot import Asked, Shot

AHEAD = 8
"""Frames whose snapshot is taken before they are asked for: two of a method's batches."""


class Run:
    """See the module's text. `close` it in any case.

    Args:
        scene: what is rendered.
        way: to the backend.
        asked: what of it.
        patience: seconds that the backend may be away.

    Raises:
        ValueError: there is no body or no camera.
    """

    def __init__(
        self, scene: bpy.types.Scene, way: ways.Way, asked: Asked | None = None, *, patience: float = PATIENCE
    ) -> None:
        self.shot = Shot(scene, asked or Asked())
        self._way = way
        self._description: MethodDescription | None = None
        self._range: FrameRange | None = None
        self._digests: dict[int, str] = {}
        self._job = ""
        self._whole = False
        self._jobs: set[str] = set()
        self._folder = Path(tempfile.mkdtemp(prefix="understudy-render-"))
        self._courier = Courier(way.address, way.owner, way.keys, self._folder, patience)

    def close(self) -> None:
        """Ends the connection, stops what nobody waits for any more, and removes what was kept on disk."""
        # A take may be the same job: it goes on.
        takes = {job.wire_id for job in current().jobs.active()}
        self._courier.close(cancel=self._jobs - takes)
        shutil.rmtree(self._folder, ignore_errors=True)

    def greet(self, watch: Watch) -> MethodDescription:
        """Waits until the backend has told what the method is and needs.

        Raises:
            BackendFailure: there is none. ValueError: it lacks the method. What `watch` raises.
        """
        found = gather.described(self._courier.methods(self._alive(watch)), self.shot.method)
        if found is None:
            raise ValueError("The backend has no methods: install it anew")
        self._description = found
        return found

    def read(self, number: int, *, more: bool) -> None:
        """Takes the snapshots that a frame needs, and those of the next ones.

        Args:
            number: of the frame.
            more: frames after it will be asked for, too.

        Raises:
            ValueError: something is missing, with what to do. RuntimeError: Blender cannot render the body.
        """
        assert self._description is not None, "greet comes first"
        self.shot.describe(self._description)
        if self._range is None or number not in self._range.numbers():
            self._begin(self.shot.range_of(number, alone=not more))
        self._forget_before(number)
        assert self._range is not None
        coming = self._range.numbers()
        if not self._whole:
            coming = [n for n in coming if n >= number and n not in self.shot.skip][:AHEAD]
        if self.shot.source != "nothing":
            for n in coming:
                if n not in self._digests:
                    self._take(n)

    def frame(self, number: int, watch: Watch) -> NDArray:
        """The picture (H, W, 4) of a frame that was read, as the method gave it.

        Raises:
            BackendFailure: see there. What `watch` raises.
        """
        if not self._job:
            self._job = self._submit()
        return self._courier.result(self._job, number, self._make, self._alive(watch))

    # -- inside

    def _alive(self, watch: Watch) -> Watch:
        """A watch that also notices when the local backend dies."""

        def look(progress: Progress) -> None:
            watch(progress)
            death = ways.why_dead(self._way.address)
            if death:
                raise BackendFailure(death, away=True)

        return look

    def _begin(self, frames: FrameRange) -> None:
        self._range, self._job = frames, ""
        assert self.shot.description is not None
        self._whole = not self.shot.description.independent_frames
        self._digests = {n: d for n, d in self._digests.items() if n in frames.numbers()}

    def _take(self, number: int) -> None:
        frame = self.shot.wanted(self.shot.snapshot(number))
        take_files.save_conditions(self._folder, frame)
        self._digests[number] = frame_digest(frame)

    def _make(self, number: int) -> Frame | None:
        return take_files.load_conditions(self._folder, number) if number in self._digests else None

    def _submit(self) -> str:
        assert self._range is not None
        numbers = self._range.numbers()
        complete = all(n in self._digests for n in numbers)
        # Without all digests its id cannot tell this job from one of an earlier state of the scene: it gets one of its
        # own. Frames are known by what they are made from all the same.
        scene = scene_digest(self._digests) if complete else f"render {uuid.uuid4().hex}"
        spec = self.shot.spec(self._range, scene if self.shot.source != "nothing" else "")
        job = self._courier.submit(spec, self.shot.inputs, self._digests)
        self._jobs.add(job)
        return job

    def _forget_before(self, number: int) -> None:
        if self._whole:
            return
        self._courier.forget_before(number)
        for n in [n for n in self._digests if n < number]:
            (self._folder / take_files.condition_name(n)).unlink(missing_ok=True)
            del self._digests[n]
