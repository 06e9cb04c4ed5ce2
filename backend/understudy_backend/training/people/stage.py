"""A dressed person in one light, to be photographed once and shown in any pose from anywhere.

Training and evaluation both make their pictures here, so that they show the same people in the same way.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import free_body

from understudy_backend.texture.raster import Raster
from understudy_backend.training.people import photograph as ph
from understudy_backend.training.people import poses, render, shading
from understudy_backend.training.people.person import Person

Floats = NDArray[np.floating]
FRONT = np.array([0.0, -1.0, 0.0])
"""Where somebody at rest looks, in the world."""
SUPERSAMPLING = 2


class Shot(NamedTuple):
    """A photograph of a person, and the truth about body, camera and light."""

    image: NDArray[np.uint8]
    """(H, W, 4) sRGB, straight alpha: the person alone. `photograph.photographic` adds a background and grain."""
    pose: Floats
    """(24, 3) radians, SMPL's order, Y up, facing +Z; `DressedPerson.body_vertices` poses it."""
    view: render.View
    """Of the image's size."""
    betas: Floats
    """(B,) shape of the body under the clothes."""
    tint: Floats
    """(3,) mean linear factor of light and exposure over what the picture shows."""


class DressedPerson:
    """One person, dressed, in one light.

    Args:
        person: from `person.random_person` or `person.test_person`.
        light: fixed in the world; by default one that belongs to the person, mostly from the front.
    """

    def __init__(self, person: Person, light: shading.Light | None = None) -> None:
        self.person = person
        self.light = light or shading.random_light(np.random.default_rng(person.seed), FRONT)

    def under(self, light: shading.Light) -> DressedPerson:
        """The same person in another light."""
        other = DressedPerson(self.person, light)
        other.openness = self.openness  # it does not depend on the light, and takes as long as a frame
        return other

    @cached_property
    def openness(self) -> Floats:
        """(N,) share of the sky that each vertex sees when the person stands."""
        return shading.openness(self._posed(_at_ease(self.person.seed), None), self.person.faces)

    def target(self, pose: Floats, view: render.View, transl: Floats | None = None) -> NDArray[np.uint8]:
        """The frame as it should be: the person alone on transparency.

        Args:
            pose: (24, 3) radians, Y up.
            view: the camera; `render.frame` makes one, or any `View` of the world, Z up.
            transl: (3,) metres in the world, added to every point; the pelvis is at its rest place without.

        Returns:
            (H, W, 4) uint8, sRGB, straight alpha.
        """
        return self.picture(self._posed(pose, transl), view)

    def picture(self, points: Floats, view: render.View) -> NDArray[np.uint8]:
        """The frame (H, W, 4) of `vertices` (N, 3) that are posed already."""
        return self._take(points, view).image

    def vertices(self, pose: Floats, transl: Floats | None = None) -> Floats:
        """World vertices (N, 3) of body, clothes and hair, Z up: what a camera has to frame."""
        return self._posed(pose, transl)

    def body_vertices(self, pose: Floats, transl: Floats | None = None) -> Floats:
        """World vertices (V, 3), Z up, of the true body under the clothes, in the free body's order."""
        points = ph.Fit(self.person.betas, 0.0).vertices(pose)
        return points if transl is None else points + np.asarray(transl, np.float32)

    def body_raster(self, pose: Floats, view: render.View, transl: Floats | None = None) -> Raster:
        """What each pixel sees of the true body without clothes; its faces are those of the free body."""
        return render.look(view, self.body_vertices(pose, transl), free_body().faces)

    def photograph(
        self,
        rng: np.random.Generator,
        size: tuple[int, int] = (448, 640),
        back: bool = False,
        supersampling: int = SUPERSAMPLING,
    ) -> Shot:
        """A photo of the person as they stand, from about the front (or the back).

        Args:
            rng: the same state gives the same photo.
            size: (width, height) in pixels.
            back: seen from behind.
            supersampling: samples on a side of a pixel.
        """
        pose = poses.standing(rng)
        points = self._posed(pose, None)
        view = ph.photo_view(rng, points, size, back)
        photo = self._take(points, view, supersampling)
        return Shot(photo.image, pose, view, self.person.betas, photo.tint)

    def texture_truth(self, shot: Shot | None = None) -> NDArray[np.uint8]:
        """The complete texture in the photo's light, (S, S, 3) uint8 sRGB, in the free body's layout.

        The light is its mean over what `shot` shows, which is what no stage can take out of a photo; without a shot,
        over the person standing, from the front.
        """
        if shot is not None:
            return ph.tinted(self.person.texture, shot.tint)
        points = self._posed(_at_ease(self.person.seed), None)
        view = render.frame(points, 0.0, 0.05, 2.0, 0.9, np.zeros(2), (128, 128))
        return ph.tinted(self.person.texture, self._take(points, view).tint)

    def _posed(self, pose: Floats, transl: Floats | None) -> Floats:
        points = ph.to_world(self.person.posed(pose))
        return points if transl is None else points + np.asarray(transl, np.float32)

    def _take(self, points: Floats, view: render.View, supersampling: int = SUPERSAMPLING) -> ph.Photograph:
        return ph.take(self.person, points, self.light, self.openness, view, supersampling)


def _at_ease(seed: int) -> Floats:
    return poses.standing(np.random.default_rng([seed, 1]))
