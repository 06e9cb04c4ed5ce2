# SPDX-License-Identifier: GPL-3.0-or-later
"""A camera trajectory as a keyframed Blender camera, and any Blender camera back as a trajectory.

How keys are written is in `camera_keys`, what a file said to more digits than Blender holds in `camera_source`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import bpy
import numpy as np
from bpy.types import Camera, Object, Scene
from mathutils import Matrix
from numpy.typing import NDArray
from understudy_shared.camera import (
    OPENGL_TO_OPENCV,
    BlenderLens,
    CameraTrajectory,
    SensorFit,
    blender_lens,
    intrinsics_from_blender,
)

from . import camera_source
from .camera_keys import drop_if_empty, key_lens, key_poses
from .evaluation import at_frame, scene_aside


def import_camera(
    scene: Scene,
    trajectory: CameraTrajectory,
    start_frame: int,
    name: str = "Camera",
    set_scene: bool = True,
    *,
    sensor_fit: SensorFit = "AUTO",
    parent: Object | None = None,
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
        parent: an object whose own space the trajectory's world is: the shot moves, turns and scales with it.

    Raises:
        ValueError: K is skewed, or its pixel aspect changes during the shot: a scene has only one.
    """
    sensor, lens = _lenses(trajectory, sensor_fit)
    if set_scene:
        _set_scene(scene, trajectory, start_frame, lens[0].pixel_aspect)
    fps = scene.render.fps / scene.render.fps_base
    camera = new_camera(scene, name, sensor, sensor_fit)
    camera.parent = parent
    if set_scene:
        scene.camera = camera
    step = fps / trajectory.fps
    times = start_frame + np.arange(len(trajectory)) * step
    action = bpy.data.actions.new(name)
    key_poses(camera, action, times, trajectory.camera_to_world @ OPENGL_TO_OPENCV)
    lenses = {prop: np.array([getattr(each, prop) for each in lens]) for prop in ("lens", "shift_x", "shift_y")}
    key_lens(camera.data, action, times, lenses)
    drop_if_empty(action)
    camera_source.remember(camera, trajectory, start_frame, step)
    return camera


def import_camera_set(
    scene: Scene, trajectory: CameraTrajectory, name: str, set_scene: bool = True, *, parent: Object | None = None
) -> list[Object]:
    """One camera without animation for each sample, in a collection `name` of their own; see `import_camera`.

    With `set_scene`, resolution and pixel aspect become the trajectory's; rate and range of the scene stay.
    """
    _lenses(trajectory, "AUTO")  # of one pixel aspect, or no camera is made
    first, last, rate = scene.frame_start, scene.frame_end, (scene.render.fps, scene.render.fps_base)
    collection = bpy.data.collections.new(name)
    scene.collection.children.link(collection)
    cameras = []
    for t in range(len(trajectory)):
        one = replace(
            trajectory, extrinsics=trajectory.extrinsics[t : t + 1], intrinsics=trajectory.intrinsics[t : t + 1]
        )
        camera = import_camera(scene, one, first, f"{name} {t + 1:03}", set_scene, parent=parent)
        scene.collection.objects.unlink(camera)
        collection.objects.link(camera)
        cameras.append(camera)
    scene.frame_start, scene.frame_end = first, last
    scene.render.fps, scene.render.fps_base = rate
    if set_scene:
        scene.camera = cameras[0]
    return cameras


def new_camera(
    scene: Scene, name: str, sensor: tuple[float, float] = (36.0, 24.0), sensor_fit: SensorFit = "AUTO"
) -> Object:
    """A camera in `scene`, with room between its clip ends for anything from a face to a city."""
    data = bpy.data.cameras.new(name)
    data.sensor_fit, (data.sensor_width, data.sensor_height) = sensor_fit, sensor
    data.clip_start, data.clip_end = 0.01, 10_000.0
    camera = bpy.data.objects.new(name, data)
    scene.collection.objects.link(camera)
    return camera


