"""What a run starts from: Stable Diffusion's weights, a set of weights, or nothing.

From nothing there is no VAE and no CLIP either, and training them takes longer than all the rest. Their stand-ins need
none: the VAE is the best linear code of 8 x 8 patches of colour (`PatchAutoencoder`, principal components of the
training pictures, computed in seconds), and the image encoder is a small CLIP with random weights that stay as they
are: a fixed random projection of the photo, by which the networks tell photos apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from understudy_backend.atomic import write_atomically
from understudy_backend.methods.clips import GREEN
from understudy_backend.models.animate_anyone.guider import Guider, PoseGuider
from understudy_backend.models.animate_anyone.networks import (
    NetworkConfig,
    build_denoiser,
    build_image_denoiser,
    build_reference_net,
)
from understudy_backend.models.champ.guidance_encoders import GuidanceEncoders
from understudy_backend.models.threedhm.latents import Vae
from understudy_backend.models.threedhm.patch_autoencoder import PatchAutoencoder
from understudy_backend.training.animator.batches import over
from understudy_backend.training.animator.settings import AnimatorSetting
from understudy_backend.training.animator.shards import PICTURE, Clips
from understudy_backend.training.animator.trainee import MOTION, Trainee
from understudy_backend.training.autoencoder import fit_patches
from understudy_backend.training.bases import weights_folder
from understudy_backend.training.checkpoints import TrainingError
from understudy_backend.weights.animate_anyone import Kind, fill, load_animator, motion_layout, published, read_config
from understudy_backend.weights.torch_files import read_tensors

SOURCES_FILE = "sources.json"
STAND_INS = "stand_ins"
"""Folder of a run that holds `vae/` and `image_encoder/` where they are ours."""
PICTURES = 200
"""That the principal components are taken from."""


@dataclass(frozen=True)
class Sources:
    """Where a run's first weights come from; kept with the run."""

    kind: Kind
    weights: str | None = None
    """Stable Diffusion's: a folder in diffusers' layout with `unet/`, `vae/` and `image_encoder/`, or its name on the
    Hugging Face hub."""
    vae: str | None = None
    """Another VAE in place of that one's: its folder, or name on the hub."""
    start: str | None = None
    """A set of weights as the methods load it, to go on from."""
    motion: str | None = None
    """A file of AnimateDiff's motion modules, for stage 2."""
    controlnet: str | None = None
    """A ControlNet's file, whose embedding of the condition the pose guider begins with."""


@dataclass(frozen=True)
class Start:
    """The networks before a stage; those of `trainee` in float32."""

    trainee: Trainee
    vae: Vae
    image_encoder: CLIPVisionModelWithProjection
    config: NetworkConfig


def keep_sources(run: Path, given: Sources) -> Sources:
    """The sources of a run: what was given when it began; what is not given now is taken from there.

    Raises:
        TrainingError: something else is given now than then.
    """
    path = run / SOURCES_FILE
    if path.is_file():
        try:
            before = Sources(**json.loads(path.read_text()))
        except (ValueError, TypeError):
            raise TrainingError(f"{path} is damaged: delete it, and name what the run started from again") from None
        late = {"motion"} if before.motion is None else set()  # stage 2's, which may not be known in stage 1
        for name, value in asdict(given).items():
            if value is not None and value != getattr(before, name) and name not in late:
                raise TrainingError(f"this run began with --{name} {getattr(before, name)}: take another --out")
        if late and given.motion is not None:
            before = replace(before, motion=given.motion)
        given = before
    if given.weights is not None and given.start is not None:
        raise TrainingError("a run starts from --weights or from a set (--start-from), not from both")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(json.dumps(asdict(given), indent=1).encode() + b"\n"))
    return given


