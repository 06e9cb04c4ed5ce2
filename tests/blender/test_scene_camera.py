"""Cameras through Blender against the file's own matrices, and between frames against slerp."""

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
from understudy_shared.camera import OPENGL_TO_OPENCV, CameraTrajectory, project
from understudy_shared.camera_paths import orbit
from understudy_shared.rotations import quaternion_from_matrix, slerp

from blender_addon.scene import compat
from blender_addon.scene.camera import import_camera, read_camera

POINTS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.4, 0.3) for z in (0.1, 0.9, 1.7)])


def shot(width=640, height=360, aspect=1.0, shift=(0.0, 0.0), zoom=1.0, frames=24, fps=24.0, degrees=360.0):
    base = orbit(frames=frames, size=(width, height), fps=fps, degrees=degrees, sway=0.4)
    k = base.intrinsics.copy()
    k[:, 0, 0] *= aspect * np.linspace(1, zoom, frames)
    k[:, 1, 1] *= np.linspace(1, zoom, frames)
    k[:, 0, 2] += shift[0] * width * np.linspace(1, 0.5, frames)
    k[:, 1, 2] += shift[1] * height
    return CameraTrajectory(base.extrinsics, k, width, height, fps)


def blender_pixels(scene, camera, points):
    """Through Blender's window matrix at the scene's current frame, in float64."""
    render = scene.render
    window = camera.calc_matrix_camera(
        bpy.context.evaluated_depsgraph_get(),
        x=render.resolution_x,
        y=render.resolution_y,
        scale_x=render.pixel_aspect_x,
        scale_y=render.pixel_aspect_y,
    )
    view = np.linalg.inv(np.array(camera.matrix_world, np.float64))
    clip = np.c_[points, np.ones(len(points))] @ (np.array(window, np.float64) @ view).T
    ndc = clip[:, :2] / clip[:, 3:]
    return np.c_[(ndc[:, 0] + 1) * render.resolution_x / 2, (1 - ndc[:, 1]) * render.resolution_y / 2]


@pytest.mark.parametrize("fit", ["AUTO", "HORIZONTAL", "VERTICAL"])
@pytest.mark.parametrize("size", [(640, 360), (360, 640), (512, 512)])
@pytest.mark.parametrize(
    ("aspect", "shift", "zoom"), [(1.0, (0, 0), 1.0), (1.3, (0.2, -0.1), 2.0), (0.7, (-0.3, 0.4), 0.5)]
)
def test_projection_agrees_with_the_files_matrices_on_every_frame(scene, fit, size, aspect, shift, zoom):
    file = shot(*size, aspect, shift, zoom)
    camera = import_camera(scene, file, 5, sensor_fit=fit)
    assert (scene.frame_start, scene.frame_end) == (5, 28)
    for t in range(len(file)):
        scene.frame_set(5 + t)
        wanted, _ = project(POINTS, file.extrinsics[t], file.intrinsics[t])
        np.testing.assert_allclose(blender_pixels(scene, camera, POINTS), wanted, atol=1e-3)


def test_blenders_own_helper_agrees(scene):
    file = shot(shift=(0.1, 0.2))
    camera = import_camera(scene, file, 1)
    scene.frame_set(9)
    for point in POINTS:
        x, y, _ = world_to_camera_view(scene, camera, Vector(point))
        wanted, _ = project(point[None], file.extrinsics[8], file.intrinsics[8])
        np.testing.assert_allclose([x * file.width, (1 - y) * file.height], wanted[0], atol=0.01)


@pytest.mark.parametrize("degrees", [360.0, -720.0, 8000.0])
def test_between_frames_the_orientation_follows_the_arc(scene, degrees):
    """Steps of 15, 30 and over 300 degrees (the short way round)."""
    file = shot(degrees=degrees)
    camera = import_camera(scene, file, 1)
    camera.rotation_mode = "QUATERNION"
    turns = quaternion_from_matrix((file.camera_to_world @ OPENGL_TO_OPENCV)[:, :3, :3])
    worst = 0.0
    for t in range(len(file) - 1):
        for part in (0.1, 0.25, 0.5, 0.75):
            scene.frame_set(1 + t, subframe=part)
            shown = quaternion_from_matrix(np.array(camera.matrix_world.to_3x3(), np.float64))
            wanted = slerp(turns[t], turns[t + 1], part)
            worst = max(worst, 2 * np.arccos(min(1.0, abs(float(shown @ wanted)))))
    assert worst < 1e-3


