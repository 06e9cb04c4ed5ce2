"""Camera moves: where the camera is by trigonometry, and whether the body is whole in Blender's own projection."""

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector

from blender_addon import properties
from blender_addon.api import cameras
from blender_addon.operators import camera_rigs
from blender_addon.scene import compat
from blender_addon.scene.body import create_body
from blender_addon.scene.motion import apply_motion

KINDS = ("ORBIT", "DOLLY", "CRANE", "SPIRAL", "HANDHELD", "TURNTABLE")


@pytest.fixture
def stage(scene, model):
    """The extension's properties and this operator, a body in its rest pose, 24 frames at 320 x 240."""
    classes = (*properties.CLASSES, *camera_rigs.CLASSES)
    for cls in classes:
        bpy.utils.register_class(cls)
    properties.attach()
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, 24
    scene.render.resolution_x, scene.render.resolution_y = 320, 240
    scene.understudy.body = create_body(scene, model, np.zeros(model.num_betas, np.float32))
    yield scene
    properties.detach()
    for cls in reversed(classes):
        bpy.utils.unregister_class(cls)


@pytest.fixture
def walking(stage, wave):
    """The body waves, turned by 40 degrees, and is carried over the floor."""
    body = stage.understudy.body
    apply_motion(body, wave, 1, 24.0)
    armature = body.parent
    armature.rotation_euler.z = np.radians(40)
    armature.location = (2, 1, 0)
    armature.keyframe_insert("location", frame=1)
    armature.location = (3, 2.5, 0)
    armature.keyframe_insert("location", frame=24)
    return stage


def vertices(scene):
    evaluated = scene.understudy.body.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return np.array([evaluated.matrix_world @ v.co for v in evaluated.data.vertices])


def where(scene, camera, frame):
    scene.frame_set(frame)
    bpy.context.view_layer.update()
    matrix = np.array(camera.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world, np.float64)
    return matrix[:3, 3], -matrix[:3, 2]


def box_centre(scene, frames):
    points = np.concatenate([vertices(scene) for f in frames if not scene.frame_set(f)])
    return (points.min(0) + points.max(0)) / 2


def angle_between(a, b):
    return np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)


def test_an_orbit_keeps_its_distance_and_looks_at_the_middle_of_the_body(stage):
    centre = box_centre(stage, [1])
    camera = cameras.add_camera_rig("ORBIT", distance=4.0, height=0.5, angle=30.0)
    for frame in range(1, 25):
        place, view = where(stage, camera, frame)
        angle = np.radians(-90 + 30 + 360 * (frame - 1) / 24)  # the body faces -Y; a whole turn repeats no frame
        wanted = centre + np.array([4 * np.cos(angle), 4 * np.sin(angle), 0.5])
        np.testing.assert_allclose(place, wanted, atol=1e-4)
        assert angle_between(view, centre - place) < 1e-4


def test_half_an_orbit_the_other_way_ends_where_it_should(stage):
    centre = box_centre(stage, [1])
    camera = cameras.add_camera_rig("ORBIT", distance=3.0, sweep=-180.0, ease="BOTH")
    first, last = where(stage, camera, 1)[0] - centre, where(stage, camera, 24)[0] - centre
    np.testing.assert_allclose(first[:2], [0, -3], atol=1e-4)
    np.testing.assert_allclose(last[:2], [0, 3], atol=1e-4)
    assert (where(stage, camera, 12)[0] - centre)[0] < -2  # by the body's right
    steps = np.linalg.norm(np.diff([where(stage, camera, f)[0] for f in range(1, 25)], axis=0), axis=1)
    assert steps[0] < 0.2 * steps[11] and steps[-1] < 0.2 * steps[11]


def test_a_dolly_comes_closer_in_a_straight_line(stage):
    camera = cameras.add_camera_rig("DOLLY", distance=2.5, travel=2.0, height=0.0)
    places = np.array([where(stage, camera, f)[0] for f in range(1, 25)])
    np.testing.assert_allclose(np.diff(places[:, 1]), 2.0 / 23, atol=1e-5)
    np.testing.assert_allclose(places[:, [0, 2]], places[:1, [0, 2]].repeat(24, 0), atol=1e-5)
    assert places[-1, 1] == pytest.approx(box_centre(stage, [1])[1] - 2.5, abs=1e-4)


def test_a_crane_rises_and_keeps_looking(stage):
    camera = cameras.add_camera_rig("CRANE", distance=3.0, height=-0.4, rise=2.0)
    places, views = zip(*(where(stage, camera, f) for f in range(1, 25)), strict=True)
    np.testing.assert_allclose(np.diff([p[2] for p in places]), 2.0 / 23, atol=1e-5)
    np.testing.assert_allclose(np.ptp([p[:2] for p in places], axis=0), 0, atol=1e-5)
    aims = [p + v * 3.0 / np.hypot(*v[:2]) for p, v in zip(places, views, strict=True)]
    np.testing.assert_allclose(np.ptp(aims, axis=0), 0, atol=1e-4)


