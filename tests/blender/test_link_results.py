"""Results of jobs without frames in the scene, and back out of it as the next job's inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")


@pytest.fixture
def addon(tmp_path, monkeypatch):
    import blender_addon
    from blender_addon.link import folders

    monkeypatch.setattr(folders, "user_folder", lambda path="": tmp_path)
    blender_addon.register()
    yield blender_addon
    blender_addon.unregister()


@pytest.fixture
def photo_scene(scene, addon, tmp_path):
    from blender_addon import api
    from blender_addon.link import png

    pixels = np.random.default_rng(3).integers(0, 255, (120, 80, 4), np.uint8)
    pixels[..., 3] = 255
    png.write_atomically(tmp_path / "ada.png", png.encode(pixels))
    api.load_photo(tmp_path / "ada.png")
    return bpy.context.scene, pixels


@pytest.fixture
def fit(model, betas):
    """A person of some shape in some pose, as the backend's fit gives it."""
    rng = np.random.default_rng(5)
    extrinsics = np.eye(4)
    extrinsics[:3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]  # looks along +Y, upright
    extrinsics[:3, 3] = (0.1, 0.9, 3.0)
    return {
        "betas": betas,
        "global_orient": np.array([[np.pi / 2, 0.1, 0]], np.float32),
        "body_pose": rng.normal(0, 0.1, (1, 23, 3)).astype(np.float32),
        "transl": np.array([[0.05, -0.1, 0.95]], np.float32),
        "extrinsics": extrinsics,
        "intrinsics": np.array([[150.0, 0, 41], [0, 150, 58], [0, 0, 1]]),
        "mask": rng.integers(0, 256, (120, 80), dtype=np.uint8),
        "overlay": np.zeros((120, 80, 3), np.uint8),
    }


def job_for(scene, role, tmp_path, body=None):
    from understudy_shared.job import FrameRange, JobSpec

    from blender_addon.link.jobs import Job, Record, State
    from blender_addon.link.refs import ref

    spec = JobSpec("test", FrameRange(0, 0), (80, 120))
    record = Record("t", "test", spec, role, str(tmp_path), ref("scenes", scene), ref("scenes", scene))
    record.state, record.body = State.RUNNING, ref("objects", body) if body else None
    return Job(record)


def check_same(got, fit):
    for name in ("betas", "global_orient", "body_pose", "transl", "extrinsics"):
        np.testing.assert_allclose(got[name].reshape(-1), fit[name].reshape(-1), atol=2e-5, err_msg=name)
    np.testing.assert_allclose(got["intrinsics"], fit["intrinsics"], atol=1e-3)


def test_a_fit_goes_into_the_scene_and_comes_back_as_it_was(photo_scene, fit, tmp_path):
    from blender_addon.link import gather, results

    scene, pixels = photo_scene
    results.apply(job_for(scene, "fit", tmp_path), fit, {"warnings": ["a hand is hidden"]})
    settings = scene.understudy
    assert settings.body == settings.photo_body and settings.photo_camera == scene.camera
    check_same(gather.fit(scene), fit)
    np.testing.assert_array_equal(gather.photo(scene), pixels)
    np.testing.assert_array_equal(gather.photo_mask(scene), fit["mask"])
    scene.render.resolution_x, scene.render.resolution_y = 1920, 1080  # another shot's
    check_same(gather.fit(scene), fit)
    assert set(gather.corrected_fit(scene)) == {f"start_{n}" for n in fit if n not in ("mask", "overlay")}


def test_a_moving_body_is_textured_from_the_fit_and_cannot_be_refitted(photo_scene, fit, tmp_path, wave):
    from blender_addon.link import gather, results
    from blender_addon.scene.motion import apply_motion

    scene, _ = photo_scene
    results.apply(job_for(scene, "fit", tmp_path), fit, {})
    apply_motion(scene.understudy.photo_body, wave, 1, 24)
    check_same(gather.fit(scene), fit)
    with pytest.raises(ValueError, match="moves already"):
        gather.corrected_fit(scene)


def test_a_second_fit_keeps_the_first_hidden_and_hands_its_texture_on(photo_scene, fit, tmp_path):
    from blender_addon.link import results
    from blender_addon.scene.material import get_texture

    scene, _ = photo_scene
    results.apply(job_for(scene, "fit", tmp_path), fit, {})
    first = scene.understudy.photo_body
    texture = np.random.default_rng(7).integers(0, 255, (16, 16, 4), np.uint8)
    results.apply(job_for(scene, "texture", tmp_path, first), {"texture": texture}, {})
    results.apply(job_for(scene, "fit", tmp_path), fit, {})
    second = scene.understudy.photo_body
    assert second != first and scene.understudy.body == second and first.hide_render and not second.hide_render
    np.testing.assert_array_equal(get_texture(second), texture)


