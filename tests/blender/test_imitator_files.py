"""Photos from files: the way up, formats, sizes, and what is said of files that are none."""

import struct
import zlib

import bpy
import numpy as np
import pytest

from blender_addon.link import png
from blender_addon.scene import exif, photo_file
from blender_addon.scene.photo_file import NOTE, open_photo
from blender_addon.scene.pixels import image_mask, image_rgba, mask_image

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "grey": (128, 128, 128)}

SEEN = {  # EXIF 2.3, 4.6.4: where row 0 and column 0 of the file are to be seen; told as corners of a 2 x 2 picture
    1: ("red green", "blue grey"),
    2: ("green red", "grey blue"),
    3: ("grey blue", "green red"),
    4: ("blue grey", "red green"),
    5: ("red blue", "green grey"),
    6: ("blue red", "grey green"),
    7: ("grey green", "blue red"),
    8: ("green grey", "red blue"),
}


def quarters(height=96, width=64):
    out = np.full((height, width, 4), 255, np.uint8)
    top, left = slice(height // 2), slice(width // 2)
    bottom, right = slice(height // 2, None), slice(width // 2, None)
    for place, name in zip(((top, left), (top, right), (bottom, left), (bottom, right)), COLOURS, strict=True):
        out[(*place, slice(3))] = COLOURS[name]
    return out


def tag(value, order):
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, value, 0)
    return {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)


def as_jpeg(path, pixels, value, order=">"):
    """A JPEG of Blender's own, with an EXIF segment put behind its first marker."""
    image = bpy.data.images.new("made", pixels.shape[1], pixels.shape[0])
    image.pixels.foreach_set((pixels[::-1] / np.float32(255)).astype(np.float32).reshape(-1))
    image.file_format = "JPEG"
    image.save(filepath=str(path), quality=100)
    bpy.data.images.remove(image)
    data = path.read_bytes()
    body = b"Exif\0\0" + tag(value, order)
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:])
    return path


def as_webp(path, pixels, value):
    image = bpy.data.images.new("made", pixels.shape[1], pixels.shape[0])
    image.pixels.foreach_set((pixels[::-1] / np.float32(255)).astype(np.float32).reshape(-1))
    image.file_format = "WEBP"
    image.save(filepath=str(path), quality=100)
    bpy.data.images.remove(image)
    picture = path.read_bytes()[12:]
    size = struct.pack("<I", 10) + struct.pack("<I", 0b1000)  # this file has EXIF
    extended = b"VP8X" + size + b"".join(struct.pack("<I", n - 1)[:3] for n in (pixels.shape[1], pixels.shape[0]))
    extra = tag(value, "<")
    body = b"WEBP" + extended + picture + b"EXIF" + struct.pack("<I", len(extra)) + extra
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def as_png(path, pixels, value=None, depth=8):
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    data = pixels.astype(">u2" if depth == 16 else np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in data)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if value is not None:
        chunks.insert(2, (b"eXIf", tag(value, ">")))
    path.write_bytes(png.assemble(chunks))
    return path


