"""What training reads at every step, computed once: latents and masks per latent cell, kept in files.

No image is changed at random in training, so its latents stay the same, and encoding costs more than a small UNet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, interpolate

from understudy_backend.models.threedhm.framing import background, cut, person_box
from understudy_backend.models.threedhm.latents import BACKGROUND, Vae, compose
from understudy_backend.models.threedhm.rendering import fit_person
from understudy_backend.training.arrays import ABOUT, Samples

ROWS = 16
"""Samples that are computed at a time."""


def images(samples: Samples, name: str, indices: NDArray[np.integer], side: int) -> Tensor:
    """Images of a data set as a VAE sees them: composed (N, 4, side, side) in [-1, 1]; without an alpha, opaque."""
    rows = torch.from_numpy(samples.rows(name, indices)).permute(0, 3, 1, 2).float() / 255
    if rows.shape[1] == 3:
        rows = torch.cat([rows, torch.ones_like(rows[:, :1])], 1)
    return scaled(compose(rows), side)


def scaled(image: Tensor, side: int) -> Tensor:
    """Images (N, C, H, W) at another size, averaged where they shrink."""
    if image.shape[-1] == side and image.shape[-2] == side:
        return image
    if image.shape[-1] > side:
        return interpolate(image, size=(side, side), mode="area")
    return interpolate(image, size=(side, side), mode="bilinear")


def windows(samples: Samples, name: str, indices: NDArray[np.integer], window: tuple[int, int]) -> Tensor:
    """The person's window in frames of a data set, composed (N, 4, h, w) in [-1, 1]; of a photo, the person cut out."""
    if name == "photo":
        nobody = np.zeros((window[1], window[0], 4), np.uint8)  # a photo that shows no one tells nothing
        photos = samples.rows(name, indices)
        rows = np.stack([fit_person(p, window) if (p[..., 3] > 127).any() else nobody for p in photos])
        return compose(torch.from_numpy(rows).permute(0, 3, 1, 2).float() / 255)
    frames = compose(torch.from_numpy(samples.rows(name, indices)).permute(0, 3, 1, 2).float() / 255)
    boxes = [person_box(cover, window) for cover in samples.rows("body", indices)[..., 3]]
    nothing = background(BACKGROUND)
    return torch.stack([cut(frame, box, window, nothing) for frame, box in zip(frames, boxes, strict=True)])


def any_in_cell(mask: Tensor, cells: int | tuple[int, int]) -> Tensor:
    """Whether a mask (N, 1, H, W) of 0 and 1 has a 1 in each latent cell: (N, 1, cells, cells), or (N, 1, *cells)."""
    return adaptive_max_pool2d(mask.float(), cells)


class Cache:
    """Files of one run in which arrays over all samples of a data set are kept.

    A file's name tells what it was computed from (autoencoder, data, size), so data that has changed is never mistaken.
    """

    def __init__(self, folder: Path, samples: Samples, vae: Vae, accelerator: Accelerator, *about: object) -> None:
        """Args:
        folder: where the files go.
        samples: what the rows belong to.
        vae: on its device.
        accelerator: its processes share the work.
        about: whatever else the arrays depend on.
        """
        self._folder, self._samples, self._accelerator = folder, samples, accelerator
        self._from = _fingerprint(samples, vae, about)

    def array(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: type[np.generic],
        rows: Callable[[NDArray[np.int64]], Tensor],
    ) -> NDArray:
        """The array `name` of all samples, (count, *shape), memory-mapped.

        Args:
            name: of the file.
            shape: of a row.
            dtype: of the file.
            rows: computes the rows of some indices, where the file is new.
        """
        count, main = len(self._samples), self._accelerator.is_main_process
        path = self._folder / f"{name}-{self._from}.npy"
        if not path.exists():
            unfinished = path.with_suffix(".partial")
            if main:
                self._folder.mkdir(parents=True, exist_ok=True)
                print(f"computing {name} of {count} samples", flush=True)
                np.lib.format.open_memmap(unfinished, mode="w+", dtype=dtype, shape=(count, *shape))
            self._accelerator.wait_for_everyone()
            array = np.lib.format.open_memmap(unfinished, mode="r+")
            first, stride = self._accelerator.process_index * ROWS, self._accelerator.num_processes * ROWS
            for start in range(first, count, stride):
                indices = np.arange(start, min(start + ROWS, count))
                with torch.no_grad():
                    array[indices] = rows(indices).to("cpu", torch.float32).numpy().astype(dtype)
            array.flush()
            self._accelerator.wait_for_everyone()
            if main:
                unfinished.replace(path)
            self._accelerator.wait_for_everyone()
        return np.load(path, mmap_mode="r", allow_pickle=False)


def take(array: NDArray, indices: NDArray[np.integer]) -> Tensor:
    """Rows of a memory-mapped array, as float32."""
    return torch.from_numpy(np.asarray(array[indices], np.float32))


def _fingerprint(samples: Samples, vae: Vae, about: tuple[object, ...]) -> str:
    state = hashlib.sha256(repr(about).encode())
    for name, value in vae.state_dict().items():
        if not name.startswith(("decoder", "refiner", "mean", "post_quant")):  # what decodes may change
            state.update(name.encode() + value.cpu().float().contiguous().numpy().tobytes())
    ends = np.array([0, len(samples) - 1])
    for part in samples.parts:
        state.update((part / ABOUT).read_bytes())
        for path in sorted(part.glob("*.npy")):
            state.update(f"{path.name} {path.stat().st_size}\n".encode())
    for name in ("target", "partial", "body"):
        if samples.has(name):
            state.update(samples.rows(name, ends, absent=0).tobytes())
    return state.hexdigest()[:12]
