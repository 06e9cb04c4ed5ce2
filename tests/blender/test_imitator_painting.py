"""Painting on texture and mask: what is painted is saved, sent, kept, and taken back."""

import bpy
import numpy as np
import pytest
from imitator_stage import SIDE, finish, sent, textures

from blender_addon.scene.material import get_texture, texture_image
from blender_addon.scene.pixels import image_mask, image_rgba, new_image

WIDTH, HEIGHT = 80, 120


@pytest.fixture
def stage_of(scene, addon, model, betas, tmp_path):
    """A scene with a photo, a fit, a mask and a made texture, each as the backend's jobs leave them."""
    from blender_addon import api

    scene = bpy.context.scene
    rng = np.random.default_rng(3)
    scene.understudy.photo = new_image("ada", rng.integers(0, 255, (HEIGHT, WIDTH, 4), np.uint8) | np.uint8(1))
    fit = {
        "betas": betas,
        "global_orient": np.array([[np.pi / 2, 0.1, 0]], np.float32),
        "body_pose": np.zeros((1, 23, 3), np.float32),
        "transl": np.array([[0.05, -0.1, 0.95]], np.float32),
        "extrinsics": np.array([[1.0, 0, 0, 0.1], [0, 0, -1, 0.9], [0, 1, 0, 3], [0, 0, 0, 1]]),
        "intrinsics": np.array([[150.0, 0, 41], [0, 150, 58], [0, 0, 1]]),
        "mask": rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8),
    }
    finish(api.fit_photo(scene), fit)
    return scene


def stroke(image, rows, colour):
    """What a brush leaves: pixels of the image changed, and the image marked as painted."""
    width, height = image.size
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    pixels = pixels.reshape(height, width, 4)[::-1].copy()
    pixels[rows] = np.array(colour, np.float32) / 255
    image.pixels.foreach_set(np.ascontiguousarray(pixels[::-1]).reshape(-1))
    image.update()
    assert image.is_dirty


def test_painting_enters_texture_paint_with_the_texture_as_canvas_and_leaves_it(stage_of):
    from blender_addon import api
    from blender_addon.scene.windows import nearest

    scene = stage_of
    finish(api.make_texture(scene), textures(1))
    body = scene.understudy.photo_body
    space = nearest(bpy.context, "VIEW_3D")[1].spaces.active
    shading = space.shading
    shading.type, shading.light, shading.color_type = "MATERIAL", "MATCAP", "RANDOM"
    assert bpy.ops.understudy.paint_texture() == {"FINISHED"}
    settings = scene.tool_settings.image_paint
    assert body.mode == "TEXTURE_PAINT" and bpy.context.view_layer.objects.active == body
    assert (settings.mode, settings.canvas) == ("IMAGE", texture_image(body))
    assert texture_image(body).colorspace_settings.name == "sRGB"
    assert (shading.type, shading.light, shading.color_type) == ("SOLID", "FLAT", "TEXTURE")
    assert not space.overlay.show_bones
    assert bpy.ops.understudy.paint_texture() == {"FINISHED"}
    assert body.mode == "OBJECT" and shading.type == "MATERIAL" and space.overlay.show_bones
    shading.type = "SOLID"
    assert (shading.light, shading.color_type) == ("MATCAP", "RANDOM")


def test_what_is_painted_is_saved_with_the_file(stage_of, tmp_path):
    from blender_addon import api

    finish(api.make_texture(stage_of), textures(1))
    stroke(texture_image(stage_of.understudy.photo_body), np.s_[10:20, 30:40], (255, 0, 0, 255))
    stroke(stage_of.understudy.photo_mask, np.s_[:5], (9, 9, 9, 0))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    settings = bpy.context.scene.understudy
    texture = get_texture(settings.photo_body)
    assert (texture[10:20, 30:40] == (255, 0, 0, 255)).all()
    rest = np.ones((SIDE, SIDE), bool)
    rest[10:20, 30:40] = False
    np.testing.assert_array_equal(texture[rest], textures(1)["texture"][rest])
    assert (image_mask(settings.photo_mask)[:5] == 0).all() and image_mask(settings.photo_mask)[5:].any()


