"""Operators of ours while threads are at work: up to Blender 5.0, an overridden context crashed."""

import bpy
import numpy as np
import pytest
from understudy_shared.body import JOINT_NAMES, Y_UP_TO_Z_UP
from understudy_shared.camera import CameraTrajectory

from blender_addon.scene import camera_files, modes, shape
from blender_addon.scene.body import create_body
from blender_addon.scene.body_parts import armature_of, betas_of


def mesh_object(scene, name):
    obj = bpy.data.objects.new(name, bpy.data.meshes.new(name))
    obj.data.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    scene.collection.objects.link(obj)
    return obj


def test_bones_are_edited_beside_busy_threads_and_the_artists_work(scene, model, betas, busy):
    """The artist edits a mesh and has the body's armature selected: all of it stays so."""
    body = create_body(scene, model, betas)
    armature, mine = armature_of(body), mesh_object(scene, "Mine")
    layer = bpy.context.view_layer
    for obj in (armature, mine):
        obj.select_set(True)
    layer.objects.active = mine
    bpy.ops.object.mode_set(mode="EDIT")
    for step in range(30):
        shape.set_slider(body, shape.HEIGHT, step / 10)
    assert (layer.objects.active, mine.mode, armature.mode) == (mine, "EDIT", "OBJECT")
    assert set(layer.objects.selected) == {armature, mine}
    assert set(bpy.data.objects) == {body, armature, mine}
    heads = np.array([armature.data.bones[name].head_local for name in JOINT_NAMES])
    np.testing.assert_allclose(heads, model.joints(betas_of(body)) @ Y_UP_TO_Z_UP.T, atol=1e-5)


def test_an_armature_that_the_artist_edits_stays_in_edit_mode(scene, model, betas):
    body = create_body(scene, model, betas)
    armature = armature_of(body)
    bpy.context.view_layer.objects.active = armature
    armature.select_set(True)
    bpy.ops.object.mode_set(mode="EDIT")
    own = armature.data.edit_bones.new("Tail")
    own.head, own.tail = (0, 0, 0), (0, 1, 0)
    shape.set_slider(body, shape.HEIGHT, 1.0)
    assert armature.mode == "EDIT" and armature.select_get()
    assert tuple(armature.data.edit_bones["Tail"].tail) == (0, 1, 0)


def test_a_mode_is_entered_beside_busy_threads(scene, model, betas, busy):
    body = create_body(scene, model, betas)
    for _ in range(20):
        modes.enter(scene, armature_of(body), "POSE")
        assert armature_of(body).mode == "POSE"
        modes.enter(scene, body, "TEXTURE_PAINT")
        assert (armature_of(body).mode, body.mode) == ("OBJECT", "TEXTURE_PAINT")
        modes.enter(scene, body, "OBJECT")


def test_a_mode_in_another_scene_waits_for_our_threads(scene, ours_busy):
    other = bpy.data.scenes.new("Other")
    obj = mesh_object(other, "There")
    other.view_layers[0].update()
    for _ in range(20):
        modes.enter(other, obj, "TEXTURE_PAINT")
        assert obj.mode == "TEXTURE_PAINT"
        modes.enter(other, obj, "OBJECT")


@pytest.mark.parametrize("name", ["a.usda", "a.abc"])
def test_scene_files_are_read_and_written_while_our_threads_wait(shot, ours_busy, tmp_path, name):
    extrinsics = np.repeat(np.eye(4)[None], 3, 0)
    extrinsics[:, 0, 3] = 0.1, 0.2, 0.3
    k = np.array([[300.0, 0, 160], [0, 300, 90], [0, 0, 1]])
    file = CameraTrajectory(extrinsics, np.repeat(k[None], 3, 0), 320, 180, 24.0)
    kind = camera_files.scene_format(name).key
    for _ in range(5):
        camera_files.save(tmp_path / name, kind, file, 1, "Hero")
        back, *_ = camera_files.load(tmp_path / name, kind, (320, 180), 24.0)
        np.testing.assert_allclose(back.extrinsics[:, 0, 3], [0.1, 0.2, 0.3], atol=1e-5)
