"""The inner loops of making pictures, compiled: skinning, normals, sides of triangles, textured and shaded pixels."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def vertex_normals(vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> Floats:
    """Unit normals (N, 3) of a mesh, its triangles (F, 3) weighted by area."""
    return _normals(np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.int32))


def blend(vertices: Floats, weights: Floats, matrices: Floats) -> Floats:
    """Linear blend skinning: vertices (N, 3) by 3x4 matrices (J, 3, 4) with weights (N, J)."""
    return _blend(np.ascontiguousarray(vertices, np.float32), weights, np.ascontiguousarray(matrices, np.float32))


def facing(points: NDArray[np.floating], faces: NDArray[np.integer], closed: int) -> NDArray[np.int64]:
    """Indices of the triangles (F, 3) that face the viewer, whose image points (V, 2) have y down.

    Only the first `closed` triangles bound a solid and can be left out; the rest are sheets, seen from both sides.
    """
    return np.nonzero(_facing(np.ascontiguousarray(points, np.float64), faces, closed))[0]


def colour(
    face: NDArray[np.integer],
    barycentric: Floats,
    faces: NDArray[np.integer],
    uvs: Floats,
    face_uvs: NDArray[np.integer],
    atlas: NDArray[np.uint8],
    shading: Floats,
) -> Floats:
    """Linear premultiplied colours and coverage (H, W, 4) of a raster.

    Args:
        face: (H, W) triangles, -1 where there is none.
        barycentric: (H, W, 3).
        faces: (F, 3) into `shading`.
        uvs: (T, 2) pixels of the atlas, texel centres at half-integers.
        face_uvs: (F, 3) into `uvs`.
        atlas: (A, B, 3) sRGB, linearised by a gamma of 2.
        shading: (N, 3) linear factors.
    """
    out = np.zeros((*face.shape, 4), np.float32)
    _colour(face, barycentric, faces, uvs, face_uvs, np.ascontiguousarray(atlas), shading, out)
    return out


def encode(linear: Floats) -> NDArray[np.uint8]:
    """Linear premultiplied colours (H, W, 4) as sRGB (gamma 2) with straight alpha, (H, W, 4) uint8."""
    out = np.zeros(linear.shape, np.uint8)
    _encode(np.ascontiguousarray(linear, np.float32), out)
    return out


@numba.njit(cache=True, nogil=True, fastmath=True)
def _normals(v, faces):
    out = np.zeros_like(v)
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ux, uy, uz = v[b, 0] - v[a, 0], v[b, 1] - v[a, 1], v[b, 2] - v[a, 2]
        wx, wy, wz = v[c, 0] - v[a, 0], v[c, 1] - v[a, 1], v[c, 2] - v[a, 2]
        nx, ny, nz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        for i in (a, b, c):
            out[i, 0] += nx
            out[i, 1] += ny
            out[i, 2] += nz
    for i in range(len(out)):
        length = np.sqrt(out[i, 0] ** 2 + out[i, 1] ** 2 + out[i, 2] ** 2) + np.float32(1e-20)
        for k in range(3):
            out[i, k] /= length
    return out


@numba.njit(cache=True, nogil=True, fastmath=True)
def _blend(v, weights, matrices):
    out = np.zeros_like(v)
    for i in range(len(v)):
        x, y, z = v[i, 0], v[i, 1], v[i, 2]
        for j in range(weights.shape[1]):
            w = weights[i, j]
            if w == 0:  # most are
                continue
            for k in range(3):
                m = matrices[j, k]
                out[i, k] += w * (m[0] * x + m[1] * y + m[2] * z + m[3])
    return out


@numba.njit(cache=True, nogil=True)
def _facing(points, faces, closed):
    keep = np.ones(len(faces), np.bool_)
    for f in range(min(closed, len(faces))):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        bx, by = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1]
        cx, cy = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1]
        keep[f] = bx * cy - by * cx < 0
    return keep


@numba.njit(cache=True, nogil=True, fastmath=True)
def _colour(face, bary, faces, uvs, face_uvs, atlas, shading, out):
    rows, columns = atlas.shape[0], atlas.shape[1]
    for y in range(face.shape[0]):
        for x in range(face.shape[1]):
            f = face[y, x]
            if f < 0:
                continue
            u, v = np.float32(-0.5), np.float32(-0.5)
            for k in range(3):
                w = bary[y, x, k]
                u += w * uvs[face_uvs[f, k], 0]
                v += w * uvs[face_uvs[f, k], 1]
            u, v = min(max(u, 0.0), columns - 1.001), min(max(v, 0.0), rows - 1.001)
            i, j = int(v), int(u)
            fv, fu = v - i, u - j
            for c in range(3):
                top = atlas[i, j, c] * (1 - fu) + atlas[i, j + 1, c] * fu
                low = atlas[i + 1, j, c] * (1 - fu) + atlas[i + 1, j + 1, c] * fu
                s = (top * (1 - fv) + low * fv) / 255
                light = np.float32(0)
                for k in range(3):
                    light += bary[y, x, k] * shading[faces[f, k], c]
                out[y, x, c] = s * s * light
            out[y, x, 3] = 1


@numba.njit(cache=True, nogil=True, fastmath=True)
def _encode(linear, out):
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            a = linear[y, x, 3]
            if a <= 0:
                continue
            for c in range(3):
                out[y, x, c] = int(np.sqrt(min(max(linear[y, x, c] / a, 0.0), 1.0)) * 255 + 0.5)
            out[y, x, 3] = int(min(a, 1.0) * 255 + 0.5)
