# SPDX-License-Identifier: GPL-3.0-or-later
"""What a camera rig must know of a body: where it is at each frame, how far it reaches, and which way it faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from bpy.types import Object, Scene
from numpy.typing import NDArray

from .body_parts import armature_of, mesh_of, pose_axes
from .evaluation import at_frame, scene_aside

MOST_FRAMES = 60
"""A long shot is looked at this often, so that a rig is there at once; its margin covers what happens in between."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A body over time, in the world, metres."""

    looks: NDArray[np.int64]
    """(L,) which of the frames were looked at."""
    outline: NDArray[np.float64]
    """(L, P, 3) the outermost points of the body, in many directions."""
    pelvis: NDArray[np.float64] | None
    """(T, 3) the hip joint at every frame, where that was asked for."""
    facing: float
    """Angle in radians, from +X to +Y, of the direction in which the hips face at the first frame."""

    @property
    def centre(self) -> NDArray[np.float64]:
        """(3,) the middle of the room that the body takes up over all frames."""
        return (self.outline.min((0, 1)) + self.outline.max((0, 1))) / 2


def look_at_body(body: Object, scene: Scene, frames: Sequence[float], hips: bool = False) -> Subject:
    """Measures a body at scene frames, with everything that moves it; the scene's current frame is not touched.

    Args:
        body: either of its two objects.
        scene: it plays in.
        frames: at least one.
        hips: also where they are at every frame.

    Raises:
        ValueError: not a body, or it is in Edit Mode.
    """
    mesh, armature = mesh_of(body), armature_of(body)
    if mesh.mode == "EDIT":
        raise ValueError(f'"{mesh.name}" is in Edit Mode: leave it first')
    looks = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), MOST_FRAMES)).round().astype(np.int64))
    directions = _directions()
    joint, outline = [], []
    with scene_aside(scene, [armature]) as aside:
        for frame in frames if hips else frames[:1]:
            posed = armature.evaluated_get(at_frame(aside, frame))
            joint.append(np.array(posed.matrix_world @ posed.pose.bones["pelvis"].matrix, np.float64))
    forward = (joint[0][:3, :3] @ pose_axes(armature)[0])[:, 2]
    with scene_aside(scene, [mesh]) as aside:
        for t in looks:
            evaluated = mesh.evaluated_get(at_frame(aside, frames[t]))
            points = np.empty((len(evaluated.data.vertices), 3), np.float32)
            evaluated.data.attributes["position"].data.foreach_get("vector", points.reshape(-1))
            world = np.array(evaluated.matrix_world, np.float32)
            points = points @ world[:3, :3].T + world[:3, 3]
            outline.append(points[np.argmax(directions @ points.T, axis=1)])
    lying = np.linalg.norm(forward[:2]) < 0.3 * np.linalg.norm(forward)
    facing = -np.pi / 2 if lying else float(np.arctan2(forward[1], forward[0]))
    return Subject(looks, np.array(outline, np.float64), np.array(joint)[:, :3, 3] if hips else None, facing)


def _directions(count: int = 58) -> NDArray[np.float32]:
    """(count + 6, 3) directions: even over the sphere, along a golden spiral, and the axes, for the exact middle."""
    i = np.arange(count) + 0.5
    z, angle = 1 - 2 * i / count, np.pi * (1 + np.sqrt(5)) * i
    flat = np.sqrt(1 - z * z)
    spiral = np.stack([flat * np.cos(angle), flat * np.sin(angle), z], -1)
    return np.concatenate([spiral, np.eye(3), -np.eye(3)]).astype(np.float32)
