"""The sliders do what their names say, and a shape is exact in mesh, bones, poses and motions."""

import bpy
import numpy as np
import pytest
from understudy_shared.body import JOINT_NAMES, skin

from blender_addon.scene import shape
from blender_addon.scene.body import create_body
from blender_addon.scene.body_parts import armature_of, betas_of
from blender_addon.scene.motion import apply_motion, read_motion, set_pose


def vertices(obj):
    bpy.context.view_layer.update()
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    places = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", places)
    return places.reshape(-1, 3)


@pytest.fixture
def pose():
    rng = np.random.default_rng(2)
    return np.array([1.5, 0.1, 0.2]), rng.normal(0, 0.2, (23, 3)), np.array([0.1, 0.2, 0.9])


@pytest.mark.parametrize("mode", ["OBJECT", "POSE"])
def test_a_shape_is_exact_in_any_pose(scene, model, betas, pose, mode):
    obj = create_body(scene, model, betas)
    armature = armature_of(obj)
    set_pose(obj, *pose)
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode=mode)
    other = betas[::-1] * 1.5
    shape.set_shape(armature, other)
    assert armature.mode == mode and len(bpy.data.scenes) == 1 and len(bpy.data.objects) == 2
    np.testing.assert_allclose(vertices(obj), skin(model, other, *(p[None] for p in pose))[0], atol=1e-5)
    back = read_motion(obj, scene, [1])
    np.testing.assert_allclose(back.body_pose[0], pose[1], atol=1e-4)
    np.testing.assert_allclose(betas_of(obj), other)
    assert not bpy.data.objects.get(".understudy bones")


def test_a_motion_stays_the_same_motion(scene, model, betas, wave):
    obj = create_body(scene, model, betas)
    apply_motion(obj, wave, 1, 24)
    before = read_motion(obj, scene, [1, 5, 9])
    shape.set_shape(obj, -betas)
    after = read_motion(obj, scene, [1, 5, 9])
    np.testing.assert_allclose(after.body_pose, before.body_pose, atol=1e-4)
    np.testing.assert_allclose(after.transl, before.transl, atol=1e-5)


def test_many_small_steps_do_not_drift(scene, model, betas, pose):
    obj = create_body(scene, model, betas)
    set_pose(obj, *pose)
    for value in np.random.default_rng(0).normal(0, 2, 200):
        shape.set_slider(obj, shape.WEIGHT, float(value))
    np.testing.assert_allclose(vertices(obj), skin(model, betas_of(obj), *(p[None] for p in pose))[0], atol=1e-5)


def test_what_was_sculpted_stays(scene, model, betas):
    obj = create_body(scene, model, betas)
    obj.data.vertices[77].co.z += 0.25
    before = obj.data.vertices[77].co.copy(), obj.data.vertices[78].co.copy()
    shape.set_slider(obj, shape.HEIGHT, 2.0)
    wanted = model.shapedirs[:, :, 0] * (2.0 - betas[0])
    for old, index in zip(before, (77, 78), strict=True):
        x, y, z = wanted[index]
        np.testing.assert_allclose(obj.data.vertices[index].co - old, (x, -z, y), atol=1e-5)


def measures(model, slider, value):
    """Height in cm, litres, and widths in cm of a body with one slider moved, from its vertices alone."""
    betas = np.zeros(model.num_betas, np.float32)
    betas[slider.component] = slider.sign * value
    v, joints = model.shaped(betas), model.joints(betas)
    a, b, c = (v[model.faces[:, i]].astype(float) for i in range(3))
    part = model.weights.argmax(1)

    def width(name):
        own = v[part == JOINT_NAMES.index(name)]
        return np.ptp(own[:, 0]) * 100

    def apart(one, other):
        return np.linalg.norm(joints[JOINT_NAMES.index(one)] - joints[JOINT_NAMES.index(other)]) * 100

    return {
        "height": np.ptp(v[:, 1]) * 100,
        "litres": np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6 * 1000,
        "shoulders": apart("left_shoulder", "right_shoulder"),
        "hips": width("pelvis"),
        "trunk": width("spine1"),
        "leg": apart("left_hip", "left_ankle"),
        "thigh": width("left_hip"),
    }


def test_sliders_do_what_their_names_say(model):
    zero = measures(model, shape.HEIGHT, 0)
    one = {s.name: {k: v - zero[k] for k, v in measures(model, s, 1).items()} for s in shape.SLIDERS}
    assert len({s.component for s in shape.SLIDERS}) == len(shape.SLIDERS)
    assert one["Height"]["height"] == pytest.approx(11.2, abs=0.3)  # the description says 11 cm
    assert all(abs(one[name]["height"]) < 1.5 for name in one if name != "Height")
    assert one["Build"]["shoulders"] > 1.2 and one["Build"]["hips"] < 0.1
    assert 5 < one["Weight"]["litres"] < 6 and one["Weight"]["trunk"] > 1  # a litre of a person is about a kilogramme
    assert one["Trunk"]["trunk"] > 1 and one["Trunk"]["hips"] > 0.8
    assert one["Waist"]["trunk"] < -0.4 and one["Waist"]["leg"] > 0.5
    assert one["Legs"]["thigh"] > 0.3 and one["Legs"]["litres"] > 2
    rest = [measures(model, shape.Slider(i, "", ""), 1) for i in range(6, model.num_betas)]
    assert all(abs(m[k] - zero[k]) < 1 for m in rest for k in zero if k != "litres")


def test_one_person_has_one_shape_and_one_mesh(scene, model, betas, pose):
    one, other = create_body(scene, model, betas, "One"), create_body(scene, model, -betas, "Other")
    set_pose(other, *pose)
    shape.share_shape(one, other)
    assert one.data == other.data and len(bpy.data.meshes) == 1
    shape.set_slider(other, shape.WEIGHT, 2.5)
    assert betas_of(one)[4] == betas_of(other)[4] == -2.5
    np.testing.assert_allclose(vertices(other), skin(model, betas_of(one), *(p[None] for p in pose))[0], atol=1e-5)


def test_only_bodies_of_ours_have_a_shape(scene, model, betas):
    cube = bpy.data.objects.new("Cube", bpy.data.meshes.new("Cube"))
    shape.set_slider(cube, shape.HEIGHT, 1.0)
    assert shape.get_slider(cube, shape.HEIGHT) == 0 and not shape.can_change(cube)
    obj = create_body(scene, model, betas)
    assert shape.can_change(obj)
    obj.data.vertices.add(1)
    with pytest.raises(ValueError, match="not as Understudy made it"):
        shape.set_shape(obj, betas)
