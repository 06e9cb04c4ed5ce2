"""Our lens formulas against the projection matrix of Blender's own camera."""

import bpy
import numpy as np
import pytest
from understudy_shared.camera import OPENGL_TO_OPENCV, blender_lens, intrinsics_from_blender, project
from understudy_shared.camera_paths import look_at

FITS = ("AUTO", "HORIZONTAL", "VERTICAL")
CLOSE = 1e-3  # px


@pytest.fixture
def camera():
    data = bpy.data.cameras.new("probe")
    thing = bpy.data.objects.new("probe", data)
    bpy.context.scene.collection.objects.link(thing)
    render = bpy.context.scene.render
    before = (render.resolution_x, render.resolution_y, render.resolution_percentage)
    aspects = (render.pixel_aspect_x, render.pixel_aspect_y)
    yield thing
    render.resolution_x, render.resolution_y, render.resolution_percentage = before
    render.pixel_aspect_x, render.pixel_aspect_y = aspects
    bpy.data.objects.remove(thing)
    bpy.data.cameras.remove(data)


def blender_pixels(thing, points, width, height):
    """Where Blender's window matrix puts points (N, 3) given in camera space, OpenCV axes."""
    render = bpy.context.scene.render
    matrix = thing.calc_matrix_camera(
        bpy.context.evaluated_depsgraph_get(),
        x=width,
        y=height,
        scale_x=render.pixel_aspect_x,
        scale_y=render.pixel_aspect_y,
    )
    points = np.c_[points, np.ones(len(points))] @ OPENGL_TO_OPENCV
    clip = points @ np.array(matrix, np.float64).T
    ndc = clip[:, :2] / clip[:, 3:]
    return np.stack([(ndc[:, 0] + 1) / 2 * width, (1 - ndc[:, 1]) / 2 * height], -1)


def random_k(rng, width, height, oblong):
    focal = rng.uniform(0.5, 3) * max(width, height)
    fy = focal * (rng.uniform(0.4, 2.5) if oblong else 1)
    return np.array([[focal, 0, rng.uniform(-0.2, 1.2) * width], [0, fy, rng.uniform(-0.2, 1.2) * height], [0, 0, 1]])


def visible_points(rng, k, width, height):
    pixels = np.stack([rng.uniform(0, width, 20), rng.uniform(0, height, 20), np.ones(20)], -1)
    return (pixels @ np.linalg.inv(k).T) * rng.uniform(1, 9, (20, 1))


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("oblong", [False, True])
def test_blender_projects_as_k(camera, fit, oblong):
    rng = np.random.default_rng(FITS.index(fit))
    render = bpy.context.scene.render
    for _ in range(60):
        width, height = (int(n) for n in rng.integers(64, 2048, 2))
        sensor = rng.uniform(5, 60, 2)
        k = random_k(rng, width, height, oblong)
        lens = blender_lens(k, width, height, fit, sensor_width=sensor[0], sensor_height=sensor[1])
        camera.data.sensor_fit, (camera.data.sensor_width, camera.data.sensor_height) = fit, sensor
        camera.data.lens, camera.data.shift_x, camera.data.shift_y = lens.lens, lens.shift_x, lens.shift_y
        render.pixel_aspect_x, render.pixel_aspect_y = lens.pixel_aspect
        points = visible_points(rng, k, width, height)
        expected, _ = project(points, np.eye(4), k)
        assert np.abs(blender_pixels(camera, points, width, height) - expected).max() < CLOSE


@pytest.mark.parametrize("fit", FITS)
def test_k_of_any_blender_camera(camera, fit):
    rng = np.random.default_rng(10 + FITS.index(fit))
    render, data = bpy.context.scene.render, camera.data
    for _ in range(60):
        width, height = (int(n) for n in rng.integers(64, 2048, 2))
        data.sensor_fit, data.lens = fit, rng.uniform(10, 200)
        data.sensor_width, data.sensor_height = rng.uniform(5, 60, 2)
        data.shift_x, data.shift_y = rng.uniform(-0.5, 0.5, 2)
        render.pixel_aspect_x, render.pixel_aspect_y = rng.uniform(1, 2.5, 2)
        k = intrinsics_from_blender(
            data.lens,
            width,
            height,
            fit,
            sensor_width=data.sensor_width,
            sensor_height=data.sensor_height,
            shift_x=data.shift_x,
            shift_y=data.shift_y,
            pixel_aspect=(render.pixel_aspect_x, render.pixel_aspect_y),
        )
        points = visible_points(rng, k, width, height)
        expected, _ = project(points, np.eye(4), k)
        assert np.abs(blender_pixels(camera, points, width, height) - expected).max() < CLOSE


def test_world_pose_reaches_blender(camera):
    """A camera placed with our extrinsics sees world points where our own projection puts them."""
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Matrix, Vector

    width, height = 640, 480
    extrinsics = look_at((2.0, -3.0, 1.7), (0.1, 0.2, 0.9))
    k = np.array([[700.0, 0, 300], [0, 700, 260], [0, 0, 1]])
    lens = blender_lens(k, width, height)
    camera.data.lens, camera.data.shift_x, camera.data.shift_y = lens.lens, lens.shift_x, lens.shift_y
    camera.matrix_world = Matrix((np.linalg.inv(extrinsics) @ OPENGL_TO_OPENCV).tolist())
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = width, height, 100
    scene.render.pixel_aspect_x = scene.render.pixel_aspect_y = 1
    bpy.context.view_layer.update()
    points = np.random.default_rng(3).uniform(-0.5, 1.5, (20, 3))
    expected, _ = project(points, extrinsics, k)
    seen = np.array([world_to_camera_view(scene, camera, Vector(p.tolist())) for p in points])
    assert np.abs(seen[:, :2] * [width, -height] + [0, height] - expected).max() < CLOSE