def read_camera(
    camera: Object,
    scene: Scene,
    frames: Sequence[float],
    size: tuple[int, int] | None = None,
    *,
    relative_to: Object | None = None,
) -> CameraTrajectory:
    """Blender's camera as matrices at scene frames, with constraints, parents and drivers.

    Args:
        camera: a perspective camera.
        scene: gives pixel aspect and frame rate; its current frame is not touched.
        frames: scene frames, whole or not, at least one.
        size: (width, height) in pixels of the picture, as if it were the scene's resolution; by default it is.
        relative_to: an object in whose own space the poses are given, instead of the world's.

    Raises:
        ValueError: the object is not a perspective camera, or `relative_to` is mirrored or scaled to nothing.
    """
    require_perspective(camera)
    render = scene.render
    width, height = size or picture_size(scene)
    extrinsics, intrinsics = np.empty((len(frames), 4, 4)), np.empty((len(frames), 3, 3))
    with scene_aside(scene, [camera] if relative_to is None else [camera, relative_to]) as aside:
        for t, frame in enumerate(frames):
            depsgraph = at_frame(aside, frame)
            extrinsics[t], intrinsics[t] = camera_matrices(camera, depsgraph, scene, (width, height))
            if relative_to is not None:
                extrinsics[t] = _within(extrinsics[t], relative_to, depsgraph)
    return CameraTrajectory(extrinsics, intrinsics, width, height, render.fps / render.fps_base)


def picture_size(scene: Scene) -> tuple[int, int]:
    """(width, height) in pixels of the pictures that `scene` renders."""
    render = scene.render
    percentage = render.resolution_percentage
    return max(1, render.resolution_x * percentage // 100), max(1, render.resolution_y * percentage // 100)


def camera_matrices(
    camera: Object, depsgraph: bpy.types.Depsgraph, scene: Scene, size: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """World-to-camera (4, 4), OpenCV axes, and K (3, 3) in pixels of `size`, of a camera evaluated in `depsgraph`."""
    evaluated = camera.evaluated_get(depsgraph)
    width, height = size
    render = scene.render
    data: Camera = evaluated.data
    # from the settings, in double precision: Blender's own matrix is their product in single precision
    k = intrinsics_from_blender(
        data.lens,
        width,
        height,
        data.sensor_fit,
        sensor_width=data.sensor_width,
        sensor_height=data.sensor_height,
        shift_x=data.shift_x,
        shift_y=data.shift_y,
        pixel_aspect=(render.pixel_aspect_x, render.pixel_aspect_y),
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


def _lenses(trajectory: CameraTrajectory, sensor_fit: SensorFit) -> tuple[tuple[float, float], list[BlenderLens]]:
    """A sensor (width, height) in mm for all samples, and the lens of each.

    Raises:
        ValueError: K is skewed, or its pixel aspect changes.
    """
    size = trajectory.width, trajectory.height
    width, height = _sensor(trajectory.intrinsics, size, sensor_fit)
    lens = [blender_lens(k, *size, sensor_fit, sensor_width=width, sensor_height=height) for k in trajectory.intrinsics]
    aspects = np.array([each.pixel_aspect for each in lens])
    if np.ptp(aspects, axis=0).max() * max(size) > 1e-3:  # pixels at the border
        raise ValueError("the pixel aspect changes during the shot, which Blender cannot show: make fx / fy constant")
    return (width, height), lens


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


def _within(extrinsics: NDArray[np.float64], relative_to: Object, depsgraph: bpy.types.Depsgraph) -> NDArray:
    """World to camera, as seen from the space of an object: its scale changes where the camera is, never its shape."""
    space = np.array(relative_to.evaluated_get(depsgraph).matrix_world, np.float64)
    if np.linalg.det(space[:3, :3]) < 1e-12:
        raise ValueError(f'"{relative_to.name}" is mirrored or scaled to nothing: choose another object')
    pose = np.linalg.inv(space) @ np.linalg.inv(extrinsics)
    u, _, vt = np.linalg.svd(pose[:3, :3])
    pose[:3, :3] = u @ vt
    return np.linalg.inv(pose)
