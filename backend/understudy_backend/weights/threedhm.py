"""Loads 3DHM's networks from folders in diffusers' layout, whatever their size.

One stage is one folder::

    infill/  unet/ scheduler/  [vae/] [sampling.json] [prompt.safetensors | text_encoder/ + tokenizer/]
    render/  unet/ branch/ scheduler/  the same, and [outline/], which only networks like ours have

A `vae/` may also lie beside the stage's folder, where both share it. A Stable Diffusion 1.5 inpainting download is such
an `infill` folder as it is; Stable Diffusion 1.5 with a trained `branch/` added is such a `render` folder. Only
safetensors are read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from understudy_backend.methods.contract import MethodError
from understudy_backend.models.threedhm.denoising import INFILL_PROMPT, RENDER_PROMPT
from understudy_backend.models.threedhm.latents import has_alpha, size_multiple
from understudy_backend.models.threedhm.outline import OutlineNetwork
from understudy_backend.models.threedhm.patch_autoencoder import PatchAutoencoder
from understudy_backend.models.threedhm.stages import Infill, Render


class Sampling(msgspec.Struct, frozen=True, omit_defaults=True):
    """sampling.json, beside a stage's weights: what suits them. Without it, what suits Stable Diffusion."""

    steps: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 25
    """Denoising steps."""
    window: tuple[int, int] | None = None
    """Stage 2: see `Render.window`."""
    detail: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    """Stage 1: see `Infill.detail`."""


T = TypeVar("T", bound=torch.nn.Module)

PROMPT_FILE = "prompt.safetensors"
SAMPLING_FILE = "sampling.json"