def begin(setting: AnimatorSetting, sources: Sources, run: Path, clips: Clips | None) -> Start:
    """The networks before stage 1.

    Args:
        setting: their sizes, and the seed.
        sources: where they come from.
        run: its folder, for stand-ins.
        clips: to fit the stand-in of the VAE to, if it is not there yet.

    Raises:
        TrainingError, MethodError: something is missing, cannot be read, or is of another size.
    """
    if sources.start is not None:
        return _from_set(Path(sources.start), sources.kind)
    torch.manual_seed(setting.stage1.seed)
    denoiser, reference_net = build_image_denoiser(setting.networks), build_reference_net(setting.networks)
    guider = build_guider(sources.kind, setting.networks)
    if setting.from_nothing:
        if sources.weights is not None:
            raise TrainingError(f"the setting {setting.name} is trained from nothing: leave --weights out")
        vae, encoder = _stand_ins(setting, run / STAND_INS, clips)
    else:
        if sources.weights is None:
            raise TrainingError(
                f"the setting {setting.name} starts from Stable Diffusion's weights: name them with --weights, or a "
                "set of weights with --start-from"
            )
        folder = weights_folder(sources.weights)
        unet = _pretrained(UNet2DConditionModel, folder / "unet")
        _take_over(denoiser, unet.state_dict(), folder)
        headless = {n: t for n, t in unet.state_dict().items() if not n.startswith(("conv_norm_out.", "conv_out."))}
        _take_over(reference_net, headless, folder)
        vae = _pretrained(AutoencoderKL, weights_folder(sources.vae) if sources.vae else folder / "vae")
        encoder = _pretrained(CLIPVisionModelWithProjection, folder / "image_encoder")
        if encoder.config.projection_dim != setting.networks.token_width:
            raise TrainingError(f"{folder / 'image_encoder'} gives tokens of another width than the networks take")
    if sources.controlnet is not None:
        _embed(guider, Path(sources.controlnet))
    return Start(Trainee(denoiser, reference_net, guider), _frozen(vae), _frozen(encoder), setting.networks)


def add_time(start: Start, sources: Sources) -> Start:
    """The networks before stage 2: the denoiser of clips, with what `start`'s denoiser of single frames has learnt.

    Temporal layers are AnimateDiff's, or the set's that the run started from; else they are new, and as new ones change
    nothing yet.

    Raises:
        MethodError: the motion modules cannot be read, or do not fit.
    """
    images, config = start.trainee.denoiser, start.config
    if sources.motion is not None:
        motion = read_tensors(Path(sources.motion))
        config = replace_config(config, motion_layout(motion, config))
        with torch.device("meta"):
            denoiser = build_denoiser(config)
        fill(denoiser, motion | published(images), sources.motion, torch.float32)
    else:
        denoiser = build_denoiser(config)
        denoiser.load_state_dict({**denoiser.state_dict(), **images.state_dict()})
        if sources.start is not None:
            denoiser = load_animator(Path(sources.start), sources.kind).denoiser
            denoiser.load_state_dict({**denoiser.state_dict(), **images.state_dict()})
        else:
            _silence(denoiser)
    trainee = Trainee(denoiser, start.trainee.reference_net, start.trainee.guider)
    return Start(trainee, start.vae, start.image_encoder, config)


def replace_config(config: NetworkConfig, changes: dict[str, object]) -> NetworkConfig:
    """A configuration with other values."""
    return msgspec.structs.replace(config, **changes)


def build_guider(kind: Kind, config: NetworkConfig) -> Guider:
    """A method's guider, new: its last layer is zero."""
    return PoseGuider(config) if kind == "animate_anyone" else GuidanceEncoders(config)


def fit_vae(clips: Clips, size: tuple[int, int], channels: int) -> PatchAutoencoder:
    """Principal components of the patches of pictures of clips, before green and other colours."""
    vae = PatchAutoencoder(in_channels=3, patch=8, latent_channels=channels, hidden=16, depth=1)
    fit_patches(vae, _some_pictures(clips, size))
    return vae


