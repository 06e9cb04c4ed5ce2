# SPDX-License-Identifier: GPL-3.0-or-later
"""The body in Blender: an armature of SMPL's joints and a mesh in quads, deformed by linear blend skinning.

The rest pose stands upright: the rest frame of `BodyModel` (Y up) turned once by `Y_UP_TO_Z_UP`. Bones point along the
limbs, so that Blender's tools feel natural; `pose_axes` gives the fixed turn between each bone and SMPL's joint.
"""

from __future__ import annotations

import bpy
import numpy as np
from bpy.types import Object, Scene
from mathutils import Vector
from numpy.typing import NDArray
from understudy_shared.body import JOINT_NAMES, PARENTS, Y_UP_TO_Z_UP, BodyModel

from . import correctives
from .body_parts import BETAS, VERTICES, pose_axes
from .material import plain_material
from .modes import editing_bones

_FORWARD = {"pelvis": "spine1", "spine3": "neck"}
"""The child that a bone points to, where it has several."""


def create_body(scene: Scene, body: BodyModel, betas: NDArray[np.floating], name: str = "Body") -> Object:
    """Makes armature, mesh, UV map, weights and a plain material in `scene`.

    Args:
        scene: where both objects are linked, at its root collection.
        body: the model; the mesh keeps its vertex order.
        betas: (B,) shape.
        name: of the mesh object; the armature is called "<name> Armature".

    Returns:
        The mesh object, child of its armature. `armature_of` and `mesh_of` lead from one to the other.
    """
    armature = _armature(scene, body.joints(betas) @ Y_UP_TO_Z_UP.T, f"{name} Armature")
    mesh = _mesh(body, body.shaped(betas) @ Y_UP_TO_Z_UP.T, name)
    obj = bpy.data.objects.new(name, mesh)
    obj[BETAS] = [float(b) for b in np.asarray(betas).reshape(-1)]
    obj[VERTICES] = len(body.v_template)
    scene.collection.objects.link(obj)
    obj.parent = armature
    _weights(obj, body)
    modifier = obj.modifiers.new("Armature", "ARMATURE")
    modifier.object = armature
    modifier.use_deform_preserve_volume = False
    modifier.use_bone_envelopes = False
    if body.posedirs is not None:
        correctives.add(obj, armature, body.posedirs, pose_axes(armature))
    mesh.materials.append(plain_material(name))
    return obj


def _armature(scene: Scene, joints: NDArray[np.floating], name: str) -> Object:
    armature = bpy.data.objects.new(name, bpy.data.armatures.new(name))
    scene.collection.objects.link(armature)
    with editing_bones(armature.data) as bones:
        for j, joint in enumerate(JOINT_NAMES):
            bone = bones.new(joint)
            bone.head = joints[j]
            bone.tail = joints[j] + _direction(joints, j)
            if PARENTS[j] >= 0:
                bone.parent = bones[JOINT_NAMES[PARENTS[j]]]
            along = (bone.tail - bone.head).normalized()
            bone.align_roll(Vector((0, 0, 1)) if abs(along.y) > 0.7 else Vector((0, -1, 0)))
    armature.data.display_type = "STICK"
    armature.show_in_front = True
    for bone in armature.pose.bones:
        bone.rotation_mode = "QUATERNION"
        bone.lock_scale = (True,) * 3
        bone.lock_location = (bone.parent is not None,) * 3  # SMPL moves the pelvis only
    return armature


def _direction(joints: NDArray[np.floating], j: int) -> NDArray[np.floating]:
    """Where bone `j` points: to its child, or for the last of a limb on in the limb's direction."""
    children = [c for c, p in enumerate(PARENTS) if p == j]
    if children:
        name = _FORWARD.get(JOINT_NAMES[j], JOINT_NAMES[children[0]])
        return joints[JOINT_NAMES.index(name)] - joints[j]
    if JOINT_NAMES[j] == "head":
        return np.array([0, 0, 0.15])
    back = joints[j] - joints[PARENTS[j]]
    return back / max(float(np.linalg.norm(back)), 1e-6) * 0.08


def _mesh(body: BodyModel, vertices: NDArray[np.floating], name: str) -> bpy.types.Mesh:
    faces, face_uvs = body.faces, body.face_uvs
    if body.quads is not None and body.quad_uvs is not None:
        faces, face_uvs = _like_triangles(body.quads, body.quad_uvs, body.faces)
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(vertices))
    mesh.loops.add(faces.size)
    mesh.polygons.add(len(faces))
    mesh.vertices.foreach_set("co", np.ascontiguousarray(vertices, np.float32).reshape(-1))
    mesh.loops.foreach_set("vertex_index", np.ascontiguousarray(faces, np.int32).reshape(-1))
    mesh.polygons.foreach_set("loop_start", np.arange(0, faces.size, faces.shape[1], dtype=np.int32))
    if len(face_uvs):
        layer = mesh.uv_layers.new(name="UVMap")
        layer.data.foreach_set("uv", np.ascontiguousarray(body.uvs[face_uvs], np.float32).reshape(-1))
    mesh.update(calc_edges=True)
    mesh.shade_smooth()
    return mesh


def _like_triangles(
    quads: NDArray[np.int32], quad_uvs: NDArray[np.int32], faces: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Turns quads so that Blender, which splits them from first to third corner, gives the model's own triangles.

    Otherwise depth and colour inside a bent quad would differ between Blender and the rasteriser.
    """
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).astype(np.int64), axis=1)
    span = int(faces.max()) + 1
    known = np.unique(edges[:, 0] * span + edges[:, 1])
    diagonal = np.sort(quads[:, [0, 2]].astype(np.int64), axis=1)
    turned = ~np.isin(diagonal[:, 0] * span + diagonal[:, 1], known)[:, None]
    return np.where(turned, np.roll(quads, -1, 1), quads), np.where(turned, np.roll(quad_uvs, -1, 1), quad_uvs)


def _weights(obj: Object, body: BodyModel) -> None:
    for j, joint in enumerate(JOINT_NAMES):
        group = obj.vertex_groups.new(name=joint)
        order = np.flatnonzero(body.weights[:, j] > 0)
        order = order[np.argsort(body.weights[order, j], kind="stable")]
        ordered = body.weights[order, j]
        starts = np.flatnonzero(np.diff(ordered, prepend=-1.0))
        bounds = [*starts.tolist(), len(order)]
        vertices, values = order.tolist(), ordered[starts].tolist()
        # one call for all vertices of one weight: most of a limb follows a single bone
        for value, first, end in zip(values, bounds[:-1], bounds[1:], strict=True):
            group.add(vertices[first:end], value, "REPLACE")
