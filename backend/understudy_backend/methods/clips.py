"""What Animate Anyone and Champ share as methods: all frames of a job are one clip, made from the photo and from
pictures of the body that guide it.

The clip's state lies in the job's folder, so a job that was cancelled, or whose worker died, goes on where it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from understudy_shared.frames import Channel, Frame
from understudy_shared.protocol.description import NeedDescription

from understudy_backend.methods.contract import MethodError, Result, Task
from understudy_backend.methods.fit import photo_of
from understudy_backend.methods.params import setting
from understudy_backend.models.animate_anyone.animation import Clip, ClipSettings
from understudy_backend.models.animate_anyone.noise import SeedRange
from understudy_backend.models.animate_anyone.parts import AnimatorParts
from understudy_backend.models.animate_anyone.solvers import Solver
from understudy_backend.models.animate_anyone.windows import Windows
from understudy_backend.weights.animator_sets import PUBLISHED

Image = NDArray[np.uint8]
Background = Literal["photo", "green", "none"]

GREEN = (0, 177, 64)
"""Of a background that is to be keyed out."""
SMALLEST = 64
"""Pixels: below it the networks' coarsest layers have nothing left."""
MARGIN = 0.06
"""Around the person in the photo, as a share of their height or width."""
MOST_PREVIEWS = 4
"""Frames that are shown while they are made: one decoded at each step for every window, so that it costs little."""

NEEDS = (
    NeedDescription("photo", False, "The photo of the person"),
    NeedDescription(
        "photo_mask", False, "Where the person is in it, as the fit gives it; a green or no background needs it", True
    ),
    NeedDescription(Channel.VERTICES, True, "The posed body"),
    NeedDescription(Channel.JOINTS, True, "Its joints"),
    NeedDescription(Channel.EXTRINSICS, True, "Where the camera is"),
    NeedDescription(Channel.INTRINSICS, True, "Its lens"),
)


class ClipParams(msgspec.Struct, frozen=True):
    """Settings that both methods have."""

    steps: Annotated[int, setting("Steps", "Denoising steps; with DPM++ half of them suffice.", ge=1, le=200)] = 30
    guidance: Annotated[
        float, setting("Guidance", "How closely the photo is followed; 1 and below halve the time.", ge=0, le=20)
    ] = 3.5  # fmt: skip
    solver: Annotated[Solver, setting("Solver", "DDIM as published, or DPM++, which needs fewer steps.")] = "DDIM"
    window: Annotated[
        int, setting("Window", "Frames that are made together; fewer need less memory.", ge=1, le=32)
    ] = 24  # fmt: skip
    overlap: Annotated[int, setting("Overlap", "Frames that a window shares with the next.", ge=0, le=31)] = 4
    background: Annotated[
        Background,
        setting("Background", "The photo's own; green, to be keyed out; or none: the person is keyed out already."),
    ] = "photo"
    framing: Annotated[
        Literal["person", "whole"],
        setting("Photo", "The part around the person, in the frame's proportions; or all of it, squeezed to them."),
    ] = "person"
    seeds: Annotated[
        str, setting("Other Seeds", "Frames with a seed of their own: 12-20: 7, 31: 9 gives 12 to 20 the seed 7.")
    ] = ""
    weights: Annotated[str, setting("Weights", "Name of the set of weights.")] = PUBLISHED


def make_clip(
    task: Task,
    frames: Iterable[Frame],
    parts: AnimatorParts,
    weights: str,
    guidance: Callable[[Frame], Mapping[str, Image]],
) -> Iterator[Result]:
    """Gives `rgba` (H, W, 4) uint8 sRGB, straight alpha, for each of `frames`, once all of them are denoised.

    Args:
        task: its params are `ClipParams`.
        frames: those that are still to be made.
        parts: the networks.
        weights: says which, so that what is half done with others is not taken over.
        guidance: a frame's pictures (H, W, 3) of the size of the job.

    Raises:
        MethodError: an input is missing or does not fit.
    """
    params, numbers = task.params, list(task.spec.frames.numbers())
    assert isinstance(params, ClipParams)
    if min(task.spec.size) < SMALLEST:
        raise MethodError(f"frames need at least {SMALLEST} pixels a side", code="bad_params", fix="Enlarge the frame.")
    try:
        settings = ClipSettings(
            size=task.spec.size, count=len(numbers), steps=params.steps, guidance=params.guidance, seed=task.spec.seed,
            solver=params.solver, windows=Windows(frames=params.window, overlap=params.overlap),
            seed_ranges=own_seeds(params.seeds, numbers),
        )  # fmt: skip
    except ValueError as error:
        raise MethodError(f"{error}", code="bad_params", fix="Change the size or the window.") from None
    photo = framed_photo(task.inputs, params, task.spec.size)
    with nullcontext(str(task.folder)) if task.folder else TemporaryDirectory() as folder:
        try:
            clip = Clip(parts, photo, settings, Path(folder) / "clip", key=json.dumps([task.spec.id, weights]))
        except ValueError as error:
            raise MethodError(f"{error}", code="bad_params", fix="Choose a shorter window.") from None
        missing, asked, empty = set(clip.missing_guidance()), [], set()
        for frame in frames:
            place = numbers.index(frame.index)
            asked.append(frame.index)
            task.progress(0.0, f"Drawing the body: {len(asked)} of {len(numbers)}")
            pictures = guidance(frame)
            if not any(picture.any() for picture in pictures.values()):
                empty.add(frame.index)
            if place in missing:
                clip.guide(place, pictures)
        clip.denoise(
            lambda p: task.progress(0.95 * p.fraction, f"Denoising: step {min(p.step + 1, p.steps)} of {p.steps}"),
            preview=previewed(len(numbers), params.window),
            on_preview=lambda step, place, image: task.preview(numbers[place], finished(image, params.background)),
        )
        for done, index in enumerate(asked):
            task.progress(0.95 + 0.05 * done / len(asked), f"Decoding: frame {done + 1} of {len(asked)}")
            image = clip.frame(numbers.index(index))
            meta = {"warnings": ["the body is outside the picture"]} if index in empty else {}
            yield Result(index, {Channel.RGBA.value: finished(image, params.background)}, meta)