def _some_pictures(clips: Clips, size: tuple[int, int]) -> Iterable[Tensor]:
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        clip = number * len(clips) // PICTURES if len(clips) >= PICTURES else number % len(clips)
        row = clips.rows(PICTURE, clip, rng.integers(len(clips.ranges[clip]), size=1))[0]
        colour = GREEN if number % 2 else tuple(rng.integers(0, 256, 3).tolist())
        image = torch.from_numpy(over(row, colour)).permute(2, 0, 1)[None].float() / 127.5 - 1
        yield torch.nn.functional.interpolate(image, size[::-1], mode="bilinear", antialias=True)


def _stand_ins(
    setting: AnimatorSetting, folder: Path, clips: Clips | None
) -> tuple[PatchAutoencoder, CLIPVisionModelWithProjection]:
    """The run's own, made where they are missing."""
    width = setting.networks.token_width
    if not (folder / "image_encoder" / "config.json").is_file():
        if clips is None:
            raise TrainingError(f"{folder} is missing: train stage 1 first")
        vae = fit_vae(clips, setting.size("stage1"), setting.networks.latent_channels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(setting.stage1.seed)
            encoder = CLIPVisionModelWithProjection(
                CLIPVisionConfig(
                    hidden_size=64, intermediate_size=128, projection_dim=width, num_hidden_layers=1,
                    num_attention_heads=4, image_size=224, patch_size=32,
                )
            )  # fmt: skip
        vae.save_pretrained(folder / "vae")
        encoder.save_pretrained(folder / "image_encoder")  # last: with it, all is there
    return (
        _pretrained(PatchAutoencoder, folder / "vae"),
        _pretrained(CLIPVisionModelWithProjection, folder / "image_encoder"),
    )


def _from_set(folder: Path, kind: Kind) -> Start:
    parts = load_animator(folder, kind)
    config = read_config(folder)
    config = replace_config(
        config,
        {"motion_length": parts.denoiser.config["motion_max_seq_length"],
         "motion_in_middle": bool(parts.denoiser.config["use_motion_mid_block"])},
    )  # fmt: skip
    denoiser = build_image_denoiser(config)
    denoiser.load_state_dict({n: t for n, t in parts.denoiser.state_dict().items() if MOTION not in n})
    return Start(Trainee(denoiser, parts.reference_net, parts.guider), parts.vae, parts.image_encoder, config)


def _silence(denoiser: nn.Module) -> None:
    """Temporal layers end in zeros, so that the clip's frames are at first what the image denoiser makes of them."""
    for name, module in denoiser.named_modules():
        if MOTION in name and name.endswith(".proj_out") and isinstance(module, nn.Linear):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)


def _embed(guider: Guider, file: Path) -> None:
    if not isinstance(guider, PoseGuider):
        raise TrainingError("a ControlNet's embedding is for Animate Anyone's pose guider: leave --controlnet out")
    if not file.is_file():
        raise TrainingError(f"{file} does not exist: name a ControlNet's file of weights")
    prefix = "controlnet_cond_embedding."
    found = {n.removeprefix(prefix): t for n, t in read_tensors(file).items() if n.startswith(prefix)}
    found = {n: t.float() for n, t in found.items() if not n.startswith("conv_out.")}
    _take_over(guider, {**guider.state_dict(), **found}, file)


def _take_over(module: nn.Module, tensors: dict[str, Tensor], source: Path) -> None:
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise TrainingError(f"{source} does not fit this setting: {' '.join(str(error).split())[:160]}") from None


def _pretrained(kind, folder: Path):
    try:
        return kind.from_pretrained(folder, local_files_only=True, torch_dtype=torch.float32)
    except (OSError, ValueError, RuntimeError, KeyError, json.JSONDecodeError) as error:
        raise TrainingError(f"{folder} cannot be read: {str(error).strip().splitlines()[0]}") from None


def _frozen(module):
    return module.requires_grad_(False).eval()
