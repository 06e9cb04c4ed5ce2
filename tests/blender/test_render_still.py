"""Pictures of scenes of our own, while threads are at work as those of the link are."""

import bpy
import numpy as np
import pytest

SIZE = WIDTH, HEIGHT = 64, 16
PER_FRAME, ACROSS = 0.1, 6.0
"""Metres that a square moves a frame, and that the camera sees across."""


def place(frame):
    """Where the square is at a frame, in metres to the right of the middle."""
    return PER_FRAME * (frame - 13)


@pytest.fixture
def aside(scene):
    """A scene beside the current one, in which a square moves to the right under an orthographic camera."""
    other = bpy.data.scenes.new(".beside")
    eye = bpy.data.objects.new("Eye", bpy.data.cameras.new("Eye"))
    eye.data.type, eye.data.ortho_scale, eye.location = "ORTHO", ACROSS, (0, 0, 5)
    mesh = bpy.data.meshes.new("Square")
    mesh.from_pydata([(-0.5, -0.5, 0), (0.5, -0.5, 0), (0.5, 0.5, 0), (-0.5, 0.5, 0)], [], [(0, 1, 2, 3)])
    square = bpy.data.objects.new("Square", mesh)
    for obj in (eye, square):
        other.collection.objects.link(obj)
    other.camera = eye
    for frame in range(1, 26):
        square.location.x = place(frame)
        square.keyframe_insert("location", index=0, frame=frame)
    render = other.render
    render.engine, other.cycles.samples = "CYCLES", 1
    render.resolution_x, render.resolution_y = SIZE
    render.film_transparent, render.use_sequencer, render.use_compositing = True, False, False
    render.threads_mode, render.threads = "FIXED", 1
    render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGBA"
    return other


def middle(path):
    """Where a picture shows the square."""
    from blender_addon.scene.pixels import image_rgba

    image = bpy.data.images.load(str(path), check_existing=False)
    try:
        across = (image_rgba(image)[..., 3] > 127).any(0)
    finally:
        bpy.data.images.remove(image)
    return ((np.nonzero(across)[0] + 0.5).mean() / WIDTH - 0.5) * ACROSS


def test_each_picture_is_of_its_own_frame_while_threads_work(scene, aside, busy, tmp_path):
    from blender_addon.render.still import render_still

    scene.frame_current = 3
    before = len(bpy.app.handlers.render_pre)
    for turn in range(12):
        frame = turn * 7 % 25 + 1
        aside.frame_set(frame)
        render_still(aside, tmp_path / "picture.png")
        assert middle(tmp_path / "picture.png") == pytest.approx(place(frame), abs=ACROSS / WIDTH)
    assert (bpy.context.scene, scene.frame_current) == (scene, 3)
    assert len(bpy.app.handlers.render_pre) == before