def test_the_render_uses_what_was_painted(stage_of):
    from blender_addon import api

    scene = stage_of
    finish(api.make_texture(scene), textures(1))
    stroke(texture_image(scene.understudy.photo_body), np.s_[10:20, 30:40], (0, 255, 0, 255))
    job = api.render(scene, frames=(1, 1, 1))
    np.testing.assert_array_equal(sent(job)["texture"], get_texture(scene.understudy.photo_body))
    assert (sent(job)["texture"][10:20, 30:40] == (0, 255, 0, 255)).all()


def test_the_texture_uses_the_painted_mask(stage_of):
    from blender_addon import api

    scene = stage_of
    stroke(scene.understudy.photo_mask, np.s_[:, :40], (1, 2, 3, 0))
    mask = sent(api.make_texture(scene))["photo_mask"]
    assert mask.shape == (HEIGHT, WIDTH) and not mask[:, :40].any() and mask[:, 40:].any()


def test_painted_texels_are_kept_when_the_texture_is_made_again_and_again(stage_of):
    from blender_addon import api

    scene = stage_of
    first = finish(api.make_texture(scene), textures(1))
    assert "painted" not in sent(first) and api.painted_texels(scene) is None
    stroke(texture_image(scene.understudy.photo_body), np.s_[3:9, 3:9], (250, 10, 10, 255))
    second = api.make_texture(scene)
    painted = sent(second)["painted"]
    assert (painted[3:9, 3:9] == (250, 10, 10, 255)).all() and (painted[..., 3] > 0).sum() == 36
    arrays = textures(2)
    arrays["texture"][3:9, 3:9] = (250, 10, 10, 255)  # the method keeps them
    finish(second, arrays)
    stroke(texture_image(scene.understudy.photo_body), np.s_[20:22, 20:22], (0, 0, 99, 255))
    third = sent(api.make_texture(scene))["painted"]
    assert (third[..., 3] > 0).sum() == 40 and (third[20:22, 20:22] == (0, 0, 99, 255)).all()
    assert "painted" not in sent(api.make_texture(scene, keep_painted=False))


def test_what_the_photos_show_can_be_painted_on_before_the_rest_is_filled_in(stage_of):
    from blender_addon import api

    scene = stage_of
    job = api.make_texture(scene, fill_in=False)
    assert job.spec.params["fill_in"] is False
    arrays = textures(1)
    finish(job, {name: arrays[name] for name in ("partial", "visibility")})
    np.testing.assert_array_equal(get_texture(scene.understudy.photo_body), arrays["partial"])
    stroke(texture_image(scene.understudy.photo_body), np.s_[100:104], (5, 6, 7, 255))
    job = api.make_texture(scene)
    assert job.spec.params.get("fill_in", True) is True
    painted = sent(job)["painted"]
    assert (painted[100:104] == (5, 6, 7, 255)).all() and (painted[..., 3] > 0).sum() == 4 * SIDE


def test_the_texture_comes_back_as_it_was_made(stage_of, tmp_path):
    from blender_addon import api

    scene = stage_of
    with pytest.raises(RuntimeError, match="No texture was made"):
        bpy.ops.understudy.reset_texture()
    job = finish(api.make_texture(scene), textures(1))
    image = texture_image(scene.understudy.photo_body)
    stroke(image, np.s_[10:20], (1, 1, 1, 255))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))  # the job is known from the file
    scene = bpy.context.scene
    assert bpy.ops.understudy.reset_texture() == {"FINISHED"}
    np.testing.assert_array_equal(get_texture(scene.understudy.photo_body), textures(1)["texture"])
    assert sum(i.packed_file is not None and i.users > 0 and i.size[0] == SIDE for i in bpy.data.images) == 1
    from blender_addon.link.names import result_name

    (job.folder / result_name()).unlink()
    with pytest.raises(ValueError, match="make it again"):
        api.reset_texture(scene)


