"""From the readings of a clip to samples of both stages, in the layout of `people.samples`.

`texture` (stage 1), a sample a frame:

    partial  (256, 256, 3)  what the frame shows of the texture, grey 128 elsewhere
    visible  (256, 256)     255 where it shows a texel
    target   (256, 256, 3)  the pseudo-complete texture of the clip
    known    (256, 256)     255 where `target` may be learned from

No clip shows all of a body. Texels that fewer than `MIN_VIEWS` frames saw hold a guess in `target` (the nearest texel
that was seen) and 0 in `known`: a loss must leave them out. A texel between the islands is as well known as the body
texel that it is filled from; far from all islands `target` is grey, and that is known.

`frames` (stage 2 and the outline), a sample a frame, pictures (256, 256, 4) with straight alpha:

    target   the person at time t, their matte as alpha
    body     the complete texture on the body at time t, in the same camera: the intermediate frame
    photo    the person at another time, at least a quarter of the clip away where the clip has such frames
    ahead    (256, 256) what `photo` tells of the outline, on the body at time t (see `people.samples.decode_ahead`)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import free_body
from understudy_shared.frames import Channel

from understudy_backend.texture.bake import texel_map
from understudy_backend.texture.fusion import Mode, fuse
from understudy_backend.texture.render import Texture, render_body
from understudy_backend.texture.spread import nearest_visible
from understudy_backend.training.people.render import View
from understudy_backend.training.people.samples import SHAPES, SIZE, Kind, Sample, ahead, texels_far
from understudy_backend.training.video.reading import Reading

MIN_VIEWS = 2
"""One frame alone may show a texel wrongly, and nothing would tell."""

VIDEO_SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "texture": {**SHAPES["texture"], "known": (SIZE, SIZE)},
    "frames": dict(SHAPES["frames"]),
}


@dataclass(frozen=True, eq=False)
class Complete:
    """The pseudo-complete texture of a clip."""

    color: NDArray[np.uint8]
    """(SIZE, SIZE, 3) sRGB, guessed where it is not known, gutters filled."""
    known: NDArray[np.bool_]
    """(SIZE, SIZE), gutters as the body texel next to them."""
    share: float
    """Of the body's texels that are known."""


def complete_texture(readings: list[Reading], mode: Mode) -> Complete:
    """Fuses the partial textures of a clip, by the median or otherwise (see `fuse`)."""
    texels = texel_map(free_body(), SIZE)
    views = np.sum([r.partial.visible for r in readings], axis=0)
    seen = (views >= MIN_VIEWS) & texels.mask
    color = nearest_visible(fuse([r.partial for r in readings], mode).color, seen)
    share = float(seen[texels.mask].mean())
    return Complete(color, np.asarray(texels.fill_gutter(seen), bool), share)


def texture_sample(reading: Reading, complete: Complete) -> Sample:
    """A pair of stage 1."""
    far = texels_far()
    target = complete.color.copy()
    target[far] = 128
    visible = reading.partial.visible
    return {
        "target": target,
        "partial": np.where(visible[..., None], reading.partial.color, np.uint8(128)),
        "visible": visible.astype(np.uint8) * 255,
        "known": (complete.known | far).astype(np.uint8) * 255,
    }


def frame_sample(reading: Reading, texture: Texture, photo: Reading) -> Sample:
    """A triple of stage 2."""
    channels = render_body(reading.vertices, free_body(), texture, reading.intrinsics, reading.extrinsics, (SIZE, SIZE))
    body = channels[Channel.RGBA].copy()
    body[..., 3] = np.rint(body[..., 3] * reading.inside)  # where the frame ends nobody knows the person either
    body[body[..., 3] == 0] = 0
    view = View(reading.extrinsics, reading.intrinsics, (SIZE, SIZE))
    told = ahead(photo.stands_off, reading.vertices, view)
    told[body[..., 3] == 0] = 0
    return {"target": reading.target, "body": body, "photo": photo.photo, "ahead": told}


def photo_for(reading: Reading, readings: list[Reading], rng: np.random.Generator) -> Reading:
    """A frame from another time: one of those at least a quarter of the clip away, else the farthest."""
    span = readings[-1].number - readings[0].number
    apart = [abs(r.number - reading.number) for r in readings]
    far = [r for r, gap in zip(readings, apart, strict=True) if gap >= span / 4 and gap > 0]
    return far[int(rng.integers(len(far)))] if far else readings[int(np.argmax(apart))]


def samples(kind: Kind, readings: list[Reading], complete: Complete, name: str, seed: int) -> list[Sample]:
    """All samples of a clip called `name`, in the order of its frames."""
    if kind == "texture":
        return [texture_sample(r, complete) for r in readings]
    out, texture = [], Texture(complete.color)
    for reading in readings:
        rng = np.random.default_rng([seed, *name.encode(), reading.number, 1])
        out.append(frame_sample(reading, texture, photo_for(reading, readings, rng)))
    return out
