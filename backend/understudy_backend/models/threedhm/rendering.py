"""Stage 2 on real frames: bodies with their texture, and the photo, to frames of a real person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from understudy_backend.models.threedhm.denoising import predict_render, sample, seeded_noise
from understudy_backend.models.threedhm.framing import Box, background, cut, paste, person_box, pixels
from understudy_backend.models.threedhm.latents import (
    BACKGROUND,
    compose,
    decode,
    decompose,
    encode,
    has_alpha,
    size_multiple,
)
from understudy_backend.models.threedhm.noise import SurfaceNoise
from understudy_backend.models.threedhm.outline import reach, sure, unknown, with_alpha
from understudy_backend.models.threedhm.stages import Render

BATCH = 4
"""Frames per call of the networks. Shorter batches are padded to it, because the same frame in a call of another shape
differs in its last bits: so a frame never depends on how many came with it."""
TONE_NEEDS = 0.05
"""Share of the neighbourhood that must show the person before the frame's tone counts fully."""
TEXELS = 3 / 8
"""Of the noise on the surface, per pixel along the window's longer side."""

Noise = Literal["surface", "fixed", "independent"]
"""Where the noise comes from: anchored to the body's surface (see `noise`), the same for every frame, or new for each
(as in the paper)."""


@dataclass(frozen=True)
class BodyFrame:
    """What stage 2 is told of one frame."""

    index: int
    """The frame's number."""
    rgba: NDArray[np.uint8]
    """(H, W, 4), straight alpha: the textured body as the camera sees it."""
    uv: NDArray[np.float32] | None = None
    """(H, W, 2), texture coordinates of the surface in each pixel; None where they are not known."""
    pixels_per_metre: NDArray[np.float32] | None = None
    """(H, W), of the surface in each pixel, where there is one; None where they are not known."""