def test_a_spiral_circles_and_rises(stage):
    camera = cameras.add_camera_rig("SPIRAL", distance=3.0, rise=1.0, sweep=720.0)
    places = np.array([where(stage, camera, f)[0] for f in range(1, 25)])
    np.testing.assert_allclose(np.diff(places[:, 2]), 1.0 / 23, atol=1e-5)
    flat = places[:, :2] - [0, box_centre(stage, [1])[1]]
    turned = np.unwrap(np.arctan2(flat[:, 1], flat[:, 0]))
    assert np.degrees(turned[-1] - turned[0]) == pytest.approx(720, abs=1)


@pytest.mark.parametrize("views", [1, 3, 8])
def test_a_turntable_has_one_still_view_a_frame_evenly_around(stage, views):
    camera = cameras.add_camera_rig("TURNTABLE", views=views, distance=3.0)
    assert (stage.frame_start, stage.frame_end) == (1, views)
    centre = box_centre(stage, [1])
    for i in range(views):
        place, _ = where(stage, camera, 1 + i)
        angle = np.radians(-90 + 360 * i / views)
        np.testing.assert_allclose((place - centre)[:2], [3 * np.cos(angle), 3 * np.sin(angle)], atol=1e-4)
    if views > 1:
        stage.frame_set(1, subframe=0.9)
        held = np.array(camera.matrix_world)
        stage.frame_set(1)
        np.testing.assert_array_equal(held, np.array(camera.matrix_world))
        assert {len(c.keyframe_points) for c in compat.fcurves(camera)} == {views}


def test_the_hand_is_smooth_small_and_the_same_for_the_same_seed(stage):
    def path(**options):
        camera = cameras.add_camera_rig("HANDHELD", distance=4.0, frames=96, **options)
        got = [where(stage, camera, f) for f in range(1, 97)]
        return np.array([p for p, _ in got]), np.array([v for _, v in got])

    places, views = path(seed=5)
    again, _ = path(seed=5)
    other, _ = path(seed=6)
    twice, _ = path(seed=5, shake=2.0)
    still, aim = path(seed=5, shake=0.0)
    np.testing.assert_array_equal(places, again)
    assert np.abs(places - other).max() > 0.005
    np.testing.assert_allclose(twice - still, 2 * (places - still), atol=1e-5)
    assert 0.002 < np.abs(places - still).std() < 0.03
    assert 0.001 < angle_between(views[0], aim[0]) + np.abs(views - aim).max() < 0.05
    assert np.ptp(still, axis=0).max() < 1e-6
    jumps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert jumps.max() < 0.006  # metres in a 24th of a second
    assert np.linalg.norm(np.diff(places, 2, axis=0), axis=1).max() < 0.5 * jumps.max()


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_body_is_in_every_frame_and_as_large_as_fits(walking, kind, follow):
    scene = walking
    scene.understudy.width, scene.understudy.height = 320, 240
    options = {"views": 12} if kind == "TURNTABLE" else {}
    camera = cameras.add_camera_rig(kind, follow=follow, **options)
    most = 0.0
    for frame in range(scene.frame_start, scene.frame_end + 1, 3):
        scene.frame_set(frame)
        for point in vertices(scene)[::23]:
            x, y, depth = world_to_camera_view(scene, camera, Vector(point))
            assert depth > 0
            most = max(most, abs(2 * x - 1), abs(2 * y - 1))
    assert 0.8 < most < 0.91  # 6 % is free on each side


def test_pictures_of_any_shape_frame_the_body(stage):
    distances = []
    for width, height in ((640, 200), (200, 640), (400, 400)):
        stage.render.resolution_x, stage.render.resolution_y = width, height
        stage.understudy.width, stage.understudy.height = width, height
        camera = cameras.add_camera_rig("ORBIT", frames=4)
        where(stage, camera, 1)
        seen = np.array([world_to_camera_view(stage, camera, Vector(p)) for p in vertices(stage)[::7]])
        assert seen[:, :2].min() > 0.04 and seen[:, :2].max() < 0.96
        distances.append(-where(stage, camera, 1)[0][1])
    assert min(distances[:2]) > 2 * distances[2]  # the film spans the longer side


def test_the_body_is_framed_for_the_takes_size_as_well(stage):
    stage.render.resolution_x, stage.render.resolution_y = 640, 640
    stage.understudy.width = stage.understudy.height = 256
    near = -where(stage, cameras.add_camera_rig("ORBIT", frames=2), 1)[0][1]
    stage.understudy.height = 64
    assert -where(stage, cameras.add_camera_rig("ORBIT", frames=2), 1)[0][1] > 2 * near


