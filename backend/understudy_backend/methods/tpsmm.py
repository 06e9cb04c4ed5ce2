"""TPSMM (Zhao and Zhang, CVPR 2022): the frames of the timeline move a photo."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Annotated, Literal

import cv2
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from understudy_shared.frames import Channel, Frame, linear_to_srgb
from understudy_shared.protocol.description import MethodDescription, NeedDescription

from understudy_backend.methods.contract import MethodError, Result, Task
from understudy_backend.methods.fit import photo_of
from understudy_backend.methods.params import describe, setting
from understudy_backend.models.tpsmm.animation import Mode, best_frame
from understudy_backend.models.tpsmm.animator import Animator
from understudy_backend.models.tpsmm.composing import Composer, Source
from understudy_backend.models.tpsmm.fast import quicken
from understudy_backend.models.tpsmm.framing import (
    Crop,
    Floats,
    centre_crop,
    head_crop,
    on_grey,
    person_crop,
    straight,
)
from understudy_backend.models.tpsmm.model import TPSMM
from understudy_backend.photo.blazepose import BlazePose
from understudy_backend.photo.face import FaceMesh, find_face
from understudy_backend.weights.tpsmm import find_weights, load_tpsmm, weight_sets

GPU_BATCH = 8
"""Frames at a time on a GPU. On a CPU one: a frame is then out as soon as it is computed, and nothing is lost."""

SourceCrop = Literal["centre", "person", "head", "whole"]


class TPSMMParams(msgspec.Struct, frozen=True):
    """Settings of TPSMM."""

    weights: Annotated[
        str, setting("Weights", "Name of the set: vox (heads), taichi (bodies), ted (upper bodies), mgif, or your own.")
    ] = "vox"  # fmt: skip
    mode: Annotated[
        Mode,
        setting(
            "Motion",
            "Relative: the photo moves as the driving clip does since the reference frame. Standard: the driving pose "
            "as it is. AVD: the driving pose in the shape of the person in the photo.",
        ),
    ] = "relative"
    match_reference: Annotated[
        bool,
        setting("Best Reference", "Of several reference frames, the one whose face is held most like the photo's."),
    ] = False  # fmt: skip
    crop: Annotated[
        SourceCrop,
        setting("Photo", "What of the photo moves: the square in its middle, around the person, around the head; all."),
    ] = "centre"  # fmt: skip
    driving_crop: Annotated[
        Literal["centre", "whole"],
        setting("Driving Frame", "What of the driving frames counts: the square in the middle, or all, squeezed."),
    ] = "centre"  # fmt: skip
    background: Annotated[
        Literal["moving", "still", "none"],
        setting(
            "Background",
            "Moving: as the network makes it. Still: the photo's own, filled in where the person was. None: "
            "transparent. The latter two need the person's mask.",
        ),
    ] = "moving"
    output: Annotated[
        Literal["crop", "photo"], setting("Frame", "The part that moves alone, or laid back into the whole photo.")
    ] = "crop"
    soften: Annotated[
        float, setting("Soft Border", "Width of the blend back into the photo, of the moving part.", ge=0, le=0.5)
    ] = 0.08  # fmt: skip


class TPSMMMethod:
    """One photo, moved by whatever the timeline shows."""

    params_type = TPSMMParams

    def __init__(self) -> None:
        self._device = "cpu"
        self._models: dict[str, TPSMM] = {}

    @property
    def description(self) -> MethodDescription:
        """Told anew each time, so that weights added meanwhile show."""
        return MethodDescription(
            name="tpsmm",
            title="TPSMM",
            help="Moves a photo as the frames of the timeline move: a render of the scene, a movie, or images.",
            paper="arXiv 2203.14367",
            params=describe(TPSMMParams),
            needs=(
                NeedDescription("photo", False, "The picture that is to move; its alpha moves along"),
                NeedDescription("photo_mask", False, "Where the person is in it, as the fit gives it", optional=True),
                NeedDescription(
                    "reference",
                    False,
                    "For relative motion: the driving frame whose pose is nearest to the photo's, usually the first; "
                    "several as reference, reference_2, ... to have the best one chosen",
                    optional=True,
                ),
                NeedDescription(Channel.RGBA, True, "The driving frame"),
            ),
            gives=(Channel.RGBA,),
            weights=weight_sets(),
            size_multiple=1,
            any_size=True,
        )

    def load(self, device: str) -> None:
        """Remembers the device; weights are read when a job names them."""
        self._device = device

    def unload(self) -> None:
        """Drops the networks."""
        self._models.clear()

    def run(self, task: Task, frames: Iterable[Frame]) -> Iterator[Result]:
        """Gives `rgba` (H, W, 4) uint8 sRGB, straight alpha, for each driving frame, as soon as it is made."""
        params = task.params
        assert isinstance(params, TPSMMParams)
        source = _source(task.inputs, params)
        model = self._model(params.weights)
        size = model.config.image_size
        reference = None
        if params.mode == "relative":
            reference = self._tensor(_reference(task.inputs, params, size))
        try:
            animator = Animator(
                model,
                self._tensor(source.seen(size)),
                mode=params.mode,
                reference=reference,
                half=self._device.startswith("cuda"),
            )
        except ValueError as error:
            raise MethodError(
                f"TPSMM cannot move the photo: {error}",
                code="bad_params",
                fix="Choose another kind of motion or weights.",
            ) from None
        composer = Composer(
            source,
            size,
            task.spec.size,
            background=params.background,
            whole=params.output == "photo",
            soften=params.soften,
        )
        shape = None if composer.shape is None else self._tensor(composer.shape)
        pending = iter(frames)
        while batch := list(islice(pending, GPU_BATCH if self._device.startswith("cuda") else 1)):
            task.progress(0.0, "Moving the photo")
            pictures = [driving_picture(frame) for frame in batch]
            seen = [_seen(picture, params.driving_crop, size) for picture in pictures]
            moved = animator(torch.cat([self._tensor(image) for image in seen]))
            shapes = [None] * len(batch) if shape is None else [_array(x) for x in moved.carry(shape)]
            for frame, picture, image, carried in zip(batch, pictures, moved.image, shapes, strict=True):
                empty = not picture[..., 3].any()
                meta = {"warnings": ["the driving frame is transparent throughout"]} if empty else {}
                yield Result(frame.index, {Channel.RGBA.value: composer.frame(_array(image), carried)}, meta)

    def _model(self, name: str) -> TPSMM:
        if name not in self._models:
            model = load_tpsmm(find_weights(name))
            self._models = {name: quicken(model) if self._device == "cpu" else model.to(self._device)}
        return self._models[name]

    def _tensor(self, picture: Floats) -> Tensor:
        """(H, W, C) to (1, C, H, W) on the device."""
        return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].to(self._device)


def _source(inputs: Mapping[str, NDArray], params: TPSMMParams) -> Source:
    """The photo, and which part of it is to move.

    Raises:
        MethodError: an input that the parameters ask for is missing or does not fit.
    """
    photo = photo_of(inputs)
    height, width = photo.shape[:2]
    mask = None
    if (given := inputs.get("photo_mask")) is not None:
        if given.ndim != 2 or not given.size:
            raise MethodError(
                f"the mask has not one channel but the shape {given.shape}",
                code="bad_input",
                fix="Use the mask that the fit gives.",
            )
        unit = given.astype(np.float32) / (255 if given.dtype == np.uint8 else 1)
        mask = np.asarray(cv2.resize(unit, (width, height)), np.float32)[..., None]
    picture = straight(photo)
    if mask is None and picture[..., 3].min() > 0.5 and (params.background != "moving" or params.crop == "person"):
        raise MethodError(
            "nothing tells where the person is in the photo",
            code="missing_input",
            fix="Fit the photo first, use a photo with transparency, or choose a moving background and another crop.",
        )
    shown = picture[..., 3:] if mask is None else mask
    return Source(picture, mask, _source_crop(photo, shown, params.crop))


def driving_picture(frame: Frame) -> Floats:
    """The picture (H, W, 4) of a driving frame, sRGB in [0, 1], of any size.

    Raises:
        MethodError: it has none.
    """
    image = frame.channels.get(Channel.RGBA)
    if image is None or image.ndim != 3 or image.shape[2] != 4 or not image.size:
        raise MethodError(
            f"frame {frame.index} has no picture",
            code="bad_frame",
            fix="Drive the photo with a render, a movie strip or an image sequence.",
        )
    if image.dtype == np.uint8:
        return straight(image)
    linear = np.nan_to_num(image.astype(np.float32), posinf=1.0)
    return np.dstack([linear_to_srgb(linear[..., :3]), np.clip(linear[..., 3:], 0, 1)]).astype(np.float32)


def _reference(inputs: Mapping[str, NDArray], params: TPSMMParams, size: int) -> Floats:
    """The reference frame as the networks see it."""
    names = sorted((n for n in inputs if re.fullmatch(r"reference(_\d+)?", n)), key=lambda n: (len(n), n))
    if not names:
        raise MethodError(
            "relative motion needs the driving clip's reference frame",
            code="missing_input",
            fix="Send the frame whose pose is nearest to the photo's as `reference`, or choose another kind of motion.",
        )
    for name in names:
        image = inputs[name]
        if image.ndim != 3 or image.shape[2] not in (3, 4) or image.dtype != np.uint8 or not image.size:
            raise MethodError(f"{name} is no 8-bit colour image", code="bad_input", fix="Send a frame as RGBA.")
    chosen = names[0]
    if params.match_reference:
        wanted = face_of(photo_of(inputs))
        if wanted is None:
            raise _no_face("the photo")
        try:
            chosen = names[best_frame(wanted, [face_of(inputs[name]) for name in names])[0]]
        except ValueError:
            raise _no_face("any of the reference frames") from None
    picture = straight(inputs[chosen])
    if not picture[..., 3].any():
        raise MethodError(
            "the reference frame is transparent throughout", code="bad_input", fix="Choose one that shows the actor."
        )
    return _seen(picture, params.driving_crop, size)


def _seen(picture: Floats, how: Literal["centre", "whole"], size: int) -> Floats:
    height, width = picture.shape[:2]
    crop = centre_crop(width, height) if how == "centre" else Crop(0, 0, width, height)
    return crop.take(on_grey(picture), (size, size))


def _source_crop(photo: NDArray[np.uint8], mask: Floats, how: SourceCrop) -> Crop:
    height, width = photo.shape[:2]
    match how:
        case "whole":
            return Crop(0, 0, width, height)
        case "person":
            try:
                return person_crop(mask[..., 0])
            except ValueError as error:
                raise MethodError(f"{error}", code="bad_input", fix="Fit the photo again.") from None
        case "head":
            face = face_of(photo)
            if face is None:
                raise _no_face("the photo")
            return head_crop(face[[2, 5]], face[[9, 10]])
    return centre_crop(width, height)


def face_of(image: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Eleven landmarks (11, 2) of the face in an image (H, W, 3 or 4), in BlazePose's order; None without a face."""
    rgb = (on_grey(straight(image)) * 255 + 0.5).astype(np.uint8)
    body, face = _face_networks()
    region, score = body.find(rgb)
    if score < 0.5:
        return None
    return find_face(face, rgb, body.landmarks(rgb, region).points[:11])


@cache
def _face_networks() -> tuple[BlazePose, FaceMesh]:
    return BlazePose(), FaceMesh()


def _no_face(where: str) -> MethodError:
    return MethodError(f"no face was found in {where}", code="no_face", fix="Turn the choice by the face off.")


def _array(image: Tensor) -> Floats:
    return image.permute(1, 2, 0).cpu().numpy()