class FrameRenderer:
    """Stage 2 for one job: what all frames share (photo, noise) is prepared once."""

    def __init__(
        self,
        model: Render,
        photo: NDArray[np.uint8] | None,
        size: tuple[int, int],
        *,
        seed: int,
        steps: int,
        detail: float,
        noise: Noise = "surface",
        stand_off: NDArray[np.float32] | None = None,
    ) -> None:
        """Args:
        model: stage 2.
        photo: (H, W, 4) uint8, straight alpha: the person cut out. None: an empty picture in its place.
        size: (width, height) of the frames in pixels.
        seed: of the noise.
        steps: denoising steps.
        detail: from 0 to 1, how much of the texture's own surface is put back; see `keep_surface`.
        noise: where it comes from. A frame without UV has fixed noise in place of the surface's.
        stand_off: (S, S) texture of the metres by which the person's outline lies outside the body (see
            `photo.stand_off`); None where they are not known. Only weights with an outline network heed it.
        """
        self._stand_off = stand_off
        self.model, self.size, self.steps, self.detail = model, size, steps, detail
        multiple = _frame_multiple(model)
        self._window = model.window or (size[0] + -size[0] % multiple, size[1] + -size[1] % multiple)
        self._background = background(BACKGROUND).to(model.prompt)
        width, height = model.window or size
        framed = np.zeros((height, width, 4), np.uint8) if photo is None else fit_person(photo, (width, height))
        whole = Box(0, 0, *self._window)
        self._photo = encode(model.vae, self._cut(compose(self._tensor(framed)[None])[0], whole)[None])
        self._seed, self._shape = seed, (1, *self._photo.shape[1:])
        self._fixed = None if noise == "independent" else seeded_noise(seed, self._shape)
        self._surface: SurfaceNoise | None = None
        if noise == "surface":
            texels = round(TEXELS * max(self._window))
            self._surface = SurfaceNoise(seed, self._shape[1], size_multiple(model.vae), texels)

    @torch.no_grad()
    def render(self, frames: list[BodyFrame]) -> list[NDArray[np.uint8]]:
        """Up to `BATCH` intermediate frames to finished ones, (H, W, 4) uint8, straight alpha."""
        if not 0 < len(frames) <= BATCH:
            raise ValueError(f"between 1 and {BATCH} frames at a time")
        boxes = [self._box(frame.rgba) for frame in frames]
        bodies = [compose(self._tensor(frame.rgba)[None])[0] for frame in frames]
        windows = [self._cut(body, box) for body, box in zip(bodies, boxes, strict=True)]
        noises = [self._noise_of(frame, box) for frame, box in zip(frames, boxes, strict=True)]
        fill = BATCH - len(frames)
        image = torch.stack(windows + windows[-1:] * fill).contiguous(memory_format=torch.channels_last)
        body = encode(self.model.vae, image)
        condition = torch.cat([body, self._photo.expand_as(body)], 1)
        latents = sample(
            lambda noisy, t: predict_render(self.model.unet, self.model.branch, noisy, t, condition, self.model.prompt),
            self.model.scheduler,
            torch.cat(noises + noises[-1:] * fill).to(body),
            self.steps,
        )
        result = decode(self.model.vae, latents)
        if not has_alpha(self.model.vae):
            result = _key(result, image[:, 3:])
        if self.model.outline is not None:
            known = [self._known_of(frame, box) for frame, box in zip(frames, boxes, strict=True)]
            known = torch.stack(known + known[-1:] * fill).to(image)
            alpha = torch.sigmoid(self.model.outline(result, image, known))
            result = with_alpha(result, torch.maximum(alpha, (image[:, 3:] + 1) / 2))
        return [self._finish(*parts) for parts in zip(bodies, result, boxes, strict=False)]

    def _tensor(self, rgba: NDArray[np.uint8]) -> Tensor:
        return torch.tensor(rgba).permute(2, 0, 1).to(self.model.prompt) / 255

    def _box(self, rgba: NDArray[np.uint8]) -> Box:
        """The person's window, or the whole frame with room to a multiple of what the networks take."""
        if self.model.window is None:
            return Box(0, 0, *self._window)
        return person_box(rgba[..., 3], self._window)

    def _cut(self, composed: Tensor, box: Box) -> Tensor:
        return cut(composed, box, self._window, self._background)

    def _noise_of(self, frame: BodyFrame, box: Box) -> Tensor:
        if self._fixed is None:
            return seeded_noise((self._seed * 1_000_003 + frame.index + 1) % (1 << 62), self._shape)
        if self._surface is None or frame.uv is None:
            return self._fixed
        rows, columns, inside = pixels(box, self._window, self.size)
        uv, cover = frame.uv[rows[:, None], columns], frame.rgba[rows[:, None], columns, 3] > 127
        return self._surface.latent(uv, cover & inside)

    def _known_of(self, frame: BodyFrame, box: Box) -> Tensor:
        """What the photo says of the outline in this frame's window, see `outline.reach`."""
        width, height = self._window
        if self._stand_off is None or frame.uv is None or frame.pixels_per_metre is None:
            return unknown(height, width)
        rows, columns, inside = pixels(box, self._window, self.size)
        uv, cover = frame.uv[rows[:, None], columns], frame.rgba[rows[:, None], columns, 3] > 127
        texels = len(self._stand_off)
        column, row = (np.clip(x * texels, 0, texels - 1).astype(np.intp) for x in (uv[..., 0], 1 - uv[..., 1]))
        scale = frame.pixels_per_metre[rows[:, None], columns] * (height / (box.bottom - box.top))
        return reach(self._stand_off[row, column] * scale, cover & inside)

    def _finish(self, body: Tensor, result: Tensor, box: Box) -> NDArray[np.uint8]:
        rgba = decompose(paste(result, box, self.size, self._background)[None])
        if self.detail > 0:
            scale = (box.bottom - box.top) / self._window[1]
            rgba = rgba + self.detail * (keep_surface(decompose(body[None]), rgba, scale) - rgba)
        return (rgba[0].permute(1, 2, 0).float().cpu().numpy() * 255 + 0.5).astype(np.uint8)