def test_a_wider_output_does_not_make_the_person_of_the_takes_smaller(stage):
    stage.understudy.width = stage.understudy.height = 256
    places = []
    for width in (256, 455):
        stage.render.resolution_x, stage.render.resolution_y = width, 256
        camera = cameras.add_camera_rig("ORBIT", frames=2)
        place, _ = where(stage, camera, 1)
        places.append(place)
        seen = np.array([world_to_camera_view(stage, camera, Vector(p)) for p in vertices(stage)[::7]])
        assert seen[:, 1].min() < 0.1 and seen[:, 1].max() > 0.9
    np.testing.assert_allclose(*places, atol=1e-6)


def test_following_means_another_motion_takes_the_camera_along(walking):
    scene = walking
    camera = cameras.add_camera_rig("HANDHELD", follow=True, shake=0.0)
    armature = scene.understudy.body.parent

    def offset(frame):
        place, _ = where(scene, camera, frame)
        return place[:2] - np.array((armature.matrix_world @ armature.pose.bones["pelvis"].matrix).translation)[:2]

    wanted = offset(1)
    for frame in (7, 24):
        np.testing.assert_allclose(offset(frame), wanted, atol=1e-4)
    armature.animation_data_clear()
    armature.location = (-5, 3, 0)
    np.testing.assert_allclose(offset(24), wanted, atol=1e-4)


def test_what_is_added_is_an_ordinary_camera_with_linear_quaternion_keys(stage):
    stage.frame_set(17)
    camera = cameras.add_camera_rig("ORBIT", lens=35.0, start=101, frames=30, set_range=False)
    assert stage.camera == camera == stage.understudy.camera
    assert (stage.frame_current, stage.frame_start, stage.frame_end) == (17, 1, 24)
    assert camera.type == "CAMERA" and camera.data.lens == 35.0 and camera.parent is None
    assert camera.rotation_mode == "QUATERNION" and not camera.constraints
    curves = compat.fcurves(camera)
    assert {c.data_path for c in curves} == {"location", "rotation_quaternion"}
    assert all(k.interpolation == "LINEAR" for c in curves for k in c.keyframe_points)
    assert {tuple(c.range()) for c in curves} == {(101.0, 130.0)}
    where(stage, camera, 101)
    camera.location.x += 1  # and it can be edited
    camera.keyframe_insert("location", frame=101)
    assert where(stage, camera, 101)[0][0] != pytest.approx(where(stage, camera, 130)[0][0], abs=0.5)


def test_the_operator_does_the_same_in_one_step_with_its_options(stage):
    objects = len(bpy.data.objects)
    assert bpy.ops.understudy.add_camera_rig(kind="ORBIT", frames=12, distance=2.0, sweep=np.pi, angle=np.pi / 2)
    assert len(bpy.data.objects) == objects + 1 and stage.frame_end == 12
    by_button = where(stage, stage.camera, 5)[0]
    by_hand = where(stage, cameras.add_camera_rig("ORBIT", frames=12, distance=2.0, sweep=180, angle=90), 5)[0]
    np.testing.assert_allclose(by_button, by_hand, atol=1e-5)
    operator = bpy.types.UNDERSTUDY_OT_add_camera_rig
    assert operator.bl_options == {"REGISTER", "UNDO"}
    options = [p for p in bpy.ops.understudy.add_camera_rig.get_rna_type().properties if p.identifier != "rna_type"]
    assert len(options) > 12 and all(p.description for p in options)


def test_one_undo_takes_it_back(stage):
    bpy.ops.ed.undo_push(message="Before")
    names = {obj.name for obj in bpy.data.objects}
    bpy.ops.understudy.add_camera_rig("EXEC_DEFAULT", True, kind="TURNTABLE", views=3, follow=True)
    assert len(bpy.data.objects) == len(names) + 1
    bpy.ops.ed.undo()
    assert {obj.name for obj in bpy.data.objects} == names and bpy.context.scene.frame_end == 24
    assert bpy.context.scene.camera is None and bpy.context.scene.understudy.camera is None


def test_mistakes_are_one_sentence(stage):
    with pytest.raises(ValueError, match="at least one frame"):
        cameras.add_camera_rig("ORBIT", frames=0)
    with pytest.raises(ValueError, match="not a body"):
        cameras.add_camera_rig("ORBIT", body=bpy.data.objects.new("Empty", None))
    with pytest.raises(ValueError, match="camera move"):
        cameras.add_camera_rig("WALK")
    stage.understudy.body = None
    with pytest.raises(ValueError, match="There is no body"):
        cameras.add_camera_rig("ORBIT")
    assert not bpy.ops.understudy.add_camera_rig.poll()
