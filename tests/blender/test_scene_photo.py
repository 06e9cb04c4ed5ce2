"""The fit before its photo, and back."""

import bpy
import numpy as np
import pytest
from mathutils import Quaternion
from understudy_shared.body import skin
from understudy_shared.camera import project
from understudy_shared.camera_paths import look_at

from blender_addon.render.conditions import frame_geometry
from blender_addon.scene.body_parts import armature_of
from blender_addon.scene.photo import read_fit, show_fit

WIDTH, HEIGHT = 96, 128


@pytest.fixture
def photo(tmp_path):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    image = bpy.data.images.new("made", WIDTH, HEIGHT)
    image.filepath_raw, image.file_format = str(tmp_path / "photo.png"), "PNG"
    image.save()
    return tmp_path / "photo.png"


@pytest.fixture
def fit(betas, wave):
    k = np.array([[150.0, 0, 47], [0, 150, 66], [0, 0, 1]])
    pelvis = wave.transl[40]
    return {
        "betas": betas,
        "global_orient": wave.global_orient[40],
        "body_pose": wave.body_pose[40],
        "transl": pelvis,
        "extrinsics": look_at(pelvis + np.array([0, -3, 0.2]), pelvis),
        "intrinsics": k,
    }


def test_the_body_stands_where_the_fit_saw_it_and_comes_back(photo, model, fit):
    scene = bpy.context.scene
    body, camera = show_fit(scene, photo, fit, model)
    assert (scene.render.resolution_x, scene.render.resolution_y, scene.camera) == (WIDTH, HEIGHT, camera)
    assert camera.data.background_images[0].image.filepath
    frame = frame_geometry(body, camera, scene, scene.frame_current, (WIDTH, HEIGHT)).channels
    pixels, _ = project(frame["vertices"], frame["extrinsics"], frame["intrinsics"])
    one = skin(model, fit["betas"], *(fit[n][None] for n in ("global_orient", "body_pose", "transl")))[0]
    wanted, _ = project(one, fit["extrinsics"], fit["intrinsics"])
    np.testing.assert_allclose(pixels, wanted, atol=1e-3)
    scene.render.resolution_x = 999  # the next shot's
    back = read_fit(body, camera, scene)
    assert set(back) == {f"start_{name}" for name in fit}
    for name, value in fit.items():
        np.testing.assert_allclose(back[f"start_{name}"], value, atol=1e-4)


def test_what_the_artist_changes_is_read(photo, model, fit):
    scene = bpy.context.scene
    body, camera = show_fit(scene, photo, fit, model)
    bone = armature_of(body).pose.bones["right_knee"]
    bone.rotation_quaternion = bone.rotation_quaternion @ Quaternion((1, 0, 0), 0.4)
    back = read_fit(body, camera, scene)["start_body_pose"]
    changed = np.abs(back - fit["body_pose"]).max(1) > 1e-3
    assert np.flatnonzero(changed).tolist() == [4]  # right_knee is joint 5


def test_a_missing_photo_or_array_is_one_line(photo, model, fit, tmp_path):
    scene = bpy.context.scene
    with pytest.raises(ValueError, match=r"nowhere\.png cannot be opened"):
        show_fit(scene, tmp_path / "nowhere.png", fit, model)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(ValueError, match="not a picture"):
        show_fit(scene, tmp_path / "text.png", fit, model)
    del fit["transl"]
    with pytest.raises(ValueError, match="lacks transl"):
        show_fit(scene, photo, fit, model)
