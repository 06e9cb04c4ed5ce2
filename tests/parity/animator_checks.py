"""The comparison with the goldens that Animate Anyone and Champ share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import animator_recipe as recipe
import numpy as np
import torch
from animator_outputs import Outputs
from torch import Tensor, nn
from understudy_backend.weights.animate_anyone import published

TOLERANCES: tuple[tuple[str, float], ...] = (
    (r"(pose_guider|guidance).*", 5e-5),
    (r"denoise/.*|reference_unet/.*", 2e-5),
    (r"motion_module/.*|train/(noisy|target|loss.*)", 1e-5),
    (r"sched/(alphas_cumprod_idx|timesteps_.*)|pipe/cond_frame2_u8", 0),
    (r"sched/.*|train/weights", 1e-6),
    (r"train/snr_plus1", 1e-1),  # 1176 at its largest, from a float32 schedule
    (r"pipe/(clip|ref)_.*", 1e-5),
    # Where a feature lies between two 16-bit numbers, either may be meant; the rounding itself moves these by 5e-4.
    (r"pipe/.*_bank16/latents", 2e-4),
    (r"pipe/.*/(step.*|latents)", 1e-4),
    (r"pipe/.*/video_.*", 2e-3),  # stored in 16 bits
)


def differences(model: str, golden: Path, group: str, folder: Path) -> list[str]:
    """What does not agree in a group of a golden's keys."""
    with np.load(golden, allow_pickle=False) as content:
        wanted = {key: content[key] for key in content.files if key.split("/")[0] == group}
    given = Outputs(model, recipe.seed_of(golden), folder).group(group, list(wanted))
    problems = []
    for key, want in wanted.items():
        if key not in given:
            problems.append(f"{key}: we give no such thing")
            continue
        got = given[key].numpy()
        if got.shape != want.shape:
            problems.append(f"{key}: shape {got.shape} in place of {want.shape}")
            continue
        most = float(np.abs(got.astype(np.float64) - want.astype(np.float64)).max())
        allowed = next(limit for pattern, limit in TOLERANCES if re.fullmatch(pattern, key))
        if "/inter/" in key or key == "reference_unet/out":
            allowed += 1.5e-6 * float(np.abs(want).max())  # up to 25: there a float32 has no more digits
        if not most <= allowed:
            problems.append(f"{key}: differs by {most:.3g}, allowed are {allowed:.3g}")
    return problems


def fill_differences(model: str) -> list[str]:
    """Weights that the recipe does not draw as those of the goldens were."""
    problems = []
    for full, (total, absolute, first) in recipe.layout(model)["fill_check_seed0"].items():
        component, _, key = full.partition(".")
        values = recipe.weights(model, 0, component)[key].double()
        ours = [float(values.sum()), float(values.abs().sum()), *values.flatten()[:3].tolist()]
        if not np.allclose(ours, [total, absolute, *first], rtol=1e-6, atol=1e-5):
            problems.append(f"{full}: {ours}")
    return problems


def shapes(module: nn.Module) -> dict[str, list[int]]:
    """A network's tensors as published: names and shapes."""
    return {name: list(tensor.shape) for name, tensor in published(module).items()}


def merged(*layouts: Mapping[str, list[int]]) -> dict[str, list[int]]:
    return {name: shape for part in layouts for name, shape in part.items()}


def zeros_like(layout: Mapping[str, list[int]]) -> dict[str, Tensor]:
    """Tensors of these shapes that take no memory."""
    return {name: torch.empty(shape, device="meta") for name, shape in layout.items()}
