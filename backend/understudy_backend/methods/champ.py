"""Champ (arXiv 2403.14781): as Animate Anyone, but guided by four pictures of the body instead of a skeleton alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated

from understudy_shared.body import free_body
from understudy_shared.frames import Channel, Frame
from understudy_shared.protocol.description import MethodDescription

from understudy_backend.guidance.body_maps import part_colours, render_maps
from understudy_backend.guidance.skeleton import draw_skeleton
from understudy_backend.methods.animator import Animator, Seen
from understudy_backend.methods.clips import NEEDS, ClipParams, Image, make_clip
from understudy_backend.methods.contract import Result, Task
from understudy_backend.methods.params import describe, setting
from understudy_backend.weights.animator_sets import animator_sets


class ChampParams(ClipParams, frozen=True):
    """Settings of Champ."""

    steps: Annotated[int, setting("Steps", "Denoising steps; with DPM++ half of them suffice.", ge=1, le=200)] = 20


class Champ:
    """The scene's body drives it by depth, normals, parts and skeleton."""

    params_type = ChampParams

    def __init__(self) -> None:
        self._animator = Animator("champ")

    @property
    def description(self) -> MethodDescription:
        """Told anew each time, so that weights added meanwhile show."""
        return MethodDescription(
            name="champ",
            title="Champ",
            help="Moves the person of the photo as the body moves, true to its shape, all frames together. It needs a "
            "body: a video drives it by a motion that was estimated from it and imported.",
            paper="arXiv 2403.14781",
            params=describe(ChampParams),
            needs=NEEDS,
            gives=(Channel.RGBA,),
            weights=animator_sets("champ"),
            independent_frames=False,
        )

    def load(self, device: str) -> None:
        """Remembers the device; weights are read when a job names them."""
        self._animator.device = device

    def unload(self) -> None:
        """Drops the networks."""
        self._animator.drop()

    def run(self, task: Task, frames: Iterable[Frame]) -> Iterator[Result]:
        """See `make_clip`."""
        assert isinstance(task.params, ChampParams)
        parts, weights = self._animator.parts(task.params.weights)
        body, size = free_body(), task.spec.size
        colours = part_colours(body)

        def guidance(frame: Frame) -> Mapping[str, Image]:
            seen = Seen(body, frame, size)
            maps = render_maps(seen.vertices, body.faces, colours, seen.k, seen.extrinsics, size)
            return {
                "depth": maps.depth,
                "normal": maps.normal,
                "semantic_map": maps.semantic_map,
                "dwpose": draw_skeleton(*seen.skeleton(), size),
            }

        return make_clip(task, frames, parts, weights, guidance)
