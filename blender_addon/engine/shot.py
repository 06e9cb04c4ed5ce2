# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene as one render of it needs it: what is asked of the backend, and snapshots of the frames it is made from.

All of this happens in the main thread. A snapshot is made exactly as that of a take (`link.feed`), so that the backend
knows a frame that it has made for a strip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import bpy
from numpy.typing import NDArray
from understudy_shared.frames import Frame
from understudy_shared.job import FrameRange, JobSpec
from understudy_shared.protocol.description import MethodDescription

from ..link import gather
from ..link.refs import Ref, ref
from ..render.choose import lights, occluders
from ..render.conditions import frame_geometry
from ..render.passes import render_passes
from ..scene import method_settings
from ..scene.body_parts import mesh_of


@dataclass(frozen=True)
class Asked:
    """What to render; what is left out is the scene's."""

    method: str = ""
    size: tuple[int, int] | None = None
    """(width, height); default: the resolution of the output."""
    seed: int | None = None
    params: Mapping[str, Any] | None = None
    frames: FrameRange | None = None
    """Those that may be asked for; default: the scene's range."""
    whole: FrameRange | None = None
    """What a method is given that looks at neighbouring frames; default: the same."""
    skip: frozenset[int] = frozenset()
    """Those of `frames` that will not be asked for after all."""
    take_camera: bool = False
    """The camera that the person's takes are seen with; else the scene's, as Blender's own renders use it."""


class Shot:
    """See the module's text.

    Args:
        scene: what is rendered.
        asked: see there.

    Raises:
        ValueError: there is no body or no camera.
    """

    def __init__(self, scene: bpy.types.Scene, asked: Asked) -> None:
        settings = scene.understudy
        if settings.body is None:
            raise ValueError("There is no body: fit a photo or import a motion first")
        self._scene, self._body = ref("scenes", scene), ref("objects", mesh_of(settings.body))
        self._camera = ref("objects", settings.camera) if asked.take_camera and settings.camera else None
        self.size = asked.size or output_size(scene)
        self.method = asked.method or settings.method
        self._range = asked.frames or FrameRange(scene.frame_start, scene.frame_end, scene.frame_step)
        self._whole = asked.whole or self._range
        self.skip = asked.skip
        self._seed = settings.seed if asked.seed is None else asked.seed
        self.params = dict(method_settings.changed(scene, self.method) if asked.params is None else asked.params)
        self.inputs: dict[str, NDArray] = {}
        self.description: MethodDescription | None = None
        self.source = ""
        self._channels: tuple[str, ...] = ()
        self.camera_at(scene.frame_current)

    def describe(self, description: MethodDescription) -> None:
        """What the method needs is gathered, once.

        Raises:
            ValueError: something is missing, with what to do.
        """
        if self.description is None:
            scene, body = self._find(self._scene), self._find(self._body)
            self.inputs = gather.inputs(description, scene, body, {})
            self.source, self._channels = gather.conditions(description, scene, body)
            self.description = description

    def spec(self, frames: FrameRange, scene_digest: str) -> JobSpec:
        """The job that makes `frames`; the digests of its inputs are filled in when it is submitted."""
        return JobSpec(self.method, frames, self.size, self._seed, dict(self.params), {}, scene=scene_digest)

    def range_of(self, number: int, *, alone: bool) -> FrameRange:
        """The frames of the job that makes a frame.

        Args:
            number: of the frame.
            alone: no other is wanted. Where a method looks at neighbours a frame is nevertheless that of the whole
                shot, for else it would look otherwise.
        """
        assert self.description is not None
        frames = self._range if self.description.independent_frames else self._whole
        if number not in frames.numbers() or (alone and self.description.independent_frames):
            return FrameRange(number, number)
        if not self.description.independent_frames:
            return frames
        return FrameRange(number, frames.numbers()[-1], frames.step)

    def snapshot(self, number: int) -> Frame:
        """All that there is of a frame for the method, and more where it comes with it: see `wanted`.

        Raises:
            ValueError: scene, body or camera is gone or unfit. RuntimeError: Blender could not render the body.
        """
        if self.source == "geometry":
            scene, body = self._find(self._scene), self._find(self._body)
            return frame_geometry(body, self.camera_at(number), scene, number, self.size)
        return self.passes(number)

    def passes(self, number: int, samples: int | None = None) -> Frame:
        """Blender's render of the body at a frame, as in `render.passes`. Not while an engine's `render` runs: Blender
        5.2 crashes on a render within a render.

        Raises:
            As `snapshot`.
        """
        scene, body = self._find(self._scene), self._find(self._body)
        include = [*occluders(scene, body), *lights(scene)]
        options = {} if samples is None else {"samples": samples}
        camera = self.camera_at(number)
        return render_passes(scene, body, camera, number, self.size, include=include, while_rendering=True, **options)

    def wanted(self, frame: Frame) -> Frame:
        """The channels of a snapshot that the method is sent."""
        if not self._channels:
            return frame
        return Frame(frame.index, {c: frame.channels[c] for c in frame.channels if c in self._channels})

    def camera_at(self, number: int) -> bpy.types.Object:
        """The camera of a frame: that of the takes, or the scene's with its switches on timeline markers.

        Raises:
            ValueError: there is none.
        """
        if self._camera is not None:
            return self._find(self._camera)
        scene = self._find(self._scene)
        bound = sorted((m for m in scene.timeline_markers if m.camera is not None), key=lambda m: m.frame)
        before = [m.camera for m in bound if m.frame <= number]
        camera = before[-1] if before else bound[0].camera if bound else scene.camera
        if camera is None:
            raise ValueError("There is no camera: import one, or add one to the scene")
        return camera

    def _find(self, item: Ref) -> Any:
        found = item.find()
        if found is None:
            raise ValueError(f'"{item.name}" was deleted during the render: render again')
        return found


def output_size(scene: bpy.types.Scene) -> tuple[int, int]:
    """(width, height) of Blender's own renders of a scene, in pixels."""
    render = scene.render
    return (
        render.resolution_x * render.resolution_percentage // 100,
        render.resolution_y * render.resolution_percentage // 100,
    )
