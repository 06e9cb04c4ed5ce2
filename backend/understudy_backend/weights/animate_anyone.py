"""Loads Animate Anyone's and Champ's networks from the files as they are published.

One set of weights is one folder::

    animate_anyone-NAME/  denoising_unet  reference_unet  motion_module  pose_guider
    champ-NAME/           denoising_unet  reference_unet  motion_module
                          guidance_encoder_depth  .._normal  .._semantic_map  .._dwpose
    both                  vae/  image_encoder/  [config.json]

The files end in `.safetensors`, or in `.pth` or `.ckpt` as published, and have the published names inside; motion
modules of AnimateDiff, in its own names or in diffusers', are a `motion_module` too. `vae/` and `image_encoder/` are in
the layout of diffusers and transformers; the VAE may be our `PatchAutoencoder` of colour. `config.json` says how large
the networks are, where not as published.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
import torch
from diffusers import AutoencoderKL
from diffusers.models.embeddings import SinusoidalPositionalEmbedding
from torch import Tensor, nn
from transformers import CLIPVisionModelWithProjection

from understudy_backend.methods.contract import MethodError
from understudy_backend.models.animate_anyone.denoising import noise_schedule
from understudy_backend.models.animate_anyone.guider import PoseGuider
from understudy_backend.models.animate_anyone.networks import (
    PUBLISHED,
    NetworkConfig,
    build_denoiser,
    build_reference_net,
)
from understudy_backend.models.animate_anyone.parts import AnimatorParts, place
from understudy_backend.models.champ.guidance_encoders import KINDS, GuidanceEncoder, GuidanceEncoders
from understudy_backend.models.threedhm.patch_autoencoder import PatchAutoencoder
from understudy_backend.weights.torch_files import find_tensors, read_tensors, write_tensors

Kind = Literal["animate_anyone", "champ"]

UNETS = ("denoising_unet", "reference_unet", "motion_module")
GUIDERS: dict[Kind, tuple[str, ...]] = {
    "animate_anyone": ("pose_guider",),
    "champ": tuple(f"guidance_encoder_{kind}" for kind in KINDS),
}
"""Names of the files of each method's guider."""
FOLDERS = ("vae", "image_encoder")
CONFIG_FILE = "config.json"

UNUSED = re.compile(r"attentions\.[0-4]\.|guidance_attention\.")
"""Tensors in the files of Champ's encoders that its code never uses."""
_OURS_TO_PUBLISHED = {
    "attn1": "attention_blocks.0", "attn2": "attention_blocks.1", "norm1": "norms.0", "norm2": "norms.1",
    "norm3": "ff_norm",
}  # fmt: skip
_POSITIONS = ".pos_embed.pe"


def missing_parts(folder: Path, kind: Kind) -> list[str]:
    """What a set of weights lacks, such as `pose_guider.pth` or `vae/`."""
    files = [f"{name}.pth" for name in (*UNETS, *GUIDERS[kind]) if find_tensors(folder, name) is None]
    return files + [f"{name}/" for name in FOLDERS if not (folder / name / "config.json").is_file()]


def load_animator(
    folder: Path,
    kind: Kind,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    budget: int | None = None,
) -> AnimatorParts:
    """Loads a set of weights.

    Args:
        folder: of the set.
        kind: whose.
        device: where the networks compute.
        dtype: in what.
        budget: bytes of the device's memory for weights; with less than they need they take turns there.

    Raises:
        MethodError: a part is missing, damaged or does not fit, with its name.
    """
    if missing := missing_parts(folder, kind):
        raise MethodError(
            f"weights are missing: {', '.join(missing)} in {folder}",
            code="missing_weights",
            fix="Put the published files there, or choose another set of weights.",
        )
    config = read_config(folder)
    motion = _read(folder, "motion_module")
    config = msgspec.structs.replace(config, **motion_layout(motion, config))
    with torch.device("meta"):
        denoiser, reference_net = build_denoiser(config), build_reference_net(config)
        guider = PoseGuider(config) if kind == "animate_anyone" else GuidanceEncoders(config)
    fill(denoiser, motion | _read(folder, "denoising_unet"), str(folder / "denoising_unet"), dtype)
    fill(reference_net, _read(folder, "reference_unet"), str(folder / "reference_unet"), dtype)
    for module, name in zip(_guider_parts(guider), GUIDERS[kind], strict=True):
        fill(module, _read(folder, name), str(folder / name), dtype)
    parts = AnimatorParts(
        vae=_pretrained(_vae_class(folder / "vae"), folder / "vae", dtype),
        image_encoder=_pretrained(CLIPVisionModelWithProjection, folder / "image_encoder", dtype),
        reference_net=reference_net,
        denoiser=denoiser,
        guider=guider,
        scheduler=noise_schedule(),
        device=device,
        dtype=dtype,
    )
    for module in parts.modules:
        module.requires_grad_(False).eval()
    if parts.image_encoder.config.projection_dim != config.token_width:
        raise _misfit(str(folder / "image_encoder"), f"gives tokens of another width than {config.token_width}")
    return place(parts, budget)


