"""Geometry frames, and when they do not suffice."""

import bpy
import numpy as np
import pytest
from understudy_shared.body import joint_transforms
from understudy_shared.camera_paths import orbit
from understudy_shared.frames import Channel
from understudy_shared.motion import slice_frames

from blender_addon.render.choose import lights, occluders, reasons_to_render
from blender_addon.render.conditions import frame_geometry
from blender_addon.scene.body import create_body
from blender_addon.scene.body_parts import armature_of
from blender_addon.scene.camera import import_camera
from blender_addon.scene.motion import apply_motion


@pytest.fixture
def shot(scene, model, betas, wave):
    body = create_body(scene, model, betas)
    apply_motion(body, wave, 1, wave.fps)
    return body, import_camera(scene, orbit(frames=48), 1)


def cube(scene, name="Cube"):
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [], [(0, 1, 2)])
    obj = bpy.data.objects.new(name, mesh)
    scene.collection.objects.link(obj)
    return obj


def test_a_frame_is_read_and_the_scene_is_left(scene, shot):
    body, camera = shot
    scene.frame_set(30)
    seen = [frame_geometry(body, camera, scene, number, (64, 64)) for number in (5, 7, 5)]
    assert [frame.index for frame in seen] == [5, 7, 5]
    for channel in (Channel.VERTICES, Channel.EXTRINSICS, Channel.INTRINSICS):
        assert np.array_equal(seen[0].channels[channel], seen[2].channels[channel])
    assert np.abs(seen[0].channels[Channel.VERTICES] - seen[1].channels[Channel.VERTICES]).max() > 1e-3
    assert (scene.frame_current, len(bpy.data.scenes)) == (30, 1)


def test_joints_are_those_of_the_skinned_model(scene, shot, model, betas, wave):
    body, camera = shot
    clip = slice_frames(wave, 6, 7)
    seen = frame_geometry(body, camera, scene, 7, (64, 64)).channels[Channel.JOINTS]
    transforms = joint_transforms(model, betas, clip.global_orient, clip.body_pose, clip.transl)
    assert seen.shape == (24, 3)
    assert np.abs(seen - transforms[0, :, :3, 3]).max() < 1e-4


def test_a_hidden_body_is_read_and_stays_hidden(scene, shot):
    body, camera = shot
    wanted = frame_geometry(body, camera, scene, 9, (64, 64)).channels[Channel.VERTICES]
    for obj in (body, armature_of(body)):
        obj.hide_viewport = obj.hide_render = True
    hidden = frame_geometry(body, camera, scene, 9, (64, 64)).channels[Channel.VERTICES]
    assert np.array_equal(hidden, wanted)
    assert body.hide_viewport
    assert body.hide_render


def test_edit_mode_and_changed_meshes_are_refused(scene, shot):
    body, camera = shot
    bpy.context.view_layer.objects.active = body
    bpy.ops.object.mode_set(mode="EDIT")
    with pytest.raises(ValueError, match="Edit Mode"):
        frame_geometry(body, camera, scene, 1, (64, 64))
    bpy.ops.object.mode_set(mode="OBJECT")
    body.modifiers.new("Subdivision", "SUBSURF")
    with pytest.raises(ValueError, match="vertices instead of"):
        frame_geometry(body, camera, scene, 1, (64, 64))


def test_a_plain_body_alone_needs_no_render(scene, shot):
    body, _ = shot
    lamp = bpy.data.objects.new("Lamp", bpy.data.lights.new("Lamp", "POINT"))
    empty = bpy.data.objects.new("Empty", None)
    for obj in (lamp, empty):
        scene.collection.objects.link(obj)
    cube(scene).hide_render = True
    assert reasons_to_render(scene, body) == []
    assert reasons_to_render(scene, armature_of(body)) == []
    assert lights(scene) == [lamp]


def test_props_modifiers_and_materials_need_one_and_say_why(scene, shot):
    body, _ = shot
    prop = cube(scene)
    assert reasons_to_render(scene, body) == ['"Cube" may hide the body']
    assert occluders(scene, body) == [prop]
    bpy.data.objects.remove(prop)
    cloth = body.modifiers.new("Puffy", "DISPLACE")
    assert "Puffy" in reasons_to_render(scene, body)[0]
    body.modifiers.remove(cloth)
    assert reasons_to_render(scene, body) == []
    emission = next(n for n in body.data.materials[0].node_tree.nodes if n.type == "EMISSION")
    emission.inputs["Strength"].default_value = 2
    assert "material" in reasons_to_render(scene, body)[0]
