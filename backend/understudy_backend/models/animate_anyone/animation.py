"""From a photo and guidance to a clip: Animate Anyone's and Champ's sampling, for clips of any length.

A clip is denoised as a whole, one step after the other; at each step the network goes over it in windows, and a frame
takes the mean of what the windows say that see it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from understudy_backend.methods.contract import MethodError
from understudy_backend.models.animate_anyone.clip_store import ClipStore
from understudy_backend.models.animate_anyone.denoising import guide, predict
from understudy_backend.models.animate_anyone.noise import SeedRange, clip_noise
from understudy_backend.models.animate_anyone.parts import AnimatorParts
from understudy_backend.models.animate_anyone.pictures import (
    CELL,
    clip_pixels,
    decode_image,
    encode_image,
    photo_pixels,
    picture_tensor,
)
from understudy_backend.models.animate_anyone.reference import keys_and_values, reference_features
from understudy_backend.models.animate_anyone.solvers import Solver, step_of
from understudy_backend.models.animate_anyone.windows import Windows, windows_of


class ClipSettings(msgspec.Struct, frozen=True):
    """What a clip's frames depend on, besides photo, guidance and networks; the defaults are the published ones."""

    size: tuple[int, int]
    """(width, height) in pixels, multiples of 8."""
    count: int
    """Frames."""
    steps: int = 30
    """Denoising steps; Champ takes 20."""
    guidance: float = 3.5
    """Strength of classifier-free guidance; up to 1 it is off, which halves the work."""
    seed: int = 42
    """Of the noise."""
    windows: Windows = Windows()
    seed_ranges: tuple[SeedRange, ...] = ()
    """Frames with a seed of their own."""
    solver: Solver = "DDIM"
    """`DDIM` as published; `DPM++` needs fewer steps."""
    undivided: bool = False
    """Adds up what windows say of a frame, in place of the mean: what the published code does where guidance is off. It
    is of use only to compare with it."""

    def __post_init__(self) -> None:
        if min(self.size) < CELL or any(side % CELL for side in self.size):
            raise ValueError(f"frames of {self.size[0]} x {self.size[1]} pixels are no multiples of {CELL}")
        if self.count < 1 or self.steps < 1:
            raise ValueError("a clip needs at least one frame and one step")


class Progress(msgspec.Struct, frozen=True):
    """Where the denoising is."""

    step: int
    """Finished steps."""
    steps: int
    window: int
    """Finished windows of the next step."""
    windows: int

    @property
    def fraction(self) -> float:
        """From 0 to 1."""
        return (self.step + self.window / self.windows) / self.steps