def corners(image):
    pixels = image_rgba(image)[..., :3].astype(int)
    height, width = pixels.shape[:2]

    def name(y, x):
        return min(COLOURS, key=lambda n: np.abs(pixels[y, x] - COLOURS[n]).sum())

    rows, columns = (height // 4, 3 * height // 4), (width // 4, 3 * width // 4)
    return tuple(" ".join(name(y, x) for x in columns) for y in rows)


@pytest.mark.parametrize("value", range(1, 9))
def test_a_phones_photo_stands_upright(scene, tmp_path, value):
    image = open_photo(as_jpeg(tmp_path / "phone.jpg", quarters(), value))
    assert corners(image) == SEEN[value]
    assert tuple(image.size) == ((96, 64) if value >= 5 else (64, 96))
    assert (NOTE in image) == (value != 1)


@pytest.mark.parametrize("make", [as_jpeg, as_png, as_webp])
def test_the_tag_is_found_in_each_format(scene, tmp_path, make):
    path = make(tmp_path / "phone.file", quarters(), 6)
    assert exif.orientation(path) == 6
    assert corners(open_photo(path)) == SEEN[6]
    assert [image.name for image in bpy.data.images] == ["phone.file"]


def test_either_order_of_bytes(scene, tmp_path):
    assert exif.orientation(as_jpeg(tmp_path / "a.jpg", quarters(), 8, "<")) == 8
    assert exif.orientation(as_jpeg(tmp_path / "b.jpg", quarters(), 8, ">")) == 8


@pytest.mark.parametrize("cut", [3, 14, 22, 30, 40])
def test_a_damaged_tag_is_no_tag(scene, tmp_path, cut):
    path = as_jpeg(tmp_path / "a.jpg", quarters(), 6)
    path.write_bytes(path.read_bytes()[:cut])
    assert exif.orientation(path) in (1, 6)


def test_an_upright_copy_is_in_the_blend_and_is_made_once(scene, tmp_path):
    path = as_jpeg(tmp_path / "phone.jpg", quarters(), 6)
    image = open_photo(path)
    image.use_fake_user = True
    assert open_photo(path) == image and image.packed_file.size < 20_000
    before = image_rgba(image)
    path.unlink()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    np.testing.assert_array_equal(image_rgba(bpy.data.images["phone.jpg"]), before)


def test_the_photo_that_is_sent_is_the_photo_that_is_seen(scene, tmp_path):
    from blender_addon.link import photo_inputs

    class Photo:
        photo = open_photo(as_jpeg(tmp_path / "phone.jpg", quarters(), 6))

    sent = photo_inputs.pixels(Photo)
    assert sent.shape == (64, 96, 4)
    shown = np.reshape(Photo.photo.pixels[:], (64, 96, 4))[::-1]
    np.testing.assert_allclose(sent / 255, shown, atol=1 / 500)


def test_a_huge_photo_is_made_smaller_and_that_is_said(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(photo_file, "LONGEST", 64)
    stripes = np.full((128, 192, 3), 255, np.uint8)
    stripes[::2] = 0
    image = open_photo(as_png(tmp_path / "big.png", stripes))
    assert tuple(image.size) == (64, 43) and "smaller, to 64 x 43 from 192 x 128" in image[NOTE]
    assert abs(image_rgba(image)[5:-5, :, :3].astype(int) - 128).max() < 40  # each pixel is a mean of many, not one


def test_a_photo_of_sixteen_bits_with_alpha(scene, tmp_path):
    pixels = np.zeros((64, 64, 4), np.uint16)
    pixels[...] = (50_000, 20_000, 1_000, 30_000)
    got = image_rgba(open_photo(as_png(tmp_path / "deep.png", pixels, depth=16)))
    np.testing.assert_allclose(got[5, 5], np.array([50_000, 20_000, 1_000, 30_000]) / 257, atol=1)
    assert (got == got[0, 0]).all()


def test_grey_photos_and_photos_with_alpha(scene, tmp_path):
    grey = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
    got = image_rgba(open_photo(as_png(tmp_path / "grey.png", grey)))
    np.testing.assert_array_equal(got, np.dstack([grey, grey, grey, np.full_like(grey, 255)]))
    cut = np.dstack([grey, grey // 2, grey // 3, grey])
    np.testing.assert_array_equal(image_rgba(open_photo(as_png(tmp_path / "cut.png", cut))), cut)


def test_what_is_no_photo_is_told_in_a_sentence(scene, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    as_png(tmp_path / "tiny.png", quarters(20, 20))
    with pytest.raises(ValueError, match=r"text\.png is not a picture that Blender can read: save it as PNG or JPEG"):
        open_photo(tmp_path / "text.png")
    with pytest.raises(ValueError, match=r"phone\.heic is not a picture"):
        open_photo(tmp_path / "phone.heic")
    with pytest.raises(ValueError, match="only 20 x 20 pixels"):
        open_photo(tmp_path / "tiny.png")
    with pytest.raises(ValueError, match=r"nowhere\.png does not exist"):
        open_photo(tmp_path / "nowhere.png")
    assert not list(bpy.data.images)


def test_a_changed_file_is_read_again(scene, tmp_path):
    path = as_png(tmp_path / "a.png", np.zeros((64, 64, 3), np.uint8))
    first = open_photo(path)
    as_png(path, np.full((64, 64, 3), 99, np.uint8))
    assert open_photo(path) == first and image_rgba(first)[0, 0, 0] == 99


def test_a_mask_on_the_photo_keeps_its_values_and_the_photo(scene, tmp_path):
    rng = np.random.default_rng(0)
    photo, mask = rng.integers(0, 256, (70, 80, 4), np.uint8), rng.integers(0, 256, (70, 80), np.uint8)
    image = mask_image("m", mask, photo=photo)
    image.use_fake_user = True
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    image = bpy.data.images["m"]
    np.testing.assert_array_equal(image_mask(image), mask)
    np.testing.assert_array_equal(image_rgba(image)[..., :3], photo[..., :3])  # also where it is transparent
    pixels = np.reshape(image.pixels[:], (-1, 4)).astype(np.float32)
    pixels[:, 3] = 1  # all brought back: the photo's brightness is no mask
    image.pixels.foreach_set(pixels.reshape(-1))
    assert (image_mask(image) == 255).all()


def test_a_mask_on_a_large_photo_is_kept_smaller_and_sent_in_the_photos_size(scene, monkeypatch):
    from blender_addon.link import photo_inputs
    from blender_addon.scene import pixels

    monkeypatch.setattr(pixels, "_LONGEST_CUTOUT", 64)
    down = np.linspace(0, 255, 256).round().astype(np.uint8)
    mask = np.broadcast_to(down[:, None], (256, 128))

    class Photo:
        photo = bpy.data.images.new("p", 128, 256)
        photo_mask = mask_image("m", mask, photo=np.zeros((256, 128, 4), np.uint8))

    assert tuple(Photo.photo_mask.size) == (32, 64)
    sent = photo_inputs.mask(Photo)
    assert sent.shape == mask.shape
    np.testing.assert_allclose(sent[4:-4], mask[4:-4], atol=2)  # a ramp stays a ramp, and at its place
