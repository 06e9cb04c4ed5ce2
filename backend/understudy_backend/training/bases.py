"""What a stage starts from: its frozen autoencoder, its UNet, schedule and locked prompt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from understudy_backend.models.threedhm import denoising, networks
from understudy_backend.models.threedhm.latents import Vae
from understudy_backend.models.threedhm.patch_autoencoder import PatchAutoencoder
from understudy_backend.training.checkpoints import TrainingError, load_averages
from understudy_backend.training.configs import Setting
from understudy_backend.weights.threedhm import load_base

PROMPT_SEEDS = {"infill": 1, "render": 2}
"""Networks that never saw a text encoder have an arbitrary constant for a prompt, which differs between the stages."""
PROMPTS = {"infill": denoising.INFILL_PROMPT, "render": denoising.RENDER_PROMPT}
HUB_FILES = ("*/*.json", "*/*.txt", "*/diffusion_pytorch_model.safetensors", "*/model.safetensors")
"""What a model on the Hugging Face hub is asked for: full precision, safetensors only."""


@dataclass(frozen=True)
class Base:
    """A stage before training."""

    vae: Vae
    unet: UNet2DConditionModel
    scheduler: DDIMScheduler
    prompt: Tensor
    """(1, L, D), computed once: the text branch is locked."""


def base_of(stage: str, setting: Setting, run: Path, weights: str | None) -> Base:
    """The start of a stage ("infill" or "render").

    Args:
        stage: which.
        setting: tells whether networks are built from nothing.
        run: folder of the run; where networks are ours, its autoencoder is taken.
        weights: Stable Diffusion's, for settings that start from it: a folder in diffusers' layout or a name on the
            Hugging Face hub.

    Raises:
        TrainingError: weights or autoencoder are missing.
        MethodError: weights that cannot be read.
    """
    if setting.networks is None:
        if weights is None:
            raise TrainingError(
                f"the setting {setting.name} starts from Stable Diffusion's weights: name them with --weights, as a "
                "folder or on the Hugging Face hub (for infill an inpainting model)"
            )
        vae, unet, scheduler, prompt = load_base(weights_folder(weights), PROMPTS[stage])
        if stage == "infill" and unet.config["in_channels"] != 2 * vae.config["latent_channels"] + 1:
            raise TrainingError(
                f"{weights} is no inpainting model: its UNet takes {unet.config['in_channels']} channels"
            )
        if stage == "render" and unet.config["in_channels"] != vae.config["latent_channels"]:
            raise TrainingError(f"stage 2 needs a plain text-to-image model; {weights} is of another kind")
        return Base(vae, unet, scheduler, prompt)
    if weights is not None:
        raise TrainingError(
            f"the setting {setting.name} is trained from nothing; --start-from takes weights of its kind"
        )
    config = setting.networks
    torch.manual_seed(getattr(setting, stage).seed)
    unet = (
        networks.build_infill_unet(config) if stage == "infill" else networks.build_unet(config, config.latent_channels)
    )
    unet.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    prompt = networks.constant_prompt(config, PROMPT_SEEDS[stage])
    return Base(load_vae(run), unet, denoising.training_scheduler(), prompt)


def load_vae(run: Path) -> PatchAutoencoder:
    """The autoencoder of a run, frozen.

    Raises:
        TrainingError: it has not been fitted yet.
    """
    folder = run / "vae" / "weights"
    if not (folder / "config.json").is_file():
        raise TrainingError(f"{folder} is missing: fit the autoencoder first (`vae`)")
    vae = PatchAutoencoder.from_pretrained(folder)
    return vae.requires_grad_(False).eval()  # pyright: ignore


def weights_folder(source: str) -> Path:
    """A folder as it is, or a model that is fetched from the Hugging Face hub (or found in its cache).

    Raises:
        TrainingError: neither, or the hub does not give it.
    """
    if Path(source).is_dir():
        return Path(source)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", source):
        raise TrainingError(f"{source} is neither a folder nor a model's name on the hub (OWNER/NAME)")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, allow_patterns=list(HUB_FILES)))
    except Exception as error:  # the hub's client raises the errors of several libraries
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise TrainingError(f"{source} is no folder here and cannot be fetched: {first[0]}") from None


def start_from(path: Path, modules: Mapping[str, nn.Module]) -> None:
    """Puts weights of an earlier training into modules, in place.

    Args:
        path: a checkpoint file, whose averaged weights are taken, or a folder in diffusers' layout: a stage's, with one
            folder for each of the modules, or that of the only module itself.
        modules: by the names they are trained under ("unet", "branch").

    Raises:
        TrainingError: not found, damaged, or of other networks.
    """
    if path.is_file():
        load_averages(path, modules)
        return
    for name, module in modules.items():
        folder = path / name if (path / name).is_dir() else path
        file = folder / "diffusion_pytorch_model.safetensors"
        if not file.is_file() or (folder == path and len(modules) > 1):
            raise TrainingError(f"{path} has no weights of {name}: give a checkpoint, or a folder of weights")
        try:
            module.load_state_dict(load_file(file))
        except (OSError, SafetensorError, RuntimeError) as error:
            first = " ".join(str(error).split())[:160]
            raise TrainingError(f"{file} does not fit this setting: {first}") from None
