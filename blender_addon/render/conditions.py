# SPDX-License-Identifier: GPL-3.0-or-later
"""The default way of an intermediate frame: the posed body as geometry, which the backend rasterises.

A body with a plain texture needs no more than its vertices and the camera; that is far less work for Blender than a
render and 84 to 165 KB instead of megabytes. `choose.reasons_to_render` says when it does not suffice.
"""

from __future__ import annotations

import numpy as np
from bpy.types import Depsgraph, Object, Scene
from numpy.typing import NDArray
from understudy_shared.body import JOINT_NAMES
from understudy_shared.frames import Channel, Frame

from ..scene.body_parts import VERTICES, armature_of, mesh_of
from ..scene.camera import camera_matrices, require_perspective
from ..scene.evaluation import at_frame, scene_aside


def frame_geometry(body_obj: Object, camera: Object, scene: Scene, frame: int, size: tuple[int, int]) -> Frame:
    """The posed body and the camera at one frame of the scene, which is left as it is.

    Args:
        body_obj: the body, either of its two objects.
        camera: a perspective camera.
        scene: gives pixel aspect and frame rate.
        frame: scene frame.
        size: (width, height) in pixels of the job.

    Returns:
        VERTICES (V, 3) float32 in the body model's order and JOINTS (24, 3) float32, world, metres; EXTRINSICS (4, 4)
        and INTRINSICS (3, 3) float64.

    Raises:
        ValueError: not a body, not a perspective camera, in Edit Mode, or a modifier has changed the number of
            vertices.
    """
    require_perspective(camera)
    mesh = mesh_of(body_obj)
    with scene_aside(scene, [mesh, camera]) as aside:
        depsgraph = at_frame(aside, frame)
        extrinsics, intrinsics = camera_matrices(camera, depsgraph, scene, size)
        channels = {
            Channel.VERTICES: posed_vertices(mesh, depsgraph),
            Channel.JOINTS: posed_joints(armature_of(mesh), depsgraph),
            Channel.EXTRINSICS: extrinsics,
            Channel.INTRINSICS: intrinsics,
        }
    return Frame(frame, channels)


def posed_vertices(mesh: Object, depsgraph: Depsgraph) -> NDArray[np.float32]:
    """Vertices (V, 3) of a body's mesh object as evaluated, in the world, metres.

    Raises:
        ValueError: it is in Edit Mode, or a modifier has changed the number of vertices.
    """
    if mesh.mode == "EDIT":
        raise ValueError(f'"{mesh.name}" is in Edit Mode: leave it first')
    evaluated = mesh.evaluated_get(depsgraph)
    count = len(evaluated.data.vertices)
    if count != mesh[VERTICES]:
        raise ValueError(f'"{mesh.name}" has {count} vertices instead of {mesh[VERTICES]}: render it instead')
    local = np.empty(count * 3, np.float32)
    # through the attribute: sixty times faster than vertices.foreach_get
    evaluated.data.attributes["position"].data.foreach_get("vector", local)
    world = np.array(evaluated.matrix_world, np.float32)
    local = local.reshape(-1, 3)
    return local if np.array_equal(world, np.eye(4)) else local @ world[:3, :3].T + world[:3, 3]


def posed_joints(armature: Object, depsgraph: Depsgraph) -> NDArray[np.float32]:
    """Joints (24, 3) of a body's armature as evaluated, in SMPL's order, in the world, metres."""
    evaluated = armature.evaluated_get(depsgraph)
    heads = np.array([evaluated.pose.bones[name].head for name in JOINT_NAMES], np.float32)
    world = np.array(evaluated.matrix_world, np.float32)
    return heads @ world[:3, :3].T + world[:3, 3]
