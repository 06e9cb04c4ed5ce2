"""The inner loops of making pictures, compiled: skinning, normals, rasters, textured and shaded pixels."""

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


def mix(values: Floats, index: NDArray[np.integer], share: Floats) -> Floats:
    """Weighted sums (N, C) of rows `index` (N, K) of `values` (V, C), with weights (N, K)."""
    out = np.zeros((len(index), values.shape[1]), np.float32)
    _mix(values, index, share, out)
    return out


def facing(points: Floats, normals: Floats, eye: Floats, cosine: float) -> NDArray[np.bool_]:
    """Which points (N, 3) with unit normals (N, 3) turn to `eye` (3,) by more than the cosine."""
    return _facing(points, normals, eye, np.float32(cosine))


def lay(colours: Floats, index: NDArray[np.integer], share: Floats, over: Floats) -> None:
    """Lays colours `over` (M, 3), cut to [0, 1], on rows `index` (M,) of `colours` (N, 3), with opacity (M,)."""
    _lay(colours, index, np.asarray(share, np.float32), np.asarray(over, np.float32))


def scan(
    points: Floats, nearness: Floats, faces: NDArray[np.int32], closed: int, size: tuple[int, int]
) -> tuple[NDArray[np.int32], Floats]:
    """The nearest triangle at every pixel centre of an image.

    Args:
        points: (V, 2) pixel coordinates, y down.
        nearness: (V,) greater is nearer, and linear over the image: 1 / depth in a perspective view. Triangles with a
            corner at or below 0 are left out.
        faces: (F, 3) into V.
        closed: the first `closed` triangles bound a solid, so that those which face away can be left out; the rest
            are sheets, seen from both sides.
        size: (width, height) in pixels.

    Returns:
        triangle (H, W), -1 where there is none, and its nearness (H, W), 0 there.
    """
    face = np.full((size[1], size[0]), -1, np.int32)
    near = np.zeros((size[1], size[0]), np.float32)
    _scan(
        np.ascontiguousarray(points, np.float32),
        np.ascontiguousarray(nearness, np.float32),
        np.ascontiguousarray(faces, np.int32),
        closed,
        face,
        near,
    )
    return face, near


def corners(
    face: NDArray[np.int32], near: Floats, points: Floats, nearness: Floats, faces: NDArray[np.int32]
) -> tuple[Floats, Floats]:
    """Perspective-correct weights (H, W, 3) of the corners that `scan` found, and depth (H, W), inf where none."""
    barycentric = np.zeros((*face.shape, 3), np.float32)
    depth = np.full(face.shape, np.inf, np.float32)
    _corners(face, near, np.ascontiguousarray(points, np.float32), np.ascontiguousarray(nearness, np.float32),
             np.ascontiguousarray(faces, np.int32), barycentric, depth)  # fmt: skip
    return barycentric, depth


def lit(points: Floats, nearness: Floats, nearest: Floats) -> Floats:
    """Share (V,) of 3x3 taps at pixels `points` (2, V), one or more inside `nearest` (H, W), that nothing is before."""
    return _lit(points, nearness, nearest)


def perspective(vertices: Floats, camera: Floats) -> tuple[Floats, Floats]:
    """Pixels (V, 2) and 1 / depth (V,) of world points by a camera (3, 4); 0 nearer than a millimetre."""
    points = np.empty((len(vertices), 2), np.float32)
    nearness = np.empty(len(vertices), np.float32)
    _perspective(np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(camera, np.float64), points, nearness)
    return points, nearness