def fit_person(photo: NDArray[np.uint8], size: tuple[int, int], margin: float = 0.04) -> NDArray[np.uint8]:
    """Crops a cut-out person (H, W, 4) to its alpha and centres it in a frame of `size` (width, height), aspect kept.

    Raises:
        ValueError: the photo is transparent everywhere.
    """
    rows, columns = np.nonzero(photo[..., 3] > 127)
    if len(rows) == 0:
        raise ValueError("the photo's mask is empty")
    crop = photo[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(np.float32)
    width, height = size
    scale = (1 - 2 * margin) * min(width / crop.shape[1], height / crop.shape[0])
    inner = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
    crop[..., :3] *= crop[..., 3:] / 255  # premultiplied while resized, so that the background does not bleed in
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(crop, inner, interpolation=method).clip(0, 255)
    small[..., :3] = (small[..., :3] * 255 / np.maximum(small[..., 3:], 1)).clip(0, 255)
    out = np.zeros((height, width, 4), np.uint8)
    top, left = (height - inner[1]) // 2, (width - inner[0]) // 2
    out[top : top + inner[1], left : left + inner[0]] = small + 0.5
    return out


def keep_surface(body: Tensor, frame: Tensor, scale: float = 1.0) -> Tensor:
    """Puts the textured body back into a finished frame, both (N, 4, H, W) in [0, 1] with straight alpha.

    Networks as small as ours paint tone and shape, not faces and seams; the texture has those, sampled from the photo,
    and geometry knows where the body is. So the body keeps its own fine structure and its outline, and takes the
    frame's coarse tone: light, and the shade of cloth and hair. Around the body the frame adds what it is sure of.

    Args:
        scale: pixels of these pictures per pixel that the networks saw.
    """
    cover = body[:, 3:]
    both = cover * frame[:, 3:]
    amount = _blur(both, scale)
    tone = _blur((frame - body)[:, :3] * both, scale) / (amount + TONE_NEEDS)
    surface = (body[:, :3] + tone).clamp(0, 1)
    # Both know the same edge: a pixel that each covers by half is covered by half, not by three quarters.
    alpha = torch.maximum(cover, sure(frame[:, 3:]))
    around = alpha - cover
    colour = (surface * cover + frame[:, :3] * around) / alpha.clamp(min=1e-3)
    return torch.cat([colour, alpha], 1)


def _blur(image: Tensor, scale: float) -> Tensor:
    """A smooth filter some 16 pixels wide (at scale 1), twice a patch of the autoencoder."""
    step = max(1, round(4 * scale))
    small = avg_pool2d(image, step, step, ceil_mode=True, count_include_pad=False)
    for _ in range(2):
        small = avg_pool2d(small, 3, 1, 1, count_include_pad=False)
    height, width = image.shape[-2:]
    # Back on the grid that it was pooled from, of which the picture may be a little less than the whole.
    whole = (small.shape[-2] * step, small.shape[-1] * step)
    return interpolate(small, whole, mode="bilinear", align_corners=False)[..., :height, :width]


def _key(result: Tensor, body_alpha: Tensor) -> Tensor:
    """Gives the composed result of a VAE without alpha one: what differs from the background, and the body's inside."""
    image = (result[:, :3] + 1) / 2
    difference = (image - BACKGROUND).abs().amax(1, keepdim=True)
    alpha = ((avg_pool2d(difference, 5, 1, 2) - 0.03) / 0.07).clamp(0, 1)
    inside = (avg_pool2d((body_alpha > 0.98).to(result), 9, 1, 4) > 0.99).to(result)
    alpha = torch.maximum(alpha, inside)
    return torch.cat([result[:, :3], alpha * 2 - 1], 1)


def _frame_multiple(model: Render) -> int:
    """Frame sides are padded to this: one latent cell at the UNet's coarsest level."""
    return size_multiple(model.vae) * 2 ** (len(model.unet.config["block_out_channels"]) - 1)
