"""The fit before its photo, and back; shown to the artist, and put away again."""

import bpy
import numpy as np
import pytest
from mathutils import Quaternion
from understudy_shared.body import JOINT_NAMES, free_body, joint_transforms, skin
from understudy_shared.camera import project
from understudy_shared.camera_paths import look_at

WIDTH, HEIGHT = 96, 128
RESOLUTIONS = [(96, 128, 1, 1), (1920, 1080, 1, 1), (400, 900, 1, 1), (300, 300, 1, 1), (720, 576, 16, 11)]


@pytest.fixture
def scene(addon):
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene


@pytest.fixture
def photo(scene):
    return bpy.data.images.new("made", WIDTH, HEIGHT)


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


@pytest.fixture
def fitted(scene, photo, model, fit):
    from blender_addon.scene.photo import show_fit

    settings = scene.understudy
    settings.photo = photo
    settings.photo_body, settings.photo_camera = show_fit(scene, photo, fit, model)
    settings.body = settings.photo_body
    return scene


def joints_of(fit):
    one = (fit[n][None] for n in ("global_orient", "body_pose", "transl"))
    return joint_transforms(free_body(), fit["betas"], *one)[0, :, :3, 3]


def on_photo(camera, scene, points):
    """Where points of the world lie on the photo, by Blender's own camera frame and the background's documented FIT:
    the frame is `view_frame`'s, FIT puts all of the picture into it, and `scale` enlarges it about its middle."""
    bpy.context.view_layer.update()
    frame = np.array([camera.matrix_world @ corner for corner in camera.data.view_frame(scene=scene)])
    right, up = frame[0] - frame[3], frame[0] - frame[1]
    middle, eye = frame[[0, 2]].mean(0), np.array(camera.matrix_world.translation)
    normal = np.cross(right, up)
    rays = points - eye
    hits = eye + rays * ((middle - eye) @ normal / (rays @ normal))[:, None]
    across, down = (hits - middle) @ right / (right @ right), -(hits - middle) @ up / (up @ up)
    render = scene.render
    wide = np.array([render.resolution_x * render.pixel_aspect_x, render.resolution_y * render.pixel_aspect_y])
    background = camera.data.background_images[0]
    assert background.frame_method == "FIT" and tuple(background.offset) == (0, 0)
    size = np.array([WIDTH, HEIGHT]) * (wide / [WIDTH, HEIGHT]).min() * background.scale
    return (np.stack([across, down], 1) * wide / size + 0.5) * [WIDTH, HEIGHT]


def test_the_body_stands_where_the_fit_saw_it_and_comes_back(fitted, model, fit):
    from blender_addon.render.conditions import frame_geometry
    from blender_addon.scene.photo import read_fit

    scene, settings = fitted, fitted.understudy
    body, camera = settings.photo_body, settings.photo_camera
    assert (scene.render.resolution_x, scene.render.resolution_y, scene.camera) == (1920, 1080, camera)
    frame = frame_geometry(body, camera, scene, scene.frame_current, (WIDTH, HEIGHT)).channels
    pixels, _ = project(frame["vertices"], frame["extrinsics"], frame["intrinsics"])
    one = skin(model, fit["betas"], *(fit[n][None] for n in ("global_orient", "body_pose", "transl")))[0]
    wanted, _ = project(one, fit["extrinsics"], fit["intrinsics"])
    np.testing.assert_allclose(pixels, wanted, atol=1e-3)
    scene.render.resolution_x = 999  # the next shot's
    back = read_fit(scene, settings)
    assert set(back) == set(fit)
    for name, value in fit.items():
        np.testing.assert_allclose(back[name], value, atol=1e-4)


@pytest.mark.parametrize("again", [False, True], ids=["resolution changed later", "shown again"])
@pytest.mark.parametrize("resolution", RESOLUTIONS, ids=str)
def test_the_body_lies_over_the_person_at_any_resolution(fitted, fit, resolution, again):
    from blender_addon import api

    scene, camera = fitted, fitted.understudy.photo_camera
    api.show_photo(scene)
    render = scene.render
    render.resolution_x, render.resolution_y, render.pixel_aspect_x, render.pixel_aspect_y = resolution
    if again:
        api.hide_photo(scene)
        api.show_photo(scene)
    points = on_photo(camera, scene, joints_of(fit))
    np.testing.assert_allclose(points, project(joints_of(fit), fit["extrinsics"], fit["intrinsics"])[0], atol=2e-3)
    if again:  # all of the photo is in the frame
        assert camera.data.background_images[0].scale == pytest.approx(1, abs=1e-5)


