"""How the goldens of Animate Anyone and Champ were made: weights and inputs, drawn by name, and small networks.

Every tensor is drawn from a generator of its own, seeded with a digest of the golden's seed and the tensor's published
name, so the recipe needs no published code.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

HERE = Path(__file__).parent
FRAMES, TIMESTEP = 6, 601


@cache
def layout(model: str) -> dict[str, Any]:
    """Published names and shapes: `small` of the goldens' networks, `full` of the published files."""
    return json.loads(gzip.decompress((HERE / model / "layout.json.gz").read_bytes()))


def seed_of(path: Path) -> int:
    found = re.search(r"(\d+)$", path.stem)
    assert found, f"{path.name} does not end in its seed"
    return int(found[1])


def number(seed: int, name: str) -> int:
    return int(hashlib.sha256(f"{seed}:{name}".encode()).hexdigest(), 16) % 2**63


def drawn(seed: int, name: str, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator("cpu").manual_seed(number(seed, name))
    return torch.randn(tuple(shape), generator=generator, dtype=torch.float32)


def weights(model: str, seed: int, component: str) -> dict[str, Tensor]:
    """A network's tensors by their published names, but for the tables of positions."""
    return {
        key: _filled(seed, component, key, tuple(shape))
        for key, shape in layout(model)["small"][component].items()
        if not key.endswith(".pe")
    }


def _filled(seed: int, component: str, key: str, shape: tuple[int, ...]) -> Tensor:
    values = drawn(seed, f"{component}.{key}", shape)
    if key.endswith(".bias"):
        return 0.01 * values
    if key.endswith(".weight") and len(shape) == 1:
        return 1 + 0.1 * values
    if len(shape) >= 2:
        guider = component.startswith(("pose_guider", "guidance_encoder")) and key.startswith(("conv_in.", "blocks."))
        return (1.7 if guider else 1.0) / math.sqrt(math.prod(shape[1:])) * values
    return 0.02 * values


def small_vae(model: str, seed: int) -> AutoencoderKL:
    vae = AutoencoderKL(
        block_out_channels=(32,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=32,
        scaling_factor=0.18215,
    )
    return _loaded(vae, weights(model, seed, "vae"))


def small_clip(model: str, seed: int) -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, projection_dim=32, num_hidden_layers=2, num_attention_heads=4,
        image_size=224, patch_size=32, hidden_act="quick_gelu",
    )  # fmt: skip
    return _loaded(CLIPVisionModelWithProjection(config), weights(model, seed, "image_encoder"))


def _loaded(module: Any, tensors: dict[str, Tensor]) -> Any:
    module.load_state_dict(tensors)
    assert isinstance(module, nn.Module)
    return module.requires_grad_(False).eval()


def photo(width: int = 96, height: int = 160) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]

    def triangle(n: NDArray) -> NDArray:
        return np.clip(np.abs(n % 512 - 256), 0, 255)

    rgb = [triangle(3 * x + 2 * y), triangle(5 * x - 3 * y + 100), triangle(2 * x + 7 * y + (x * y) // 16)]
    return np.stack(rgb, -1).astype(np.uint8)


PALETTE = (
    (255, 0, 0), (255, 170, 0), (170, 255, 0), (0, 255, 85), (0, 255, 255), (0, 85, 255), (85, 0, 255), (255, 0, 255),
)  # fmt: skip


def condition(frame: int, kind: int, width: int = 96, height: int = 160) -> NDArray[np.uint8]:
    """A picture of eight discs that move, (H, W, 3)."""
    y, x = np.mgrid[:height, :width]
    out = np.zeros((height, width, 3), np.uint8)
    for j in range(8):
        cx = (11 + 23 * j + 5 * frame + 17 * kind) % width
        cy = (13 + 19 * j + 3 * frame * (1 + j % 3) + 29 * kind) % height
        colour = (
            PALETTE[j],
            ((40 + 25 * j + 2 * frame) % 256,) * 3,
            ((128 + 15 * j) % 256, (60 + 31 * j) % 256, (255 - 9 * j) % 256),
            ((84 + 9 * j) % 256, (1 + 28 * j) % 256, (68 + 13 * j) % 256),
        )[kind]
        out[(x - cx) ** 2 + (y - cy) ** 2 <= 81] = colour
    return out


def conditions(kind: int) -> Tensor:
    """The guiders' input in the tests of single networks, (1, 3, 6, 128, 128)."""
    frames = np.stack([condition(i, kind) for i in range(FRAMES)])
    clip = (torch.from_numpy(frames).float() / 255).permute(3, 0, 1, 2)[None][:, :, :, :128]
    return torch.cat([clip, clip.flip(-1)[..., :32]], -1)
