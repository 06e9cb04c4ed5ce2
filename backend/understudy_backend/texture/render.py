"""The intermediate frame on the CPU: the textured body as a camera sees it, with its geometry passes.

Colour is what an unlit (emission) material gives. Texels are decoded from sRGB first and everything is then filtered in
linear light - bilinear lookup, mip levels, averaging of subsamples - as Blender's GPU engines do with an sRGB image.
"""

from __future__ import annotations

from functools import cache, cached_property
from typing import Any

import cv2
import numba
import numpy as np
from numpy.typing import NDArray
from understudy_shared.body import BodyModel
from understudy_shared.camera import project
from understudy_shared.frames import Channel, linear_to_srgb, srgb_to_linear

from understudy_backend.texture.normals import vertex_normals
from understudy_backend.texture.raster import Raster, rasterize

MIP_LEVELS = 4


class Texture:
    """A texture that several frames are rendered with: what it takes to look it up is made but once."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self.image = image
        """(S, S, 3) or (S, S, 4) uint8 sRGB, top-left origin, gutters filled (`TexelMap.fill_gutter`)."""

    @cached_property
    def levels(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """`mip_chain` of its linear colour premultiplied by alpha, with alpha: (P, 4) and the table."""
        linear = np.ones((*self.image.shape[:2], 4), np.float32)
        linear[..., :3] = decode_srgb(self.image[..., :3])
        if self.image.shape[2] == 4:
            linear[..., 3] = self.image[..., 3] / np.float32(255)
            linear[..., :3] *= linear[..., 3:]
        return mip_chain(linear)


def render_body(
    vertices: NDArray[np.floating],
    body: BodyModel,
    texture: NDArray[np.uint8] | Texture,
    k: NDArray[np.floating],
    extrinsics: NDArray[np.floating],
    size: tuple[int, int],
    *,
    supersample: int = 2,
) -> dict[Channel, NDArray]:
    """Renders the body with its texture.

    Args:
        vertices: (V, 3) world, metres.
        body: its triangles and UVs.
        texture: an image as `Texture` has, or for several frames a `Texture`; its alpha makes the colour pass
            transparent, never the mask.
        k: (3, 3) intrinsics in pixels of `size`.
        extrinsics: (4, 4) world to camera, OpenCV axes.
        size: (width, height) in pixels.
        supersample: subsamples of colour and mask along each side of a pixel.

    Returns:
        RGBA (H, W, 4) uint8 sRGB with straight alpha; MASK (H, W) float32, the share of the pixel that the body covers;
        DEPTH (H, W) float32 metres, inf outside; NORMAL (H, W, 3) float32, camera space, zero outside; UV (H, W, 2)
        float32, zero outside. Depth, normal and UV are those at the pixel's centre, or at the pixel's nearest covered
        subsample where only its rim is covered, so they are defined wherever the mask is above zero.
    """
    points, depth = project(np.asarray(vertices, np.float64), extrinsics, k)
    normals = vertex_normals(vertices, body.faces) @ np.asarray(extrinsics, np.float32)[:3, :3].T
    window, box = _window(points, depth, size)
    points = points - [window[1].start, window[0].start]
    fine = rasterize(points * supersample, depth, body.faces, (box[0] * supersample, box[1] * supersample))
    centre = fine if supersample == 1 else rasterize(points, depth, body.faces, box)
    parts = _geometry(fine, centre, supersample, body, normals)
    texture = texture if isinstance(texture, Texture) else Texture(texture)
    linear = _shade(fine, points * supersample, body, texture, supersample)
    alpha = linear[..., 3:]
    colour = np.divide(linear[..., :3], alpha, out=np.zeros_like(linear[..., :3]), where=alpha > 0)
    parts[Channel.RGBA] = np.dstack([encode_srgb(colour), np.rint(alpha * 255).astype(np.uint8)])
    out: dict[Channel, NDArray] = {}
    for channel, part in parts.items():
        empty = np.inf if channel is Channel.DEPTH else 0
        out[channel] = np.full((size[1], size[0], *part.shape[2:]), empty, part.dtype)
        out[channel][window] = part
    return out


def _window(
    points: NDArray[np.float64], depth: NDArray[np.float64], size: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[int, int]]:
    """The rows and columns that the body can touch, and their (width, height): nothing else needs to be looked at."""
    low, high = np.zeros(2), np.array(size, np.float64)
    if depth.min() > 1e-3:  # else some projections are meaningless
        low = np.floor(points.min(0)).clip(0, high - 1)
        high = np.ceil(points.max(0)).clip(low + 1, high)
    columns, rows = slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))
    return (rows, columns), (columns.stop - columns.start, rows.stop - rows.start)


def pixels_per_metre(depth: NDArray[np.floating], intrinsics: NDArray[np.floating]) -> NDArray[np.float32]:
    """(H, W) of a surface at a depth (H, W) in metres, across the line of sight."""
    return (intrinsics[0, 0] / np.maximum(depth, 1e-3)).astype(np.float32)


def decode_srgb(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """uint8 sRGB to linear float32 in [0, 1], by table."""
    return _decode_table()[image]


def encode_srgb(linear: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Linear in [0, 1] to uint8 sRGB, by a table of 65536 entries."""
    table = _encode_table()
    index = np.clip(linear, 0, 1) * np.float32(len(table) - 1)
    return table[(index + np.float32(0.5)).astype(np.int32)]


