"""Noise that sticks to the body: where a point of the surface goes, its noise goes with it.

Diffusion makes up what it is not told, from noise. Drawn anew for every frame, it makes up something else each time,
and the clip flickers; kept fixed on the screen, what is made up stays behind when the person moves. The geometry is
known here, so each frame's UV pass carries one noise, drawn on the body's surface, to the screen. This goes beyond
3DHM, which predicts frame by frame.

A latent cell covers many pixels, and each pixel shows one texel of the surface's noise. The cell's value is the sum of
the texels it shows, over the root of the sum of their squared counts: exactly unit Gaussian, and correlated between two
frames as far as the cell shows the same surface in both. It is white within a frame, up to texels that straddle two
cells. (How I Warped Your Noise, ICLR 2024, transports noise between frames by the same conditional sum.)
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from torch import Tensor

from understudy_backend.models.threedhm.denoising import seeded_noise

BLOCK = 4
"""Off the body, noise is anchored to the picture in squares of this many pixels a side."""


class SurfaceNoise:
    """The noise of one job.

    Args:
        seed: of the noise.
        channels: of a latent.
        cell: pixels per latent cell and side.
        texels: side of the noise's texture; a texel should cover about three pixels. Finer ones lose the surface sooner
            when it moves by less than a cell, coarser ones are no longer white in a frame.
    """

    def __init__(self, seed: int, channels: int, cell: int, texels: int) -> None:
        self._cell, self._texels = cell, texels
        self._surface = seeded_noise(seed, (texels * texels, channels)).numpy()
        self._seed, self._channels = seed, channels
        self._screens: dict[tuple[int, int], NDArray[np.float32]] = {}

    def latent(self, uv: NDArray[np.floating], cover: NDArray[np.bool_]) -> Tensor:
        """The noise of a frame, (1, channels, H / cell, W / cell), unit Gaussian.

        Args:
            uv: (H, W, 2) texture coordinates in [0, 1] (origin bottom left) of the surface in each pixel; H and W are
                multiples of the cell.
            cover: (H, W), where there is a surface.
        """
        height, width = cover.shape
        texels, cell = self._texels, self._cell
        column = np.clip((uv[..., 0] * texels).astype(np.int64), 0, texels - 1)
        row = np.clip(((1 - uv[..., 1]) * texels).astype(np.int64), 0, texels - 1)
        y, x = np.indices((height, width))
        across = -(-width // BLOCK)
        source = np.where(cover, row * texels + column, texels * texels + (y // BLOCK) * across + x // BLOCK)
        cells = (y // cell) * (width // cell) + x // cell
        values = np.concatenate([self._surface, self._screen(-(-height // BLOCK), across)])
        shown = coo_matrix(
            (np.ones(source.size, np.float32), (cells.ravel(), source.ravel())),
            shape=((height // cell) * (width // cell), len(values)),
        ).tocsr()  # sums the pixels of a cell that show the same texel
        norm = np.sqrt(np.asarray(shown.multiply(shown).sum(1)))
        noise = (shown @ values) / norm
        return torch.from_numpy(np.asarray(noise, np.float32).T.reshape(1, -1, height // cell, width // cell).copy())

    def _screen(self, rows: int, columns: int) -> NDArray[np.float32]:
        if (rows, columns) not in self._screens:
            drawn = seeded_noise(self._seed + 1, (rows * columns, self._channels)).numpy()
            self._screens = {(rows, columns): drawn}
        return self._screens[rows, columns]
