"""Smooth noise over space, compiled: the same value at the same body point, so patterns run across UV seams."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def value_noise(points: NDArray[np.floating], seed: int, octaves: int = 1) -> Floats:
    """Value noise in about [-1, 1] at `points` (N, 3), one cell per unit; each octave doubles the frequency."""
    out = np.zeros(len(points), np.float32)
    p = np.ascontiguousarray(points, np.float32)
    gain, total = 1.0, 0.0
    for octave in range(octaves):
        _add_noise(p, 2.0**octave, gain, (seed * 7919 + octave * 104729) & 0x7FFFFFFF, out)
        total += gain
        gain *= 0.5
    return out / np.float32(total)


@numba.njit(cache=True, nogil=True)
def _hash(x, y, z, seed):
    h = (x * 73856093) ^ (y * 19349663) ^ (z * 83492791) ^ (seed * 2654435761)
    h = (h ^ (h >> 13)) * 1274126177
    h = (h ^ (h >> 16)) * 668265263
    h = h ^ (h >> 15)
    return np.float32((h & 0xFFFF) * (2.0 / 65535.0) - 1.0)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add_noise(points, frequency, gain, seed, out):
    for i in range(len(points)):
        x, y, z = points[i, 0] * frequency, points[i, 1] * frequency, points[i, 2] * frequency
        ix, iy, iz = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
        fx, fy, fz = x - ix, y - iy, z - iz
        fx, fy, fz = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy), fz * fz * (3 - 2 * fz)
        value = 0.0
        for dx in range(2):
            wx = fx if dx else 1 - fx
            for dy in range(2):
                wy = fy if dy else 1 - fy
                for dz in range(2):
                    wz = fz if dz else 1 - fz
                    value += wx * wy * wz * _hash(ix + dx, iy + dy, iz + dz, seed)
        out[i] += gain * value
