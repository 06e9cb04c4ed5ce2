"""Smooth noise over space, compiled: the same value at the same body point, so patterns run across UV seams."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def value_noise(points: NDArray[np.floating], seed: int, octaves: int = 1) -> Floats:
    """Value noise in about [-1, 1] at `points` (N, 3), one cell per unit; each octave doubles the frequency."""
    out = np.zeros(len(points), np.float32)
    p = np.ascontiguousarray(np.asarray(points, np.float32).T)  # by columns, for the vector unit
    gain, total = 1.0, 0.0
    for octave in range(octaves):
        mixed = ((seed * 7919 + octave * 104729) * 2654435761) & 0xFFFFFFFF
        _add_noise(p, np.float32(2.0**octave), np.float32(gain), np.uint32(mixed), out)
        total += gain
        gain *= 0.5
    return out / np.float32(total)


@numba.njit(cache=True, nogil=True, inline="always")
def _hash(x, y, z, seed):
    """A number in [-1, 1] from three scaled lattice coordinates; 32 bits, for the vector unit."""
    h = x ^ y ^ z ^ seed
    h = (h ^ (h >> np.uint32(13))) * np.uint32(1274126177)
    h = (h ^ (h >> np.uint32(16))) * np.uint32(668265263)
    h = h ^ (h >> np.uint32(15))
    return np.float32(np.int32(h & np.uint32(0xFFFF))) * np.float32(2.0 / 65535.0) - np.float32(1.0)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add_noise(points, frequency, gain, seed, out):
    three, two, one = np.float32(3), np.float32(2), np.uint32(1)
    px, py, pz = np.uint32(73856093), np.uint32(19349663), np.uint32(83492791)
    for i in range(points.shape[1]):
        x, y, z = points[0, i] * frequency, points[1, i] * frequency, points[2, i] * frequency
        lx, ly, lz = np.floor(x), np.floor(y), np.floor(z)
        fx, fy, fz = x - lx, y - ly, z - lz
        fx, fy, fz = fx * fx * (three - two * fx), fy * fy * (three - two * fy), fz * fz * (three - two * fz)
        ix, iy, iz = np.uint32(np.int32(lx)), np.uint32(np.int32(ly)), np.uint32(np.int32(lz))
        x0, x1 = ix * px, (ix + one) * px
        y0, y1 = iy * py, (iy + one) * py
        z0, z1 = iz * pz, (iz + one) * pz
        a, b = _hash(x0, y0, z0, seed), _hash(x0, y0, z1, seed)
        near = a + (b - a) * fz
        a, b = _hash(x0, y1, z0, seed), _hash(x0, y1, z1, seed)
        near += (a + (b - a) * fz - near) * fy
        a, b = _hash(x1, y0, z0, seed), _hash(x1, y0, z1, seed)
        far = a + (b - a) * fz
        a, b = _hash(x1, y1, z0, seed), _hash(x1, y1, z1, seed)
        far += (a + (b - a) * fz - far) * fy
        out[i] += gain * (near + (far - near) * fx)
