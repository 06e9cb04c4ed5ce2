"""Stage 2 on real frames: bodies with their texture, and the photo, to frames of a real person."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from understudy_backend.models.threedhm.denoising import predict_render, sample, seeded_noise
from understudy_backend.models.threedhm.latents import (
    BACKGROUND,
    compose,
    decode,
    decompose,
    encode,
    has_alpha,
    size_multiple,
)
from understudy_backend.models.threedhm.stages import Render

BATCH = 4
"""Frames per call of the networks. Shorter batches are padded to it, because the same frame in a call of another shape
differs in its last bits: so a frame never depends on how many came with it."""
TONE_NEEDS = 0.05
"""Share of the neighbourhood that must show the person before the frame's tone counts fully."""
SURENESS = 3.0
"""Contrast of the frame's alpha around the body: below a third is nothing, above two thirds is the person."""


class FrameRenderer:
    """Stage 2 for one job: what all frames share (photo, noise) is prepared once."""

    def __init__(
        self, model: Render, photo: NDArray[np.uint8], size: tuple[int, int], *, seed: int, steps: int, detail: float
    ) -> None:
        """Args:
        model: stage 2.
        photo: (H, W, 4) uint8, straight alpha: the person cut out.
        size: (width, height) of the frames in pixels.
        seed: of the noise, which all frames of a job share, so that what is made up does not flicker.
        steps: denoising steps.
        detail: from 0 to 1, how much of the texture's own surface is put back; see `keep_surface`.
        """
        self.model, self.size, self.steps, self.detail = model, size, steps, detail
        self._padding = _padding(size, _frame_multiple(model))
        framed = fit_person(photo, size)
        self._photo = encode(model.vae, self._prepare(framed[None]))
        self._noise = seeded_noise(seed, (1, *self._photo.shape[1:])).to(self._photo)

    @torch.no_grad()
    def render(self, bodies: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Up to `BATCH` intermediate frames (H, W, 4) uint8 to finished ones of the same kind."""
        if not 0 < len(bodies) <= BATCH:
            raise ValueError(f"between 1 and {BATCH} frames at a time")
        stack = np.stack(bodies + [bodies[-1]] * (BATCH - len(bodies)))
        image = self._prepare(stack)
        body = encode(self.model.vae, image)
        condition = torch.cat([body, self._photo.expand_as(body)], 1)
        latents = sample(
            lambda noisy, t: predict_render(self.model.unet, self.model.branch, noisy, t, condition, self.model.prompt),
            self.model.scheduler,
            self._noise.expand_as(body),
            self.steps,
        )
        result = decode(self.model.vae, latents)
        rgba = decompose(result) if has_alpha(self.model.vae) else _key(result, image[:, 3:])
        if self.detail > 0:
            kept = keep_surface(decompose(image), rgba)
            rgba = rgba + self.detail * (kept - rgba)
        width, height = self.size
        rows = rgba[: len(bodies), :, :height, :width].permute(0, 2, 3, 1).float().cpu().numpy()
        return [(row * 255 + 0.5).astype(np.uint8) for row in rows]

    def _prepare(self, rgba: NDArray[np.uint8]) -> Tensor:
        """Images (N, H, W, 4) as the VAE wants them, padded with background to a multiple of a latent cell."""
        image = compose(torch.from_numpy(rgba).permute(0, 3, 1, 2).to(self.model.prompt) / 255)
        right, bottom = self._padding
        colour = pad(image[:, :3], (0, right, 0, bottom), value=2 * BACKGROUND - 1)
        alpha = pad(image[:, 3:], (0, right, 0, bottom), value=-1.0)
        return torch.cat([colour, alpha], 1).contiguous(memory_format=torch.channels_last)


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


def keep_surface(body: Tensor, frame: Tensor) -> Tensor:
    """Puts the textured body back into a finished frame, both (N, 4, H, W) in [0, 1] with straight alpha.

    Networks as small as ours paint tone and shape, not faces and seams; the texture has those, sampled from the photo,
    and geometry knows where the body is. So the body keeps its own fine structure and its outline, and takes the
    frame's coarse tone: light, and the shade of cloth and hair. Around the body the frame adds what it is sure of.
    """
    cover = body[:, 3:]
    both = cover * frame[:, 3:]
    amount = _blur(both)
    tone = _blur((frame - body)[:, :3] * both) / (amount + TONE_NEEDS)
    surface = (body[:, :3] + tone).clamp(0, 1)
    around = ((frame[:, 3:] - 0.5) * SURENESS + 0.5).clamp(0, 1) * (1 - cover)
    alpha = cover + around
    colour = (surface * cover + frame[:, :3] * around) / alpha.clamp(min=1e-3)
    return torch.cat([colour, alpha], 1)


def _blur(image: Tensor) -> Tensor:
    """A triangle filter 17 pixels wide, twice a patch of the autoencoder."""
    for _ in range(2):
        image = avg_pool2d(image, 9, 1, 4, count_include_pad=False)
    return image


def _key(result: Tensor, body_alpha: Tensor) -> Tensor:
    """Alpha for a VAE that has none: what differs from the background, and the body's inside in any case."""
    image = (result[:, :3] + 1) / 2
    difference = (image - BACKGROUND).abs().amax(1, keepdim=True)
    alpha = ((avg_pool2d(difference, 5, 1, 2) - 0.03) / 0.07).clamp(0, 1)
    inside = (avg_pool2d((body_alpha > 0.98).to(result), 9, 1, 4) > 0.99).to(result)
    alpha = torch.maximum(alpha, inside)
    return decompose(torch.cat([image * 2 - 1, alpha * 2 - 1], 1))


def _frame_multiple(model: Render) -> int:
    """Frame sides are padded to this: one latent cell at the UNet's coarsest level."""
    return size_multiple(model.vae) * 2 ** (len(model.unet.config["block_out_channels"]) - 1)


def _padding(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    return -size[0] % multiple, -size[1] % multiple