def colour(
    face: NDArray[np.integer],
    barycentric: Floats,
    faces: NDArray[np.integer],
    uvs: Floats,
    face_uvs: NDArray[np.integer],
    atlas: NDArray[np.uint8],
    shading: Floats,
    reduce: int,
) -> NDArray[np.uint8]:
    """Colours of a raster, `reduce` squared samples averaged in linear light: (H, W, 4) sRGB, straight alpha.

    Args:
        face: (H * reduce, W * reduce) triangles, -1 where there is none.
        barycentric: (H * reduce, W * reduce, 3).
        faces: (F, 3) into `shading`.
        uvs: (T, 2) pixels of the atlas, texel centres at half-integers.
        face_uvs: (F, 3) into `uvs`.
        atlas: (A, B, 3) sRGB, linearised by a gamma of 2.
        shading: (N, 3) linear factors.
        reduce: samples on a side of a pixel.
    """
    out = np.zeros((face.shape[0] // reduce, face.shape[1] // reduce, 4), np.uint8)
    _colour(face, barycentric, faces, uvs, face_uvs, np.ascontiguousarray(atlas), shading, reduce, out)
    return out


@numba.njit(cache=True, nogil=True, fastmath=True)
def _mix(values, index, share, out):
    for i in range(len(index)):
        for k in range(index.shape[1]):
            row, w = index[i, k], share[i, k]
            for c in range(values.shape[1]):
                out[i, c] += w * values[row, c]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _facing(points, normals, eye, cosine):
    out = np.empty(len(points), np.bool_)
    for i in range(len(points)):
        x, y, z = eye[0] - points[i, 0], eye[1] - points[i, 1], eye[2] - points[i, 2]
        dot = x * normals[i, 0] + y * normals[i, 1] + z * normals[i, 2]
        out[i] = dot > cosine * np.sqrt(x * x + y * y + z * z)
    return out


@numba.njit(cache=True, nogil=True, fastmath=True)
def _lay(colours, index, share, over):
    for m in range(len(index)):
        i = index[m]
        for c in range(3):
            wanted = min(max(over[m, c], np.float32(0)), np.float32(1))
            colours[i, c] += share[m] * (wanted - colours[i, c])


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


@numba.njit(cache=True, nogil=True, fastmath=True)
def _perspective(v, camera, points, nearness):
    for i in range(len(v)):
        x, y, z = v[i, 0], v[i, 1], v[i, 2]
        depth = camera[2, 0] * x + camera[2, 1] * y + camera[2, 2] * z + camera[2, 3]
        if depth < 1e-3:
            nearness[i] = 0
            points[i, 0] = points[i, 1] = 0
            continue
        inverse = 1 / depth
        points[i, 0] = (camera[0, 0] * x + camera[0, 1] * y + camera[0, 2] * z + camera[0, 3]) * inverse
        points[i, 1] = (camera[1, 0] * x + camera[1, 1] * y + camera[1, 2] * z + camera[1, 3]) * inverse
        nearness[i] = inverse


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _scan(xy, nearness, faces, closed, face, near):
    height, width = near.shape
    slack = np.float32(-1e-6)
    half = np.float32(0.5)
    one = np.float32(1)
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay = xy[a, 0], xy[a, 1]
        bx, by = xy[b, 0] - ax, xy[b, 1] - ay
        cx, cy = xy[c, 0] - ax, xy[c, 1] - ay
        area = bx * cy - by * cx
        if f < closed:
            if not area < -1e-9:
                continue
        elif not abs(area) > 1e-9:
            continue
        na, nb, nc = nearness[a], nearness[b], nearness[c]
        if min(na, nb, nc) <= 0:
            continue
        x0 = max(0, int(np.ceil(ax + min(np.float32(0), bx, cx) - half)))
        x1 = min(width - 1, int(np.floor(ax + max(np.float32(0), bx, cx) - half)))
        y0 = max(0, int(np.ceil(ay + min(np.float32(0), by, cy) - half)))
        y1 = min(height - 1, int(np.floor(ay + max(np.float32(0), by, cy) - half)))
        if x0 > x1 or y0 > y1:
            continue
        scale = one / area
        vx, vy, wx, wy = cy * scale, -cx * scale, -by * scale, bx * scale
        nb -= na
        nc -= na
        for y in range(y0, y1 + 1):
            py = np.float32(y) + half - ay
            for x in range(x0, x1 + 1):
                px = np.float32(x) + half - ax
                v = px * vx + py * vy
                w = px * wx + py * wy
                if v < slack or w < slack or v + w > one - slack:
                    continue
                n = na + v * nb + w * nc
                if n > near[y, x]:
                    near[y, x] = n
                    face[y, x] = f


@numba.njit(cache=True, nogil=True)
def _lit(points, nearness, nearest):
    out = np.empty(len(nearness), np.float32)
    for i in range(len(out)):
        column, row = int(points[0, i]), int(points[1, i])
        count = 0
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                count += nearness[i] > nearest[row + dy, column + dx]
        out[i] = count / np.float32(9)
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _corners(face, near, xy, nearness, faces, bary, depth):
    for y in range(face.shape[0]):
        for x in range(face.shape[1]):
            f = face[y, x]
            if f < 0:
                continue
            a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
            ax, ay = xy[a, 0], xy[a, 1]
            bx, by = xy[b, 0] - ax, xy[b, 1] - ay
            cx, cy = xy[c, 0] - ax, xy[c, 1] - ay
            scale = 1 / (bx * cy - by * cx)
            px, py = np.float32(x) + np.float32(0.5) - ax, np.float32(y) + np.float32(0.5) - ay
            v, w = (px * cy - py * cx) * scale, (py * bx - px * by) * scale
            z = 1 / near[y, x]
            depth[y, x] = z
            bary[y, x, 0] = (1 - v - w) * nearness[a] * z
            bary[y, x, 1] = v * nearness[b] * z
            bary[y, x, 2] = w * nearness[c] * z


@numba.njit(cache=True, nogil=True, fastmath=True)
def _colour(face, bary, faces, uvs, face_uvs, atlas, shading, reduce, out):
    rows, columns = atlas.shape[0], atlas.shape[1]
    zero, scale = np.float32(0), np.float32(1 / 255)
    for oy in range(out.shape[0]):
        for ox in range(out.shape[1]):
            red, green, blue, count = zero, zero, zero, 0
            for y in range(oy * reduce, (oy + 1) * reduce):
                for x in range(ox * reduce, (ox + 1) * reduce):
                    f = face[y, x]
                    if f < 0:
                        continue
                    count += 1
                    p, q, r = bary[y, x, 0], bary[y, x, 1], bary[y, x, 2]
                    i0, i1, i2 = face_uvs[f, 0], face_uvs[f, 1], face_uvs[f, 2]
                    u = p * uvs[i0, 0] + q * uvs[i1, 0] + r * uvs[i2, 0] - np.float32(0.5)
                    v = p * uvs[i0, 1] + q * uvs[i1, 1] + r * uvs[i2, 1] - np.float32(0.5)
                    u = min(max(u, zero), np.float32(columns - 1.001))
                    v = min(max(v, zero), np.float32(rows - 1.001))
                    i, j = int(v), int(u)
                    fv, fu = v - np.float32(i), u - np.float32(j)
                    a, b = (1 - fv) * (1 - fu) * scale, (1 - fv) * fu * scale
                    c, d = fv * (1 - fu) * scale, fv * fu * scale
                    i0, i1, i2 = faces[f, 0], faces[f, 1], faces[f, 2]
                    s = (
                        atlas[i, j, 0] * a
                        + atlas[i, j + 1, 0] * b
                        + atlas[i + 1, j, 0] * c
                        + atlas[i + 1, j + 1, 0] * d
                    )
                    red += s * s * (p * shading[i0, 0] + q * shading[i1, 0] + r * shading[i2, 0])
                    s = (
                        atlas[i, j, 1] * a
                        + atlas[i, j + 1, 1] * b
                        + atlas[i + 1, j, 1] * c
                        + atlas[i + 1, j + 1, 1] * d
                    )
                    green += s * s * (p * shading[i0, 1] + q * shading[i1, 1] + r * shading[i2, 1])
                    s = (
                        atlas[i, j, 2] * a
                        + atlas[i, j + 1, 2] * b
                        + atlas[i + 1, j, 2] * c
                        + atlas[i + 1, j + 1, 2] * d
                    )
                    blue += s * s * (p * shading[i0, 2] + q * shading[i1, 2] + r * shading[i2, 2])
            if count == 0:
                continue
            share = np.float32(1) / count
            out[oy, ox, 0] = int(np.sqrt(min(max(red * share, zero), np.float32(1))) * 255 + np.float32(0.5))
            out[oy, ox, 1] = int(np.sqrt(min(max(green * share, zero), np.float32(1))) * 255 + np.float32(0.5))
            out[oy, ox, 2] = int(np.sqrt(min(max(blue * share, zero), np.float32(1))) * 255 + np.float32(0.5))
            out[oy, ox, 3] = int(count * np.float32(255) / (reduce * reduce) + np.float32(0.5))
