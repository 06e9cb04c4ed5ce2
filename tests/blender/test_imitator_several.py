"""Several photos of one person: one shape, one texture, a pose and a camera for each."""

import bpy
import numpy as np
import pytest
from imitator_stage import finish, sent, textures

from blender_addon.scene.body_parts import armature_of, betas_of
from blender_addon.scene.pixels import new_image

WIDTH, HEIGHT = 80, 120


@pytest.fixture
def two(scene, addon, betas, tmp_path):
    """A scene with two photos, the first fitted."""
    from blender_addon import api
    from blender_addon.link import png

    scene = bpy.context.scene
    rng = np.random.default_rng(3)
    for name in ("front", "back"):
        pixels = rng.integers(0, 255, (HEIGHT, WIDTH, 4), np.uint8)
        pixels[..., 3] = 255
        png.write_atomically(tmp_path / f"{name}.png", png.encode(pixels))
    api.load_photo(tmp_path / "front.png", scene)
    assert api.add_photo(tmp_path / "back.png", scene) == 2
    with pytest.raises(ValueError, match="Fit the first photo first"):
        api.fit_photo(scene)
    finish(api.fit_photo(scene, number=1), result(betas, 1))
    return scene


def result(betas, seed):
    rng = np.random.default_rng(seed)
    return {
        "betas": betas,
        "global_orient": np.array([[np.pi / 2, 0.1 * seed, 0]], np.float32),
        "body_pose": rng.normal(0, 0.1, (1, 23, 3)).astype(np.float32),
        "transl": np.array([[0.05, -0.1, 0.95]], np.float32),
        "extrinsics": np.array([[1.0, 0, 0, 0.1], [0, 0, -1, 0.9], [0, 1, 0, 3 + seed / 10], [0, 0, 0, 1]]),
        "intrinsics": np.array([[150.0, 0, 41], [0, 150, 58], [0, 0, 1]]),
        "mask": rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8),
    }


def check(got, wanted, suffix=""):
    for name in ("betas", "global_orient", "body_pose", "transl", "extrinsics", "intrinsics"):
        np.testing.assert_allclose(got[name + suffix].ravel(), wanted[name].ravel(), atol=1e-3, err_msg=name)
    np.testing.assert_array_equal(got["photo_mask" + suffix], wanted["mask"])


def test_a_further_photo_is_fitted_with_the_shape_of_the_first_and_its_body_hides(two, betas):
    from blender_addon import api

    settings = two.understudy
    camera, body, resolution = two.camera, settings.body, two.render.resolution_x
    job = api.fit_photo(two)  # the one that is worked on: the second
    assert set(sent(job)) == {"photo", "betas"}
    np.testing.assert_allclose(sent(job)["betas"], betas)
    np.testing.assert_array_equal(sent(job)["photo"], api.imitator.photo_inputs.pixels(settings.photos[0]))
    finish(job, result(betas, 2))
    second = settings.photos[0]
    assert (two.camera, settings.body, two.render.resolution_x) == (camera, body, resolution)
    assert second.photo_body != body and second.photo_body.data == body.data
    hidden = (second.photo_body, armature_of(second.photo_body), second.photo_camera)
    assert all(obj.hide_viewport and obj.hide_render for obj in hidden) and not body.hide_viewport


def test_all_fitted_photos_go_to_the_texture(two, betas, tmp_path):
    from blender_addon import api
    from blender_addon.link import png

    png.write_atomically(tmp_path / "third.png", png.encode(np.full((100, 90, 4), 255, np.uint8)))
    png.write_atomically(tmp_path / "fourth.png", png.encode(np.full((100, 90, 4), 200, np.uint8)))
    api.add_photo(tmp_path / "third.png", two)
    api.add_photo(tmp_path / "fourth.png", two)
    finish(api.fit_photo(two, number=2), result(betas, 2))
    finish(api.fit_photo(two, number=4), result(betas, 4) | {"mask": np.full((100, 90), 255, np.uint8)})
    job = api.make_texture(two)
    got = sent(job)
    check(got, result(betas, 1))
    check(got, result(betas, 2), "_2")
    assert got["photo_3"].shape == (100, 90, 4) and got["photo_3"][0, 0, 0] == 200 and "photo_4" not in got
    assert any("Photo 3 is not fitted yet" in line for line in job.log)
    finish(job, textures(1))
    from blender_addon.scene.material import texture_image

    bodies = [two.understudy.photo_body, *(p.photo_body for p in two.understudy.photos if p.photo_body)]
    assert len(bodies) == 3 and len({texture_image(body) for body in bodies}) == 1