@cache
def _decode_table() -> NDArray[np.float32]:
    return srgb_to_linear(np.arange(256) / 255).astype(np.float32)


@cache
def _encode_table() -> NDArray[np.uint8]:
    return np.rint(linear_to_srgb(np.arange(1 << 16) / ((1 << 16) - 1)) * 255).astype(np.uint8)


def mip_chain(linear: NDArray[np.float32], levels: int = MIP_LEVELS) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """An image (H, W, C) and its halvings, one after the other in one array (P, C); with the table (levels, 3) of each
    level's offset, height and width."""
    parts, table, offset = [], [], 0
    for level in range(levels):
        if level:
            height, width = linear.shape[:2]
            if min(height, width) < 2:
                break
            halved = cv2.resize(linear, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
            linear = halved.astype(np.float32).reshape(height // 2, width // 2, -1)
        table.append((offset, linear.shape[0], linear.shape[1]))
        parts.append(linear.reshape(-1, linear.shape[2]))
        offset += len(parts[-1])
    return np.ascontiguousarray(np.concatenate(parts)), np.array(table)


def face_areas(points: NDArray[np.floating], faces: NDArray[np.integer]) -> NDArray[np.float64]:
    """Twice the area (F,) of triangles of 2-D points."""
    a, b, c = (points[faces[:, i]] for i in range(3))
    return np.abs((b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]))


def _shade(
    fine: Raster, points: NDArray[np.float64], body: BodyModel, texture: Texture, supersample: int
) -> NDArray[np.float32]:
    """Linear colour premultiplied by coverage, with coverage, (H, W, 4)."""
    texels, levels = texture.levels
    ratio = face_areas(body.uvs * len(texture.image), body.face_uvs) / np.maximum(face_areas(points, body.faces), 1e-9)
    lod = np.clip(0.5 * np.log2(np.maximum(ratio, 1e-9)), 0, len(levels) - 1).astype(np.float32)
    out = np.zeros((fine.face.shape[0] // supersample, fine.face.shape[1] // supersample, 4), np.float32)
    _resolve(fine.face, fine.barycentric, body.uvs, body.face_uvs, texels, levels, lod, supersample, out)
    return out


def _geometry(
    fine: Raster, centre: Raster, supersample: int, body: BodyModel, normals: NDArray[np.float32]
) -> dict[Channel, NDArray]:
    height, width = centre.face.shape
    mask = np.zeros((height, width), np.float32)
    depth = np.full((height, width), np.inf, np.float32)
    normal = np.zeros((height, width, 3), np.float32)
    uv = np.zeros((height, width, 2), np.float32)
    samples: tuple[Any, ...] = (fine.face, fine.barycentric, fine.depth)
    middle: tuple[Any, ...] = (centre.face, centre.barycentric, centre.depth)
    _passes(samples, middle, supersample, body.faces, body.face_uvs, body.uvs, normals, mask, depth, normal, uv)
    return {Channel.MASK: mask, Channel.DEPTH: depth, Channel.NORMAL: normal, Channel.UV: uv}


@numba.njit(cache=True, nogil=True, error_model="numpy", inline="always")
def bilinear(texels, offset, height, width, u, v, weight, out):
    """Adds weight x the value of one mip level at (u, v), in units of the image with a top-left origin, to `out`."""
    x = u * width - 0.5
    y = v * height - 0.5
    x0 = int(np.floor(x))
    y0 = int(np.floor(y))
    fx = x - x0
    fy = y - y0
    xa, xb = min(max(x0, 0), width - 1), min(max(x0 + 1, 0), width - 1)
    ya, yb = min(max(y0, 0), height - 1), min(max(y0 + 1, 0), height - 1)
    for c in range(len(out)):
        top = texels[offset + ya * width + xa, c] * (1 - fx) + texels[offset + ya * width + xb, c] * fx
        bottom = texels[offset + yb * width + xa, c] * (1 - fx) + texels[offset + yb * width + xb, c] * fx
        out[c] += weight * (top * (1 - fy) + bottom * fy)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def trilinear(texels, levels, u, v, lod, out):
    """Adds the value at (u, v) between two mip levels to `out`."""
    low = int(lod)
    part = lod - low
    bilinear(texels, levels[low, 0], levels[low, 1], levels[low, 2], u, v, 1 - part, out)
    if part > 0 and low + 1 < len(levels):
        bilinear(texels, levels[low + 1, 0], levels[low + 1, 1], levels[low + 1, 2], u, v, part, out)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _resolve(face, bary, uvs, face_uvs, texels, levels, lod, supersample, out):
    value = np.zeros(4, np.float32)
    share = 1.0 / (supersample * supersample)
    for y in range(face.shape[0]):
        for x in range(face.shape[1]):
            f = face[y, x]
            if f < 0:
                continue
            u, v = 0.0, 0.0
            for k in range(3):
                u += bary[y, x, k] * uvs[face_uvs[f, k], 0]
                v += bary[y, x, k] * uvs[face_uvs[f, k], 1]
            value[:] = 0
            trilinear(texels, levels, u, 1 - v, lod[f], value)
            for c in range(4):
                out[y // supersample, x // supersample, c] += value[c] * share


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _passes(fine, centre, supersample, faces, face_uvs, uvs, normals, mask, depth, normal, uv):
    share = 1.0 / (supersample * supersample)
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            f, z = centre[0][y, x], centre[2][y, x]
            b = centre[1][y, x]
            best, count = np.inf, 0
            for j in range(y * supersample, (y + 1) * supersample):
                for i in range(x * supersample, (x + 1) * supersample):
                    if fine[0][j, i] < 0:
                        continue
                    count += 1
                    if centre[0][y, x] < 0 and fine[2][j, i] < best:
                        best = fine[2][j, i]
                        f, z = fine[0][j, i], best
                        b = fine[1][j, i]
            if f < 0:
                continue
            mask[y, x] = count * share
            depth[y, x] = z
            length = 0.0
            for c in range(3):
                for k in range(3):
                    normal[y, x, c] += b[k] * normals[faces[f, k], c]
                length += normal[y, x, c] ** 2
            for c in range(3):
                normal[y, x, c] /= max(np.sqrt(length), 1e-12)
            for c in range(2):
                for k in range(3):
                    uv[y, x, c] += b[k] * uvs[face_uvs[f, k], c]
