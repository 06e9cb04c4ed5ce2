"""TPSMM in the tables of 3DHM: the intermediate frames move the photo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from understudy_shared.body import free_body
from understudy_shared.frames import Channel

from understudy_backend.evaluation.subject import SIZE, Picture
from understudy_backend.evaluation.ways import COMPLETE, Scene, Way
from understudy_backend.models.tpsmm.animation import Mode
from understudy_backend.models.tpsmm.animator import Animator
from understudy_backend.models.tpsmm.composing import Composer, Source
from understudy_backend.models.tpsmm.config import PUBLISHED
from understudy_backend.models.tpsmm.framing import Crop, Floats, on_grey, person_crop, straight
from understudy_backend.models.tpsmm.model import TPSMM
from understudy_backend.texture.render import render_body
from understudy_backend.weights.locations import weights_root
from understudy_backend.weights.tpsmm import FOLDER, find_weights, load_tpsmm, weight_sets

BODIES = ("taichi",)
"""Of the published sets, those of whole people."""
BATCH = 8


@dataclass(frozen=True, eq=False)
class Moved:
    """The photo, moved by the intermediate frames.

    The body in the photo's own pose and view, which the fit tells, is the reference of relative motion.
    """

    name: str
    model: TPSMM
    device: str = "cpu"
    mode: Mode = "relative"

    def frames(self, scene: Scene) -> list[Picture]:
        """The moved photo, cut out by its alpha that moves along."""
        size, photo = self.model.config.image_size, straight(scene.subject.photo)
        crop = person_crop(photo[..., 3])
        source = Source(photo, None, crop)
        composer = Composer(source, size, SIZE, background="none")
        assert composer.shape is not None
        reference = crop.take(on_grey(straight(_at_photo(scene))), (size, size))
        shape = self._tensor(composer.shape)
        animator = Animator(
            self.model, self._tensor(source.seen(size)), mode=self.mode, reference=self._tensor(reference)
        )
        whole = Crop(0, 0, *SIZE)
        driving = [whole.take(on_grey(straight(b[Channel.RGBA])), (size, size)) for b in scene.bodies(COMPLETE)]
        out: list[Picture] = []
        for start in range(0, len(driving), BATCH):
            moved = animator(torch.cat([self._tensor(image) for image in driving[start : start + BATCH]]))
            for image, carried in zip(moved.image, moved.carry(shape), strict=True):
                out.append(composer.frame(_array(image), _array(carried)))
        return out

    def _tensor(self, picture: Floats) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32))[None].to(self.device)


def body_sets() -> dict[str, Path]:
    """Files of the weight sets that are there and made for whole people: by name, the user's own ones included."""
    found = {}
    for weights in weight_sets():
        name = weights.name.removeprefix("TPSMM ")
        if weights.available and (name in BODIES or name not in PUBLISHED):
            found[name] = find_weights(name)
    return found


def missing_set() -> str:
    """Why there is no row, where `body_sets` is empty."""
    return (
        f"TPSMM is left out: there are neither weights '{BODIES[0]}' nor any of your own in {weights_root() / FOLDER}"
    )


def tpsmm_ways(device: str) -> list[Way]:
    """A row for each of the sets.

    Raises:
        MethodError: weights that are broken.
    """
    return [Moved(f"TPSMM {name}", load_tpsmm(path).to(device), device) for name, path in body_sets().items()]


def _at_photo(scene: Scene) -> NDArray[np.uint8]:
    """The textured body as the photo's camera saw the person, (H, W, 4)."""
    subject = scene.subject
    vertices, view = subject.dressed.body_vertices(subject.shot.pose), subject.shot.view
    texture = scene.textures[COMPLETE]
    return render_body(vertices, free_body(), texture, view.intrinsics, view.extrinsics, view.size)[Channel.RGBA]


def _array(image: Tensor) -> Floats:
    return image.permute(1, 2, 0).cpu().numpy()
