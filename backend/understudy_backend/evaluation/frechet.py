"""The distance between two clouds of features that FID, FVD and FID-VID are named after."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def frechet_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Squared Frechet distance between the Gaussians of features (N, D) and (M, D) (Heusel et al. 2017).

    |mean_a - mean_b|^2 + tr(A) + tr(B) - 2 tr((A B)^(1/2)), A and B being the unbiased covariances. With A = X'X and
    B = Y'Y the last trace is the sum of the singular values of XY', an N x M matrix: no root of a D x D matrix of low
    rank has to be guessed at, so few samples give an exact answer.

    Raises:
        ValueError: fewer than two samples, or features of different length.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"features of shapes {a.shape} and {b.shape} cannot be compared")
    if min(len(a), len(b)) < 2:
        raise ValueError("a Frechet distance needs two samples or more on each side")
    mean_a, mean_b = a.mean(0), b.mean(0)
    x, y = (a - mean_a) / np.sqrt(len(a) - 1), (b - mean_b) / np.sqrt(len(b) - 1)
    if len(a) > a.shape[1]:  # the triangular factor has the same covariance and fewer rows
        x = _triangle(x)
    if len(b) > b.shape[1]:
        y = _triangle(y)
    cross = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return float(((mean_a - mean_b) ** 2).sum() + (x**2).sum() + (y**2).sum() - 2 * cross)


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.qr(x, mode="r"), np.float64)