def load_infill(folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Infill:
    """Loads stage 1.

    Raises:
        MethodError: a part is missing or does not fit, with its path.
    """
    vae = _load(_vae_kind(_vae_folder(folder)), _vae_folder(folder), device, dtype)
    unet = _load(UNet2DConditionModel, folder / "unet", device, dtype)
    wanted = 2 * vae.config["latent_channels"] + 1
    if unet.config["in_channels"] != wanted:
        raise MethodError(
            f"{folder / 'unet'} takes {unet.config['in_channels']} channels, but in-filling needs {wanted}",
            code="wrong_weights",
            fix="Choose an inpainting model (noisy latents, mask and masked latents).",
        )
    prompt = _prompt(folder, INFILL_PROMPT, device, dtype)
    sampling = _sampling(folder)
    return Infill(vae, unet, _scheduler(folder), prompt, sampling.steps, sampling.detail)


def load_render(folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Render:
    """Loads stage 2.

    Raises:
        MethodError: a part is missing or does not fit, with its path.
    """
    vae = _load(_vae_kind(_vae_folder(folder)), _vae_folder(folder), device, dtype)
    unet = _load(UNet2DConditionModel, folder / "unet", device, dtype)
    branch = _load(ControlNetModel, folder / "branch", device, dtype)
    wanted = 2 * vae.config["latent_channels"]
    if branch.config["conditioning_channels"] != wanted:
        raise MethodError(
            f"{folder / 'branch'} takes a condition of {branch.config['conditioning_channels']} channels, "
            f"but two latents have {wanted}",
            code="wrong_weights",
            fix="Use a branch that was trained for 3DHM with this VAE; other ControlNets do not fit.",
        )
    prompt = _prompt(folder, RENDER_PROMPT, device, dtype)
    multiple = size_multiple(vae) * 2 ** (len(unet.config["block_out_channels"]) - 1)
    sampling = _sampling(folder)
    if sampling.window and (min(sampling.window) < multiple or any(side % multiple for side in sampling.window)):
        raise _bad_sampling(folder, f"a window of multiples of {multiple} pixels")
    outline = None
    if (folder / "outline").is_dir():
        if not has_alpha(vae):
            raise MethodError(
                f"{folder / 'outline'} needs frames with alpha, and this VAE makes none",
                code="wrong_weights",
                fix="Remove that folder: it belongs to other weights.",
            )
        outline = _load(OutlineNetwork, folder / "outline", device, dtype)
    return Render(vae, unet, branch, _scheduler(folder), prompt, sampling.steps, sampling.window, outline)


def load_base(
    folder: Path, prompt: str, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[AutoencoderKL | PatchAutoencoder, UNet2DConditionModel, DDIMScheduler, Tensor]:
    """Loads what a stage is before any training of ours, such as Stable Diffusion: autoencoder, UNet, schedule, and the
    embedding of `prompt`.

    Raises:
        MethodError: a part is missing or cannot be read, with its path.
    """
    vae = _load(_vae_kind(_vae_folder(folder)), _vae_folder(folder), device, dtype)
    unet = _load(UNet2DConditionModel, folder / "unet", device, dtype)
    return vae, unet, _scheduler(folder), _prompt(folder, prompt, device, dtype)


def save_prompt(embedding: Tensor, folder: Path) -> None:
    """Stores the embedding (1, L, D) of a stage's fixed prompt, so that no text encoder is needed to run it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"prompt": embedding.contiguous()}, folder / PROMPT_FILE)


def save_sampling(sampling: Sampling, folder: Path) -> None:
    """Notes with a stage's weights what suits them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SAMPLING_FILE).write_bytes(msgspec.json.encode(sampling) + b"\n")


def missing_parts(folder: Path, *, stage: str) -> list[Path]:
    """Folders that a stage ("infill" or "render") needs and does not find."""
    parts = [_vae_folder(folder), folder / "unet", folder / "scheduler"]
    if stage == "render":
        parts.append(folder / "branch")
    return [p for p in parts if not p.is_dir()]


def _vae_folder(folder: Path) -> Path:
    shared = folder.parent / "vae"
    return shared if shared.is_dir() and not (folder / "vae").is_dir() else folder / "vae"


def _vae_kind(folder: Path) -> type[AutoencoderKL] | type[PatchAutoencoder]:
    """Which class a folder's weights belong to, as its config says; the loading itself complains of a bad folder."""
    try:
        name = json.loads((folder / "config.json").read_text())["_class_name"]
    except (OSError, ValueError, KeyError, TypeError):
        name = ""
    return PatchAutoencoder if name == PatchAutoencoder.__name__ else AutoencoderKL


def _load(kind: type[T], folder: Path, device: str, dtype: torch.dtype) -> T:
    if not (folder / "config.json").is_file():
        raise MethodError(
            f"weights are missing: no {kind.__name__} in {folder}",
            code="missing_weights",
            fix="Put the model's folder there, or choose another weights folder.",
        )
    try:
        module = kind.from_pretrained(folder, torch_dtype=dtype, use_safetensors=True, local_files_only=True)  # pyright: ignore
    except (OSError, ValueError, RuntimeError, KeyError, json.JSONDecodeError) as error:
        first = str(error).strip().splitlines()[0]
        raise MethodError(
            f"the weights in {folder} cannot be read: {first}",
            code="bad_weights",
            fix="Copy or download the folder again; it needs config.json and a .safetensors file.",
        ) from error
    return module.requires_grad_(False).eval().to(device, memory_format=torch.channels_last)


def _scheduler(folder: Path) -> DDIMScheduler:
    path = folder / "scheduler"
    if not (path / "scheduler_config.json").is_file():
        raise MethodError(
            f"weights are missing: no scheduler in {folder}", code="missing_weights", fix="Copy the whole model folder."
        )
    scheduler = DDIMScheduler.from_pretrained(path)
    assert isinstance(scheduler, DDIMScheduler)
    return scheduler


def _sampling(folder: Path) -> Sampling:
    path = folder / SAMPLING_FILE
    if not path.is_file():
        return Sampling()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Sampling)
    except msgspec.MsgspecError:
        raise _bad_sampling(folder, "how many steps") from None


def _bad_sampling(folder: Path, what: str) -> MethodError:
    path = folder / SAMPLING_FILE
    return MethodError(f"{path} does not say {what}", code="bad_weights", fix='Write {"steps": 25} into it.')


@torch.no_grad()
def _prompt(folder: Path, text: str, device: str, dtype: torch.dtype) -> Tensor:
    stored = folder / PROMPT_FILE
    if stored.is_file():
        return load_file(stored)["prompt"].to(device, dtype)
    if not (folder / "text_encoder").is_dir() or not (folder / "tokenizer").is_dir():
        raise MethodError(
            f"weights are missing: {folder} has neither {PROMPT_FILE} nor text_encoder and tokenizer",
            code="missing_weights",
            fix="Copy the whole model folder.",
        )
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", use_safetensors=True, local_files_only=True)
    tokens = tokenizer(text, padding="max_length", truncation=True, return_tensors="pt")
    return encoder(tokens.input_ids)[0].to(device, dtype)
