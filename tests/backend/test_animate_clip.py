"""Clips of any length: memory, interruption, seeds, and that what is computed once is right."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from understudy_backend.methods.contract import MethodError
from understudy_backend.models.animate_anyone.animation import Clip, ClipSettings, Progress
from understudy_backend.models.animate_anyone.denoising import noise_schedule, predict
from understudy_backend.models.animate_anyone.guider import PoseGuider
from understudy_backend.models.animate_anyone.networks import SMALL, build_denoiser, build_reference_net
from understudy_backend.models.animate_anyone.noise import SeedRange, clip_noise
from understudy_backend.models.animate_anyone.parts import AnimatorParts, place, weight_bytes
from understudy_backend.models.animate_anyone.reference import keys_and_values, reference_features
from understudy_backend.models.animate_anyone.windows import Windows

SIZE = (48, 64)
WINDOWS = Windows(frames=4, overlap=2)


class Stopped(Exception):
    pass


@cache
def parts() -> AnimatorParts:
    """Small networks with random weights; none is zero, so that every path counts."""
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(32,) * 4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
    )
    clip = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, projection_dim=32, num_hidden_layers=1, num_attention_heads=4,
        image_size=224, patch_size=32,
    )  # fmt: skip
    out = AnimatorParts(
        vae, CLIPVisionModelWithProjection(clip), build_reference_net(SMALL), build_denoiser(SMALL), PoseGuider(SMALL),
        noise_schedule(),
    )  # fmt: skip
    for module in out.modules:
        for parameter in module.requires_grad_(False).eval().parameters():
            if not parameter.any():
                parameter.normal_(0, 0.02)
    return out


def photo() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (80, 60, 3), np.uint8)


def pose(index: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1000 + index).integers(0, 256, (64, 48, 3), np.uint8)


def clip(folder: Path, count: int = 7, **settings) -> Clip:
    chosen = {"steps": 2, "windows": WINDOWS, "seed": 5} | settings
    made = Clip(parts(), photo(), ClipSettings(SIZE, count, **chosen), folder)
    for index in made.missing_guidance():
        made.guide(index, {"pose": pose(index)})
    return made


def finished(folder: Path, **settings) -> NDArray[np.float32]:
    made = clip(folder, **settings)
    made.denoise()
    return made.latents(range(made.settings.count)).numpy()


def test_interruption_leaves_no_trace(tmp_path: Path) -> None:
    whole = finished(tmp_path / "whole")
    calls = 0
    while True:
        calls += 1
        left = 1 + calls % 3  # stops after another number of windows each time

        def stop(progress: Progress) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Stopped

        made = clip(tmp_path / "parts")
        assert not made.missing_guidance()
        try:
            made.denoise(stop)
        except Stopped:
            continue
        break
    assert calls > 3
    np.testing.assert_array_equal(made.latents(range(7)).numpy(), whole)
    names = sorted(p.name for p in (tmp_path / "parts").iterdir())
    assert names == ["clean-2", "clip.json", "features", "guided", "latents-2"]  # no more than what is needed


def test_half_written_files_do_not_count(tmp_path: Path) -> None:
    whole = finished(tmp_path / "whole")
    made = clip(tmp_path / "torn")
    (tmp_path / "torn" / "prediction-0-0.part").write_bytes(b"torn")
    (tmp_path / "torn" / "latents-0.part").write_bytes(b"torn")
    made.denoise()
    np.testing.assert_array_equal(made.latents(range(7)).numpy(), whole)


def test_another_clip_in_the_same_folder_starts_anew(tmp_path: Path) -> None:
    finished(tmp_path)
    other = Clip(parts(), photo(), ClipSettings(SIZE, 7, steps=2, windows=WINDOWS, seed=6), tmp_path)
    assert other.missing_guidance() == list(range(7))
    with pytest.raises(ValueError, match="7 of 7 frames have no guidance"):
        other.denoise()


def test_frames_see_photo_pose_and_each_other(tmp_path: Path) -> None:
    """Each input changes what it should, and nothing is ignored."""
    base = finished(tmp_path / "base")
    made = Clip(parts(), 255 - photo(), ClipSettings(SIZE, 7, steps=2, windows=WINDOWS, seed=5), tmp_path / "photo")
    for index in range(7):
        made.guide(index, {"pose": pose(index)})
    made.denoise()
    assert np.abs(made.latents(range(7)).numpy() - base).max() > 1e-3
    made = Clip(parts(), photo(), ClipSettings(SIZE, 7, steps=2, windows=WINDOWS, seed=5), tmp_path / "pose")
    for index in range(7):
        made.guide(index, {"pose": pose(index) if index != 3 else 255 - pose(index)})
    made.denoise()
    change = np.abs(made.latents(range(7)).numpy() - base).max((1, 2, 3))
    assert change.argmax() == 3 and (change > 0).all()


def test_both_halves_of_guidance_together_or_apart(tmp_path: Path) -> None:
    apart = finished(tmp_path / "apart")
    settings = ClipSettings(SIZE, 7, steps=2, windows=WINDOWS, seed=5)
    made = Clip(parts(), photo(), settings, tmp_path / "together", batched=True)
    for index in range(7):
        made.guide(index, {"pose": pose(index)})
    made.denoise()
    np.testing.assert_allclose(made.latents(range(7)).numpy(), apart, atol=1e-4)


def test_halves_that_do_not_fit_together_go_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apart, sizes = finished(tmp_path / "apart"), []

    def short(unet, noisy, *rest):
        sizes.append(len(noisy))
        if len(noisy) > 1:
            raise torch.OutOfMemoryError
        return predict(unet, noisy, *rest)

    monkeypatch.setattr("understudy_backend.models.animate_anyone.animation.predict", short)
    settings = ClipSettings(SIZE, 7, steps=2, windows=WINDOWS, seed=5)
    made = Clip(parts(), photo(), settings, tmp_path / "together", batched=True)
    for index in range(7):
        made.guide(index, {"pose": pose(index)})
    made.denoise()
    assert sizes[0] == 2 and set(sizes[1:]) == {1}  # it is tried once
    np.testing.assert_array_equal(made.latents(range(7)).numpy(), apart)


def test_reference_reaches_only_the_last_clips_of_a_batch() -> None:
    generator = torch.Generator().manual_seed(1)
    noisy = torch.randn((2, 4, 3, 8, 8), generator=generator)
    token = torch.randn((2, 1, 32), generator=generator)
    unet = parts().denoiser
    with torch.no_grad():
        seen = reference_features(parts().reference_net, torch.randn((1, 4, 8, 8), generator=generator), token[1:])
        reference = keys_and_values(unet, seen)
        both = predict(unet, noisy, 500, token, None, reference)
        plain, read = (
            predict(unet, noisy[:1], 500, token[:1]),
            predict(unet, noisy[1:], 500, token[1:], None, reference),
        )
        blind = predict(unet, noisy[1:], 500, token[1:])
    torch.testing.assert_close(both, torch.cat([plain, read]), atol=2e-5, rtol=0)
    assert (read - blind).abs().max() > 1e-3


def test_seeds_of_ranges() -> None:
    whole, other = clip_noise(1, 9, (4, 3, 2)), clip_noise(2, 9, (4, 3, 2))
    mixed = clip_noise(1, 9, (4, 3, 2), [SeedRange(2, 4, 2)])
    assert torch.equal(mixed[2:5], other[2:5])
    assert torch.equal(mixed[:2], whole[:2]) and torch.equal(mixed[5:], whole[5:])
    with pytest.raises(ValueError, match="frames 5 to 9 are not in a clip of 9"):
        clip_noise(1, 9, (4, 3, 2), [SeedRange(5, 9, 2)])


def test_previews_come_closer_to_the_result(tmp_path: Path) -> None:
    shown: list[tuple[int, int]] = []
    images: list[NDArray[np.uint8]] = []
    made = clip(tmp_path, steps=3)

    def show(step: int, index: int, image: NDArray[np.uint8]) -> None:
        shown.append((step, index))
        images.append(image)

    made.denoise(preview=[4], on_preview=show)
    assert shown == [(1, 4), (2, 4), (3, 4)]
    last = made.frame(4)
    assert last.shape == (64, 48, 3)
    np.testing.assert_array_equal(images[-1], last)
    errors = [np.abs(image.astype(int) - last).mean() for image in images]
    assert errors[0] >= errors[1] >= errors[2] == 0


def test_parts_take_turns_when_memory_is_short(tmp_path: Path) -> None:
    whole = weight_bytes(parts().modules)
    assert not place(parts(), whole).offloaded
    taking_turns = place(parts(), whole - 1)
    assert taking_turns.offloaded
    with taking_turns.on_device(taking_turns.denoiser):
        assert taking_turns.denoiser.device.type == "cpu"


def test_too_little_memory_is_said_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = finished(tmp_path / "whole")
    made = clip(tmp_path / "short")
    calls = 0

    def full(*arguments):
        nonlocal calls
        calls += 1
        if calls == 4:
            raise torch.OutOfMemoryError
        return predict(*arguments)

    monkeypatch.setattr("understudy_backend.models.animate_anyone.animation.predict", full)
    with pytest.raises(MethodError, match="4 frames of 48 x 64 pixels") as caught:
        made.denoise()
    assert caught.value.code == "out_of_memory"
    assert made.store.has_prediction(0, 0) and not made.store.has_prediction(0, 1)
    made.denoise()
    np.testing.assert_array_equal(made.latents(range(7)).numpy(), whole)


@pytest.mark.parametrize(("size", "count"), [((50, 64), 4), ((48, 64), 0)])
def test_clips_that_cannot_be(size: tuple[int, int], count: int) -> None:
    with pytest.raises(ValueError, match=r"multiples of 8|at least one frame"):
        ClipSettings(size, count)


def test_windows_longer_than_the_weights_know(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at most 32 frames"):
        Clip(parts(), photo(), ClipSettings(SIZE, 40, windows=Windows(33)), tmp_path)


def test_missing_pictures_are_named(tmp_path: Path) -> None:
    made = Clip(parts(), photo(), ClipSettings(SIZE, 2), tmp_path)
    with pytest.raises(ValueError, match="frame 1 lacks pose"):
        made.guide(1, {"depth": pose(0)})


def test_a_long_clip_takes_no_more_memory(tmp_path: Path) -> None:
    """What a run adds to a process at its peak, for 100 frames after one window of 24 of them."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of a process's memory can be set back only on Linux")
    program = r"""
import re, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_animate_clip as t
def memory(name):
    return int(re.search(name + r":\s+(\d+)", Path("/proc/self/status").read_text())[1])
t.parts()
before = memory("VmRSS")
for count in (24, 100):
    Path("/proc/self/clear_refs").write_text("5")
    made = t.clip(Path(sys.argv[2]) / str(count), count, steps=1, windows=t.Windows(), guidance=1.0)
    made.denoise()
    for index in range(24):
        made.frame(index)
    print(memory("VmHWM") - before)
"""
    arguments = [sys.executable, "-c", program, str(Path(__file__).parent), str(tmp_path)]
    out = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.split()
    short, long = (int(kilobytes) for kilobytes in out[-2:])
    assert short > 5000
    assert long <= 1.1 * short
