"""Reference attention: the denoiser's spatial attention also sees the photo, through the reference network's features.

For each transformer block of the UNet, the reference network notes what goes into its self-attention (after the layer
norm). The denoiser's block of the same name puts those tokens beside its own as keys and values. Which tokens those are
goes in as an argument of the network's call; nothing is kept in the modules.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from diffusers.models.unets.unet_motion_model import UNetMotionModel
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

Features = dict[str, Tensor]
"""What the reference network noted: by a block's name, (B, tokens, C)."""
KeysAndValues = Mapping[str, tuple[Tensor, Tensor]]
"""The same as the denoiser attends to it: by a block's name, keys and values (B, tokens, C)."""


def spatial_blocks(unet: nn.Module) -> dict[str, BasicTransformerBlock]:
    """The spatial transformer blocks by their names, such as `mid_block.attentions.0.transformer_blocks.0`."""
    return {
        name: module
        for name, module in unet.named_modules()
        if isinstance(module, BasicTransformerBlock) and ".attentions." in f".{name}"
    }


def install_writer(unet: nn.Module) -> None:
    """Makes the self-attention of every spatial block note its input; see `reference_features`."""
    for name, block in spatial_blocks(unet).items():
        _install(block, _NotedAttention(name))


def install_reader(unet: nn.Module) -> None:
    """Makes the self-attention of every spatial block attend to the reference as well; see `denoising.predict`."""
    for name, block in spatial_blocks(unet).items():
        _install(block, _ReferenceAttention(name))


def reference_features(reference_net: UNet2DConditionModel, latents: Tensor, token: Tensor) -> Features:
    """Looks at the photo once.

    Args:
        reference_net: of `networks.build_reference_net`.
        latents: (B, C, h, w) the photo's, without noise.
        token: (B, 1, D) its CLIP embedding.
    """
    noted: Features = {}
    reference_net(latents, 0, token, cross_attention_kwargs={"noted": noted}, return_dict=False)
    return noted


def keys_and_values(unet: UNet2DConditionModel | UNetMotionModel, features: Features) -> KeysAndValues:
    """The features through the denoiser's own projections: the same at every step and in every frame, so made once."""
    blocks = spatial_blocks(unet)
    return {name: _keys_and_values(blocks[name].attn1, f) for name, f in features.items()}


def _install(block: BasicTransformerBlock, processor: _NotedAttention | _ReferenceAttention) -> None:
    assert block.attn2 is not None
    block.attn1.set_processor(processor)  # pyright: ignore[reportArgumentType]
    block.attn2.set_processor(_TokenAttention())  # pyright: ignore[reportArgumentType]


def _keys_and_values(attn: Attention, tokens: Tensor) -> tuple[Tensor, Tensor]:
    assert attn.to_k is not None and attn.to_v is not None
    return attn.to_k(tokens), attn.to_v(tokens)


class _NotedAttention:
    """Plain self-attention that notes its input."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        noted: Features | None = None,
    ) -> Tensor:
        if noted is not None:
            noted[self.name] = hidden_states
        return _attend(attn, hidden_states)


class _ReferenceAttention:
    """Self-attention that also sees the reference's tokens, in the last clips of the batch."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        reference: KeysAndValues | None = None,
        num_frames: int = 1,
    ) -> Tensor:
        if reference is None:
            return _attend(attn, hidden_states)
        # One reference is all frames' of its clip; clips before the referenced ones are the unconditional half.
        seen = (tokens.repeat_interleave(num_frames, 0) for tokens in reference[self.name])
        keys, values = seen
        plain = len(hidden_states) - len(keys)
        if plain == 0:
            return _attend(attn, hidden_states, keys, values)
        blind, seeing = hidden_states[:plain], hidden_states[plain:]
        return torch.cat([_attend(attn, blind), _attend(attn, seeing, keys, values)])


class _TokenAttention:
    """Cross-attention to one token: where there is but one thing to look at, every query gets just that."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        reference: KeysAndValues | None = None,
        num_frames: int = 1,
        noted: Features | None = None,
    ) -> Tensor:
        if encoder_hidden_states.shape[1] != 1:
            raise ValueError(f"one image token is attended to, not {encoder_hidden_states.shape[1]}")
        _, values = _keys_and_values(attn, encoder_hidden_states)
        said = attn.to_out[0](values)  # pyright: ignore[reportOptionalSubscript]
        return said.expand(-1, hidden_states.shape[1], -1)


def _attend(attn: Attention, tokens: Tensor, keys: Tensor | None = None, values: Tensor | None = None) -> Tensor:
    """Multi-head self-attention of tokens (N, L, C), with further keys and values (N, M, C)."""
    q, (k, v) = attn.to_q(tokens), _keys_and_values(attn, tokens)
    if keys is not None and values is not None:
        k, v = torch.cat([k, keys], 1), torch.cat([v, values], 1)
    q, k, v = (t.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for t in (q, k, v))
    out = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    return attn.to_out[0](out)  # pyright: ignore[reportOptionalSubscript]