def previewed(count: int, window: int) -> tuple[int, ...]:
    """Places in a clip of `count` frames that are shown: in the middle of equal parts, about a window each."""
    parts = min(MOST_PREVIEWS, max(1, round(count / window)))
    return tuple(count * (2 * part + 1) // (2 * parts) for part in range(parts))


def own_seeds(text: str, numbers: Sequence[int]) -> tuple[SeedRange, ...]:
    """The setting `seeds`, read: "12-20: 7, 31: 9".

    Args:
        text: see there.
        numbers: of the clip's frames, in order; ranges may go beyond them.

    Raises:
        MethodError: it is written in another way.
    """
    out = []
    for part in filter(None, (each.strip() for each in text.split(","))):
        found = re.fullmatch(r"(-?\d+)(?:\s*(?:-|to)\s*(-?\d+))?\s*:\s*(\d{1,18})", part)
        if found is None:
            raise MethodError(
                f"'{part[:40]}' gives no frames a seed", code="bad_params", fix="Write it as in 12-20: 7, 31: 9."
            )
        first, last = int(found[1]), int(found[2] or found[1])
        places = [place for place, number in enumerate(numbers) if first <= number <= last]
        if places:
            out.append(SeedRange(places[0], places[-1], int(found[3])))
    return tuple(out)


def framed_photo(inputs: Mapping[str, NDArray], params: ClipParams, size: tuple[int, int]) -> Image:
    """The photo (H, W, 3) as it goes to the networks: background and proportions as the settings say.

    Raises:
        MethodError: there is no photo, or no mask where one is needed, or no person in it.
    """
    photo = photo_of(inputs)
    rgb, alpha = photo[..., :3], photo[..., 3] if photo.shape[2] == 4 else None
    mask = inputs.get("photo_mask")
    if mask is None and alpha is not None and alpha.min() < 128:
        mask = alpha
    if mask is not None:
        mask = np.asarray(cv2.resize(np.asarray(mask, np.uint8), rgb.shape[1::-1]), np.uint8)
        if not (mask > 127).any():
            raise MethodError("no person was found in the photo", code="no_person", fix="Fit the photo again.")
    if params.background != "photo":
        if mask is None:
            raise MethodError(
                "nothing tells where the person is in the photo",
                code="missing_input",
                fix="Fit the photo first, or keep the photo's background.",
            )
        share = mask[..., None].astype(np.float32) / 255
        rgb = (rgb * share + np.array(GREEN, np.float32) * (1 - share) + 0.5).astype(np.uint8)
    return rgb if params.framing == "whole" else _around(rgb, mask, size, params.background)


def finished(image: Image, background: Background) -> Image:
    """A frame (H, W, 3) with its alpha: opaque, or where there is to be no background, what is green keyed out."""
    if background != "none":
        return np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    colour = image.astype(np.float32)
    others = colour[..., [0, 2]].max(-1)
    spill = (colour[..., 1] - others) / (GREEN[1] - max(GREEN[0], GREEN[2]))
    alpha = 1 - np.clip((spill - 0.1) / 0.8, 0, 1)
    colour[..., 1] = np.minimum(colour[..., 1], others)
    return np.dstack([colour, alpha * 255]).round().astype(np.uint8)


def _around(rgb: Image, mask: Image | None, size: tuple[int, int], background: Background) -> Image:
    """The part of a photo around the person, in the proportions of `size`; beyond the photo its border goes on."""
    height, width = rgb.shape[:2]
    aspect = size[0] / size[1]
    if mask is None:  # the largest part in the middle
        across, down = min(width, height * aspect), min(height, width / aspect)
        x, y = width / 2, height / 2
    else:
        rows, columns = np.nonzero(mask > 127)
        x, y = (columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2
        across, down = ((1 + 2 * MARGIN) * (np.ptp(a) + 1) for a in (columns, rows))
        across, down = max(across, down * aspect), max(down, across / aspect)
    left, top = round(x - across / 2), round(y - down / 2)
    right, bottom = left + max(1, round(across)), top + max(1, round(down))
    above, below, before, after = max(0, -top), max(0, bottom - height), max(0, -left), max(0, right - width)
    if background == "photo":
        padded = np.pad(rgb, ((above, below), (before, after), (0, 0)), mode="edge")
    else:
        padded = np.empty((above + height + below, before + width + after, 3), np.uint8)
        padded[:] = GREEN
        padded[above : above + height, before : before + width] = rgb
    return padded[top + above : bottom + above, left + before : right + before]
