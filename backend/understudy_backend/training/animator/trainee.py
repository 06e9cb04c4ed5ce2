"""The networks that learn, as one module: what a step asks of them, and which of their weights a stage changes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from understudy_backend.models.animate_anyone.denoising import Denoiser, predict
from understudy_backend.models.animate_anyone.guider import Guider
from understudy_backend.models.animate_anyone.reference import keys_and_values, reference_features, spatial_blocks
from understudy_backend.training.animator.settings import Stage

MOTION = ".motion_modules."


class Trainee(nn.Module):
    """Denoiser, reference network and guider.

    They are one module, so that several devices, and a number format, wrap all of a step at once.
    """

    def __init__(self, denoiser: Denoiser, reference_net: UNet2DConditionModel, guider: Guider) -> None:
        super().__init__()
        assert isinstance(guider, nn.Module)
        self.denoiser, self.reference_net, self.guider = denoiser, reference_net, guider

    def forward(
        self, noisy: Tensor, t: Tensor, token: Tensor, photo: Tensor, pictures: Mapping[str, Tensor], unseen: int
    ) -> Tensor:
        """The denoiser's velocity (N, C, F, h, w).

        Args:
            noisy: (N, C, F, h, w) latents with noise.
            t: (N,) steps.
            token: (N, 1, D) CLIP tokens.
            photo: (N, C, h, w) latents of the photos.
            pictures: of guidance, (N, 3, F, H, W) each.
            unseen: the first so many samples are not shown their photo.
        """
        features = self.guider(pictures)
        first = unseen if unseen < len(noisy) else 0
        noted = reference_features(self.reference_net, photo[first:], token[first:])
        if unseen < len(noisy):
            return predict(self.denoiser, noisy, t, token, features, keys_and_values(self.denoiser, noted))
        said = predict(self.denoiser, noisy, t, token, features)
        # Nobody sees a photo: the reference network takes part all the same, since several devices wait for each other.
        return said + 0 * torch.stack([f.float().mean() for f in noted.values()]).sum().to(said.dtype)

    def enable_gradient_checkpointing(self) -> None:
        """Computes activations again on the way back rather than keep them."""
        for unet in (self.denoiser, self.reference_net):
            unet.enable_gradient_checkpointing()


def choose_trained(trainee: Trainee, stage: Stage) -> None:
    """Turns gradients on for what a stage trains, and off for the rest.

    Stage 1: all but the reference network's last level, which hardly anything looks at, and, of the attention to the
    one CLIP token, queries and keys, which change nothing. Stage 2: the temporal layers.
    """
    trainee.requires_grad_(False)
    if stage == "stage2":
        for name, p in trainee.denoiser.named_parameters():
            p.requires_grad_(MOTION in name)
        return
    trainee.requires_grad_(True)
    last = len(trainee.reference_net.config["block_out_channels"]) - 1
    trainee.reference_net.get_submodule(f"up_blocks.{last}").requires_grad_(False)
    for unet in (trainee.denoiser, trainee.reference_net):
        for block in spatial_blocks(unet).values():
            assert block.attn2 is not None and block.norm2 is not None
            for module in (block.norm2, block.attn2.to_q, block.attn2.to_k):
                assert isinstance(module, nn.Module)
                module.requires_grad_(False)


def trained_parameters(trainee: Trainee) -> dict[str, nn.Parameter]:
    """What learns, by name."""
    return {name: p for name, p in trainee.named_parameters() if p.requires_grad}