def test_keys_between_frames_come_only_where_a_step_is_large(scene):
    few = import_camera(scene, shot(frames=72), 1)
    many = import_camera(scene, shot(frames=6), 1)

    def keys(camera):
        return {len(c.keyframe_points) for c in compat.fcurves(camera) if c.data_path == "rotation_quaternion"}

    assert keys(few) == {72}
    assert min(keys(many)) > 6


@pytest.mark.parametrize(
    ("fps", "whole", "base"), [(24.0, 24, 1.0), (29.97, 30, 30 / 29.97), (23.976, 24, 24 / 23.976)]
)
def test_the_scene_takes_the_frame_rate(scene, fps, whole, base):
    import_camera(scene, shot(fps=fps), 1)
    assert scene.render.fps == whole
    assert scene.render.fps_base == pytest.approx(base, rel=1e-6)


def test_without_set_scene_the_samples_keep_their_time_and_the_scene_its_settings(scene):
    before = (scene.render.resolution_x, scene.render.fps, scene.frame_end, scene.camera)
    file = shot(fps=48.0)
    camera = import_camera(scene, file, 1, set_scene=False)
    assert before == (scene.render.resolution_x, scene.render.fps, scene.frame_end, scene.camera)
    scene.frame_set(6)  # five frames at 24 are ten samples at 48
    np.testing.assert_allclose(camera.matrix_world.translation, file.camera_to_world[10, :3, 3], atol=1e-5)


def test_reading_gives_what_was_imported(scene):
    file = shot(aspect=1.2, shift=(0.1, -0.2), zoom=1.5)
    camera = import_camera(scene, file, 3)
    scene.frame_set(11)
    back = read_camera(camera, scene, range(3, 27))
    np.testing.assert_allclose(back.extrinsics, file.extrinsics, atol=2e-6)
    np.testing.assert_allclose(back.intrinsics, file.intrinsics, rtol=1e-5, atol=2e-4)
    assert (back.width, back.height, back.fps) == (640, 360, 24.0)
    assert scene.frame_current == 11
    half = read_camera(camera, scene, [3], (320, 180))
    np.testing.assert_allclose(half.intrinsics[0, :2], file.intrinsics[0, :2] / 2, atol=2e-4)


def test_reading_sees_parents_and_constraints(scene):
    target = bpy.data.objects.new("Target", None)
    target.location = (0.3, 0.2, 1.0)
    parent = bpy.data.objects.new("Dolly", None)
    parent.location, parent.scale = (0, -4, 1.5), (2, 2, 2)
    camera = bpy.data.objects.new("Mine", bpy.data.cameras.new("Mine"))
    camera.parent = parent
    for obj in (target, parent, camera):
        scene.collection.objects.link(obj)
    track = camera.constraints.new("TRACK_TO")
    track.target, track.track_axis, track.up_axis = target, "TRACK_NEGATIVE_Z", "UP_Y"
    view = read_camera(camera, scene, [1], (200, 100))
    pixels, depth = project(np.array([target.location]), view.extrinsics[0], view.intrinsics[0])
    np.testing.assert_allclose(pixels[0], [100, 50], atol=1e-3)
    assert depth[0] == pytest.approx(np.linalg.norm(np.array(target.location) - parent.location), abs=1e-5)


def test_a_very_wide_lens_is_not_cut_at_blenders_smallest(scene):
    file = shot()
    k = file.intrinsics.copy()
    k[:, 0, 0] = k[:, 1, 1] = 8.0
    wide = CameraTrajectory(file.extrinsics, k, file.width, file.height)
    camera = import_camera(scene, wide, 1)
    np.testing.assert_allclose(read_camera(camera, scene, [1]).intrinsics[0], k[0], atol=1e-3)


def test_what_blender_cannot_show_is_refused(scene):
    file = shot()
    changing = file.intrinsics.copy()
    changing[:, 0, 0] *= np.linspace(1, 1.1, len(file))
    with pytest.raises(ValueError, match="pixel aspect changes"):
        import_camera(scene, CameraTrajectory(file.extrinsics, changing, 640, 360), 1)
    flat = import_camera(scene, file, 1)
    flat.data.type = "ORTHO"
    with pytest.raises(ValueError, match="not a perspective camera"):
        read_camera(flat, scene, [1])
