"""3DHM, stage 2 (arXiv 2401.10889, section 3.2): the textured body in motion to frames of a real person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Annotated

import cv2
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from understudy_shared.body import free_body, skin
from understudy_shared.fit import FIT_ARRAYS
from understudy_shared.frames import Channel, Frame, linear_to_srgb
from understudy_shared.protocol.description import MethodDescription, NeedDescription

from understudy_backend.methods.contract import MethodError, Result, Task
from understudy_backend.methods.params import describe, setting
from understudy_backend.models.threedhm.rendering import BATCH, BodyFrame, FrameRenderer, Noise
from understudy_backend.models.threedhm.stages import Render
from understudy_backend.photo.stand_off import as_texture, stand_off
from understudy_backend.texture.render import Texture, pixels_per_metre, render_body
from understudy_backend.weights.locations import weights_folder
from understudy_backend.weights.sets import weight_sets
from understudy_backend.weights.threedhm import load_render

GEOMETRY = (Channel.VERTICES, Channel.EXTRINSICS, Channel.INTRINSICS)
"""The other way to give a frame: the posed body and the camera, from which the backend makes the textured picture."""


class RenderParams(msgspec.Struct, frozen=True):
    """Settings of stage 2."""

    steps: Annotated[
        int, setting("Steps", "Denoising steps per frame; 0 takes as many as suit the weights.", ge=0, le=100)
    ] = 0  # fmt: skip
    detail: Annotated[
        float, setting("Detail", "How much of the texture's fine detail is kept where the body is bare.", ge=0, le=1)
    ] = 1.0  # fmt: skip
    noise: Annotated[
        Noise,
        setting(
            "Noise",
            "What is made up follows the body's surface, stays fixed in the picture, or is new in every frame.",
        ),
    ] = "surface"
    weights: Annotated[str, setting("Weights", "Name of the set of weights.")] = "small"


class ThreeDHM:
    """Frames of the person in the photo, in the pose and from the camera of each frame."""

    params_type = RenderParams

    def __init__(self) -> None:
        self._device = "cpu"
        self._models: dict[str, Render] = {}

    @property
    def description(self) -> MethodDescription:
        """Told anew each time, so that weights added meanwhile show."""
        return MethodDescription(
            name="threedhm",
            title="3DHM",
            help="Renders the person of the photo frame by frame, with clothing and hair that the body mesh lacks.",
            paper="arXiv 2401.10889, section 3.2",
            params=describe(RenderParams),
            needs=(
                NeedDescription("photo", False, "The photo of the person"),
                NeedDescription("photo_mask", False, "Where the person is in it, as the fit gives it"),
                NeedDescription("texture", False, "The complete texture, painted on or not"),
                *(NeedDescription(name, False, "From the fit of the photo", optional=True) for name in FIT_ARRAYS),
                NeedDescription(Channel.RGBA, True, "The textured body as the camera sees it", optional=True),
                *(
                    NeedDescription(channel, True, "Posed body and camera, in place of a picture", optional=True)
                    for channel in GEOMETRY
                ),
            ),
            gives=(Channel.RGBA,),
            weights=weight_sets("render", "rendering"),
            size_multiple=1,
        )

    def load(self, device: str) -> None:
        """Remembers the device; weights are read when a job names them."""
        self._device = device

    def unload(self) -> None:
        """Drops the networks."""
        self._models.clear()

    def run(self, task: Task, frames: Iterable[Frame]) -> Iterator[Result]:
        """Gives `rgba` (H, W, 4) uint8 sRGB, straight alpha, for each frame."""
        params = task.params
        assert isinstance(params, RenderParams)
        missing = [name for name in ("photo", "photo_mask", "texture") if name not in task.inputs]
        if missing:
            raise MethodError(
                f"rendering needs {', '.join(missing)}",
                code="missing_input",
                fix="Fit the photo and make its texture first.",
            )
        texture = Texture(task.inputs["texture"])
        person = cut_out(task.inputs["photo"], task.inputs["photo_mask"])
        model = self._model(params.weights)
        try:
            renderer = FrameRenderer(
                model,
                person,
                task.spec.size,
                seed=task.spec.seed,
                steps=params.steps or model.steps,
                detail=params.detail,
                noise=params.noise,
                stand_off=stand_off_of(task.inputs, person[..., 3]),
            )
        except ValueError as error:
            raise MethodError(f"{error}", code="bad_input", fix="Fit the photo again.") from error
        pending = iter(frames)
        while batch := list(islice(pending, BATCH)):
            task.progress(0.0, "Rendering")
            bodies = [intermediate(frame, texture, task.spec.size) for frame in batch]
            for frame, image in zip(batch, renderer.render(bodies), strict=True):
                yield Result(frame.index, {Channel.RGBA.value: image})

    def _model(self, name: str) -> Render:
        if name not in self._models:
            dtype = torch.float16 if self._device.startswith("cuda") else torch.float32
            self._models = {name: load_render(weights_folder(name, "render"), self._device, dtype)}
        return self._models[name]


def cut_out(photo: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The photo (H, W, 3 or 4) with the person mask (h, w) uint8 as its alpha."""
    if mask.shape != photo.shape[:2]:
        mask = np.asarray(cv2.resize(mask, photo.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    return np.dstack([photo[..., :3], mask])


def stand_off_of(inputs: Mapping[str, NDArray], mask: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """The texture of the outline's distances from the body (see `photo.stand_off`); None without a fit of the photo.

    Args:
        inputs: of the job.
        mask: (H, W), where the person is, of the photo's size.
    """
    if any(name not in inputs for name in FIT_ARRAYS):
        return None
    betas, orient, pose, transl, extrinsics, k = (np.asarray(inputs[name]) for name in FIT_ARRAYS)
    body = free_body()
    vertices = skin(body, betas.reshape(-1), orient.reshape(1, 3), pose.reshape(1, 23, 3), transl.reshape(1, 3))[0]
    found = stand_off(mask, vertices, body, k.reshape(3, 3), extrinsics.reshape(4, 4))
    return None if found is None else as_texture(found, body)


def intermediate(frame: Frame, texture: Texture, size: tuple[int, int]) -> BodyFrame:
    """The textured body of a frame, uint8 sRGB: Blender's picture if it came with one, else rasterised here.

    Raises:
        MethodError: the frame holds neither, or a picture of another size.
    """
    channels = frame.channels
    if Channel.RGBA in channels:
        image = channels[Channel.RGBA]
        if image.shape[:2] != size[::-1]:
            raise MethodError(
                f"frame {frame.index} is {image.shape[1]} x {image.shape[0]} pixels, the job {size[0]} x {size[1]}",
                code="bad_frame",
                fix="Render the frames at the job's size.",
            )
        if image.dtype != np.uint8:
            colour = linear_to_srgb(image[..., :3].astype(np.float32))
            image = (np.dstack([colour, np.clip(image[..., 3:], 0, 1)]) * 255 + 0.5).astype(np.uint8)
        scale = None
        if Channel.DEPTH in channels and Channel.INTRINSICS in channels:
            scale = pixels_per_metre(channels[Channel.DEPTH], channels[Channel.INTRINSICS])
        return BodyFrame(frame.index, np.asarray(image, np.uint8), channels.get(Channel.UV), scale)
    lacking = [c.value for c in GEOMETRY if c not in channels]
    if lacking:
        raise MethodError(
            f"frame {frame.index} has no picture and no {', '.join(lacking)}",
            code="bad_frame",
            fix="Send the textured body's picture, or its vertices with the camera.",
        )
    body = free_body()
    vertices = channels[Channel.VERTICES]
    if vertices.shape != body.v_template.shape:
        raise MethodError(
            f"frame {frame.index} has {len(vertices)} vertices, the body {len(body.v_template)}",
            code="bad_frame",
            fix="Use the body that Understudy creates.",
        )
    k, extrinsics = channels[Channel.INTRINSICS], channels[Channel.EXTRINSICS]
    parts = render_body(vertices, body, texture, k, extrinsics, size)
    return BodyFrame(frame.index, parts[Channel.RGBA], parts[Channel.UV], pixels_per_metre(parts[Channel.DEPTH], k))
