"""The rows of the tables: ways to make a frame of a person from one photo.

A way has a name and makes frames of a scene. Another method of the product gets its row by one more value in the list
that `our_ways` gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from understudy_shared.frames import Channel

from understudy_backend.evaluation.subject import SIZE, Picture, Subject
from understudy_backend.models.threedhm.infilling import complete_texture
from understudy_backend.models.threedhm.rendering import BATCH, BodyFrame, FrameRenderer
from understudy_backend.models.threedhm.stages import Infill, Render
from understudy_backend.texture.render import pixels_per_metre
from understudy_backend.texture.spread import nearest_visible
from understudy_backend.training.people.render import View

COMPLETE, PHOTO_ONLY, GREY = "complete", "photo only", "grey"
"""Textures that a body can wear: by stage 1; the photo's texels carried to the nearest others; none."""

OURS = "3DHM"
BODY = "intermediate frame"


@dataclass(frozen=True, eq=False)
class Scene:
    """A person before some cameras, with what is known of them: no way sees more than this."""

    subject: Subject
    views: list[View]
    textures: dict[str, NDArray[np.uint8]]
    """(S, S, 3) by name."""
    _bodies: dict[str, list[dict[Channel, NDArray]]] = field(default_factory=dict)

    def bodies(self, texture: str) -> list[dict[Channel, NDArray]]:
        """The intermediate frames with one of the textures, made once."""
        if texture not in self._bodies:
            self._bodies[texture] = self.subject.bodies(self.textures[texture], self.views)
        return self._bodies[texture]


class Way(Protocol):
    """Makes frames."""

    @property
    def name(self) -> str:
        """As the tables show it."""
        ...

    def frames(self, scene: Scene) -> list[Picture]:
        """One picture (H, W, 4), straight alpha, for each view of the scene."""
        ...


@dataclass(frozen=True)
class BodyAlone:
    """The body with a texture, and no network after it."""

    name: str
    texture: str

    def frames(self, scene: Scene) -> list[Picture]:
        """The intermediate frames."""
        return [body[Channel.RGBA] for body in scene.bodies(self.texture)]


@dataclass(frozen=True, eq=False)
class Rendered:
    """Stage 2 of 3DHM, whole or with a part of what it is shown taken away."""

    name: str
    model: Render
    options: Mapping[str, Any]
    """Arguments of `FrameRenderer`."""
    texture: str = COMPLETE
    photo: bool = True
    """Whether the networks see the photo."""

    def frames(self, scene: Scene) -> list[Picture]:
        """The finished frames."""
        photo, ahead = (scene.subject.photo, scene.subject.stand_off) if self.photo else (None, None)
        renderer = FrameRenderer(self.model, photo, SIZE, stand_off=ahead, **self.options)
        bodies = [
            BodyFrame(i, body[Channel.RGBA], body[Channel.UV], pixels_per_metre(body[Channel.DEPTH], view.intrinsics))
            for i, (body, view) in enumerate(zip(scene.bodies(self.texture), scene.views, strict=True))
        ]
        out: list[Picture] = []
        for start in range(0, len(bodies), BATCH):
            out += renderer.render(bodies[start : start + BATCH])
        return out


def textures(infill: Infill, subject: Subject, *, seed: int, steps: int) -> dict[str, NDArray[np.uint8]]:
    """The textures that a scene can use, by name."""
    partial = subject.partial
    with torch.no_grad():
        complete = complete_texture(infill, partial.color, partial.visible, seed=seed, steps=steps or infill.steps)
    return {
        COMPLETE: complete,
        PHOTO_ONLY: np.asarray(nearest_visible(partial.color, partial.visible), np.uint8),
        GREY: np.full_like(complete, 128),
    }


def our_ways(model: Render, *, seed: int, steps: int, detail: float) -> list[Way]:
    """3DHM, what it has to beat, and what is left of it without each of its inputs."""
    whole = {"seed": seed, "steps": steps or model.steps, "detail": detail, "noise": "surface"}
    return [
        Rendered(OURS, model, whole),
        Rendered("3DHM, networks alone (detail 0)", model, whole | {"detail": 0.0}),
        Rendered("3DHM, the same noise for all frames", model, whole | {"noise": "fixed"}),
        Rendered("3DHM, independent noise", model, whole | {"noise": "independent"}),
        *([Rendered("3DHM, the networks' own outline", replace(model, outline=None), whole)] if model.outline else []),
        Rendered("3DHM without the photo", model, whole, photo=False),
        # the body's own surface is not put back here: it has none
        Rendered("3DHM without texture", model, whole | {"detail": 0.0}, texture=GREY),
        BodyAlone(BODY, COMPLETE),
        BodyAlone("photo warped by the motion", PHOTO_ONLY),
    ]
