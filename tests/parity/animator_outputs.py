"""What our networks and pipelines give where the goldens of Animate Anyone and Champ have a tensor."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import animator_recipe as recipe
import numpy as np
import torch
from animator_recipe import FRAMES, TIMESTEP, drawn
from diffusers.models.unets.unet_motion_model import UNetMotionModel
from PIL import Image
from torch import Tensor, nn
from understudy_backend.models.animate_anyone.animation import Clip, ClipSettings
from understudy_backend.models.animate_anyone.denoising import min_snr_weights, noise_schedule, predict
from understudy_backend.models.animate_anyone.guider import PoseGuider
from understudy_backend.models.animate_anyone.networks import (
    SMALL,
    build_denoiser,
    build_image_denoiser,
    build_reference_net,
)
from understudy_backend.models.animate_anyone.parts import AnimatorParts
from understudy_backend.models.animate_anyone.pictures import (
    clip_pixels,
    decode_image,
    encode_image,
    photo_pixels,
    picture_tensor,
)
from understudy_backend.models.animate_anyone.reference import Features, keys_and_values, reference_features
from understudy_backend.models.animate_anyone.solvers import step_of
from understudy_backend.models.animate_anyone.windows import Windows
from understudy_backend.models.champ.guidance_encoders import KINDS, GuidanceEncoder, GuidanceEncoders
from understudy_backend.weights.animate_anyone import fill

SIZE = (128, 128)
KIND_OF = {"pose": 0, "depth": 1, "normal": 2, "semantic_map": 3, "dwpose": 0}


class Outputs:
    """All of it for one model and seed; `get` takes a golden's key."""

    def __init__(self, model: str, seed: int, folder: Path) -> None:
        self.model, self.seed, self.folder = model, seed, folder

    def group(self, name: str, keys: list[str]) -> dict[str, Tensor]:
        # The plain kernels round as the goldens' did; oneDNN's are as exact, but differ from them by twice as much.
        with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False):
            return getattr(self, f"_{name}")(keys)

    def _built(self, module: nn.Module, *components: str) -> nn.Module:
        tensors = {k: t for c in components for k, t in recipe.weights(self.model, self.seed, c).items()}
        fill(module, tensors, components[0], torch.float32)
        return module.requires_grad_(False).eval()

    @cached_property
    def denoiser(self) -> UNetMotionModel:
        return self._built(build_denoiser(SMALL), "denoising_unet")  # pyright: ignore

    @cached_property
    def reference_net(self):
        return self._built(build_reference_net(SMALL), "reference_unet")

    @cached_property
    def guider(self) -> PoseGuider | GuidanceEncoders:
        if self.model == "animate_anyone":
            return self._built(PoseGuider(SMALL), "pose_guider")  # pyright: ignore
        guider = GuidanceEncoders(SMALL)
        for kind in KINDS:
            self._built(guider.encoders[kind], f"guidance_encoder_{kind}")
        return guider

    @cached_property
    def features(self) -> Tensor:
        return self.guider({kind: recipe.conditions(KIND_OF[kind]) for kind in self.guider.kinds})

    def _r(self, name: str, *shape: int) -> Tensor:
        return drawn(self.seed, f"input:{name}", shape)

    @property
    def _token(self) -> Tensor:
        return self._r("image_embeds", 1, 1, 32)

    @property
    def _tokens(self) -> Tensor:
        return torch.cat([torch.zeros_like(self._token), self._token])

    # The groups of the goldens' keys.

    def _pose_guider(self, keys: list[str]) -> dict[str, Tensor]:
        return {"pose_guider/out": self.features}

    def _pose_guider_full(self, keys: list[str]) -> dict[str, Tensor]:
        guider = self._built(PoseGuider(), "pose_guider_full")
        return {"pose_guider_full/out": guider({"pose": recipe.conditions(0)[:, :, :2, :64, :64]})}

    def _guidance_encoder(self, kind: str) -> dict[str, Tensor]:
        assert isinstance(self.guider, GuidanceEncoders)
        clip = recipe.conditions(KIND_OF[kind])[0].transpose(0, 1)
        out = self.guider.encoders[kind](clip).transpose(0, 1)[None]
        return {f"guidance_encoder_{kind}/out": out[:, :, [0, 3]]}

    def _guidance_encoder_depth(self, keys: list[str]) -> dict[str, Tensor]:
        return self._guidance_encoder("depth")

    def _guidance_encoder_normal(self, keys: list[str]) -> dict[str, Tensor]:
        return self._guidance_encoder("normal")

    def _guidance_encoder_semantic_map(self, keys: list[str]) -> dict[str, Tensor]:
        return self._guidance_encoder("semantic_map")

    def _guidance_encoder_dwpose(self, keys: list[str]) -> dict[str, Tensor]:
        return self._guidance_encoder("dwpose")

    def _guidance_encoder_full(self, keys: list[str]) -> dict[str, Tensor]:
        encoder = self._built(GuidanceEncoder(), "guidance_encoder_full")
        out = encoder(recipe.conditions(0)[0, :, :2, :64, :64].transpose(0, 1))
        return {"guidance_encoder_full/out": out.transpose(0, 1)[None]}

    def _guidance(self, keys: list[str]) -> dict[str, Tensor]:
        return {"guidance/sum": self.features}

    @cached_property
    def _bank(self) -> tuple[Tensor, Features]:
        latents = self._r("ref_latents", 1, 4, 16, 16)
        noted: Features = {}
        out = self.reference_net(
            torch.cat([latents, latents]), 0, self._tokens, cross_attention_kwargs={"noted": noted}, return_dict=False
        )
        return out[0], noted

    def _reference_unet(self, keys: list[str]) -> dict[str, Tensor]:
        out, bank = self._bank
        assert list(bank) == recipe.layout(self.model)["bank_order"]
        return {"reference_unet/out": out} | {f"reference_unet/bank/{name}": f for name, f in bank.items()}

    def _denoise(self, keys: list[str]) -> dict[str, Tensor]:
        unet, latents = self.denoiser, self._r("latents", 1, 4, FRAMES, 16, 16)
        bank = {name: f[1:] for name, f in self._bank[1].items()}
        seen = keys_and_values(unet, bank)
        half = keys_and_values(unet, {name: f.half().float() for name, f in bank.items()})
        both, features = latents.expand(2, -1, -1, -1, -1), self.features
        out = {
            "plain_nofea": predict(unet, latents, TIMESTEP, self._token),
            "plain_fea": predict(unet, latents, TIMESTEP, self._token, features),
            "odd18x14": predict(unet, self._r("latents_odd", 1, 4, 3, 18, 14), TIMESTEP, self._token),
            "ref_nocfg": predict(unet, latents, TIMESTEP, self._token, features, seen),
            "ref_cfg_bank16": predict(unet, both, TIMESTEP, self._tokens, features, half),
        }
        inner = [key.removeprefix("denoise/ref_cfg/inter/") for key in keys if "/inter/" in key]
        out["ref_cfg"], watched = self._watched(
            inner, lambda: predict(unet, both, TIMESTEP, self._tokens, features, seen)
        )
        out |= {f"ref_cfg/inter/{name}": value for name, value in watched.items()}
        image_unet = build_image_denoiser(SMALL)
        spatial = {k: v for k, v in self._weights("denoising_unet").items() if ".motion_modules." not in k}
        fill(image_unet, spatial, "denoising_unet", torch.float32)
        alone = reference_features(self.reference_net, self._r("ref_latents", 1, 4, 16, 16), self._token)
        first = (latents[:, :, :1], TIMESTEP, self._token, features[:, :, :1])
        out["stage1_1frame"] = predict(image_unet, *first, keys_and_values(image_unet, alone))
        out["stage1_1frame_emptybank"] = predict(image_unet, *first)
        return {f"denoise/{name}": value for name, value in out.items()}

    def _weights(self, component: str) -> dict[str, Tensor]:
        return recipe.weights(self.model, self.seed, component)

    def _watched(self, names: list[str], call: Callable[[], Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The call's result, and what modules gave in it for the frames that the goldens keep."""
        seen: dict[str, Tensor] = {}

        def keep(name: str, out: Tensor | tuple) -> None:
            value = out[0] if isinstance(out, tuple) else out
            if value.ndim == 4:
                clips = value.unflatten(0, (2, FRAMES)).transpose(1, 2)
                value = clips[:, :, [0] if clips[0, :, 0].numel() > 4000 else [0, 3]]
            elif name == "time_embedding":
                value = value[:2]
            seen[name] = value

        handles = [
            # A first convolution's own output is wanted, so its watch comes before the guidance is added.
            self.denoiser.get_submodule(n).register_forward_hook(lambda m, i, o, n=n: keep(n, o), prepend=True)
            for n in names
        ]
        try:
            return call(), seen
        finally:
            for handle in handles:
                handle.remove()

    def _motion_module(self, keys: list[str]) -> dict[str, Tensor]:
        module = self.denoiser.get_submodule("down_blocks.1.motion_modules.0")
        clip = self._r("motion_module", 1, 64, FRAMES, 4, 4)
        frames = clip.transpose(1, 2).flatten(0, 1)
        table = self.denoiser.state_dict()["down_blocks.1.motion_modules.0.transformer_blocks.0.pos_embed.pe"]
        return {
            "motion_module/down_blocks.1.motion_modules.0/out": module(frames, num_frames=FRAMES).transpose(0, 1)[None],
            "motion_module/pe_sample": table[:, [0, 1, 2, 15, 31]],
        }

    def _sched(self, keys: list[str]) -> dict[str, Tensor]:
        scheduler, out = noise_schedule(), {}
        training = noise_schedule("scaled_linear")
        chosen = torch.tensor([0, 1, 10, 100, 250, 500, 750, 900, 990, 998, 999])
        out["alphas_cumprod_idx"] = chosen
        out["infer_alphas_cumprod"] = scheduler.alphas_cumprod[chosen]
        out["train_alphas_cumprod"] = training.alphas_cumprod[chosen]
        for steps in (20, 30, 50, 4):
            scheduler.set_timesteps(steps)
            out[f"timesteps_{steps}"] = scheduler.timesteps.clone()
        said, latent = self._r("model_output", 1, 4, 2, 4, 4), self._r("sample", 1, 4, 2, 4, 4)
        for step, t in enumerate(scheduler.timesteps):
            out[f"ddim4_step_t{int(t)}"] = step_of(scheduler, step)(latent, said, None)[0]
        return {f"sched/{name}": value for name, value in out.items()}

    def _train(self, keys: list[str]) -> dict[str, Tensor]:
        scheduler, shape = noise_schedule("scaled_linear"), (4, 4, 1, 4, 4)
        t, clean, guess = torch.tensor([0, 50, 400, 999]), self._r("x0", *shape), self._r("pred", *shape)
        noise = self._r("noise", *shape) + 0.05 * self._r("noise_offset", 4, 4, 1, 1, 1)
        target = scheduler.get_velocity(clean, noise, t)  # pyright: ignore
        weights = min_snr_weights(scheduler, t)
        losses = (guess - target).pow(2).flatten(1).mean(1) * weights
        return {
            "train/noisy": scheduler.add_noise(clean, noise, t),  # pyright: ignore
            "train/target": target,
            "train/snr_plus1": 1 / (1 - scheduler.alphas_cumprod.double()[t]),
            "train/weights": weights,
            "train/loss_per_item": losses.float(),
            "train/loss": losses.mean().float(),
        }

    @cached_property
    def parts(self) -> AnimatorParts:
        return AnimatorParts(
            recipe.small_vae(self.model, self.seed),
            recipe.small_clip(self.model, self.seed),
            self.reference_net,  # pyright: ignore
            self.denoiser,
            self.guider,
            noise_schedule(),
        )

    def _pipe(self, keys: list[str]) -> dict[str, Tensor]:
        photo, parts, guider = recipe.photo(), self.parts, self.guider
        image = photo_pixels(photo, SIZE)
        second = Image.fromarray(recipe.condition(2, 0)).resize(SIZE, guider.resampling)
        out = {
            "clip_pixel_values_every8": clip_pixels(photo)[:, :, ::8, ::8],
            "clip_image_embeds": parts.image_encoder(clip_pixels(photo)).image_embeds,
            "ref_image_tensor_every4": image[:, :, ::4, ::4],
            "ref_image_latents": encode_image(parts.vae, image),
            "cond_frame2_u8": (picture_tensor(np.asarray(second), SIZE, guider.resampling)[None] * 255).round(),
        }
        four = ClipSettings(SIZE, FRAMES, steps=4, seed=recipe.number(self.seed, "input:latents"))
        out |= self._clip("cfg3.5_steps4", four)
        out |= self._clip("nocfg_steps4", ClipSettings(SIZE, FRAMES, steps=4, guidance=1.0, seed=four.seed))
        with _half_bank():
            out |= self._clip("cfg3.5_steps4_bank16", four)
        windows = Windows(4, 1, 2)
        long = ClipSettings(SIZE, 10, steps=3, seed=four.seed, windows=windows)
        out |= self._clip("long10_ctx4_ov2_steps3", long)
        odd = ClipSettings(SIZE, 10, steps=3, guidance=1.0, seed=four.seed, windows=windows, undivided=True)
        out |= self._clip("long10_ctx4_ov2_steps3_nocfg_undivided", odd)
        return {f"pipe/{name}": value for name, value in out.items()}

    def _clip(self, name: str, settings: ClipSettings) -> dict[str, Tensor]:
        """Latents after every step, the last also as `latents`, and the frames that the goldens keep."""
        clip = Clip(self.parts, recipe.photo(), settings, self.folder / name)
        for index in range(settings.count):
            clip.guide(index, {kind: recipe.condition(index, KIND_OF[kind]) for kind in self.guider.kinds})
        scheduler, out = self.parts.scheduler, {}
        scheduler.set_timesteps(settings.steps)

        def keep(progress) -> None:
            if progress.step and progress.window == 0:
                latents = clip.store.latents(progress.step).read(range(settings.count))
                t = int(scheduler.timesteps[progress.step - 1])
                out[f"{name}/step{progress.step - 1}_t{t}"] = latents.transpose(0, 1)[None]

        clip.denoise(keep)
        out[f"{name}/latents"] = clip.latents(range(settings.count)).transpose(0, 1)[None]
        frames = [decode_image(self.parts.vae, clip.latents([i]))[0] for i in (0, FRAMES - 1)]
        out[f"{name}/video_frames_0_5_f16"] = torch.stack(frames, 1)[None]
        return out


def _half_bank():
    """The published code keeps the reference's features in 16 bits, whatever the networks compute in."""
    from unittest.mock import patch

    def features(*arguments):
        return {name: f.half().float() for name, f in reference_features(*arguments).items()}

    return patch("understudy_backend.models.animate_anyone.animation.reference_features", features)
