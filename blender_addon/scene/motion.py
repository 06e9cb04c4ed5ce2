# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion clip as keys on the body's armature, and the artist's pose back as arrays.

Keys lie at the clip's own sample times, in scene frames, so often between two frames. Nothing is resampled: every
sample of the file is in the scene exactly, whatever the two frame rates are, and Blender interpolates between them when
it plays.
"""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np
from bpy.types import Action, Object, Scene
from numpy.typing import NDArray
from understudy_shared.body import JOINT_NAMES, PARENTS, Y_UP_TO_Z_UP
from understudy_shared.motion import MotionClip
from understudy_shared.rotations import (
    axis_angle_from_matrix,
    matrix_from_axis_angle,
    quaternion_from_matrix,
    sign_continuous,
)

from . import compat
from .body_parts import armature_of, betas_of, pose_axes, rest_pelvis
from .evaluation import at_frame, scene_aside
from .keys import write_keys


def apply_motion(armature: Object, clip: MotionClip, start_frame: float, scene_fps: float) -> Action:
    """Puts a clip onto a body as a new action with linear, sign-continuous quaternion keys.

    Args:
        armature: the body, either of its two objects.
        clip: in the world frame (Z up), relative to the armature object's own place.
        start_frame: scene frame of the clip's first sample.
        scene_fps: frames per second of the scene, `render.fps / render.fps_base`.

    Returns:
        The action; an earlier one stays in the file.
    """
    armature = armature_of(armature)
    times = start_frame + np.arange(len(clip)) * (scene_fps / clip.fps)
    rotations, locations = _to_bones(armature, clip.global_orient, clip.body_pose, clip.transl)
    action = bpy.data.actions.new(f"{armature.name} {clip.track_id}".strip())
    bag = compat.channels(armature, action)
    for j, joint in enumerate(JOINT_NAMES):
        bone = armature.pose.bones[joint]
        bone.rotation_mode = "QUATERNION"
        write_keys(bag, bone.path_from_id("rotation_quaternion"), times, sign_continuous(rotations[:, j]), joint)
    write_keys(bag, armature.pose.bones["pelvis"].path_from_id("location"), times, locations, "pelvis")
    return action


def set_pose(
    armature: Object, global_orient: NDArray[np.floating], body_pose: NDArray[np.floating], transl: NDArray[np.floating]
) -> None:
    """Poses a body without keys: (3,), (23, 3) and (3,), as in one frame of `MotionClip`."""
    armature = armature_of(armature)
    rotations, locations = _to_bones(
        armature, np.asarray(global_orient)[None], np.asarray(body_pose).reshape(1, -1, 3), np.asarray(transl)[None]
    )
    for joint, rotation in zip(JOINT_NAMES, rotations[0], strict=True):
        bone = armature.pose.bones[joint]
        bone.rotation_mode, bone.rotation_quaternion = "QUATERNION", rotation
    armature.pose.bones["pelvis"].location = locations[0]


def read_motion(armature: Object, scene: Scene, frames: Sequence[float]) -> MotionClip:
    """The body's pose at scene frames, with everything the artist did to it: keys, constraints, a moved object.

    Location and scale of bones other than the pelvis, which SMPL does not have, are ignored.

    Args:
        armature: the body, either of its two objects.
        scene: the scene it plays in; its current frame is not touched.
        frames: scene frames, whole or not, at least one.

    Returns:
        A clip in the world frame at the scene's frame rate. `fps` is meaningful where the frames are consecutive.
    """
    armature = armature_of(armature)
    matrices = np.empty((len(frames), len(JOINT_NAMES), 4, 4))
    with scene_aside(scene, [armature]) as aside:
        for t, frame in enumerate(frames):
            posed = armature.evaluated_get(at_frame(aside, frame))
            world = np.array(posed.matrix_world)
            matrices[t] = world @ np.stack([np.array(posed.pose.bones[n].matrix) for n in JOINT_NAMES])
    turns = _orthonormal(matrices[..., :3, :3]) @ pose_axes(armature)  # of SMPL's axes, in the world
    local = turns.copy()
    local[:, 1:] = np.swapaxes(turns[:, list(PARENTS[1:])], -1, -2) @ turns[:, 1:]
    vectors = axis_angle_from_matrix(local).astype(np.float32)
    return MotionClip(
        global_orient=vectors[:, 0],
        body_pose=vectors[:, 1:],
        transl=(matrices[:, 0, :3, 3] - rest_pelvis(armature)).astype(np.float32),
        betas=betas_of(armature),
        fps=scene.render.fps / scene.render.fps_base,
    )


def _to_bones(
    armature: Object, orient: NDArray[np.floating], pose: NDArray[np.floating], transl: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Quaternions (T, 24, 4) of the pose bones and locations (T, 3) of the pelvis bone, both in the bones' own axes."""
    vectors = np.concatenate([np.asarray(orient)[:, None], np.asarray(pose)], 1)
    rotations = matrix_from_axis_angle(vectors)
    rotations[:, 0] = Y_UP_TO_Z_UP.T @ rotations[:, 0]  # the rest pose stands already: the pelvis turns by what is left
    axes = pose_axes(armature)
    quaternions = quaternion_from_matrix(axes @ rotations @ np.swapaxes(axes, -1, -2))
    pelvis = armature.data.bones["pelvis"]
    offset = rest_pelvis(armature) + transl - np.array(pelvis.head_local, np.float64)
    return quaternions, offset @ np.array(pelvis.matrix_local.to_3x3(), np.float64)


def _orthonormal(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest rotations: takes scale, and Blender's rounding, out."""
    u, _, vt = np.linalg.svd(matrices)
    return u @ vt
