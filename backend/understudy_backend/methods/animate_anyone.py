"""Animate Anyone (arXiv 2311.17117): the photo's person in the pose of a skeleton, smooth over time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from understudy_shared.body import free_body
from understudy_shared.frames import Channel, Frame
from understudy_shared.protocol.description import MethodDescription

from understudy_backend.guidance.skeleton import draw_skeleton
from understudy_backend.methods.animator import Animator, Seen
from understudy_backend.methods.clips import NEEDS, ClipParams, Image, make_clip
from understudy_backend.methods.contract import Result, Task
from understudy_backend.methods.params import describe
from understudy_backend.weights.animator_sets import animator_sets


class AnimateAnyone:
    """The scene's body drives it as a skeleton, drawn as DWPose draws one."""

    params_type = ClipParams

    def __init__(self) -> None:
        self._animator = Animator("animate_anyone")

    @property
    def description(self) -> MethodDescription:
        """Told anew each time, so that weights added meanwhile show."""
        return MethodDescription(
            name="animate_anyone",
            title="Animate Anyone",
            help="Moves the person of the photo as the body moves, all frames together, so that they are smooth.",
            paper="arXiv 2311.17117",
            params=describe(ClipParams),
            needs=NEEDS,
            gives=(Channel.RGBA,),
            weights=animator_sets("animate_anyone"),
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
        assert isinstance(task.params, ClipParams)
        parts, weights = self._animator.parts(task.params.weights)

        def guidance(frame: Frame) -> Mapping[str, Image]:
            seen = Seen(free_body(), frame, task.spec.size)
            return {"pose": draw_skeleton(*seen.skeleton(), task.spec.size)}

        return make_clip(task, frames, parts, weights, guidance)
