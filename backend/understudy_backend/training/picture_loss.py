"""Comparing pictures in place of latents, at the diffusion step where all that is given is noise.

Sampled in one step, a network gives what it makes of pure noise; there its result is compared as people see it.
Pictures are what the linear part of our autoencoder makes of latents: a gradient goes back through it at little cost,
and what follows it, the refiner, is trained apart.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from understudy_backend.models.threedhm.latents import BACKGROUND, compose
from understudy_backend.models.threedhm.patch_autoencoder import PatchAutoencoder
from understudy_backend.models.threedhm.rendering import keep_surface

LATENT = 0.5
"""Weight of the loss on latents at the other steps, beside that of pictures at the last one."""
EDGES = 0.5
"""Weight of differences between neighbouring pixels, beside that of colour."""
SILHOUETTE = 1.0
"""Weight of silhouettes, beside that of colour."""


def texture_errors(vae: PatchAutoencoder, found: Tensor, clean: Tensor, weight: Tensor) -> Tensor:
    """How far textures are from the truth (N,): colour and edges.

    Args:
        vae: makes pictures of latents.
        found: (N, C, h, w) latents that the network found.
        clean: (N, C, h, w) latents of the truth.
        weight: (N, 1, h, w) of the latent cells; where it is 0 nothing counts.
    """
    return _colour_and_edges(vae.expand(found)[:, :3], vae.expand(clean)[:, :3], weight)


def frame_errors(vae: PatchAutoencoder, found: Tensor, truth: Tensor, body: Tensor, weight: Tensor) -> Tensor:
    """How far frames are from the truth (N,): colour, edges and silhouette, of the network's picture, and colour and
    silhouette of the finished one, in which the body keeps its surface.

    Args:
        vae: makes pictures of latents.
        found: (N, C, h, w) latents that the network found.
        truth: (N, 4, H, W) the real frame, composed, in [-1, 1].
        body: (N, 4, H, W) the intermediate frame, composed, in [-1, 1].
        weight: (N, 1, h, w) of the latent cells.
    """
    result = vae.expand(found)
    finished = compose(keep_surface(_straight(body), _straight(result)))
    error = _colour_and_edges(result, truth, weight) + _weighted(finished - truth, _pixels(weight, truth))
    return error + SILHOUETTE * (_beside(result[:, 3:], truth[:, 3:]) + _beside(finished[:, 3:], truth[:, 3:]))


def _colour_and_edges(result: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    pixels = _pixels(weight, truth)
    # an edge counts as much as the least of the pixels that it lies between
    between = torch.minimum(pixels[..., :-1, :-1], torch.minimum(pixels[..., 1:, :-1], pixels[..., :-1, 1:]))
    return _weighted(result - truth, pixels) + EDGES * _weighted(edges(result) - edges(truth), between)


def _weighted(difference: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean (N,) of absolute differences (N, C, H, W)."""
    error = difference.abs().mean(1, keepdim=True) * weight
    return error.sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp(min=1)


def _pixels(weight: Tensor, picture: Tensor) -> Tensor:
    return interpolate(weight, picture.shape[-2:])


def edges(image: Tensor) -> Tensor:
    """Differences to the neighbours below and to the right, (N, 2C, H-1, W-1)."""
    here = image[..., :-1, :-1]
    return torch.cat([image[..., 1:, :-1] - here, image[..., :-1, 1:] - here], 1)


def _beside(result: Tensor, truth: Tensor) -> Tensor:
    """1 less the overlap (N,) of two soft silhouettes (N, 1, H, W) in [-1, 1]."""
    a, b = ((result + 1) / 2).clamp(0, 1), ((truth + 1) / 2).clamp(0, 1)
    both, either = torch.minimum(a, b).sum((1, 2, 3)), torch.maximum(a, b).sum((1, 2, 3))
    return 1 - both / either.clamp(min=1)


def _straight(composed: Tensor) -> Tensor:
    """As `latents.decompose`, but with a gradient where alpha is nearly 0 or 1."""
    image = (composed + 1) / 2
    alpha = image[:, 3:].clamp(0, 1)
    colour = (image[:, :3] - BACKGROUND * (1 - alpha)) / alpha.clamp(min=0.05)
    return torch.cat([colour.clamp(0, 1), alpha], 1)
