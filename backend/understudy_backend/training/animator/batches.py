"""What a step sees of clips: which frames, which part of them, before which background, with what noise.

All of it follows from the step's `Draw`, so that a run which was stopped goes on as if it had not been.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from understudy_backend.guidance.body_pictures import OF_KIND
from understudy_backend.methods.clips import GREEN
from understudy_backend.models.animate_anyone.pictures import CELL, clip_pixels
from understudy_backend.training.animator.settings import AnimatorSetting, Stage
from understudy_backend.training.animator.shards import PICTURE, Clips
from understudy_backend.training.draws import Draw
from understudy_backend.training.loop import Batch

GUIDE = "guide/"
"""Before the names of guidance pictures in a batch."""
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Choice:
    """One sample: frames of a clip, and how they are shown."""

    photo: int
    """The frame that stands for the photo."""
    frames: NDArray[np.int64]
    """(F,) the frames to be made."""
    part: tuple[float, float, float, float]
    """Left, top, width and height of what is shown, as shares of the picture."""
    background: tuple[int, int, int]
    """Colour behind people without a background of their own."""


def single_frame(count: int, margin: int, u: tuple[float, float]) -> tuple[int, int]:
    """A photo and a target among `count` frames: the target at least `margin` later, else as much earlier, else any.

    Args:
        count: of the clip.
        margin: in frames.
        u: two numbers in [0, 1) to choose by.
    """
    photo = int(u[0] * count)
    if photo + margin < count:
        low, high = photo + margin, count
    elif photo - margin > 0:
        low, high = 0, photo - margin
    else:
        low, high = 0, count
    return photo, low + int(u[1] * (high - low))


def clip_frames(count: int, length: int, rate: int, u: tuple[float, float]) -> tuple[int, NDArray[np.int64]]:
    """A photo (any frame) and `length` frames, `rate` apart where the clip is long enough, in time order."""
    span = min(count, (length - 1) * rate + 1)
    start = int(u[1] * (count - span + 1))
    return int(u[0] * count), np.linspace(start, start + span - 1, length).astype(np.int64)


def random_part(least: float, u: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """A part of a picture of at least that share of its area, at most so much narrower than the picture."""
    area, aspect = least + (1 - least) * u[0], least ** (1 - u[1])
    width, height = min(1.0, (area * aspect) ** 0.5), min(1.0, (area / aspect) ** 0.5)
    return u[2] * (1 - width), u[3] * (1 - height), width, height


def batch_of(
    clips: Clips, kinds: tuple[str, ...], setting: AnimatorSetting, stage: Stage, channels: int, draw: Draw
) -> Batch:
    """A part of a batch, on the CPU: N samples of F frames, those that are not shown their photo first.

    `target` (N, 3, F, H, W) and `photo` (N, 3, H, W) in [-1, 1]; `clip` (N, 3, 224, 224) as CLIP sees the photo;
    `guide/KIND` (N, 3, F, H, W) in [0, 1]; `t` (N,), `noise` and `sampled` (N, C, F, h, w), `sampled_photo` (N, C, h,
    w) unit Gaussian, the first with its offset; `dropped` (N,) bool.

    Args:
        clips: to choose from.
        kinds: of guidance.
        setting: how.
        stage: single frames, or clips.
        channels: C, of a latent.
        draw: which clips, and all chance.
    """
    u = torch.stack([draw.uniform() for _ in range(8)], 1).double().tolist()
    dropped = draw.uniform() < setting.dropout
    late, t = draw.uniform() < setting.training(stage).last_step_share, draw.below(1000)
    width, height = setting.size(stage)
    cells, frames = (height // CELL, width // CELL), 1 if stage == "stage1" else setting.clip_frames
    noise, offset = draw.normal(channels, frames, *cells), draw.normal(channels, 1, 1, 1)
    sampled, sampled_photo = draw.normal(channels, frames, *cells), draw.normal(channels, *cells)
    rows: list[Batch] = []
    for clip, chance in zip(draw.indices.tolist(), u, strict=True):
        choice = choose(len(clips.ranges[clip]), setting, stage, chance)
        rows.append(sample(clips, clip, choice, kinds, (width, height)))
    batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]} | {
        "t": torch.where(late, torch.full_like(t, 999), t),
        "noise": noise + setting.noise_offset * offset,
        "sampled": sampled,
        "sampled_photo": sampled_photo,
        "dropped": dropped,
    }
    order = torch.argsort((~dropped).int(), stable=True)
    return {name: tensor[order] for name, tensor in batch.items()}


def choose(count: int, setting: AnimatorSetting, stage: Stage, u: list[float]) -> Choice:
    """What to show of a clip of `count` frames, by eight numbers in [0, 1)."""
    if stage == "stage1":
        photo, target = single_frame(count, setting.margin, (u[0], u[1]))
        frames, part = np.array([target], np.int64), random_part(setting.crop, (u[2], u[3], u[4], u[5]))
    else:
        photo, frames = clip_frames(count, setting.clip_frames, setting.clip_rate, (u[0], u[1]))
        part = (0.0, 0.0, 1.0, 1.0)
    if u[6] >= setting.colours:
        return Choice(photo, frames, part, GREEN)
    shade = int(u[7] * 2**24)
    return Choice(photo, frames, part, (shade & 255, shade >> 8 & 255, shade >> 16))


def sample(clips: Clips, clip: int, choice: Choice, kinds: tuple[str, ...], size: tuple[int, int]) -> Batch:
    """One sample of a batch: `target`, `photo`, `clip` and guidance, as in `batch_of` but for the first axis."""
    target = [_shown(x, choice, size) for x in clips.rows(PICTURE, clip, choice.frames)]
    photo = over(clips.rows(PICTURE, clip, np.array([choice.photo]))[0], choice.background)
    out = {
        "target": _stacked(target) * 2 - 1,
        "photo": _stacked([_shown(photo, choice, size)])[:, 0] * 2 - 1,
        "clip": clip_pixels(photo)[0],
    }
    for kind in kinds:
        pictures = clips.rows(OF_KIND[kind], clip, choice.frames)
        out[GUIDE + kind] = _stacked([_shown(x, choice, size) for x in pictures])
    return out


def over(picture: Image, background: tuple[int, int, int]) -> Image:
    """A picture (H, W, 4) before a colour, (H, W, 3); one without alpha as it is."""
    if picture.shape[2] == 3:
        return picture
    share = picture[..., 3:].astype(np.float32) / 255
    return (picture[..., :3] * share + np.array(background, np.float32) * (1 - share) + 0.5).astype(np.uint8)


def _shown(picture: Image, choice: Choice, size: tuple[int, int]) -> Image:
    """The part of a picture that is shown, opaque and brought to size."""
    opaque = over(picture, choice.background)
    height, width = opaque.shape[:2]
    left, top, across, down = choice.part
    x0, y0 = round(left * width), round(top * height)
    x1, y1 = min(width, x0 + max(1, round(across * width))), min(height, y0 + max(1, round(down * height)))
    cut = opaque[y0:y1, x0:x1]
    if cut.shape[1::-1] == size:
        return cut
    reduces = cut.shape[1] > size[0]
    return np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA if reduces else cv2.INTER_LINEAR), np.uint8)


def _stacked(pictures: list[Image]) -> Tensor:
    """(3, F, H, W) in [0, 1]."""
    return torch.from_numpy(np.stack(pictures).astype(np.float32) / 255).permute(3, 0, 1, 2)