def test_each_photo_is_shown_and_corrected_by_itself(two, betas):
    from blender_addon import api
    from blender_addon.link import photo_inputs

    finish(api.fit_photo(two), result(betas, 2))
    settings = two.understudy
    first, second = settings.photo_body, settings.photos[0].photo_body
    api.show_photo(two, 2)
    assert first.hide_viewport and not second.hide_viewport and settings.photo_number == 2
    bone = armature_of(second).pose.bones["left_knee"]
    bone.rotation_mode = "QUATERNION"
    bone.rotation_quaternion = (0.9, 0.1, 0.2, 0.3)
    api.show_photo(two, 1)
    assert not first.hide_viewport and second.hide_viewport and api.photo_shown(two) == 1
    settings.photo_number = 2
    assert first.hide_viewport and not second.hide_viewport and api.photo_shown(two) == 2
    settings.photo_number = 1
    api.hide_photo(two)
    assert not first.hide_viewport and second.hide_viewport
    arrays, _ = photo_inputs.for_texture(two)
    changed = np.abs(arrays["body_pose_2"] - result(betas, 2)["body_pose"][0]).max(1) > 1e-3
    assert changed.sum() == 1
    np.testing.assert_allclose(arrays["body_pose"], result(betas, 1)["body_pose"][0], atol=1e-4)
    job = api.refit(two, number=2)
    assert job.spec.params["keep_shape"] is True
    np.testing.assert_allclose(sent(job)["start_body_pose"], arrays["body_pose_2"], atol=1e-6)
    assert "keep_shape" not in api.refit(two, number=1).spec.params
    assert api.refit(two, number=1, keep_pose=True).spec.params["keep_pose"] is True


def test_a_new_fit_of_the_first_gives_the_others_its_shape(two, betas):
    from blender_addon import api

    finish(api.fit_photo(two), result(betas, 2))
    other = (betas * -1.5).astype(np.float32)
    finish(api.refit(two, number=1), result(other, 3))
    settings = two.understudy
    second = settings.photos[0].photo_body
    np.testing.assert_allclose(betas_of(second), other)
    assert second.data == settings.photo_body.data
    settings.photo_body.understudy_shape.height = 2.0
    assert betas_of(second)[0] == pytest.approx(2)


def test_a_fit_that_arrives_while_its_photo_is_shown_is_shown(two, betas):
    from blender_addon import api
    from blender_addon.scene.windows import nearest

    api.show_photo(two, 1)
    space = nearest(bpy.context, "VIEW_3D")[1].spaces.active
    old = two.understudy.photo_camera
    finish(api.refit(two, number=1), result(betas, 5))
    settings = two.understudy
    assert api.photo_shown(two) == 1 and settings.photo_camera != old and space.camera == settings.photo_camera
    assert old.hide_viewport and not settings.photo_body.hide_viewport
    api.hide_photo(two)
    assert not space.use_local_camera and not settings.photo_body.hide_viewport


def test_a_photo_is_removed_with_its_body_and_camera(two, betas):
    from blender_addon import api

    finish(api.fit_photo(two), result(betas, 2))
    objects, meshes = len(bpy.data.objects), len(bpy.data.meshes)
    api.show_photo(two, 2)
    with pytest.raises(RuntimeError, match="The first photo gives the person's shape"):
        bpy.ops.understudy.remove_photo(number=1)
    assert bpy.ops.understudy.remove_photo(number=2) == {"FINISHED"}
    assert len(bpy.data.objects) == objects - 3 and len(bpy.data.meshes) == meshes
    assert len(two.understudy.photos) == 0 and two.understudy.photo_number == 1 and not api.photo_shown(two)
    assert not two.understudy.photo_body.hide_viewport
    assert not bpy.ops.understudy.remove_photo.poll()
    assert set(sent(api.make_texture(two))) & {"photo_2", "betas_2"} == set()


def test_the_same_photo_is_not_taken_twice(two, tmp_path):
    from blender_addon import api

    with pytest.raises(ValueError, match="is photo 1 already"):
        api.add_photo(tmp_path / "front.png", two)
    with pytest.raises(ValueError, match="further photo already"):
        api.load_photo(tmp_path / "back.png", two)
    with pytest.raises(ValueError, match="There is no photo 7: the scene has 2"):
        api.fit_photo(two, number=7)


def test_a_fit_of_a_photo_that_was_removed_says_so(two, betas):
    from blender_addon import api

    job = api.fit_photo(two)
    api.remove_photo(2, two)
    with pytest.raises(ValueError, match="The photo of this fit was removed"):
        finish(job, result(betas, 2))
    assert len(betas_of(two.understudy.photo_body)) == len(betas)


def test_undo_of_removing_brings_photo_and_body_back(two, betas):
    from blender_addon import api

    finish(api.fit_photo(two), result(betas, 2))
    bpy.ops.ed.undo_push(message="two")
    api.remove_photo(2, bpy.context.scene)
    bpy.ops.ed.undo_push(message="one")
    bpy.ops.ed.undo()
    settings = bpy.context.scene.understudy
    assert len(settings.photos) == 1 and settings.photos[0].photo_body.data == settings.photo_body.data
    check(sent(api.make_texture(bpy.context.scene)), result(betas, 2), "_2")


def test_photos_come_back_with_the_file(two, betas, tmp_path):
    from blender_addon import api

    finish(api.fit_photo(two), result(betas, 2))
    new_image("unused", np.zeros((4, 4, 4), np.uint8))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    check(sent(api.make_texture(bpy.context.scene)), result(betas, 2), "_2")
