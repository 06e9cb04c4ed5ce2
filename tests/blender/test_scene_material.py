"""The texture comes back exactly as it was given, also after saving and opening the file."""

import bpy
import numpy as np
import pytest

from blender_addon.scene.body import create_body
from blender_addon.scene.material import get_texture, set_texture, texture_image


def noise(size, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (size, size, channels)).astype(np.uint8)


@pytest.mark.parametrize("channels", [3, 4])
def test_pixels_come_back_exactly(scene, model, betas, channels):
    obj = create_body(scene, model, betas)
    pixels = noise(64, channels)
    image = set_texture(obj, pixels)
    back = get_texture(obj)
    assert np.array_equal(back[..., :channels], pixels)
    if channels == 3:
        assert (back[..., 3] == 255).all()
    bigger = noise(128, channels, 1)
    assert set_texture(obj, bigger) == texture_image(obj) != image
    assert np.array_equal(get_texture(obj)[..., :channels], bigger)


def test_a_texture_in_floats_is_read_as_the_colours_that_it_shows(scene, model, betas):
    obj = create_body(scene, model, betas)
    linear = bpy.data.images.new("painted", 4, 4, float_buffer=True)
    linear.pixels = (0.2159, 0.2159, 0.2159, 1) * 16
    node = next(n for n in obj.data.materials[0].node_tree.nodes if n.type == "TEX_IMAGE")
    node.image = linear
    assert get_texture(obj)[0, 0].tolist() == [128, 128, 128, 255]


def test_the_texture_is_in_the_saved_file(scene, model, betas, tmp_path):
    obj = create_body(scene, model, betas, "Someone")
    pixels = noise(64, 4)
    set_texture(obj, noise(64, 4, 3))
    set_texture(obj, pixels)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "body.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "body.blend"))
    assert np.array_equal(get_texture(bpy.data.objects["Someone"]), pixels)


def test_the_top_row_of_the_array_is_the_top_of_the_image(scene, model, betas):
    obj = create_body(scene, model, betas)
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[0, :, 0] = 255
    image = set_texture(obj, pixels)
    red = list(image.pixels)[::4]
    assert red[:8] == [0.0] * 8  # Blender's first row is the bottom one
    assert red[-8:] == [1.0] * 8


def test_a_replaced_material_is_noticed_and_set_texture_brings_the_plain_one_back(scene, model, betas):
    obj = create_body(scene, model, betas)
    other = bpy.data.materials.new("Glass")
    obj.data.materials[0] = other
    assert texture_image(obj) is None
    with pytest.raises(ValueError, match="no plain texture"):
        get_texture(obj)
    pixels = noise(16, 3)
    set_texture(obj, pixels)
    assert np.array_equal(get_texture(obj)[..., :3], pixels)


@pytest.mark.parametrize("shape", [(8, 9, 3), (8, 8), (8, 8, 2)])
def test_what_is_no_texture_is_refused(scene, model, betas, shape):
    obj = create_body(scene, model, betas)
    with pytest.raises(ValueError, match="square image"):
        set_texture(obj, np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="square image"):
        set_texture(obj, np.zeros((8, 8, 3), np.float32))
