"""Stage 1 on real textures: from a partial texture of any size to a complete one."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d
from understudy_shared.body import free_body

from understudy_backend.models.threedhm.denoising import predict_infill, sample, seeded_noise
from understudy_backend.models.threedhm.latents import Vae, compose, decode, decompose, encode, has_alpha, size_multiple
from understudy_backend.models.threedhm.stages import Infill
from understudy_backend.texture.bake import texel_map
from understudy_backend.texture.spread import nearest_visible

BLEND = 1 / 24
"""Over this part of the texture's side a generated texel takes over the tone of the photographed ones nearby."""

WEAVE = 0.012
"""What is finer than this part of the texture's side counts as fine structure."""


@torch.no_grad()
def complete_texture(
    model: Infill,
    color: NDArray[np.uint8],
    visible: NDArray[np.bool_],
    *,
    seed: int,
    steps: int,
    on_step: Callable[[int], None] = lambda step: None,
) -> NDArray[np.uint8]:
    """Fills the unseen texels of a texture (S, S, 3), sRGB; visible texels keep their values exactly.

    Args:
        model: stage 1.
        color: (S, S, 3) uint8, meaningful where visible.
        visible: (S, S).
        seed: of the noise.
        steps: denoising steps.
        on_step: called with the number of steps done.
    """
    side = color.shape[0]
    working = working_size(model)
    small, known = shrink(color, visible, working)
    generated = generate(model, small[None], known[None], seed=seed, steps=steps, on_step=on_step)[0]
    large = cv2.resize(generated, (side, side), interpolation=cv2.INTER_CUBIC)
    if model.detail > 0:
        large += model.detail * weave(color, visible)
    return merge(color, visible, large.clip(0, 1))


def weave(color: NDArray[np.uint8], visible: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The fine structure (S, S, 3), around 0, of the nearest visible texels: folds, weave and seams for networks that
    paint tone alone."""
    nearest = nearest_visible((color / np.float32(255)).astype(np.float32), visible)
    return (nearest - cv2.GaussianBlur(nearest, (0, 0), WEAVE * color.shape[0])).astype(np.float32)


def working_size(model: Infill) -> int:
    """Side of the texture that the networks complete: the UNet's own (`sample_size`, in latent cells)."""
    return int(model.unet.config["sample_size"]) * size_multiple(model.vae)


def masked_texture(vae: Vae, partial: NDArray[np.float32], visible: NDArray[np.bool_]) -> Tensor:
    """What the networks are shown of partial textures (N, S, S, 3) in [0, 1] with visible texels (N, S, S): composed
    images (N, 4, S, S) in [-1, 1].

    A VAE of three channels was trained with grey in place of what is to be made. Ours has a fourth channel that tells
    which texels are visible, so that the others may hold a first guess: the nearest visible colour on the body.
    """
    known = torch.from_numpy(visible)[:, None].float()
    if not has_alpha(vae):
        return compose(torch.cat([torch.from_numpy(partial).permute(0, 3, 1, 2), known], 1))
    guess = np.stack([nearest_visible(p, v) for p, v in zip(partial, visible, strict=True)])
    return torch.cat([torch.from_numpy(guess).permute(0, 3, 1, 2), known], 1) * 2 - 1


def shrink(
    color: NDArray[np.uint8], visible: NDArray[np.bool_], side: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Averages the visible texels of each cell: (side, side, 3) in [0, 1] and which cells are mostly visible."""
    weight = visible.astype(np.float32)
    amount = cv2.resize(weight, (side, side), interpolation=cv2.INTER_AREA)
    total = cv2.resize(color.astype(np.float32) / 255 * weight[..., None], (side, side), interpolation=cv2.INTER_AREA)
    return (total / np.maximum(amount, 1e-6)[..., None]).astype(np.float32), np.asarray(amount >= 0.5)


@torch.no_grad()
def generate(
    model: Infill,
    partial: NDArray[np.float32],
    visible: NDArray[np.bool_],
    *,
    seed: int,
    steps: int,
    on_step: Callable[[int], None] = lambda step: None,
) -> NDArray[np.float32]:
    """The diffusion itself: partial textures (N, S, S, 3) in [0, 1], visible (N, S, S), to complete ones."""
    prompt = model.prompt
    known = torch.from_numpy(visible)[:, None].to(prompt)
    blanked = encode(model.vae, masked_texture(model.vae, partial, visible).to(prompt))
    unseen = max_pool2d(1 - known, size_multiple(model.vae))
    noise = seeded_noise(seed, (1, *blanked.shape[1:])).to(prompt).expand_as(blanked)
    latents = sample(
        lambda noisy, t: predict_infill(model.unet, noisy, t, unseen, blanked, prompt),
        model.scheduler,
        noise,
        steps,
        on_step,
    )
    return decompose(decode(model.vae, latents))[:, :3].permute(0, 2, 3, 1).float().cpu().numpy()


def merge(color: NDArray[np.uint8], visible: NDArray[np.bool_], generated: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Puts photographed texels (S, S, 3) over generated ones (S, S, 3) in [0, 1], without an edge.

    Near the photographed region the generated texels take over its tone: the difference between both, smoothed and
    carried outwards, fading with distance. Photographed texels stay untouched.
    """
    side = color.shape[0]
    texels = texel_map(free_body(), side)
    known = (visible & texels.mask).astype(np.float32)
    difference = (color.astype(np.float32) / 255 - generated) * known[..., None]
    reach = BLEND * side
    correction, weight = np.zeros_like(generated), np.zeros_like(known)
    for sigma in (reach / 6, reach / 3, reach):  # near differences in detail, far ones as a mean
        w = cv2.GaussianBlur(known, (0, 0), sigma)
        c = cv2.GaussianBlur(difference, (0, 0), sigma)
        use = np.clip(w * 4, 0, 1) * (1 - weight)
        correction += c / np.maximum(w, 1e-4)[..., None] * use[..., None]
        weight += use
    distance = cv2.distanceTransform(1 - (known > 0).astype(np.uint8), cv2.DIST_L2, 5)
    fade = np.exp(-((distance / reach) ** 2))[..., None]
    filled = np.clip(generated + correction * fade, 0, 1)
    result = (filled * 255 + 0.5).astype(np.uint8)
    result[visible] = color[visible]
    return np.asarray(texels.fill_gutter(result), np.uint8)
