"""Smooth normals of a triangle mesh."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray


def vertex_normals(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.float32]:
    """Unit normals (V, 3), each the mean of its triangles' normals weighted by their angle at it, as Blender does.

    Weighting by angle makes the normal independent of how a quad is cut into triangles.
    """
    return _normals(np.ascontiguousarray(vertices, np.float64), np.ascontiguousarray(faces, np.int32))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _normals(vertices, faces):
    out = np.zeros((len(vertices), 3), np.float64)
    edge = np.empty((3, 3))
    for f in range(len(faces)):
        for k in range(3):
            length = 0.0
            for c in range(3):
                edge[k, c] = vertices[faces[f, (k + 1) % 3], c] - vertices[faces[f, k], c]
                length += edge[k, c] ** 2
            for c in range(3):
                edge[k, c] /= max(np.sqrt(length), 1e-20)
        nx = edge[0, 1] * edge[1, 2] - edge[0, 2] * edge[1, 1]
        ny = edge[0, 2] * edge[1, 0] - edge[0, 0] * edge[1, 2]
        nz = edge[0, 0] * edge[1, 1] - edge[0, 1] * edge[1, 0]
        length = max(np.sqrt(nx * nx + ny * ny + nz * nz), 1e-20)
        for k in range(3):
            j = (k + 2) % 3
            cosine = -(edge[k, 0] * edge[j, 0] + edge[k, 1] * edge[j, 1] + edge[k, 2] * edge[j, 2])
            angle = np.arccos(min(1.0, max(-1.0, cosine))) / length
            out[faces[f, k], 0] += nx * angle
            out[faces[f, k], 1] += ny * angle
            out[faces[f, k], 2] += nz * angle
    result = np.empty((len(vertices), 3), np.float32)
    for v in range(len(vertices)):
        length = max(np.sqrt(out[v, 0] ** 2 + out[v, 1] ** 2 + out[v, 2] ** 2), 1e-20)
        for c in range(3):
            result[v, c] = out[v, c] / length
    return result
