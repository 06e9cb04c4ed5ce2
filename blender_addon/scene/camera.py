# SPDX-License-Identifier: GPL-3.0-or-later
"""A camera trajectory as a keyframed Blender camera, and any Blender camera back as a trajectory.

Orientation is keyed as sign-continuous quaternions with linear interpolation: no flips, and no Bezier overshoot.
Blender interpolates the four numbers, not the rotation; where two samples are so far apart that this would leave the
arc between them by more than `ARC_TOLERANCE`, keys on the arc are added in between.
"""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np
from bpy.types import Camera, Object, Scene
from mathutils import Matrix, Quaternion
from numpy.typing import NDArray
from understudy_shared.camera import OPENGL_TO_OPENCV, CameraTrajectory, SensorFit, blender_lens
from understudy_shared.rotations import quaternion_from_matrix, sign_continuous, slerp

from . import compat
from .evaluation import at_frame, scene_aside
from .keys import write_keys

ARC_TOLERANCE = 5e-4
"""Radians; half of what we promise, so that Blender's single precision has room."""


def import_camera(
    scene: Scene,
    trajectory: CameraTrajectory,
    start_frame: int,
    name: str = "Camera",
    set_scene: bool = True,
    *,
    sensor_fit: SensorFit = "AUTO",
) -> Object:
    """Makes a keyframed camera that projects exactly as the trajectory's matrices do.

    Args:
        scene: where it is linked.
        trajectory: of perspective cameras, one per frame.
        start_frame: scene frame of its first sample.
        name: of the object.
        set_scene: also makes it the scene's camera and sets resolution, pixel aspect, frame rate and frame range.
            Without it, keys lie at the samples' times in the scene's own frame rate, and the picture is the
            trajectory's only at the trajectory's size and pixel aspect.
        sensor_fit: of the Blender camera; the projection is the same with each.

    Raises:
        ValueError: K is skewed, or its pixel aspect changes during the shot: a scene has only one.
    """
    size = trajectory.width, trajectory.height
    sensor = _sensor(trajectory.intrinsics, size, sensor_fit)
    lens = [
        blender_lens(k, *size, sensor_fit, sensor_width=sensor[0], sensor_height=sensor[1])
        for k in trajectory.intrinsics
    ]
    aspects = np.array([each.pixel_aspect for each in lens])
    if np.ptp(aspects, axis=0).max() * max(size) > 1e-3:  # pixels at the border
        raise ValueError("the pixel aspect changes during the shot, which Blender cannot show: make fx / fy constant")
    if set_scene:
        _set_scene(scene, trajectory, start_frame, lens[0].pixel_aspect)
    fps = scene.render.fps / scene.render.fps_base
    data = bpy.data.cameras.new(name)
    data.sensor_fit, (data.sensor_width, data.sensor_height) = sensor_fit, sensor
    data.clip_start, data.clip_end = 0.01, 10_000.0
    camera = bpy.data.objects.new(name, data)
    camera.rotation_mode = "QUATERNION"
    scene.collection.objects.link(camera)
    if set_scene:
        scene.camera = camera

    poses = trajectory.camera_to_world @ OPENGL_TO_OPENCV
    times = start_frame + np.arange(len(trajectory)) * (fps / trajectory.fps)
    turn_times, turns = _along_arcs(times, sign_continuous(quaternion_from_matrix(poses[:, :3, :3])))
    camera.location, camera.rotation_quaternion = poses[0, :3, 3], Quaternion(turns[0])
    action = bpy.data.actions.new(name)
    if len(trajectory) > 1:
        bag = compat.channels(camera, action)
        write_keys(bag, "location", times, poses[:, :3, 3], "Location")
        write_keys(bag, "rotation_quaternion", turn_times, turns, "Rotation")
    for prop in ("lens", "shift_x", "shift_y"):
        _key_if_it_changes(data, prop, times, np.array([getattr(each, prop) for each in lens]), action)
    if not action.slots:
        bpy.data.actions.remove(action)
    return camera


def read_camera(
    camera: Object, scene: Scene, frames: Sequence[float], size: tuple[int, int] | None = None
) -> CameraTrajectory:
    """Blender's camera as matrices at scene frames, with constraints, parents and drivers, by Blender's own projection.

    Args:
        camera: a perspective camera.
        scene: gives pixel aspect and frame rate; its current frame is not touched.
        frames: scene frames, whole or not, at least one.
        size: (width, height) in pixels of the picture, as if it were the scene's resolution; by default it is.

    Raises:
        ValueError: the object is not a perspective camera.
    """
    require_perspective(camera)
    render = scene.render
    width, height = size or (
        render.resolution_x * render.resolution_percentage // 100,
        render.resolution_y * render.resolution_percentage // 100,
    )
    extrinsics, intrinsics = np.empty((len(frames), 4, 4)), np.empty((len(frames), 3, 3))
    with scene_aside(scene, [camera]) as aside:
        for t, frame in enumerate(frames):
            depsgraph = at_frame(aside, frame)
            extrinsics[t], intrinsics[t] = camera_matrices(camera, depsgraph, scene, (width, height))
    return CameraTrajectory(extrinsics, intrinsics, width, height, render.fps / render.fps_base)


