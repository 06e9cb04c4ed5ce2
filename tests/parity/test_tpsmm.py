"""TPSMM against the published code: every tensor of every golden, and every key of every published checkpoint."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from tpsmm_outputs import networks
from tpsmm_recipe import MANIFEST
from understudy_backend.models.tpsmm.config import PUBLISHED
from understudy_backend.models.tpsmm.model import TPSMM

MODEL = "tpsmm"

pytestmark = pytest.mark.timeout(1800)

SUFFIX = re.compile(r"(?:_c(?P<channels>\d+))?(?:_s(?P<step>\d+)|_crop(?P<first>\d+)_(?P<last>\d+))$")
CHANNELS_LAST = ("deformation", "transformations")

INF = float("inf")
TOLERANCES: tuple[tuple[str, float, float, float], ...] = (
    (r"fill/.*|in/.*|train_e\d+/(dropout_u|tps_.*)", 1e-6, INF, 0),
    (r"train_e\d+/(loss_.*|total)", 0, INF, 1e-5),
    (r"train_e\d+/gradnorm_.*", 0, INF, 6e-2),
    (r"train_e\d+/kp_bn1_running_mean", 1e-5, INF, 0),
    (r"train_e\d+/transformed_(kp|frame)", 1e-4, INF, 0),
    (r"train_e\d+/(contribution_maps|occlusion\d|deformation)", 5e-4, INF, 0),
    (r"train_e\d+/prediction", 1e-2, INF, 0),
    (r"(kp|bg|avd|rel|tps)/.*|.*/kp_\w+", 1e-5, INF, 0),
    (r".*/(deformation|transformations|contribution_maps|occlusion\d|heatmap|down_source)", 1e-4, 1e-5, 0),
    (r".*/(hourglass\d|enc_\w+|warped\d)", 5e-4, INF, 0),
    (r".*/(prediction\d?|deformed|deformed_source)", 3e-3, 2e-5, 0),
)
"""Of the keys that match, without their suffix: the largest difference, the mean difference, the relative one. The last
allows for what the order of additions does to the splines' gradients; a pixel at the border of a warp is a step."""


def test_golden_agrees(golden: Path, group: str) -> None:
    with np.load(golden, allow_pickle=False) as content:
        wanted = {key: content[key] for key in content.files if key.split("/")[0] == group}
    if group == "config":
        return
    outputs = networks(golden).group(group)
    problems = []
    for key, want in wanted.items():
        name, suffix = _split(key.partition("/")[2], outputs)
        if name not in outputs:
            problems.append(f"{key}: we give no such thing")
            continue
        problems += _differences(key, f"{group}/{name}", _part(outputs[name], name, suffix).numpy(), want)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("name", PUBLISHED)
def test_keys_are_those_of_the_published_checkpoint(name: str) -> None:
    config = PUBLISHED[name]
    with torch.device("meta"):
        state = TPSMM(config).state_dict()
    have = {key: [list(t.shape), str(t.dtype).removeprefix("torch.")] for key, t in state.items()}
    parts = MANIFEST["configs"][f"{name}-{config.image_size}"]
    want = {f"{part}.{key}": entry[:2] for part in parts for key, entry in MANIFEST["sub_networks"][part].items()}
    assert have == want


def test_every_golden_key_has_its_tolerance(golden: Path) -> None:
    """A key that no line of the table means would pass unseen."""
    with np.load(golden, allow_pickle=False) as content:
        keys = [key for key in content.files if key != "config"]
    assert len(keys) > 100
    for key in keys:
        bare = SUFFIX.sub("", key)
        assert any(re.fullmatch(pattern, bare) for pattern, *_ in TOLERANCES), key


def _split(name: str, outputs: dict[str, Tensor]) -> tuple[str, re.Match[str] | None]:
    """A key's name and its suffix, if it has one: `prediction_s4` is every fourth pixel of `prediction`."""
    found = SUFFIX.search(name)
    if name in outputs or found is None:
        return name, None
    return name[: found.start()], found


def _part(output: Tensor, name: str, suffix: re.Match[str] | None) -> Tensor:
    if suffix is None:
        return output
    output = output[:, :: int(suffix["channels"] or 1)]
    step, first, last = (suffix[name] and int(suffix[name]) for name in ("step", "first", "last"))
    rows = slice(first, last, step)
    return output[..., rows, rows, :] if name in CHANNELS_LAST else output[..., rows, rows]


def _differences(key: str, bare: str, have: NDArray, want: NDArray) -> list[str]:
    if have.shape != want.shape:
        return [f"{key}: shape {have.shape} instead of {want.shape}"]
    if not np.isfinite(have).all():
        return [f"{key}: not finite"]
    most, mean, relative = next(t[1:] for t in TOLERANCES if re.fullmatch(t[0], bare))
    off = np.abs(have.astype(np.float64) - want)
    print(f"{key}: {off.max():.1e} mean {off.mean():.1e}")
    if off.max() > most + relative * np.abs(want).max() or off.mean() > mean:
        return [f"{key}: differs by {off.max():.2e} (mean {off.mean():.2e}), largest value {np.abs(want).max():.3g}"]
    return []
