"""Texel maps: which point of the body each texel of a square texture is, and what to put between the islands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from understudy_shared.body import BodyModel

from understudy_backend.texture.normals import vertex_normals
from understudy_backend.texture.raster import rasterize_uv

Image = NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class TexelMap:
    """The surface point of each texel of a texture (S, S), top-left origin. N texels lie on the body."""

    size: int
    """S."""
    face: NDArray[np.int32]
    """(S, S) triangle, -1 between the islands."""
    barycentric: NDArray[np.float32]
    """(S, S, 3) weights of that triangle's corners."""
    position: NDArray[np.float32]
    """(S, S, 3) metres, rest frame (Y up, facing +Z), mean shape; zero between the islands."""
    normal: NDArray[np.float32]
    """(S, S, 3) unit, rest frame; zero between the islands."""
    nearest: NDArray[np.int32]
    """(S, S) flat index of the nearest texel that lies on the body; its own index for those that do."""
    rows: NDArray[np.int32]
    """(N,) row of each body texel."""
    columns: NDArray[np.int32]
    """(N,) column of each body texel."""

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(S, S) True on the body's islands."""
        return self.face >= 0

    def points(self, vertices: NDArray[np.floating], body: BodyModel) -> NDArray[np.float32]:
        """Where the N body texels are (N, 3) when the body's vertices (V, C) are these: positions, normals, ..."""
        corners = body.faces[self.face[self.rows, self.columns]]
        weights = self.barycentric[self.rows, self.columns]
        out = weights[:, :1] * vertices[corners[:, 0]]
        out += weights[:, 1:2] * vertices[corners[:, 1]]
        out += weights[:, 2:] * vertices[corners[:, 2]]
        return out.astype(np.float32)

    def fill_gutter(self, texture: Image, known: NDArray[np.bool_] | None = None) -> Image:
        """The texture (S, S, ...) with everything between the islands set to its nearest body texel's value.

        A bilinear lookup at a seam then never meets a colour that is not the body's.

        Args:
            texture: (S, S) or (S, S, C).
            known: (S, S) where only these body texels hold a value: the rest of the body is left as it is, and the
                gutter takes its value from known texels alone.
        """
        flat = texture.reshape(self.size * self.size, -1)
        nearest = self.nearest
        if known is not None and known.any() and not known[self.mask].all():
            nearest = _nearest(known & self.mask)
        filled = flat[nearest.reshape(-1)].reshape(texture.shape)
        filled[self.mask] = texture[self.mask]
        return filled


@lru_cache(maxsize=8)
def texel_map(body: BodyModel, size: int) -> TexelMap:
    """The texel map of a body at a texture size, made once (about 0.1 s at 512).

    Raises:
        ValueError: the body has no texture coordinates.
    """
    if len(body.uvs) == 0:
        raise ValueError("the body has no texture coordinates; use the free body, or a body file with `vt` and `ft`")
    raster = rasterize_uv(body.uvs, body.face_uvs, size)
    rows, columns = (a.astype(np.int32) for a in np.nonzero(raster.mask))
    normal = raster.interpolate(vertex_normals(body.v_template, body.faces), body.faces)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    return TexelMap(
        size=size,
        face=raster.face,
        barycentric=raster.barycentric,
        position=raster.interpolate(body.v_template, body.faces),
        normal=normal,
        nearest=_nearest(raster.mask),
        rows=rows,
        columns=columns,
    )


def _nearest(known: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(S, S) flat index of the nearest True texel."""
    indices = distance_transform_edt(~known, return_distances=False, return_indices=True)
    assert isinstance(indices, np.ndarray)
    return (indices[0] * known.shape[1] + indices[1]).astype(np.int32)
