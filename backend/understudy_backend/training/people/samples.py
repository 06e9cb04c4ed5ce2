"""Training samples of one made person, for both stages of 3DHM (arXiv 2401.10889).

`texture`: what one photo shows of a body texture, and the complete texture in that photo's light: the first stage.
`frames`: the textured body alone, the appearance photo, and the person as they should look: the second. And by how
many pixels the outline in the photo lets expect the person to reach beyond the body, `ahead`: the outline network.

Backgrounds: the photo of a `texture` sample stands before a ground of its own colours, so that a wrong mask reads some
of it; so does every second `frames` photo, cut out again by a mask with errors. Targets and bodies stay on
transparency, for whoever trains to lay over what they like.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import free_body

from understudy_backend.photo.stand_off import stand_off
from understudy_backend.training.people import photograph as ph
from understudy_backend.training.people import poses, render
from understudy_backend.training.people.person import Person
from understudy_backend.training.people.shading import random_light
from understudy_backend.training.people.stage import FRONT, DressedPerson
from understudy_backend.training.people.surface import texels

Floats = NDArray[np.floating]
SIZE = 256
Kind = Literal["texture", "frames"]
Sample = dict[str, NDArray[np.uint8]]

SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "texture": {"target": (SIZE, SIZE, 3), "partial": (SIZE, SIZE, 3), "visible": (SIZE, SIZE)},
    "frames": {
        "target": (SIZE, SIZE, 4), "body": (SIZE, SIZE, 4), "photo": (SIZE, SIZE, 4), "ahead": (SIZE, SIZE),
    },
}  # fmt: skip
_AHEAD_ZERO, _AHEAD_STEP = 60, 6
"""What 0 and one pixel are in "ahead", whose 0 says that there is no body."""


def small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A texture or picture at the size of the samples."""
    return cast(NDArray[np.uint8], cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA))


def texels_far() -> NDArray[np.bool_]:
    """(SIZE, SIZE) texels so far from every island that they stay grey."""
    return texels(SIZE).near < 0


def texture_samples(rng: np.random.Generator, person: Person, count: int) -> Iterator[Sample]:
    """Photos of one person in other poses, cameras and lights, read back into texture space."""
    plain, far = small(person.texture), texels_far()
    dressed = DressedPerson(person)
    for _ in range(count):
        dressed = dressed.under(random_light(rng, FRONT))
        fit = ph.random_fit(rng, person.betas)
        pose = poses.standing(rng)
        points = dressed.vertices(pose)
        draw = rng.random()
        sides = [False, True] if draw < 0.1 else [draw > 0.94]
        partial, visible, tints = None, np.zeros((SIZE, SIZE), bool), []
        for back in sides:
            photo = ph.take(
                person, points, dressed.light, dressed.openness, ph.photo_view(rng, points, (448, 640), back), 1
            )
            image, mask = ph.photographic(rng, photo.image)
            wrong, view = ph.misjudged(rng, pose, photo.view)
            read, seen = ph.read_texture(image, mask, view, fit.vertices(wrong), SIZE)
            partial = read if partial is None else np.where((seen & ~visible)[..., None], read, partial)
            visible |= seen
            tints.append(photo.tint)
        assert partial is not None
        target = ph.tinted(plain, np.mean(tints, axis=0))
        target[far] = 128
        yield {"target": target, "partial": partial, "visible": visible.astype(np.uint8) * 255}


