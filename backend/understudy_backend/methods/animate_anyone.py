"""Animate Anyone (arXiv 2311.17117): the photo's person in the pose of a skeleton, smooth over time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import free_body
from understudy_shared.frames import Channel, Frame
from understudy_shared.protocol.description import MethodDescription

from understudy_backend.guidance.picture_skeleton import PictureSkeleton
from understudy_backend.guidance.skeleton import draw_skeleton
from understudy_backend.methods.animator import Animator, Seen, picture_of, shows_picture
from understudy_backend.methods.clips import NEEDS, ClipParams, Image, make_clip
from understudy_backend.methods.contract import MethodError, Result, Task
from understudy_backend.methods.params import describe
from understudy_backend.weights.animator_sets import animator_sets


class AnimateAnyone:
    """The scene's body drives it as a skeleton, drawn as DWPose draws one; so does the person in a frame that holds a
    picture (`rgba`) and no body, such as one of a video."""

    params_type = ClipParams

    def __init__(self) -> None:
        self._animator = Animator("animate_anyone")
        self._finder: PictureSkeleton | None = None

    @property
    def description(self) -> MethodDescription:
        """Told anew each time, so that weights added meanwhile show."""
        return MethodDescription(
            name="animate_anyone",
            title="Animate Anyone",
            help="Moves the person of the photo as the body moves, or as a person in a video does, all frames "
            "together, so that they are smooth.",
            paper="arXiv 2311.17117",
            params=describe(ClipParams),
            needs=NEEDS,
            gives=(Channel.RGBA,),
            weights=animator_sets("animate_anyone"),
            independent_frames=False,
            takes_clip=True,
        )

    def load(self, device: str) -> None:
        """Remembers the device; weights are read when a job names them."""
        self._animator.device = device

    def unload(self) -> None:
        """Drops the networks."""
        self._animator.drop()
        self._finder = None

    def run(self, task: Task, frames: Iterable[Frame]) -> Iterator[Result]:
        """See `make_clip`."""
        assert isinstance(task.params, ClipParams)
        parts, weights = self._animator.parts(task.params.weights)

        def guidance(frame: Frame) -> Mapping[str, Image]:
            if shows_picture(frame):
                return {"pose": draw_skeleton(*self._of_picture(frame, task.spec.size), task.spec.size)}
            seen = Seen(free_body(), frame, task.spec.size)
            return {"pose": draw_skeleton(*seen.skeleton(), task.spec.size)}

        return make_clip(task, frames, parts, weights, guidance)

    def _of_picture(self, frame: Frame, size: tuple[int, int]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """The skeleton of the person in a frame's picture, in OpenPose's points and scores.

        Raises:
            MethodError: nobody is seen, or the picture has another size.
        """
        if self._finder is None:
            self._finder = PictureSkeleton()
        found = self._finder.find(picture_of(frame, size))
        if found is None:
            raise MethodError(
                f"frame {frame.index} shows no person",
                code="no_person",
                fix="Drive with frames that show one person, large and unobstructed, or leave this frame out.",
            )
        return found
