"""Rotations in numpy: axis-angle, matrices and quaternions (w, x, y, z, as in Blender), all in float64.

Every function takes any leading shape. Quaternions that go in need not be of unit length; those that come out are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Doubles = NDArray[np.float64]


def quaternion_from_axis_angle(axis_angle: ArrayLike) -> Doubles:
    """Axis-angle (..., 3) in radians to quaternions (..., 4)."""
    v = np.asarray(axis_angle, np.float64)
    angle = np.linalg.norm(v, axis=-1, keepdims=True)
    # sinc keeps the ratio sin(a/2)/a exact as the angle goes to zero
    return np.concatenate([np.cos(angle / 2), 0.5 * np.sinc(angle / (2 * np.pi)) * v], -1)


def axis_angle_from_quaternion(quaternion: ArrayLike) -> Doubles:
    """Quaternions (..., 4) to axis-angle (..., 3) in radians, of length at most pi."""
    q = _unit(np.asarray(quaternion, np.float64))
    q = np.where(q[..., :1] < 0, -q, q)
    sine = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, q[..., :1])
    small = sine < 1e-12
    return q[..., 1:] * np.where(small, 2.0, angle / np.where(small, 1.0, sine))


def matrix_from_quaternion(quaternion: ArrayLike) -> Doubles:
    """Quaternions (..., 4) to rotations (..., 3, 3)."""
    w, x, y, z = np.moveaxis(_unit(np.asarray(quaternion, np.float64)), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def quaternion_from_matrix(matrix: ArrayLike) -> Doubles:
    """Rotations (..., 3, 3) to quaternions (..., 4); neighbours may differ in sign, see `sign_continuous`."""
    m = np.asarray(matrix, np.float64)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    # 4 q q^T, of which the row with the largest diagonal is the best conditioned
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    outer = np.stack(
        [
            np.stack([1 + xx + yy + zz, wx, wy, wz], -1),
            np.stack([wx, 1 + xx - yy - zz, xy, xz], -1),
            np.stack([wy, xy, 1 - xx + yy - zz, yz], -1),
            np.stack([wz, xz, yz, 1 - xx - yy + zz], -1),
        ],
        -2,
    )
    best = np.argmax(np.diagonal(outer, axis1=-2, axis2=-1), -1)
    return _unit(np.take_along_axis(outer, best[..., None, None], -2)[..., 0, :])


def matrix_from_axis_angle(axis_angle: ArrayLike) -> Doubles:
    """Axis-angle (..., 3) in radians to rotations (..., 3, 3)."""
    return matrix_from_quaternion(quaternion_from_axis_angle(axis_angle))


def axis_angle_from_matrix(matrix: ArrayLike) -> Doubles:
    """Rotations (..., 3, 3) to axis-angle (..., 3) in radians, of length at most pi."""
    return axis_angle_from_quaternion(quaternion_from_matrix(matrix))


def sign_continuous(quaternions: ArrayLike) -> Doubles:
    """Quaternions (T, ..., 4) with signs chosen so that each lies within 90 degrees (in 4D) of the one before it.

    q and -q are the same rotation, but keys of opposite sign make an interpolating animation go the long way round.
    """
    q = _unit(np.asarray(quaternions, np.float64))
    flips = np.where((q[1:] * q[:-1]).sum(-1, keepdims=True) < 0, -1.0, 1.0)
    return np.concatenate([q[:1], q[1:] * np.cumprod(flips, axis=0)])


def slerp(a: ArrayLike, b: ArrayLike, fraction: ArrayLike) -> Doubles:
    """Shortest spherical interpolation of quaternions (..., 4); `fraction` (...) is 0 at `a` and 1 at `b`."""
    p, q = _unit(np.asarray(a, np.float64)), _unit(np.asarray(b, np.float64))
    t = np.asarray(fraction, np.float64)[..., None]
    cosine = (p * q).sum(-1, keepdims=True)
    q, cosine = np.where(cosine < 0, -q, q), np.minimum(np.abs(cosine), 1.0)
    angle = np.arccos(cosine)
    close = angle < 1e-6  # there the straight line is exact to rounding, and sin(angle) would divide by zero
    sine = np.where(close, 1.0, np.sin(angle))
    weight_p = np.where(close, 1 - t, np.sin((1 - t) * angle) / sine)
    weight_q = np.where(close, t, np.sin(t * angle) / sine)
    return _unit(weight_p * p + weight_q * q)


def rotation_between(a: ArrayLike, b: ArrayLike) -> Doubles:
    """The smallest rotation (3, 3) that takes the direction of `a` (3,) to that of `b` (3,)."""
    u, v = _unit(np.asarray(a, np.float64)), _unit(np.asarray(b, np.float64))
    cosine = float(u @ v)
    if cosine < -1 + 1e-12:  # opposite: any axis across will do
        axis = _unit(np.cross(u, np.eye(3)[np.argmin(np.abs(u))]))
        return 2 * np.outer(axis, axis) - np.eye(3)
    x, y, z = np.cross(u, v)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + k + k @ k / (1 + cosine)


def _unit(v: Doubles) -> Doubles:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)
