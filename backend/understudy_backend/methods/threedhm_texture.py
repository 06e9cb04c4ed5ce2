"""3DHM, stage 1 (arXiv 2401.10889, section 3.1): photo and fitted body to a complete texture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal

import cv2
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from understudy_shared.body import free_body, skin
from understudy_shared.fit import FIT_ARRAYS
from understudy_shared.frames import Frame
from understudy_shared.protocol.description import MethodDescription, NeedDescription

from understudy_backend.methods.contract import MethodError, Result, Task
from understudy_backend.methods.params import describe, setting
from understudy_backend.models.threedhm.infilling import complete_texture
from understudy_backend.models.threedhm.stages import Infill
from understudy_backend.texture.bake import texel_map
from understudy_backend.texture.fusion import fuse
from understudy_backend.texture.projection import PartialTexture, project_photo
from understudy_backend.texture.visibility import visible_texels
from understudy_backend.weights.locations import weights_folder
from understudy_backend.weights.sets import weight_sets
from understudy_backend.weights.threedhm import load_infill


class TextureParams(msgspec.Struct, frozen=True):
    """Settings of stage 1."""

    texture_size: Annotated[
        Literal["512", "1024", "2048"],
        setting("Texture Size", "Side of the texture; visible texels are sampled from the photo at this size."),
    ] = "1024"
    steps: Annotated[int, setting("Steps", "Denoising steps; 0 takes as many as suit the weights.", ge=0, le=100)] = 0
    max_angle: Annotated[
        float,
        setting("Grazing Limit", "Flatter seen surfaces are not taken from the photo.", ge=30, le=88, unit="°"),
    ] = 75.0
    fill_in: Annotated[
        bool,
        setting("Fill In", "Completes what the photo does not show. Off: only what it shows, to be painted on first."),
    ] = True
    weights: Annotated[str, setting("Weights", "Name of the set of weights.")] = "small"


FEW = 4
"""So many photos were chosen by hand: of each texel the squarest view is taken. More are frames of a video, among which
wrong samples are outliers."""


class ThreeDHMTexture:
    """The complete texture of the person in a photo: visible texels as photographed, the others in-filled."""

    params_type = TextureParams

    def __init__(self) -> None:
        self._device = "cpu"
        self._models: dict[str, Infill] = {}

    @property
    def description(self) -> MethodDescription:
        """Told anew each time, so that weights added meanwhile show."""
        return MethodDescription(
            name="threedhm_texture",
            title="3DHM texture",
            help="Completes the texture of the person in a photo.",
            paper="arXiv 2401.10889, section 3.1",
            params=describe(TextureParams),
            needs=(
                NeedDescription("photo", False, "The photo of the person"),
                NeedDescription("photo_mask", False, "Where the person is in it, as the fit gives it"),
                *(NeedDescription(name, False, "From the fit of the body to the photo") for name in FIT_ARRAYS),
                NeedDescription("painted", False, "Texels painted by hand, which are kept", optional=True),
            ),
            gives=("partial", "visibility", "texture"),
            weights=weight_sets("infill", "in-filling"),
        )

    def load(self, device: str) -> None:
        """Remembers the device; weights are read when a job names them."""
        self._device = device

    def unload(self) -> None:
        """Drops the networks."""
        self._models.clear()

    def run(self, task: Task, frames: Iterable[Frame]) -> Iterator[Result]:
        """Gives one result: `partial` (S, S, 4) uint8 with alpha 255 where the photo shows the texel, `visibility`
        (S, S) float32, the cosine at which the photo shows it, `texture` (S, S, 4) uint8, complete and opaque.

        Further photos of the same person come as `photo_2`, `photo_mask_2`, `betas_2`, ... and are fused. `painted`
        (S', S', 4) uint8 is what the artist painted: where its alpha is above 0, its colour lies over the photo's and
        counts as seen. Without `fill_in` there is no `texture`, and no weights are needed.

        Raises:
            MethodError: an input is missing or not of that form, or the weights are not there.
        """
        params = task.params
        assert isinstance(params, TextureParams)
        task.progress(0.02, "Reading the photos")
        parts = [_partial(task.inputs, suffix, params) for suffix in _suffixes(task.inputs)]
        partial = parts[0] if len(parts) == 1 else fuse(parts, "best" if len(parts) <= FEW else "median")
        if "painted" in task.inputs:
            partial = _paint_over(partial, task.inputs["painted"])
        seen = partial.visible.astype(np.uint8) * 255
        arrays = {"partial": np.dstack([partial.color, seen]), "visibility": partial.weight}
        if not params.fill_in:
            yield Result(0, arrays)
            return
        task.progress(0.3, "Loading weights")
        model = self._model(params.weights)
        steps = params.steps or model.steps
        texture = complete_texture(
            model,
            partial.color,
            partial.visible,
            seed=task.spec.seed,
            steps=steps,
            on_step=lambda done: task.progress(0.4 + 0.5 * done / steps, "Completing the rest"),
        )
        arrays["texture"] = np.dstack([texture, np.full(texture.shape[:2], 255, np.uint8)])
        yield Result(0, arrays)

    def _model(self, name: str) -> Infill:
        if name not in self._models:
            dtype = torch.float16 if self._device.startswith("cuda") else torch.float32
            self._models = {name: load_infill(weights_folder(name, "infill"), self._device, dtype)}
        return self._models[name]


def _suffixes(inputs: Mapping[str, NDArray]) -> list[str]:
    suffixes = [""]
    while f"photo_{len(suffixes) + 1}" in inputs:
        suffixes.append(f"_{len(suffixes) + 1}")
    return suffixes


def _partial(inputs: Mapping[str, NDArray], suffix: str, params: TextureParams) -> PartialTexture:
    missing = [name for name in ("photo", "photo_mask", *FIT_ARRAYS) if name + suffix not in inputs]
    if missing:
        raise MethodError(
            f"the texture needs {', '.join(missing)}", code="missing_input", fix="Fit the body to the photo first."
        )
    photo, mask = inputs["photo" + suffix][..., :3], inputs["photo_mask" + suffix]
    if mask.shape != photo.shape[:2]:
        mask = cv2.resize(mask, photo.shape[1::-1], interpolation=cv2.INTER_AREA)
    betas, orient, pose, transl, extrinsics, k = (np.asarray(inputs[name + suffix]) for name in FIT_ARRAYS)
    person = (mask > 127).astype(np.float32)
    body = free_body()
    vertices = skin(body, betas.reshape(-1), orient.reshape(1, 3), pose.reshape(1, 23, 3), transl.reshape(1, 3))[0]
    height, width = photo.shape[:2]
    texels = visible_texels(
        vertices,
        body,
        k.reshape(3, 3),
        extrinsics.reshape(4, 4),
        (width, height),
        int(params.texture_size),
        mask=person,
        min_cosine=float(np.cos(np.deg2rad(params.max_angle))),
    )
    return project_photo(photo, texels, person)


def _paint_over(partial: PartialTexture, painted: NDArray) -> PartialTexture:
    """The partial texture with the artist's texels over it; they count as seen squarely."""
    if painted.ndim != 3 or painted.shape[2] != 4 or painted.dtype != np.uint8 or painted.shape[0] != painted.shape[1]:
        raise MethodError(
            f"what was painted is not a square image of 4 channels of 8 bits but {painted.dtype} of {painted.shape}",
            code="bad_input",
            fix="Send it as the texture came, alpha 0 where nothing was painted.",
        )
    side = len(partial.weight)
    alpha = painted[..., 3:].astype(np.float32) / 255
    color = painted[..., :3] * alpha
    if len(painted) != side:  # colour weighed by alpha, so that what was not painted does not bleed in
        way = cv2.INTER_AREA if len(painted) > side else cv2.INTER_LINEAR
        color, alpha = (cv2.resize(a, (side, side), interpolation=way).reshape(side, side, -1) for a in (color, alpha))
    over = (alpha[..., 0] > 0) & texel_map(free_body(), side).mask
    seen = partial.visible[..., None]
    mixed = np.where(seen, color + partial.color * (1 - alpha), color / np.maximum(alpha, 1e-6))
    return PartialTexture(
        np.where(over[..., None], np.rint(mixed.clip(0, 255)).astype(np.uint8), partial.color),
        np.where(over, np.float32(1), partial.weight),
    )
