"""Stored PNG against Blender's own reader, and colours against the sRGB standard."""

from __future__ import annotations

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")


@pytest.mark.parametrize("level", [0, 1])
def test_blender_reads_back_every_byte(tmp_path, level):
    from blender_addon.link import png

    pixels = np.random.default_rng(0).integers(0, 256, (37, 53, 4), dtype=np.uint8)
    path = tmp_path / "x.png"
    png.write_atomically(path, png.encode(pixels, level))
    image = bpy.data.images.load(str(path))
    assert image.file_format == "PNG" and image.depth == 32
    flat = np.empty(pixels.size, np.float32)
    image.pixels.foreach_get(flat)
    got = np.rint(flat * 255).astype(np.uint8).reshape(pixels.shape)[::-1]
    bpy.data.images.remove(image)
    np.testing.assert_array_equal(got, pixels)
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_linear_floats_become_srgb_bytes():
    from blender_addon.link import png

    linear = np.array([[[0.0, 0.0031308, 0.2159, 0.5], [1.0, 2.0, -1.0, 1.0]]], np.float16)
    # sRGB of 0.2159 is 128 of 255 (IEC 61966-2-1)
    assert png.to_bytes(linear).tolist() == [[[0, 10, 128, 128], [255, 255, 0, 255]]]
    hidden = np.array([[[1, 2, 3, 0], [1, 2, 3, 1]], [[0, 0, 0, 255], [255, 255, 255, 0]]], np.uint8)
    assert png.to_bytes(hidden).tolist() == [[[0, 0, 0, 0], [1, 2, 3, 1]], [[0, 0, 0, 255], [0, 0, 0, 0]]]


def test_refuses_what_is_no_picture():
    from blender_addon.link import png

    for bad in (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 4), np.float32), np.zeros((0, 4, 4), np.uint8)):
        with pytest.raises(ValueError, match="needs"):
            png.encode(bad)


def test_a_failed_write_leaves_no_half_file(tmp_path):
    from blender_addon.link import png

    (tmp_path / "x.png").mkdir()  # cannot be replaced by a file
    with pytest.raises(OSError):
        png.write_atomically(tmp_path / "x.png", b"1234")
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_images_travel_top_row_first_and_as_srgb(scene):
    from blender_addon.scene.pixels import image_mask, image_rgba, mask_image

    image = bpy.data.images.new("p", 2, 3, alpha=True)
    values = np.zeros((3, 2, 4), np.float32)
    values[2, 0] = (1, 0.5, 0, 1)  # Blender's top row
    image.pixels.foreach_set(values.reshape(-1))
    got = image_rgba(image)
    assert got.shape == (3, 2, 4) and got[0, 0].tolist() == [255, 128, 0, 255]
    linear = bpy.data.images.new("f", 1, 1, float_buffer=True)
    linear.pixels = (0.2159, 0.2159, 0.2159, 1)
    assert image_rgba(linear)[0, 0].tolist() == [128, 128, 128, 255]
    mask = np.random.default_rng(1).integers(0, 256, (5, 4), dtype=np.uint8)
    np.testing.assert_array_equal(image_mask(mask_image("m", mask)), mask)
    np.testing.assert_array_equal(image_mask(mask_image("m", (mask / 255).astype(np.float32))), mask)
