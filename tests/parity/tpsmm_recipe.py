"""The weights and inputs from which the goldens of TPSMM were made, drawn anew from a seed."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MANIFEST: dict[str, Any] = json.loads((Path(__file__).parent / "tpsmm" / "manifest.json").read_text())


def seed_of(path: Path) -> int:
    """Of a file `golden_seed3.npz` or `golden_mgif_seed3.npz`."""
    found = re.search(r"seed(\d+)", path.stem)
    if found is None:
        raise ValueError(f"{path.name} does not say its seed")
    return int(found[1])


def config_of(path: Path, content: Any) -> str:
    """The configuration that a golden says in its name, or in an entry `config`; vox otherwise."""
    said = path.stem + (str(content["config"]) if "config" in content else "")
    return next((name for name in ("taichi", "ted", "mgif") if name in said.replace("seed", "")), "vox")


def _generator(seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
    return torch.Generator().manual_seed(int(digest, 16) % 2**63)


def normal(seed: int, name: str, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=_generator(seed, name))


def uniform(seed: int, name: str, shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, generator=_generator(seed, name))


def weight(seed: int, name: str, shape: tuple[int, ...], rule: str) -> Tensor:
    """An entry of a checkpoint; `name` begins with the network's."""
    if rule == "zero":
        return torch.zeros(shape, dtype=torch.int64)
    r = normal(seed, name, shape)
    fan_in = math.sqrt(math.prod(shape[1:]))
    if rule == "special":
        return {
            "dense_motion_network.maps.weight": lambda: 3 * r / fan_in,
            "kp_detector.fg_encoder.fc.weight": lambda: 6 * r / fan_in,
            "kp_detector.fg_encoder.fc.bias": lambda: r,
            "bg_predictor.bg_encoder.fc.weight": lambda: 0.2 * r / fan_in,
            "bg_predictor.bg_encoder.fc.bias": lambda: torch.tensor([1.0, 0, 0, 0, 1, 0]) + 0.05 * r,
            "avd_network.decoder.9.weight": lambda: r / fan_in,
            "avd_network.decoder.9.bias": lambda: 0.4 * r,
        }[name]()
    return {
        "running_mean": lambda: 0.01 * r,
        "running_var": lambda: 1 + 0.1 * r.abs(),
        "norm_weight": lambda: 1 + 0.1 * r,
        "bias": lambda: 0.01 * r,
        "matrix": lambda: r / fan_in,
    }[rule]()


def fill(model: nn.Module, seed: int) -> None:
    """Gives a model the recipe's weights."""
    state = model.state_dict()
    for name, have in state.items():
        network, _, key = name.partition(".")
        rule = MANIFEST["sub_networks"][network][key][2]
        if rule != "structural":
            have.copy_(weight(seed, name, tuple(have.shape), rule))


def fill_vgg(vgg: nn.Module, seed: int) -> None:
    """Gives VGG-19 the recipe's weights."""
    for name, have in vgg.state_dict().items():
        _, index, kind = name.split(".")
        part = 1 + sum(int(index) >= first for first in (2, 7, 12, 21))
        r = normal(seed, f"vgg.slice{part}.{index}.{kind}", tuple(have.shape))
        have.copy_(0.01 * r if kind == "bias" else r * math.sqrt(2 / math.prod(have.shape[1:])))


def image(seed: int, name: str, size: int) -> Tensor:
    """The image `source` or `driving0` to `driving2`, (1, 3, size, size)."""
    shape = (1, 3, 16, 16)
    noise = normal(seed, "input/driving0" if name != "source" else "input/source", shape)
    if name in ("driving1", "driving2"):
        noise = noise + 0.5 * normal(seed, f"input/{name}", shape)
    return torch.sigmoid(2 * F.interpolate(noise, size=(size, size), mode="bilinear", align_corners=False))


def keypoints(seed: int, name: str) -> Tensor:
    """The synthetic keypoints `kp_source` or `kp_driving0` to `kp_driving2`, (1, 50, 2)."""
    source = torch.tanh(0.8 * normal(seed, "input/kp_source", (1, 50, 2)))
    return source if name == "kp_source" else source + 0.15 * normal(seed, f"input/{name}", (1, 50, 2))