def save_animator(parts: AnimatorParts, config: NetworkConfig, folder: Path, kind: Kind) -> None:
    """Writes a set of weights that `load_animator` reads, as safetensors with the published names.

    Raises:
        MethodError: the disk is full or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(config)) + b"\n")
    denoiser = published(parts.denoiser)
    motion = {name: tensor for name, tensor in denoiser.items() if ".motion_modules." in name}
    write_tensors(folder / "motion_module.safetensors", motion)
    write_tensors(folder / "denoising_unet.safetensors", {n: t for n, t in denoiser.items() if n not in motion})
    write_tensors(folder / "reference_unet.safetensors", published(parts.reference_net))
    for module, name in zip(_guider_parts(parts.guider), GUIDERS[kind], strict=True):
        write_tensors(folder / f"{name}.safetensors", published(module))
    parts.vae.save_pretrained(folder / "vae")
    parts.image_encoder.save_pretrained(folder / "image_encoder")


def read_config(folder: Path) -> NetworkConfig:
    """The size of a set's networks.

    Raises:
        MethodError: it is said in a way that cannot be read.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        return PUBLISHED
    try:
        return msgspec.json.decode(path.read_bytes(), type=NetworkConfig)
    except msgspec.MsgspecError as error:
        raise MethodError(f"{path} cannot be read: {error}", code="bad_weights", fix="Copy the set again.") from None


def published_names(ours: str) -> tuple[str, ...]:
    """The published names of one of our networks' tensors; the table of positions is published twice."""
    if ours.startswith("attention."):
        return ("attentions.5." + ours.removeprefix("attention."),)
    place, is_motion, inner = ours.partition(".motion_modules.")
    if not is_motion:
        return (ours,)
    number, _, rest = inner.partition(".")
    stem = f"{place}.motion_modules.{number}.temporal_transformer."
    if rest.endswith(_POSITIONS):
        block = rest.removesuffix(_POSITIONS)
        return tuple(f"{stem}{block}.attention_blocks.{i}.pos_encoder.pe" for i in (0, 1))
    words = rest.split(".")
    if words[0] == "transformer_blocks":
        words[2] = _OURS_TO_PUBLISHED.get(words[2], words[2])
    return (stem + ".".join(words),)


def published(module: nn.Module) -> dict[str, Tensor]:
    """A network's tensors by their published names."""
    return {name: tensor for ours, tensor in module.state_dict().items() for name in published_names(ours)}


def fill(module: nn.Module, tensors: Mapping[str, Tensor], source: str, dtype: torch.dtype) -> None:
    """Puts published tensors into a network, which may be on the meta device.

    Args:
        module: a UNet, a pose guider, or one of Champ's encoders.
        tensors: by their published names, or diffusers' for motion modules.
        source: what an error says of where they come from.
        dtype: that the network gets.

    Raises:
        MethodError: tensors are missing, too many, or of another shape.
    """
    given = {published_names(name)[0] if _is_motion_of_diffusers(name) else name: t for name, t in tensors.items()}
    wanted = module.state_dict()
    chosen: dict[str, Tensor] = {}
    missing: list[str] = []
    for ours, blank in wanted.items():
        names = published_names(ours)
        tensor = given.get(names[0])
        for name in names:
            given.pop(name, None)
        if tensor is None and ours.endswith(_POSITIONS):
            tensor = SinusoidalPositionalEmbedding(blank.shape[2], blank.shape[1]).get_buffer("pe")
        if tensor is None:
            missing.append(names[0])
        elif tensor.shape != blank.shape:
            raise _misfit(source, f"has {names[0]} of shape {list(tensor.shape)} in place of {list(blank.shape)}")
        else:
            chosen[ours] = tensor.to(dtype)
    if missing:
        raise _misfit(source, f"lacks {len(missing)} tensors, {missing[0]} first")
    extra = [name for name in given if not UNUSED.match(name)]
    if extra:
        raise _misfit(source, f"has {len(extra)} tensors that do not belong to it, {extra[0]} first")
    module.load_state_dict(chosen, assign=True)


def _read(folder: Path, name: str) -> dict[str, Tensor]:
    path = find_tensors(folder, name)
    assert path is not None  # see `missing_parts`
    return read_tensors(path)


def _guider_parts(guider: object) -> list[nn.Module]:
    """The modules of a guider that have a file each."""
    if isinstance(guider, GuidanceEncoders):
        return [guider.encoders[kind] for kind in KINDS]
    assert isinstance(guider, (PoseGuider, GuidanceEncoder))
    return [guider]


def motion_layout(motion: Mapping[str, Tensor], config: NetworkConfig) -> dict[str, object]:
    """What the versions of AnimateDiff differ in: the middle block, and the longest window."""
    lengths = [tensor.shape[1] for name, tensor in motion.items() if name.endswith(".pe")]
    return {
        "motion_in_middle": any(name.startswith("mid_block.") for name in motion),
        "motion_length": lengths[0] if lengths else config.motion_length,
    }


def _is_motion_of_diffusers(name: str) -> bool:
    return ".motion_modules." in name and ".temporal_transformer." not in name


def _vae_class(folder: Path) -> type[AutoencoderKL] | type[PatchAutoencoder]:
    """Stable Diffusion's, or that of networks that were trained from nothing."""
    ours = f'"{PatchAutoencoder.__name__}"' in (folder / "config.json").read_text(errors="replace")
    return PatchAutoencoder if ours else AutoencoderKL


def _pretrained(kind, folder: Path, dtype: torch.dtype):
    try:
        return kind.from_pretrained(folder, torch_dtype=dtype, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, json.JSONDecodeError) as error:
        first = str(error).strip().splitlines()[0]
        raise MethodError(
            f"the weights in {folder} cannot be read: {first}", code="bad_weights", fix="Copy the folder again."
        ) from None


def _misfit(source: str, what: str) -> MethodError:
    return MethodError(
        f"{source} {what}",
        code="wrong_weights",
        fix="Use the file of this method; networks of another size than the published need a config.json.",
    )
