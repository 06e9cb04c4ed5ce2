"""Champ against the published code: every tensor of every golden, every key of the published files, and the conventions
of its pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from animator_checks import differences, fill_differences, merged, shapes
from animator_recipe import layout
from numpy.typing import NDArray
from understudy_backend.guidance.body_maps import render_maps
from understudy_backend.models.animate_anyone.networks import build_denoiser, build_reference_net
from understudy_backend.models.champ.guidance_encoders import KINDS, GuidanceEncoder
from understudy_backend.weights.animate_anyone import UNUSED

MODEL = "champ"
HERE = Path(__file__).parent / MODEL

pytestmark = pytest.mark.timeout(1800)


def test_recipe_draws_the_goldens_weights() -> None:
    assert not fill_differences(MODEL)


def test_golden_agrees(golden: Path, group: str, tmp_path: Path) -> None:
    problems = differences(MODEL, golden, group, tmp_path)
    assert not problems, "\n".join(problems)


def test_networks_have_the_published_files_tensors() -> None:
    files = layout(MODEL)["full"]
    with torch.device("meta"):
        assert shapes(build_reference_net()) == files["reference_unet.pth"]
        assert shapes(build_denoiser()) == merged(files["denoising_unet.pth"], files["motion_module.pth"])
        encoder = shapes(GuidanceEncoder())
    for kind in KINDS:
        published = files[f"guidance_encoder_{kind}.pth"]
        unused = {name: shape for name, shape in published.items() if UNUSED.match(name)}
        assert len(unused) == 114
        assert merged(encoder, unused) == published


def test_pictures_follow_the_published_conventions() -> None:
    """Two balls, rendered by the published scene in Cycles: all agree but for what its dither and jitter do."""
    with np.load(HERE / "render_conventions.npz", allow_pickle=False) as content:
        known = {key: content[key] for key in content.files}
    width, height = (int(side) for side in known["res_wh"])
    focal = float(known["focal"])
    k = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    faces = known["faces"].astype(np.int32)
    maps = render_maps(known["verts"], faces, known["vert_colors_rgb_u8"], k, np.eye(4), (width, height))
    mask = known["mask"] > 127
    assert (maps.mask & mask).sum() >= 0.997 * (maps.mask | mask).sum()
    edges = cv2.morphologyEx(known["analytic_depth"], cv2.MORPH_GRADIENT, np.ones((5, 5))) > 0.2
    inside = maps.mask & mask & ~edges
    assert inside.sum() > 4000
    depth = levels(maps.depth[..., 0], known["depth"])[inside]
    normal = levels(maps.normal, known["normal"])[inside]
    assert depth.mean() < 0.0024 * 255 and depth.max() <= 0.0086 * 255
    assert normal.mean() < 0.0015 * 255 and normal.max() <= 0.0073 * 255
    assert levels(maps.semantic_map, known["semantic"])[inside].max() <= 1
    assert not maps.depth[~maps.mask].any() and not maps.normal[~maps.mask].any()
    assert not maps.semantic_map[~maps.mask].any()


def levels(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.abs(ours.astype(np.int64) - theirs)