def camera_matrices(
    camera: Object, depsgraph: bpy.types.Depsgraph, scene: Scene, size: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """World-to-camera (4, 4), OpenCV axes, and K (3, 3) in pixels of `size`, of a camera evaluated in `depsgraph`."""
    evaluated = camera.evaluated_get(depsgraph)
    width, height = size
    render = scene.render
    p = np.array(
        evaluated.calc_matrix_camera(
            depsgraph, x=width, y=height, scale_x=render.pixel_aspect_x, scale_y=render.pixel_aspect_y
        ),
        np.float64,
    )
    k = np.array(
        [
            [p[0, 0] * width / 2, 0, (1 - p[0, 2]) * width / 2],
            [0, p[1, 1] * height / 2, (1 + p[1, 2]) * height / 2],
            [0, 0, 1],
        ]
    )
    pose = np.array(evaluated.matrix_world, np.float64)
    u, _, vt = np.linalg.svd(pose[:3, :3])  # Blender ignores a camera's scale
    pose[:3, :3] = u @ vt
    return np.linalg.inv(pose @ OPENGL_TO_OPENCV), k


def still_camera(extrinsics: NDArray[np.floating], k: NDArray[np.floating], scene: Scene) -> Object:
    """A camera without animation for one pair of matrices at the resolution of `scene`, whose pixel aspect it sets."""
    size = scene.render.resolution_x, scene.render.resolution_y
    sensor = _sensor(np.asarray(k)[None], size, "AUTO")
    lens = blender_lens(k, *size, sensor_width=sensor[0], sensor_height=sensor[1])
    data = bpy.data.cameras.new(scene.name)
    data.sensor_fit, (data.sensor_width, data.sensor_height) = "AUTO", sensor
    data.lens, data.shift_x, data.shift_y = lens.lens, lens.shift_x, lens.shift_y
    data.clip_start, data.clip_end = 0.01, 10_000.0
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = lens.pixel_aspect
    camera = bpy.data.objects.new(scene.name, data)
    camera.matrix_world = Matrix(np.linalg.inv(extrinsics) @ OPENGL_TO_OPENCV)
    scene.collection.objects.link(camera)
    scene.camera = camera
    return camera


def require_perspective(camera: Object) -> Camera:
    """The camera's data.

    Raises:
        ValueError: the object is not a perspective camera.
    """
    data = camera.data
    if not isinstance(data, Camera) or data.type != "PERSP":
        raise ValueError(f'"{camera.name}" is not a perspective camera: set its lens type to Perspective')
    return data


def _sensor(intrinsics: NDArray[np.floating], size: tuple[int, int], sensor_fit: SensorFit) -> tuple[float, float]:
    """A sensor (width, height) in mm, of full frame unless a very wide view would need a lens below Blender's 1 mm."""
    shortest = min(blender_lens(k, *size, sensor_fit).lens for k in intrinsics)
    scale = max(1.0, 1.01 / shortest)
    return 36.0 * scale, 24.0 * scale


def _set_scene(scene: Scene, trajectory: CameraTrajectory, start_frame: int, aspect: tuple[float, float]) -> None:
    render = scene.render
    render.resolution_x, render.resolution_y = trajectory.width, trajectory.height
    render.resolution_percentage = 100
    render.pixel_aspect_x, render.pixel_aspect_y = aspect
    render.fps = max(1, round(trajectory.fps))
    render.fps_base = render.fps / trajectory.fps
    scene.frame_start, scene.frame_end = start_frame, start_frame + len(trajectory) - 1


def _key_if_it_changes(
    data: Camera, prop: str, times: NDArray[np.float64], values: NDArray[np.float64], action: bpy.types.Action
) -> None:
    setattr(data, prop, values[0])
    if np.ptp(values) > 1e-7 * max(1.0, float(np.abs(values).max())):
        write_keys(compat.channels(data, action), prop, times, values, "Lens")


def _along_arcs(
    times: NDArray[np.float64], turns: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Adds keys on the arcs between sign-continuous quaternions (T, 4) that a straight line would leave too far."""
    out_times, out_turns = [times[:1]], [turns[:1]]
    for i in range(len(turns) - 1):
        fractions = np.arange(1, _pieces(turns[i], turns[i + 1]) + 1) / _pieces(turns[i], turns[i + 1])
        out_times.append(times[i] + fractions * (times[i + 1] - times[i]))
        out_turns.append(slerp(turns[i], turns[i + 1], fractions))
    return np.concatenate(out_times), sign_continuous(np.concatenate(out_turns))


def _pieces(a: NDArray[np.float64], b: NDArray[np.float64]) -> int:
    """Into how many equal pieces an arc must be cut so that straight lines stay within `ARC_TOLERANCE` of it.

    A straight line between quaternions an angle w apart (half the rotation's) leaves the arc by at most
    w^3 / (18 sqrt 3) in rotation to leading order: it runs ahead in one half and behind in the other.
    """
    half = np.arccos(min(1.0, abs(float(a @ b))))
    return max(1, int(np.ceil(half / (ARC_TOLERANCE * 18 * np.sqrt(3)) ** (1 / 3))))