class Clip:
    """One clip in the making. Call `guide` for every frame, then `denoise`, then `frames`; after an interruption the
    same calls on the same folder do only what is missing.

    Args:
        parts: the networks.
        photo: (H, W, 3) uint8 sRGB, the person.
        settings: of the clip.
        folder: where its state lies, its own; nothing else may be in it.
        key: what else the clip depends on: the guidance, the weights. With another one, or another photo or other
            settings, it starts anew.
        batched: whether the two halves of guidance go through the network together; takes twice the memory, and is
            faster only where a window does not fill the device. Where memory does not suffice they go one by one.
    """

    def __init__(
        self,
        parts: AnimatorParts,
        photo: NDArray[np.uint8],
        settings: ClipSettings,
        folder: Path,
        *,
        key: str = "",
        batched: bool = False,
    ) -> None:
        length = parts.denoiser.config["motion_max_seq_length"]
        if min(settings.windows.frames, settings.count) > length:
            raise ValueError(f"a window has at most {length} frames with these weights")
        self.parts, self.settings, self._photo, self._batched = parts, settings, photo[..., :3], batched
        self._windows = windows_of(settings.count, settings.windows)
        channels = parts.vae.config["latent_channels"]
        self._latent = (channels, settings.size[1] // CELL, settings.size[0] // CELL)
        digest = hashlib.sha256(repr(photo.shape).encode() + np.ascontiguousarray(photo).tobytes()).hexdigest()
        about = {"settings": settings, "photo": digest, "key": key, "dtype": str(parts.dtype)}
        self.store = ClipStore(folder, msgspec.json.encode(about), settings.count, self._latent)
        width = parts.denoiser.config["block_out_channels"][0]
        self._features = self.store.features((width, *self._latent[1:]), parts.dtype)
        self._guided = self.store.guided()

    def missing_guidance(self) -> list[int]:
        """Indices of the frames that `guide` was not called for yet."""
        return [index for index, have in enumerate(self._guided) if not have]

    @torch.no_grad()
    def guide(self, index: int, pictures: Mapping[str, NDArray[np.uint8]]) -> None:
        """Takes a frame's guidance: a picture (H, W, 3) uint8 RGB for each of the guider's `kinds`.

        Frames go through the guider one by one, so that none depends on its neighbours' number.
        """
        guider = self.parts.guider
        lacking = [kind for kind in guider.kinds if kind not in pictures]
        if lacking:
            raise ValueError(f"frame {index} lacks {', '.join(lacking)}")
        tensors = {
            kind: self._to_device(picture_tensor(pictures[kind], self.settings.size, guider.resampling))[None, :, None]
            for kind in guider.kinds
        }
        with self.parts.on_device(guider):
            features = guider(tensors)
        self._features.write(index, features[:, :, 0])
        self.store.mark_guided(index)
        self._guided[index] = True

    @torch.no_grad()
    def denoise(
        self,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        preview: Sequence[int] = (),
        on_preview: Callable[[int, int, NDArray[np.uint8]], None] = lambda step, index, image: None,
    ) -> None:
        """Denoises what is not denoised yet.

        Args:
            on_progress: called before every window and after every step; what it raises interrupts, nothing is lost.
            preview: indices of frames to show meanwhile.
            on_preview: called with the number of finished steps, the frame's index and how it looks so far,
                (H, W, 3) uint8.

        Raises:
            ValueError: some frames have no guidance.
            MethodError: the device's memory does not suffice; what is finished is kept.
        """
        count, steps = self.settings.count, self.settings.steps
        if missing := self.missing_guidance():
            raise ValueError(f"{len(missing)} of {count} frames have no guidance, frame {missing[0]} first")
        scheduler = self.parts.scheduler
        scheduler.set_timesteps(steps)
        timesteps = [int(t) for t in scheduler.timesteps]
        done = max((s for s in range(steps + 1) if self.store.has_latents(s)), default=None)
        if done is None:
            noise = clip_noise(self.settings.seed, count, self._latent, self.settings.seed_ranges)
            self.store.begin_latents(0).write(0, noise * scheduler.init_noise_sigma)
            self.store.finish_latents(0)
            done = 0
        if done == steps:
            return
        token, reference = self._look()
        for step in range(done, steps):
            with self.parts.on_device(self.parts.denoiser):
                for number, window in enumerate(self._windows):
                    if not self.store.has_prediction(step, number):
                        on_progress(Progress(step, steps, number, len(self._windows)))
                        try:
                            said = self._predict(step, window, timesteps[step], token, reference)
                        except torch.OutOfMemoryError:
                            raise self._too_large(len(window)) from None
                        self.store.save_prediction(step, number, said)
            for index, latent in self._advance(step, preview):
                on_preview(step + 1, index, self._decode(latent))
            on_progress(Progress(step + 1, steps, 0, len(self._windows)))

    @torch.no_grad()
    def frame(self, index: int) -> NDArray[np.uint8]:
        """A finished frame (H, W, 3) uint8 sRGB."""
        return self._decode(self.latents([index])[0])

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """The finished frames (H, W, 3) uint8 sRGB, one by one."""
        for index in range(self.settings.count):
            yield self.frame(index)

    def latents(self, indices: Sequence[int]) -> Tensor:
        """Finished latents (len(indices), C, h, w) float32."""
        return self.store.latents(self.settings.steps).read(indices)

    def _too_large(self, frames: int) -> MethodError:
        width, height = self.settings.size
        return MethodError(
            f"the device has too little memory for {frames} frames of {width} x {height} pixels at a time",
            code="out_of_memory",
            fix="Choose a smaller size or a shorter window; with the same settings it goes on where it stopped.",
        )

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.parts.device, self.parts.dtype)

    def _look(self):
        """The photo's CLIP token (1, 1, D) and what the denoiser attends to; made once."""
        parts = self.parts
        with parts.on_device(parts.image_encoder):
            token = parts.image_encoder(self._to_device(clip_pixels(self._photo))).image_embeds[:, None]
        with parts.on_device(parts.vae):
            latents = encode_image(parts.vae, self._to_device(photo_pixels(self._photo, self.settings.size)))
        with parts.on_device(parts.reference_net):
            features = reference_features(parts.reference_net, latents, token)
        with parts.on_device(parts.denoiser):
            return token, keys_and_values(parts.denoiser, features)

    def _predict(self, step: int, window: list[int], timestep: int, token: Tensor, reference) -> Tensor:
        """What the network says of a window, guidance included: (F, C, h, w) float32."""
        unet = self.parts.denoiser
        noisy = self._to_device(self.store.latents(step).read(window)).transpose(0, 1)[None]
        features = self._to_device(self._features.read(window)).transpose(0, 1)[None]
        scale = self.settings.guidance
        if scale <= 1:
            out = predict(unet, noisy, timestep, token, features, reference)
        elif self._batched:
            tokens = torch.cat([torch.zeros_like(token), token])
            try:
                both = predict(unet, noisy.expand(2, -1, -1, -1, -1), timestep, tokens, features, reference)
            except torch.OutOfMemoryError:
                both = None
            if both is None:  # out here, where the error no longer holds on to what was computed
                self._batched = False
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                return self._predict(step, window, timestep, token, reference)
            out = guide(both[:1].float(), both[1:].float(), scale)
        else:
            blind = predict(unet, noisy, timestep, torch.zeros_like(token), features)
            seeing = predict(unet, noisy, timestep, token, features, reference)
            out = guide(blind.float(), seeing.float(), scale)
        return out[0].float().transpose(0, 1)

    def _advance(self, step: int, preview: Sequence[int]) -> list[tuple[int, Tensor]]:
        """One step of the solver, frame by frame; returns how the previewed frames would look in the end."""
        places: list[list[tuple[int, int]]] = [[] for _ in range(self.settings.count)]
        for number, window in enumerate(self._windows):
            for place, index in enumerate(window):
                places[index].append((number, place))
        solve = step_of(self.parts.scheduler, step, self.settings.solver)
        target, clean_file, shown = self.store.begin_latents(step + 1), self.store.begin_clean(step + 1), []
        for index, seen in enumerate(places):
            said = torch.stack([self.store.prediction(step, number).read([place])[0] for number, place in seen])
            velocity = said.sum(0) / (1 if self.settings.undivided else len(seen))
            before = self.store.clean(step).read([index])[0] if step else None
            latent, clean = solve(self.store.latents(step).read([index])[0], velocity, before)
            target.write(index, latent[None])
            clean_file.write(index, clean[None])
            if index in preview:
                shown.append((index, clean))
        self.store.finish_latents(step + 1)
        return shown

    def _decode(self, latent: Tensor) -> NDArray[np.uint8]:
        parts = self.parts
        with parts.on_device(parts.vae):
            image = decode_image(parts.vae, self._to_device(latent)[None])[0]
        return (image.permute(1, 2, 0).cpu().numpy() * 255 + 0.5).astype(np.uint8)
