"""The `sd15` setting against what is published of Stable Diffusion 1.5, its inpainting model and ControlNet.

`sd15_unet_layout.txt` lists the 686 tensors of Stable Diffusion 1.5's UNet, as downloads of it have them.
"""

import math
import os
from pathlib import Path

import pytest
import torch
from diffusers import ControlNetModel
from understudy_backend.models.threedhm import networks
from understudy_backend.training import configs

LAYOUT = Path(__file__).with_name("sd15_unet_layout.txt")
UNET, CONTROLNET, VAE = 859_520_964, 361_279_120, 83_653_863
"""Parameters, as published."""
STANDARD_EMBEDDING = sum(
    outer * inner * 9 + outer
    for inner, outer in [(3, 16), (16, 16), (16, 32), (32, 32), (32, 96), (96, 96), (96, 256), (256, 320)]
)
"""Parameters of ControlNet's own embedding of a picture, which ours of two latents replaces."""


def published() -> dict[str, tuple[int, ...]]:
    rows = (line.split() for line in LAYOUT.read_text().splitlines())
    return {name: tuple(int(n) for n in shape.split("x")) for name, shape in rows}


def shapes(module: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def unet() -> torch.nn.Module:
    with torch.device("meta"):
        return networks.build_sd15_unet()


def test_the_unet_has_the_published_tensors(unet: torch.nn.Module) -> None:
    assert sum(math.prod(shape) for shape in published().values()) == UNET
    assert shapes(unet) == published()


def test_the_inpainting_unet_only_takes_more_channels() -> None:
    with torch.device("meta"):
        inpainting = networks.build_sd15_unet(9)
    wanted = published() | {"conv_in.weight": (320, 9, 3, 3)}
    assert shapes(inpainting) == wanted
    assert parameters(inpainting) == UNET + 320 * 5 * 9


def test_the_branch_is_a_controlnet_with_a_condition_of_two_latents(unet: torch.nn.Module) -> None:
    with torch.device("meta"):
        branch = networks.branch_from_unet(unet)  # pyright: ignore[reportArgumentType]
    found = shapes(branch)
    own = {name: shape for name, shape in found.items() if name.startswith("controlnet_")}
    encoder = ("conv_in.", "time_embedding.", "down_blocks.", "mid_block.")
    copied = {name: shape for name, shape in published().items() if name.startswith(encoder)}
    assert {name: shape for name, shape in found.items() if name not in own} == copied
    widths = [320] * 4 + [640] * 3 + [1280] * 5  # the input, then each level's blocks and its downsampling
    assert [own[f"controlnet_down_blocks.{i}.weight"] for i in range(12)] == [(w, w, 1, 1) for w in widths]
    assert own["controlnet_mid_block.weight"] == (1280, 1280, 1, 1)
    assert own["controlnet_cond_embedding.conv_in.weight"] == (320, 8, 3, 3)
    assert own["controlnet_cond_embedding.conv_out.weight"] == (320, 320, 3, 3)
    assert len(own) == 2 * (12 + 1 + 2)
    ours = 320 * 8 * 9 + 320 + 320 * 320 * 9 + 320
    assert parameters(branch) == CONTROLNET - STANDARD_EMBEDDING + ours


def test_the_published_controlnet_has_the_published_size(unet: torch.nn.Module) -> None:
    """That what is compared with above is counted rightly: diffusers' own, with its usual embedding."""
    with torch.device("meta"):
        plain = ControlNetModel.from_unet(unet)  # pyright: ignore[reportArgumentType]
    assert parameters(plain) == CONTROLNET


def test_the_vae_has_the_published_size() -> None:
    with torch.device("meta"):
        assert parameters(networks.build_sd15_vae()) == VAE


def test_the_setting_is_the_papers() -> None:
    setting = configs.SD15_SETTING
    assert setting.networks is None and setting.image_size == 512 and not setting.train_unet


@pytest.mark.skipif(
    os.environ.get("UNDERSTUDY_FULL_SIZE") != "1",
    reason="takes 20 GB of memory and minutes: set UNDERSTUDY_FULL_SIZE=1",
)
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("stage", ["infill", "render"])
def test_one_step_and_one_frame_at_real_size(stage: str, capfd: pytest.CaptureFixture[str]) -> None:
    """On a GPU where there is one. A training step through accelerate, then one denoising step and the decoder."""
    import json

    from understudy_backend.training import measure

    precision = "fp16" if torch.cuda.is_available() else "no"
    measure.main([stage, "--config", "sd15", "--steps", "1", "--batch", "1", "--accumulate", "1",
                  "--sampling-steps", "1", "--mixed-precision", precision])  # fmt: skip
    told = json.loads(capfd.readouterr().out.split("\n{", 1)[1].join(["{", ""]))
    assert told["setting"] == "sd15" and told["seconds_per_step"] > 0 and told["seconds_per_frame"] > 0
