"""Animate Anyone against the published code: every tensor of every golden, every key of the published files, windows
and the drawing of skeletons."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from animator_checks import differences, fill_differences, merged, shapes
from animator_recipe import layout
from understudy_backend.guidance.skeleton import best_person, draw_skeleton, openpose_of_whole_body
from understudy_backend.models.animate_anyone.guider import PoseGuider
from understudy_backend.models.animate_anyone.networks import build_denoiser, build_image_denoiser, build_reference_net
from understudy_backend.models.animate_anyone.windows import Windows, coverage, windows_of

MODEL = "animate_anyone"
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
        assert shapes(build_image_denoiser()) == files["denoising_unet.pth"]
        assert shapes(PoseGuider()) == files["pose_guider.pth"]


def test_windows_are_the_published_ones() -> None:
    known = json.loads((HERE / "context_windows.json").read_text())
    for count, windows in known["default_windows"].items():
        assert windows_of(int(count)) == windows
    for count, times in known["frame_counts_default"].items():
        assert coverage(windows_of(int(count)), int(count)) == times
    for setting, windows in known["other"].items():
        said = dict(part.split("=") for part in setting.split(","))
        layout = Windows(
            int(said["context"]), int(said["stride"]), int(said["overlap"]), said["closed_loop"] == "True"
        )  # fmt: skip
        assert windows_of(int(said["frames"]), layout, int(said["step"])) == windows, setting


@pytest.mark.parametrize("person", [0, 1])
def test_skeletons_are_drawn_to_the_pixel(person: int) -> None:
    with np.load(HERE / "pose_draw.npz", allow_pickle=False) as content:
        known = {key.removeprefix(f"s{person}/"): content[key] for key in content.files if key[:3] == f"s{person}/"}
    points, scores = openpose_of_whole_body(known["coco_kp"], known["coco_score"])
    np.testing.assert_array_equal(points, known["openpose_kp"])
    np.testing.assert_array_equal(scores, known["openpose_score"])
    best = best_person(scores)
    np.testing.assert_array_equal(draw_skeleton(points[best], scores[best], (96, 128)), known["canvas"])