def frame_samples(rng: np.random.Generator, person: Person, count: int, clips: list[Floats]) -> Iterator[Sample]:
    """One photo's appearance, and frames of the person elsewhere under the same light."""
    dressed = DressedPerson(person, random_light(rng, FRONT))
    shot = dressed.photograph(rng, (2 * SIZE, 2 * SIZE), supersampling=1)
    image, mask = ph.photographic(rng, shot.image)
    fit = ph.random_fit(rng, person.betas)
    wrong, wrong_view = ph.misjudged(rng, shot.pose, shot.view)
    partial, visible = ph.read_texture(image, mask, wrong_view, fit.vertices(wrong), SIZE)
    aside = np.random.default_rng([person.seed, 2])
    poses_taken = ((wrong, wrong_view), (shot.pose, shot.view))
    photo = small(ph.cut_out(image, mask)) if rng.random() < 0.5 else small_rgba(shot.image)
    lit = ph.tinted(person.texture, shot.tint)
    true = ph.Fit(person.betas, fit.thickness)
    outlines: dict[ph.Fit, Floats | None] = {}
    for _ in range(count):
        pose = poses.random_pose(rng, clips)
        points = dressed.vertices(pose)
        view = frame_view(rng, points)
        if rng.random() < 0.5:
            texture, body = ph.imperfect(rng, small(lit), partial, visible), fit
        else:
            texture, body = lit, true
        if body not in outlines:
            taken, seen_by = poses_taken[int(aside.integers(2))]
            vertices = body.vertices(taken)
            outlines[body] = stand_off(mask, vertices, free_body(), seen_by.intrinsics, seen_by.extrinsics)
        vertices = body.vertices(pose)
        yield {"target": dressed.picture(points, view), "body": textured(vertices, texture, view), "photo": photo,
               "ahead": ahead(outlines[body], vertices, view)}  # fmt: skip


def ahead(metres: Floats | None, vertices: Floats, view: render.View) -> NDArray[np.uint8]:
    """Pixels by which the person's outline lies outside the body, (H, W) for `decode_ahead`.

    Args:
        metres: (V,) from `photo.stand_off`; None where nothing is known.
        vertices: (V, 3) of the body in the world.
        view: the camera.
    """
    out = np.zeros(view.size[::-1], np.uint8)
    if metres is None:
        return out
    body = free_body()
    raster = render.look(view, vertices, body.faces)
    there = raster.mask
    pixels = raster.interpolate(metres[:, None], body.faces)[there, 0] * view.intrinsics[0, 0] / raster.depth[there]
    out[there] = np.clip(np.rint(_AHEAD_ZERO + _AHEAD_STEP * pixels), 1, 255)
    return out


def decode_ahead(stored: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Pixels, and where they are known: where the body is."""
    return (stored.astype(np.float32) - _AHEAD_ZERO) / np.float32(_AHEAD_STEP), stored > 0


def small_rgba(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture (H, W, 4) with straight alpha at the size of the samples, averaged with its alpha."""
    alpha = image[..., 3:].astype(np.float32) / 255
    mean = np.asarray(cv2.resize(np.concatenate([image[..., :3] * alpha, alpha], 2), (SIZE, SIZE),
                                 interpolation=cv2.INTER_AREA))  # fmt: skip
    colour = mean[..., :3] / np.maximum(mean[..., 3:], 1e-6)
    return (np.concatenate([colour, mean[..., 3:] * 255], 2) + 0.5).astype(np.uint8)


def textured(vertices: Floats, texture: NDArray[np.uint8], view: render.View) -> NDArray[np.uint8]:
    """The intermediate frame: the body (V, 3) in a texture (S, S, 3), without light; (H, W, 4) straight alpha."""
    body = free_body()
    uvs = ((body.uvs * [1, -1] + [0, 1]) * len(texture)).astype(np.float32)
    raster = render.look(view.scaled(2), vertices, body.faces)
    return render.picture(raster, body.faces, uvs, body.face_uvs, texture, np.ones(3, np.float32), 2)


def frame_view(rng: np.random.Generator, points: Floats) -> render.View:
    """A camera anywhere around a posed person: mostly the whole body, sometimes a closer crop."""
    close = rng.random() < 0.15
    fill = rng.uniform(1.1, 1.9) if close else rng.uniform(0.55, 0.95)
    shift = np.array([rng.normal(0, 0.03), rng.uniform(0.1, 0.5) * (fill - 0.9) if close else rng.normal(0, 0.02)])
    azimuth, elevation = rng.uniform(-np.pi, np.pi), np.radians(rng.uniform(-15, 35))
    return render.frame(points, azimuth, elevation, rng.uniform(1.0, 2.5), fill, shift, (SIZE, SIZE))
