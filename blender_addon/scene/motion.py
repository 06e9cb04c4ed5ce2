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
from understudy_shared.motion import MotionClip, exact_rate
from understudy_shared.rotations import (
    axis_angle_from_matrix,
    matrix_from_axis_angle,
    matrix_from_quaternion,
    quaternion_from_matrix,
    sign_continuous,
)

from . import compat
from .body_parts import armature_of, betas_of, pose_axes, rest_pelvis
from .evaluation import at_frame, scene_aside
from .keys import KEY_TYPES, along_arcs, write_keys

TRACK = "understudy_track"
"""Custom property of an action: whose motion it is, where its source held several people."""


def apply_motion(
    armature: Object, clip: MotionClip, start_frame: float, scene_fps: float, filled: NDArray[np.bool_] | None = None
) -> Action:
    """Puts a clip onto a body as a new action with linear, sign-continuous quaternion keys.

    Args:
        armature: the body, either of its two objects.
        clip: in the world frame (Z up), relative to the armature object's own place.
        start_frame: scene frame of the clip's first sample.
        scene_fps: frames per second of the scene, `render.fps / render.fps_base`.
        filled: as in `write_motion`.

    Returns:
        The action; an earlier one stays in the file.
    """
    armature = armature_of(armature)
    action = bpy.data.actions.new(f"{armature.name} {clip.track_id}".strip())
    write_motion(armature, action, clip, sample_times(len(clip), clip.fps, start_frame, scene_fps), filled)
    return action


def sample_times(count: int, fps: float, start_frame: float, scene_fps: float) -> NDArray[np.float64]:
    """(count,) scene frames of a clip's samples; 29.97 and its like are taken for the rates they stand for."""
    samples = np.arange(count, dtype=np.float64)
    return start_frame + samples * exact_rate(scene_fps) / exact_rate(fps)


def write_motion(
    armature: Object,
    action: Action,
    clip: MotionClip,
    times: NDArray[np.float64],
    filled: NDArray[np.bool_] | None = None,
) -> None:
    """Keys of the 24 joints in an action, which becomes the body's; other curves of the action stay.

    Keys in frames that the source did not see are of the type "jitter" where they only hold the nearest pose, and
    "generated" where the gap was filled, so that they have their own colour in the dope sheet. Where a joint turns far
    from one sample to the next, keys of the type "breakdown" lie between them on the arc.

    Args:
        armature: the body, either of its two objects.
        action: new or the body's own.
        clip: as in `apply_motion`.
        times: (T,) scene frames of its samples, rising.
        filled: (T,) which of the frames that were not seen have got a pose of their own.
    """
    armature = armature_of(armature)
    rotations, locations = _to_bones(armature, clip.global_orient, clip.body_pose, clip.transl)
    filled = np.zeros(len(clip), np.bool_) if filled is None else filled
    unseen = np.where(filled, KEY_TYPES["GENERATED"], KEY_TYPES["JITTER"])
    types = np.where(clip.seen, KEY_TYPES["KEYFRAME"], unseen)
    if clip.track_id:
        action[TRACK] = clip.track_id
    bag = compat.channels(armature, action)
    quaternions = sign_continuous(rotations)
    for j, joint in enumerate(JOINT_NAMES):
        bone = armature.pose.bones[joint]
        bone.rotation_mode = "QUATERNION"
        at, values, added = along_arcs(times, quaternions[:, j])
        kinds = np.full(len(at), KEY_TYPES["BREAKDOWN"])
        kinds[~added] = types
        write_keys(bag, bone.path_from_id("rotation_quaternion"), at, values, joint, kinds)
        for other in ("rotation_euler", "rotation_axis_angle"):  # of an artist who had the bone turn that way
            for index in range(4):
                curve = bag.fcurves.find(bone.path_from_id(other), index=index)
                if curve is not None:
                    bag.fcurves.remove(curve)
    write_keys(bag, armature.pose.bones["pelvis"].path_from_id("location"), times, locations, "pelvis", types)


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


def clip_from_bones(
    armature: Object, rotations: NDArray[np.floating], locations: NDArray[np.floating], fps: float
) -> MotionClip:
    """The clip that keys of a body show, seen from the armature object's own place.

    Args:
        armature: of the body.
        rotations: (T, 24, 4) quaternions of the pose bones.
        locations: (T, 3) of the pelvis bone.
        fps: of the samples.
    """
    axes = pose_axes(armature)
    turns = np.swapaxes(axes, -1, -2) @ matrix_from_quaternion(rotations) @ axes
    turns[:, 0] = Y_UP_TO_Z_UP @ turns[:, 0]
    vectors = axis_angle_from_matrix(turns).astype(np.float32)
    pelvis = armature.data.bones["pelvis"]
    head = np.array(pelvis.head_local, np.float64)
    transl = head + locations @ np.array(pelvis.matrix_local.to_3x3(), np.float64).T - rest_pelvis(armature)
    return MotionClip(vectors[:, 0], vectors[:, 1:], transl.astype(np.float32), betas_of(armature), fps)


def _orthonormal(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest rotations: takes scale, and Blender's rounding, out."""
    u, _, vt = np.linalg.svd(matrices)
    return u @ vt