def test_a_second_fit_moves_on_in_the_motion_of_the_first(photo_scene, fit, tmp_path, wave):
    from blender_addon import api
    from blender_addon.link import results
    from blender_addon.scene.motion import apply_motion, read_motion

    scene, _ = photo_scene
    results.apply(job_for(scene, "fit", tmp_path), fit, {})
    apply_motion(scene.understudy.photo_body, wave, 1, 24)
    moving = read_motion(scene.understudy.body, scene, [3, 30])
    api.show_photo(scene)  # there it stands, to be corrected and fitted again
    results.apply(job_for(scene, "fit", tmp_path), {**fit, "betas": fit["betas"] + 0.2}, {})
    api.hide_photo(scene)
    again = read_motion(scene.understudy.body, scene, [3, 30])
    for name in ("global_orient", "body_pose", "transl"):
        # radians and metres: the bones of another shape lie otherwise
        np.testing.assert_allclose(getattr(again, name), getattr(moving, name), atol=0.03, err_msg=name)
    np.testing.assert_allclose(again.betas, fit["betas"].reshape(-1) + 0.2, atol=1e-5)


def test_incomplete_results_say_what_to_do(photo_scene, fit, tmp_path):
    from blender_addon.link import results

    scene, _ = photo_scene
    del fit["transl"]
    with pytest.raises(ValueError, match="lacks transl"):
        results.apply(job_for(scene, "fit", tmp_path), fit, {})
    with pytest.raises(ValueError, match="no texture"):
        results.apply(job_for(scene, "texture", tmp_path), {}, {})
    scene.understudy.photo = None
    with pytest.raises(ValueError, match="load one first"):
        __import__("blender_addon.api").api.fit_photo(scene)


def test_a_photo_without_a_file_is_shown_as_it_is_in_the_scene(photo_scene, fit, tmp_path):
    from blender_addon.link import results

    scene, _ = photo_scene
    image = scene.understudy.photo
    image.pack()
    Path(bpy.path.abspath(image.filepath)).unlink()
    results.apply(job_for(scene, "fit", tmp_path), fit, {})
    assert scene.understudy.photo_camera.data.background_images[0].image == image


def test_the_camera_of_the_shot_stays_the_scenes(photo_scene, fit, tmp_path):
    from blender_addon.link import results

    scene, _ = photo_scene
    shot = bpy.data.objects.new("Shot", bpy.data.cameras.new("Shot"))
    scene.collection.objects.link(shot)
    scene.camera, scene.render.resolution_x = shot, 1234
    results.apply(job_for(scene, "fit", tmp_path), fit, {})
    assert scene.camera == shot and scene.render.resolution_x == 1234
    check_same(__import__("blender_addon.link.gather").link.gather.fit(scene), fit)


def test_frames_are_made_with_the_fit_of_the_texture(photo_scene, fit, tmp_path, monkeypatch):
    """However the body stands since: how far clothes stand off it is measured where it stood in the photo."""
    from understudy_shared.fit import FIT_ARRAYS
    from understudy_shared.protocol.description import MethodDescription, NeedDescription

    from blender_addon.api import imitator
    from blender_addon.link import gather, results
    from blender_addon.scene.body_parts import armature_of

    scene, _ = photo_scene
    needs = tuple(NeedDescription(name, False, "", optional=True) for name in FIT_ARRAYS)
    method = MethodDescription("m", "M", "", "", (), needs, ("rgba",))

    def given(**inputs):
        return gather.inputs(method, scene, scene.understudy.body, inputs)

    assert given() == {}
    results.apply(job_for(scene, "fit", tmp_path), fit, {})
    check_same(given(), fit)
    knee = armature_of(scene.understudy.photo_body).pose.bones[4]
    knee.rotation_mode, knee.rotation_euler = "XYZ", (0.5, 0, 0)
    bpy.context.view_layer.update()
    check_same(given(), fit)  # a pose for a picture, perhaps
    monkeypatch.setattr(imitator, "start_job", lambda *args, **options: None)
    imitator.make_texture(scene)
    assert np.abs(given()["body_pose"] - fit["body_pose"]).max() > 0.1  # no: a correction, with which texels are read
    assert set(given(photo=np.zeros((4, 4, 4), np.uint8))) == {"photo"}  # of another photo there is no fit
