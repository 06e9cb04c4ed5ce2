"""The viewport's preview, drawn offscreen where Blender can do that without a window (from 5.2 on)."""

from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

SIZE = 96


@pytest.fixture
def figure(scene, addon, model):
    """A body that wears noise, and a camera."""
    from blender_addon import api
    from blender_addon.scene.material import set_texture

    body = api.create_body(scene)
    y, x = np.mgrid[:64, :64] * 4
    texture = np.dstack([x, y, 255 - x, np.full_like(x, 255)]).astype(np.uint8)
    set_texture(body, texture)
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    camera.location, camera.rotation_euler = (0, -3.2, 0), (np.pi / 2, 0, 0)
    scene.camera = camera
    scene.render.resolution_x = scene.render.resolution_y = SIZE
    return scene


def test_an_evaluated_mesh_as_triangles(figure):
    from blender_addon.engine.preview import triangulated

    mesh = figure.understudy.body.data
    positions, uv, triangles = triangulated(mesh)
    loop = len(mesh.loops) // 3
    vertex = mesh.loops[loop].vertex_index
    np.testing.assert_allclose(positions[loop], mesh.vertices[vertex].co, atol=1e-6)
    np.testing.assert_allclose(uv[loop], mesh.uv_layers.active.uv[loop].vector, atol=1e-6)
    area = np.linalg.norm(np.cross(*(positions[triangles[:, i]] - positions[triangles[:, 0]] for i in (1, 2))), axis=1)
    assert area.sum() / 2 == pytest.approx(sum(triangle.area for triangle in mesh.loop_triangles), rel=1e-4)


def test_the_viewport_shows_the_intermediate_frame(figure):
    """Against Cycles' render of the body, which is what the backend is given."""
    import gpu

    if not hasattr(gpu, "init"):
        pytest.skip("this Blender draws nothing without a window")
    try:
        gpu.init()
    except (RuntimeError, SystemError) as error:
        pytest.skip(f"no way to draw here: {error}")
    from blender_addon.engine.preview import Preview
    from blender_addon.render.passes import render_passes

    body, camera = figure.understudy.body, figure.camera
    depsgraph = bpy.context.evaluated_depsgraph_get()
    preview = Preview()
    preview.read(figure, depsgraph)
    projection = camera.calc_matrix_camera(depsgraph, x=SIZE, y=SIZE)
    offscreen = gpu.types.GPUOffScreen(SIZE, SIZE)
    with offscreen.bind():
        framebuffer = gpu.state.active_framebuffer_get()
        framebuffer.clear(color=(0, 0, 0, 0), depth=1.0)
        preview.draw(projection @ camera.matrix_world.inverted())
        pixels = framebuffer.read_color(0, 0, SIZE, SIZE, 4, 0, "UBYTE")
        pixels.dimensions = SIZE * SIZE * 4
        shown = np.array(pixels, np.uint8).reshape(SIZE, SIZE, 4)[::-1]
    offscreen.free()
    frame = render_passes(figure, body, camera, 1, (SIZE, SIZE), samples=1)
    mask, colour = frame.channels["mask"] > 0, frame.channels["rgba"][..., :3]
    drawn = shown[..., 3] > 0
    assert mask.sum() > 500 and (mask != drawn).sum() < 0.02 * mask.sum()
    both = mask & drawn
    assert np.abs(shown[both][:, :3].astype(int) - colour[both]).mean() < 3


def test_without_a_body_nothing_is_drawn(figure):
    from blender_addon.engine.preview import Preview

    figure.understudy.body = None
    preview = Preview()
    preview.read(figure, bpy.context.evaluated_depsgraph_get())
    preview.draw(figure.camera.matrix_world)
