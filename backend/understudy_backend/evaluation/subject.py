"""One of the people of the evaluation: their photo, what can be read from it, and the truth to compare with."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import Y_UP_TO_Z_UP, free_body, joint_transforms
from understudy_shared.camera_paths import orbit
from understudy_shared.frames import Channel

from understudy_backend.photo.stand_off import as_texture, stand_off
from understudy_backend.texture.projection import PartialTexture, project_photo
from understudy_backend.texture.raster import Raster
from understudy_backend.texture.render import Texture, render_body
from understudy_backend.texture.visibility import visible_texels
from understudy_backend.training.people import photograph, poses
from understudy_backend.training.people.person import TEXTURE_SIZE, generator, test_person
from understudy_backend.training.people.render import View, look
from understudy_backend.training.people.stage import DressedPerson

Picture = NDArray[np.uint8]

SIZE = (256, 256)
PHOTO_SIZE = (448, 640)
FOV = 28.0
"""Vertical field of view of the frames' camera, degrees."""
FILL = 0.9
"""Share of the frame's height that the person fills, or of its width if that is the tighter one."""
RISE = 0.1
"""Height of the camera above the person's middle, as a share of its distance."""
MAX_ANGLE = 75.0
"""Degrees; flatter seen surfaces are not read from the photo, as in the product."""

FRAME_ANGLES = tuple(range(0, 360, 12))
"""Degrees of table (a): all the way round."""
CLIP_ANGLES = tuple(range(150, 196, 3))
"""Degrees of table (b): 16 frames past the back."""


class Subject:
    """A test person in one driving pose that the photo does not show, on a turntable.

    Args:
        index: 0 to 49.
        seed: of the person, their photo and the driving pose.

    Raises:
        ValueError: there is no such person.
    """

    def __init__(self, index: int, seed: int = 0) -> None:
        self.index = index
        self.dressed = DressedPerson(test_person(index, seed))
        rng = np.random.default_rng([*generator("test", index, seed).integers(1 << 31, size=2)])
        self.shot = self.dressed.photograph(rng, PHOTO_SIZE)
        rgb, mask = photograph.photographic(rng, self.shot.image)
        self.mask = mask
        """(H, W) the person in the photo, with a matte's errors."""
        self.photo = np.dstack([rgb, mask.astype(np.uint8) * 255])
        """(H, W, 4) the person cut out of a photo with background and grain."""
        self.pose = poses.wild(rng) if index % 3 == 2 else poses.walking(rng)
        """(24, 3) the driving pose."""

    @cached_property
    def vertices(self) -> NDArray[np.floating]:
        """World vertices (N, 3) of body, clothes and hair in the driving pose."""
        return self.dressed.vertices(self.pose)

    @cached_property
    def body(self) -> NDArray[np.floating]:
        """World vertices (V, 3) of the body under the clothes in the driving pose: what is animated."""
        return self.dressed.body_vertices(self.pose)

    @cached_property
    def joints(self) -> NDArray[np.floating]:
        """World joints (24, 3) of that body."""
        betas, pose = self.shot.betas, self.pose
        transforms = joint_transforms(free_body(), betas, pose[None, 0], pose[None, 1:], np.zeros((1, 3), np.float32))
        return transforms[0, :, :3, 3] @ Y_UP_TO_Z_UP.T

    def turntable(self, angles: tuple[int, ...]) -> list[View]:
        """Cameras of the same distance all round the person; 0 degrees is the front, 90 the person's left."""
        low, high = self.vertices.min(0), self.vertices.max(0)
        middle = (low + high) / 2
        reach = float(np.hypot(*(self.vertices - middle)[:, :2].T).max())
        half = max(float(high[2] - low[2]) / 2, reach)
        radius = half / FILL / np.tan(np.radians(FOV) / 2) + reach  # the nearest point may fill the frame, no more
        height = RISE * radius
        views = []
        for angle in angles:
            camera = orbit(middle, radius, height, 1, start=angle, fov=FOV, size=SIZE)
            views.append(View(camera.extrinsics[0], camera.intrinsics[0], SIZE))
        return views

    def truth(self, views: list[View]) -> list[Picture]:
        """The dressed person as the cameras see them, (H, W, 4)."""
        return [self.dressed.target(self.pose, view) for view in views]

    def surface(self, view: View) -> Raster:
        """What each pixel sees of body, clothes and hair; its faces are `dressed.person.faces`."""
        return look(view, self.vertices, self.dressed.person.faces)

    @cached_property
    def partial(self) -> PartialTexture:
        """The texels (S, S) that the photo shows, read with the true fit."""
        view = self.shot.view
        vertices = self.dressed.body_vertices(self.shot.pose)
        person = self.mask.astype(np.float32)
        texels = visible_texels(
            vertices,
            free_body(),
            view.intrinsics,
            view.extrinsics,
            view.size,
            TEXTURE_SIZE,
            mask=person,
            min_cosine=float(np.cos(np.deg2rad(MAX_ANGLE))),
        )
        return project_photo(self.photo, texels, person)

    @cached_property
    def stand_off(self) -> NDArray[np.float32] | None:
        """How far the outline in the photo lies outside the body, as a texture."""
        view, body = self.shot.view, free_body()
        vertices = self.dressed.body_vertices(self.shot.pose)
        found = stand_off(self.mask, vertices, body, view.intrinsics, view.extrinsics)
        return None if found is None else as_texture(found, body)

    @cached_property
    def texture(self) -> NDArray[np.uint8]:
        """The true complete texture (S, S, 3) in the photo's light."""
        return self.dressed.texture_truth(self.shot)

    def bodies(self, texture: NDArray[np.uint8], views: list[View]) -> list[dict[Channel, NDArray]]:
        """The intermediate frames: the body alone with a texture (S, S, 3), colour and geometry passes."""
        whole = Texture(texture)
        return [
            render_body(self.body, free_body(), whole, view.intrinsics, view.extrinsics, view.size) for view in views
        ]