def test_undo_brings_painted_pixels_back_after_a_reset(stage_of):
    from blender_addon import api

    finish(api.make_texture(stage_of), textures(1))
    stroke(texture_image(stage_of.understudy.photo_body), np.s_[10:20], (1, 1, 1, 255))
    bpy.ops.ed.undo_push(message="painted")
    api.reset_texture(bpy.context.scene)
    bpy.ops.ed.undo_push(message="reset")
    bpy.ops.ed.undo()
    assert (get_texture(bpy.context.scene.understudy.photo_body)[10:20] == (1, 1, 1, 255)).all()
    bpy.ops.ed.redo()
    texture = get_texture(bpy.context.scene.understudy.photo_body)
    np.testing.assert_array_equal(texture, textures(1)["texture"])


def test_the_stages_can_be_looked_at(stage_of):
    from blender_addon import api

    finish(api.make_texture(stage_of), textures(1))
    arrays = textures(1)
    partial = image_rgba(api.view_texture("PARTIAL", stage_of))
    np.testing.assert_array_equal(partial[..., 3], arrays["partial"][..., 3])
    seen = partial[..., 3] > 0
    np.testing.assert_array_equal(partial[seen], arrays["partial"][seen])
    visibility = api.view_texture("VISIBILITY", stage_of)
    np.testing.assert_array_equal(image_rgba(visibility)[..., 0], np.rint(arrays["visibility"] * 255))
    assert visibility.packed_file is None  # it is in the take's folder
    area = next(a for a in bpy.context.window.screen.areas if a.type == "IMAGE_EDITOR")
    assert area.spaces.active.image == visibility
    assert bpy.ops.understudy.view_texture(stage="PARTIAL") == {"FINISHED"}


def test_the_mask_opens_ready_to_be_painted_on(stage_of):
    assert bpy.ops.understudy.paint_mask() == {"FINISHED"}
    space = next(a for a in bpy.context.window.screen.areas if a.type == "IMAGE_EDITOR").spaces.active
    assert space.image == stage_of.understudy.photo_mask and space.ui_mode == "PAINT"
    assert space.display_channels == "COLOR_ALPHA"
    brush = stage_of.tool_settings.image_paint
    assert brush.brush.blend == "ERASE_ALPHA" and stage_of.understudy.photo_body.mode == "OBJECT"
    from blender_addon import api

    finish(api.make_texture(stage_of), textures(1))
    assert bpy.ops.understudy.paint_texture() == {"FINISHED"}
    assert brush.brush.blend == "MIX"


def test_the_mask_is_left_by_the_same_button(stage_of):
    bpy.ops.understudy.paint_mask()
    brush = stage_of.tool_settings.image_paint.brush
    brush.blend = "ADD_ALPHA"  # as the panel's Bring Back does
    mask = stage_of.understudy.photo_mask
    stroke(mask, np.s_[10:20], (1, 1, 1, 255))
    assert bpy.ops.understudy.paint_mask() == {"FINISHED"}
    space = next(a for a in bpy.context.window.screen.areas if a.type == "IMAGE_EDITOR").spaces.active
    assert space.ui_mode == "VIEW" and not mask.is_dirty
    bpy.ops.understudy.paint_mask()
    assert brush.blend == "ERASE_ALPHA"  # it opens as it did at first


def test_all_bodies_show_one_texture_that_is_in_the_file_once(stage_of):
    from blender_addon import api

    scene = stage_of
    scene.understudy.body = api.create_body(scene)
    finish(api.make_texture(scene), textures(1))
    bodies = scene.understudy.photo_body, scene.understudy.body
    assert bodies[0] != bodies[1] and len({texture_image(body) for body in bodies}) == 1


def test_there_is_nothing_to_paint_on_before_a_texture_was_made(stage_of):
    with pytest.raises(RuntimeError, match="There is no texture yet: make it first"):
        bpy.ops.understudy.paint_texture()


def test_saving_has_no_handler_left_after_the_extension_is_switched_off(scene):
    import blender_addon

    before = [f.__name__ for f in bpy.app.handlers.save_pre]
    for _ in range(3):
        blender_addon.register()
        blender_addon.unregister()
    assert [f.__name__ for f in bpy.app.handlers.save_pre] == before
