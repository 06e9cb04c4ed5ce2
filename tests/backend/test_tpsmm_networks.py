"""TPSMM's parts: the CPU's own arithmetic against the plain one, and what the modes of animation promise."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from understudy_backend.models.tpsmm.animation import best_frame, hull_area, relative_keypoints
from understudy_backend.models.tpsmm.animator import Animator
from understudy_backend.models.tpsmm.blocks import Res, Shrink, Up
from understudy_backend.models.tpsmm.config import TPSMMConfig
from understudy_backend.models.tpsmm.dense_motion import contributions, dropout_keep
from understudy_backend.models.tpsmm.fast import FastRes, FastUp, WinogradConv, quicken
from understudy_backend.models.tpsmm.model import TPSMM
from understudy_backend.models.tpsmm.warping import pixel_grid, sample

SMALL = TPSMMConfig(
    image_size=64,
    splines=3,
    encoder_width=8,
    motion_width=8,
    motion_limit=16,
    motion_levels=3,
    inpainting_width=8,
    inpainting_limit=16,
    avd_widths=(16,),
    avd_code=8,
)


@pytest.fixture(autouse=True)
def _no_gradients():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def model() -> TPSMM:
    """Random, its norms with random statistics, its keypoints spread over the picture."""
    torch.manual_seed(1)
    net = TPSMM(SMALL).eval().requires_grad_(False)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d | nn.InstanceNorm2d):
            assert module.weight is not None
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.2)
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            cast(torch.Tensor, module.running_mean).normal_(0, 0.2)
            cast(torch.Tensor, module.running_var).uniform_(0.5, 1.5)
    net.kp_detector.fg_encoder.fc.bias.normal_(0, 1)
    net.kp_detector.fg_encoder.fc.weight.mul_(5)
    return net


def images(count: int, size: int = 64) -> torch.Tensor:
    return torch.sigmoid(2 * F.interpolate(torch.randn(count, 3, 8, 8), (size, size), mode="bilinear"))


def test_winograd_is_the_convolution():
    conv = nn.Conv2d(12, 7, 3, padding=1, bias=False)
    x = torch.randn(2, 12, 16, 24)
    got = WinogradConv(conv.weight)(F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1).contiguous())
    assert torch.allclose(got.reshape(2, 16, 24, 7).permute(0, 3, 1, 2), conv(x), atol=1e-5)


@pytest.mark.parametrize(("plain", "fast"), [(Up(12, 6), FastUp), (Res(12), FastRes)])
def test_fast_block_is_the_block(plain: nn.Module, fast: type[nn.Module]):
    for parameter in plain.parameters():
        parameter.normal_(0, 0.5)
    x = torch.randn(2, 12, 8, 16)
    want = plain(x)
    assert torch.allclose(fast(plain)(x), want, atol=2e-5 * float(want.abs().max()))


@pytest.mark.parametrize("mode", ["relative", "standard", "avd"])
def test_fast_model_animates_alike_and_leaves_the_model_as_it_was(model, mode):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    source, reference, driving = images(3).split(1)
    plain = Animator(model, source, mode=mode, reference=reference)(driving)
    fast = Animator(quicken(model), source, mode=mode, reference=reference)(driving)
    assert (plain.image - fast.image).abs().max() < 1e-3
    assert (plain.image - source).abs().mean() > 1e-2
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_what_is_cached_changes_nothing(model):
    source, reference, driving = images(3).split(1)
    points = [model.kp_detector(x) for x in (source, reference, driving)]
    want = model.move(source, points[0], relative_keypoints(*points))[2].prediction
    assert torch.equal(Animator(model, source, reference=reference)(driving).image, want)


def test_a_frame_does_not_depend_on_its_batch(model):
    source, reference = images(2).split(1)
    driving = images(3)
    animator = Animator(model, source, reference=reference)
    together = animator(driving).image
    alone = torch.cat([animator(frame).image for frame in driving.split(1)])
    assert torch.allclose(together, alone, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-2


def test_half_precision_is_near(model):
    source, reference, driving = images(3).split(1)
    whole = Animator(model, source, reference=reference)(driving)
    half = Animator(model, source, reference=reference, half=True)(driving)
    assert half.image.dtype == torch.float32
    assert (whole.image - half.image).abs().mean() < 5e-3


def test_the_reference_pose_leaves_the_photo_in_its_own(model):
    source, first, second = images(3).split(1)
    still = [Animator(model, source, reference=frame)(frame).image for frame in (first, second)]
    assert torch.allclose(still[0], still[1], atol=1e-5)


def test_animator_says_what_it_lacks(model):
    source = images(1)
    with pytest.raises(ValueError, match="reference"):
        Animator(model, source)
    with pytest.raises(ValueError, match="no AVD"):
        Animator(TPSMM(SMALL, avd=False).eval(), source, mode="avd")
    with pytest.raises(ValueError, match="multiples of 32"):
        Animator(model, images(1, 48), mode="standard")


def test_relative_motion_is_scaled_by_the_roots_of_areas():
    square = torch.tensor([[[-1.0, -1], [1, -1], [1, 1], [-1, 1], [0, 0]]])
    assert hull_area(square[0].numpy()) == pytest.approx(4)
    small, shifted = square / 4, square / 4 + torch.tensor([0.1, -0.2])
    got = relative_keypoints(square, small, shifted)
    assert torch.allclose(got, square + 4 * torch.tensor([0.1, -0.2]), atol=1e-5)


def test_points_on_a_line_have_no_area_and_no_scale():
    line = torch.stack([torch.linspace(-1, 1, 5), torch.zeros(5)], -1)[None]
    assert hull_area(line[0].numpy()) == 0
    assert torch.equal(relative_keypoints(line, line, line + 0.1), line + (line + 0.1 - line))


def test_best_frame_ignores_place_and_size_but_not_shape():
    face = np.random.default_rng(0).normal(size=(11, 2))
    turned = face * [0.6, 1]
    index, distances = best_frame(face, [turned, None, face * 3 + [100, 50], face[::-1]])
    assert index == 2
    assert distances[2] == pytest.approx(0, abs=1e-12)
    assert np.isinf(distances[1])
    with pytest.raises(ValueError, match="no face"):
        best_frame(face, [None, None])


def test_dropout_keeps_the_background_and_leaves_out_the_rest():
    keep = dropout_keep(torch.tensor([[0.99, 0.1, 0.8, 0.6]]), 0.3)
    assert keep.tolist() == [[True, True, False, True]]
    logits = torch.randn(1, 4, 2, 2)
    got = contributions(logits, keep)
    assert torch.equal(got[:, 2], torch.zeros(1, 2, 2))
    assert torch.allclose(got[:, [0, 1, 3]], torch.softmax(logits[:, [0, 1, 3]], 1), atol=1e-5)


def test_identity_warp_and_shrinking_of_a_constant():
    image = torch.rand(1, 3, 12, 16)
    assert torch.allclose(sample(image, pixel_grid(12, 16)[None]), image, atol=1e-5)
    small = Shrink(4)(torch.ones(1, 3, 64, 64))
    assert small.shape == (1, 3, 16, 16)
    assert torch.allclose(small[..., 4:-4, 4:-4], torch.ones(()), atol=1e-5)


def test_one_mask_for_all_resolutions_works_too():
    config = TPSMMConfig(**{**SMALL.__dict__, "multi_mask": False})
    net = TPSMM(config).eval()
    assert sum("occlusion" in key for key in net.state_dict()) == 2
    source, driving = images(2).split(1)
    frame = net.reconstruct(source, driving)
    assert frame.prediction.shape == source.shape
