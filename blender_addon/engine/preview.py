# SPDX-License-Identifier: GPL-3.0-or-later
"""The body with its texture in the viewport, without light: the intermediate frame, live."""

from __future__ import annotations

import gpu
import numpy as np
from bpy.types import Depsgraph, Image, Scene
from gpu.types import GPUBatch, GPUIndexBuf, GPUShader, GPUVertBuf, GPUVertFormat
from mathutils import Matrix
from numpy.typing import NDArray

from ..scene.body_parts import mesh_of
from ..scene.material import texture_image

_GREY = (0.5, 0.5, 0.5, 1.0)
"""Linear: a body whose material is not the plain one."""


class Preview:
    """What one viewport shows. `read` when the scene has changed, `draw` as often as Blender asks."""

    def __init__(self) -> None:
        self._batch: GPUBatch | None = None
        self._shader: GPUShader | None = None
        self._image: Image | None = None

    def read(self, scene: Scene, depsgraph: Depsgraph) -> None:
        """Takes over the body as evaluated."""
        self._batch = None
        body = scene.understudy.body
        if body is None or body.mode == "EDIT":
            return
        try:
            mesh = mesh_of(body)
        except ValueError:
            return
        evaluated = mesh.evaluated_get(depsgraph)
        if evaluated.data is None or not len(evaluated.data.polygons):
            return
        self._image = texture_image(mesh)
        self._shader = gpu.shader.from_builtin(
            "IMAGE_SCENE_LINEAR_TO_REC709_SRGB" if self._image is not None else "UNIFORM_COLOR"
        )
        positions, uv, triangles = triangulated(evaluated.data)
        positions = positions @ np.array(evaluated.matrix_world, np.float32)[:3, :3].T
        positions += np.array(evaluated.matrix_world.translation, np.float32)
        self._batch = _batch(positions, uv if self._image is not None else None, triangles)

    def draw(self, world_to_clip: Matrix) -> None:
        """Draws into the framebuffer that is bound, in display space under the Standard view.

        Args:
            world_to_clip: as `RegionView3D.perspective_matrix`.
        """
        if self._batch is None or self._shader is None:
            return
        shader = self._shader
        try:
            texture = gpu.texture.from_image(self._image) if self._image is not None else None
        except (ReferenceError, RuntimeError):  # deleted since, or its file is gone: `read` follows
            return
        shader.bind()
        gpu.state.depth_test_set("LESS_EQUAL")
        gpu.state.depth_mask_set(True)
        try:
            with gpu.matrix.push_pop(), gpu.matrix.push_pop_projection():
                gpu.matrix.load_matrix(Matrix.Identity(4))
                gpu.matrix.load_projection_matrix(world_to_clip)
                if texture is not None:
                    shader.uniform_sampler("image", texture)
                else:
                    shader.uniform_float("color", _GREY)
                self._batch.draw(shader)
        finally:
            gpu.state.depth_mask_set(False)
            gpu.state.depth_test_set("NONE")


def triangulated(mesh) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """An evaluated mesh as triangles: positions (L, 3) and texture coordinates (L, 2) of corners, and (T, 3) corners
    of each triangle."""
    mesh.calc_loop_triangles()
    corners = len(mesh.loops)
    vertex = np.empty(corners, np.int32)
    mesh.attributes[".corner_vert"].data.foreach_get("value", vertex)
    positions = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.attributes["position"].data.foreach_get("vector", positions)
    uv = np.zeros(corners * 2, np.float32)
    if mesh.uv_layers.active is not None:
        mesh.uv_layers.active.uv.foreach_get("vector", uv)
    triangles = np.empty(len(mesh.loop_triangles) * 3, np.int32)
    mesh.loop_triangles.foreach_get("loops", triangles)
    return positions.reshape(-1, 3)[vertex], uv.reshape(-1, 2), triangles.reshape(-1, 3)


def _batch(positions: NDArray[np.float32], uv: NDArray[np.float32] | None, triangles: NDArray[np.int32]) -> GPUBatch:
    layout = GPUVertFormat()
    layout.attr_add(id="pos", comp_type="F32", len=3, fetch_mode="FLOAT")
    if uv is not None:
        layout.attr_add(id="texCoord", comp_type="F32", len=2, fetch_mode="FLOAT")
    vertices = GPUVertBuf(layout, len(positions))
    vertices.attr_fill("pos", np.ascontiguousarray(positions))
    if uv is not None:
        vertices.attr_fill("texCoord", np.ascontiguousarray(uv))
    return GPUBatch(type="TRIS", buf=vertices, elem=GPUIndexBuf(type="TRIS", seq=np.ascontiguousarray(triangles)))