def test_what_the_artist_changes_is_read(fitted, fit):
    from blender_addon.scene.body_parts import armature_of
    from blender_addon.scene.photo import read_fit

    settings = fitted.understudy
    bone = armature_of(settings.photo_body).pose.bones["right_knee"]
    bone.rotation_quaternion = bone.rotation_quaternion @ Quaternion((1, 0, 0), 0.4)
    settings.photo_camera.data.lens *= 1.5
    settings.photo_body.understudy_shape.height = 1.25
    back = read_fit(fitted, settings)
    changed = np.abs(back["body_pose"] - fit["body_pose"]).max(1) > 1e-3
    assert np.flatnonzero(changed).tolist() == [JOINT_NAMES.index("right_knee") - 1]
    np.testing.assert_allclose(back["intrinsics"][[0, 1], [0, 1]], 225, atol=1e-3)
    assert back["betas"][0] == pytest.approx(1.25)


@pytest.mark.skipif(bpy.app.version < (5, 2, 0), reason="only Blender 5.2 draws without a window")
@pytest.mark.parametrize("size", [(300, 400), (480, 270), (200, 500)], ids=str)
def test_blender_draws_the_person_of_the_photo_where_the_body_is(scene, model, size):
    """The photo is a drawing of the body itself, so that what is drawn of it and of the body must be one outline."""
    import gpu

    from blender_addon import api
    from blender_addon.scene.body_parts import armature_of
    from blender_addon.scene.photo import show_fit
    from blender_addon.scene.pixels import new_image
    from blender_addon.scene.windows import nearest

    gpu.init()
    pose = np.zeros((23, 3), np.float32)
    pose[15], pose[16] = (0, 0, -0.9), (0, 0, 0.9)
    fit = {
        "betas": np.zeros(10, np.float32),
        "global_orient": np.array([np.pi / 2, 0.3, 0]),
        "body_pose": pose,
        "transl": np.array([0.1, 0, 1.0]),
        "extrinsics": look_at(np.array([0.4, -3.6, 1.3]), np.array([0.1, 0, 1.0])),
        "intrinsics": np.array([[520.0, 0, 170], [0, 520, 185], [0, 0, 1]]),
    }
    vertices = skin(model, fit["betas"], *(fit[n][None] for n in ("global_orient", "body_pose", "transl")))[0]
    drawing = np.full((400, 300, 4), 255, np.uint8)
    for x, y in np.floor(project(vertices, fit["extrinsics"], fit["intrinsics"])[0]).astype(int):
        drawing[y - 1 : y + 2, x - 1 : x + 2, :3] = (255, 0, 255)
    settings = scene.understudy
    settings.photo = new_image("drawn", drawing)
    settings.photo_body, settings.photo_camera = show_fit(scene, settings.photo, fit, model)
    scene.render.resolution_x, scene.render.resolution_y = size
    _, area = nearest(bpy.context, "VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    api.show_photo(scene)

    def draw():
        bpy.context.view_layer.update()
        depsgraph = bpy.context.evaluated_depsgraph_get()
        camera = settings.photo_camera
        lens = camera.calc_matrix_camera(depsgraph, x=size[0], y=size[1])
        space = area.spaces.active
        space.shading.type, space.shading.light = "SOLID", "FLAT"
        space.shading.color_type, space.shading.single_color = "SINGLE", (0, 1, 0)
        space.overlay.show_floor = space.overlay.show_axis_x = space.overlay.show_axis_y = False
        space.overlay.show_bones = space.overlay.show_outline_selected = space.overlay.show_object_origins = False
        off = gpu.types.GPUOffScreen(*size)
        view = camera.matrix_world.inverted()
        off.draw_view3d(scene, bpy.context.view_layer, space, region, view, lens, do_color_management=True)
        with off.bind():
            pixels = gpu.state.active_framebuffer_get().read_color(0, 0, *size, 4, 0, "UBYTE")
        off.free()
        return np.array(pixels.to_list(), np.int32).reshape(size[1], size[0], 4)

    settings.photo_style = "BEHIND"
    over = draw()
    body = (over[..., 1] > 200) & (over[..., 0] < 100)
    settings.photo_style = "BONES"
    under = draw()
    person = (under[..., 0] > 150) & (under[..., 1] < 100)
    assert armature_of(settings.photo_body).visible_get() and person.sum() > 1500
    assert (body & person).sum() / (body | person).sum() > 0.7  # dots of 3 pixels have holes and a wider rim
    ends = [np.array([np.nonzero(mask.any(axis))[0][[0, -1]] for axis in (0, 1)]) for mask in (body, person)]
    np.testing.assert_allclose(*ends, atol=2)


def test_showing_the_photo_changes_nothing_for_good(fitted):
    from blender_addon import api
    from blender_addon.scene.body_parts import armature_of
    from blender_addon.scene.windows import nearest

    scene, settings = fitted, fitted.understudy
    shot = bpy.data.objects.new("Shot", bpy.data.cameras.new("Shot"))
    scene.collection.objects.link(shot)
    scene.camera, scene.render.resolution_x, scene.render.resolution_y = shot, 1920, 1080
    other = api.create_body(scene)
    settings.body = other
    _, area = nearest(bpy.context, "VIEW_3D")
    space = area.spaces.active
    space.region_3d.view_perspective = "PERSP"
    objects = [settings.photo_body, armature_of(settings.photo_body), other, armature_of(other)]
    settings.photo_body.hide_viewport = True

    def state():
        view = space.region_3d
        return (
            [obj.hide_viewport for obj in objects],
            (scene.camera, scene.render.resolution_x, scene.render.resolution_y),
            (view.view_perspective, tuple(view.view_rotation), tuple(view.view_location), view.view_distance),
            (space.use_local_camera, space.overlay.show_overlays, len(bpy.data.scenes)),
        )

    before = state()
    assert bpy.ops.understudy.show_photo() == {"FINISHED"}
    assert api.photo_shown(scene) == 1 and space.camera == settings.photo_camera and scene.camera == shot
    assert space.region_3d.view_perspective == "CAMERA" and not settings.photo_body.hide_viewport
    assert other.hide_viewport and bpy.context.view_layer.objects.active == armature_of(settings.photo_body)
    settings.photo_style = "BONES"
    assert settings.photo_body.hide_viewport and not armature_of(settings.photo_body).hide_viewport
    settings.photo_style, settings.photo_opacity = "OVER", 0.25
    background = settings.photo_camera.data.background_images[0]
    assert (background.display_depth, background.alpha) == ("FRONT", 0.25)
    assert bpy.ops.understudy.show_photo() == {"FINISHED"}
    assert api.photo_shown(scene) == 0 and state() == before


def test_a_body_that_moves_stands_for_its_photo_and_moves_on(fitted, fit, wave):
    from blender_addon import api
    from blender_addon.link import gather
    from blender_addon.scene.body_parts import armature_of
    from blender_addon.scene.motion import apply_motion, read_motion
    from blender_addon.scene.photo import read_fit

    scene, settings = fitted, fitted.understudy
    apply_motion(settings.photo_body, wave, 1, 24)
    moving = read_motion(settings.photo_body, scene, [1, 9])
    with pytest.raises(ValueError, match="moves already"):
        read_fit(scene, settings)
    api.show_photo(scene, pose=True)
    armature = armature_of(settings.photo_body)
    assert armature.mode == "POSE"
    for name, value in read_fit(scene, settings).items():
        np.testing.assert_allclose(value, fit[name], atol=1e-4, err_msg=name)
    bone = armature.pose.bones["left_elbow"]
    bone.rotation_quaternion = bone.rotation_quaternion @ Quaternion((0, 1, 0), 0.3)
    api.hide_photo(scene)
    assert armature.mode == "OBJECT"
    after = read_motion(settings.photo_body, scene, [1, 9])
    np.testing.assert_allclose(after.body_pose, moving.body_pose, atol=1e-6)
    changed = np.abs(gather.fit(scene)["body_pose"] - fit["body_pose"]).max(1) > 1e-3
    assert np.flatnonzero(changed).tolist() == [JOINT_NAMES.index("left_elbow") - 1]


def test_a_take_shows_the_motion_and_not_the_pose_of_the_photo(fitted, wave):
    from blender_addon import api
    from blender_addon.link import gather
    from blender_addon.scene import photo_end
    from blender_addon.scene.motion import apply_motion
    from blender_addon.scene.photo import moves

    body = fitted.understudy.photo_body
    apply_motion(body, wave, 1, 24)
    api.show_photo(fitted)
    assert not moves(body)
    with pytest.raises(ValueError, match="hide the photo first"):
        gather.conditions(None, fitted, body)
    photo_end.let_move(fitted, body)
    assert moves(body) and not api.photo_shown(fitted)
    api.show_photo(fitted)
    apply_motion(body, wave, 100, 24)  # another motion, imported meanwhile
    action = body.parent.animation_data.action
    api.hide_photo(fitted)
    assert body.parent.animation_data.action == action


def test_the_body_lies_on_the_person_or_not(fitted):
    from blender_addon import api
    from blender_addon.scene.pixels import mask_image

    everywhere = np.full((HEIGHT, WIDTH), 255, np.uint8)
    fitted.understudy.photo_mask = mask_image("m", everywhere)
    assert api.lies_on_person(fitted) == 1
    fitted.understudy.photo_mask = mask_image("m", everywhere * 0)
    assert api.lies_on_person(fitted) == 0


def test_a_missing_array_is_one_line(scene, photo, model, fit):
    from blender_addon.scene.photo import show_fit

    del fit["transl"]
    with pytest.raises(ValueError, match="lacks transl"):
        show_fit(scene, photo, fit, model)


def test_undo_brings_shape_and_view_of_the_photo_back(fitted):
    from blender_addon import api

    bpy.ops.ed.undo_push(message="before")
    api.show_photo(fitted)
    bpy.context.scene.understudy.photo_body.understudy_shape.weight = 2.0
    bpy.ops.ed.undo_push(message="shown")
    bpy.ops.ed.undo()
    scene = bpy.context.scene
    body = scene.understudy.photo_body
    assert api.photo_shown(scene) == 0 and body.understudy_shape.weight != 2.0
    assert "understudy_before" not in body
