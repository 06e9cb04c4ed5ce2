"""Camera files through Blender: in, out, and what is said of what a file cannot hold."""

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
from understudy_shared.camera import CameraTrajectory, project
from understudy_shared.camera_paths import orbit
from understudy_shared.formats import detect

from blender_addon import properties
from blender_addon.api import cameras
from blender_addon.operators import cameras as operators

ENDINGS = {"camera_path": "a.json", "transforms": "a.json", "tum": "a.txt", "kitti": "a.txt", "chan": "a.chan"}
ENDINGS |= {"colmap_text": "model", "colmap_binary": "model", "opencv": "a.json"}
SAVED = [kind.key for kind in detect.CAMERA_FORMATS if kind.can_save]
NO_LENS_SHIFT = ("camera_path", "chan")
GIVEN = {"size": (640, 360), "fov": 35.0, "fps": 29.97}


@pytest.fixture
def stage(scene):
    """The extension's properties and the operators for cameras."""
    classes = (*properties.CLASSES, *operators.CLASSES)
    for cls in classes:
        bpy.utils.register_class(cls)
    properties.attach()
    yield bpy.context.scene
    properties.detach()
    for cls in reversed(classes):
        bpy.utils.unregister_class(cls)


def shot(key="transforms", frames=30, fps=29.97, far=0.0):
    """A path with numbers that no float holds exactly; lens and shift as far as the format has them."""
    base = orbit(center=(far, -far / 3, 0.9), frames=frames, size=(640, 360), fps=fps, sway=0.7, degrees=500, fov=35.0)
    k = base.intrinsics.copy()
    if key not in ("tum", "kitti"):
        k[:, (0, 1), (0, 1)] *= np.linspace(1, 1.7, frames)[:, None]
        if key not in NO_LENS_SHIFT:
            k[:, 0, 2] += 17.3
            k[:, 1, 2] -= np.linspace(0, 9.1, frames)
            k[:, 1, 1] *= 1.01
    return CameraTrajectory(base.extrinsics, k, 640, 360, fps)


def load(path, key):
    """With the same answers to what the file leaves open."""
    return detect.load_camera(path, format=key, **GIVEN)


def assert_same(a, b, tolerance):
    assert (len(a), a.width, a.height) == (len(b), b.width, b.height)
    assert a.fps == pytest.approx(b.fps, rel=1e-6)
    np.testing.assert_allclose(a.intrinsics, b.intrinsics, rtol=tolerance, atol=tolerance * 640)
    size = 1 + np.linalg.norm(b.extrinsics[:, :3, 3], axis=1)[:, None, None]
    assert np.abs((a.extrinsics - b.extrinsics) / size).max() < tolerance


@pytest.mark.parametrize("far", [0.0, 2000.0])
@pytest.mark.parametrize("key", SAVED)
def test_an_untouched_camera_is_written_as_it_was_read(stage, tmp_path, key, far):
    first, second = tmp_path / ENDINGS[key], tmp_path / "again" / ENDINGS[key]
    second.parent.mkdir()
    detect.save_camera(shot(key, far=far), first, key)
    cameras.import_camera(first, format=key, **GIVEN)
    cameras.export_camera(second, format=key)
    assert_same(load(second, key), load(first, key), 1e-9)


@pytest.mark.parametrize("key", SAVED)
def test_every_kind_is_recognised(stage, tmp_path, key):
    path = tmp_path / ENDINGS[key]
    file = shot(key)
    detect.save_camera(file, path, key)
    camera = cameras.import_camera(path)
    assert stage.camera == camera == stage.understudy.camera
    stage.frame_set(stage.frame_start)
    seen = [world_to_camera_view(stage, camera, Vector(p)) for p in np.eye(3)]
    wanted, _ = project(np.eye(3), load(path, key).extrinsics[0], load(path, key).intrinsics[0])
    if key not in ("tum", "kitti"):  # of which the scene gives size and lens
        np.testing.assert_allclose(np.array(seen)[:, :2] * [640, -360] + [0, 360], wanted, atol=0.01)


def test_the_file_survives_saving_and_opening_the_blend(stage, tmp_path):
    detect.save_camera(shot(far=500.0), tmp_path / "a.json", "transforms")
    name = cameras.import_camera(tmp_path / "a.json").name
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    cameras.export_camera(tmp_path / "b.json", bpy.data.objects[name], format="transforms")
    assert_same(load(tmp_path / "b.json", "transforms"), load(tmp_path / "a.json", "transforms"), 1e-12)


def test_an_edited_frame_is_written_as_blender_shows_it_and_the_others_as_they_were(stage, tmp_path):
    detect.save_camera(shot(fps=24.0), tmp_path / "a.json", "transforms")
    camera = cameras.import_camera(tmp_path / "a.json", start=1)
    stage.frame_set(8)
    camera.location.x += 1e-3
    camera.keyframe_insert("location", frame=8)
    cameras.export_camera(tmp_path / "b.json", format="transforms")
    before, after = load(tmp_path / "a.json", "transforms"), load(tmp_path / "b.json", "transforms")
    moved = np.linalg.norm(after.camera_to_world[:, :3, 3] - before.camera_to_world[:, :3, 3], axis=1)
    assert moved[7] == pytest.approx(1e-3, rel=1e-3)
    np.testing.assert_allclose(np.delete(moved, 7), 0, atol=1e-12)
    camera.constraints.new("LIMIT_LOCATION").use_max_z = True  # at most at height 0
    cameras.export_camera(tmp_path / "c.json", format="transforms")
    assert load(tmp_path / "c.json", "transforms").camera_to_world[:, 2, 3].max() < 1e-6


def test_keys_moved_in_time_are_written_where_they_are_now(stage, tmp_path):
    detect.save_camera(shot(fps=24.0), tmp_path / "a.json", "transforms")
    camera = cameras.import_camera(tmp_path / "a.json", start=1)
    from blender_addon.scene.compat import fcurves

    for curve in [*fcurves(camera), *fcurves(camera.data)]:
        for key in curve.keyframe_points:
            key.co_ui.x += 5
        curve.update()
    cameras.export_camera(tmp_path / "b.json", format="transforms", frames=(6, 35))
    assert_same(load(tmp_path / "b.json", "transforms"), load(tmp_path / "a.json", "transforms"), 1e-6)


def test_relative_to_an_object_that_is_moved_turned_and_scaled(stage, tmp_path):
    detect.save_camera(shot(), tmp_path / "a.json", "transforms")
    scan = bpy.data.objects.new("Scan", None)
    stage.collection.objects.link(scan)
    scan.location, scan.rotation_euler, scan.scale = (3, -2, 1), (0.3, 0.2, 1.1), (2.5,) * 3
    camera = cameras.import_camera(tmp_path / "a.json", relative_to=scan)
    bpy.context.view_layer.update()
    file = load(tmp_path / "a.json", "transforms")
    wanted = scan.matrix_world @ Vector(file.camera_to_world[0, :3, 3])
    np.testing.assert_allclose(camera.matrix_world.translation, wanted, atol=1e-5)
    # what the file's camera sees of the scan, this one sees of the scaled scan
    stage.frame_set(1)
    pixels, _ = project(np.eye(3), file.extrinsics[0], file.intrinsics[0])
    seen = [world_to_camera_view(stage, camera, scan.matrix_world @ Vector(p)) for p in np.eye(3)]
    np.testing.assert_allclose(np.array(seen)[:, :2] * [640, -360] + [0, 360], pixels, atol=0.01)

    cameras.export_camera(tmp_path / "b.json", format="transforms", relative_to=scan)
    assert_same(load(tmp_path / "b.json", "transforms"), file, 1e-12)
    cameras.export_camera(tmp_path / "c.json", format="transforms")
    world = load(tmp_path / "c.json", "transforms").camera_to_world[0, :3, 3]
    np.testing.assert_allclose(world, wanted, atol=1e-5)


def test_a_file_of_another_rate_goes_out_at_its_own_samples(stage, tmp_path):
    detect.save_camera(shot(fps=60.0, frames=61), tmp_path / "a.json", "transforms")
    cameras.import_camera(tmp_path / "a.json", start=1001, set_scene=False)
    stage.render.resolution_x, stage.render.resolution_y = 640, 360
    stage.render.pixel_aspect_x = 1.01
    cameras.export_camera(tmp_path / "b.json", format="transforms", frames=(1001, 1025), fps=60.0)
    back = load(tmp_path / "b.json", "transforms")
    file = load(tmp_path / "a.json", "transforms")
    np.testing.assert_allclose(back.extrinsics, file.extrinsics, atol=1e-12)
    np.testing.assert_allclose(back.intrinsics, file.intrinsics, rtol=1e-6, atol=1e-4)


def test_the_artists_own_camera_goes_out_with_parents_and_constraints(stage, tmp_path):
    target, dolly = (bpy.data.objects.new(name, None) for name in ("Target", "Dolly"))
    camera = bpy.data.objects.new("Mine", bpy.data.cameras.new("Mine"))
    for obj in (target, dolly, camera):
        stage.collection.objects.link(obj)
    target.location, dolly.scale, camera.parent = (0.3, 0.2, 1.0), (2, 2, 2), dolly
    for frame, x in ((1, -3.0), (10, 4.0)):
        dolly.location = (x, -4, 1.5)
        dolly.keyframe_insert("location", frame=frame)
    track = camera.constraints.new("TRACK_TO")
    track.target, track.track_axis, track.up_axis = target, "TRACK_NEGATIVE_Z", "UP_Y"
    camera.data.lens, camera.data.shift_x, camera.data.sensor_fit = 28, 0.1, "VERTICAL"
    stage.render.resolution_x, stage.render.resolution_y, stage.render.fps = 320, 200, 25
    stage.frame_start, stage.frame_end, stage.camera = 1, 10, camera
    stage.frame_set(4)
    cameras.export_camera(tmp_path / "a.json", format="transforms")
    assert stage.frame_current == 4
    file = load(tmp_path / "a.json", "transforms")
    assert (file.width, file.height, len(file)) == (320, 200, 10)
    for frame in (1, 5, 10):
        stage.frame_set(frame)
        wanted = [world_to_camera_view(stage, camera, Vector(p)) for p in np.eye(3)]
        pixels, _ = project(np.eye(3), file.extrinsics[frame - 1], file.intrinsics[frame - 1])
        np.testing.assert_allclose(pixels, np.array(wanted)[:, :2] * [320, -200] + [0, 200], atol=0.01)


def test_a_camera_without_shift_goes_into_a_camera_path_exactly_square(stage, tmp_path):
    camera = bpy.data.objects.new("Mine", bpy.data.cameras.new("Mine"))
    stage.collection.objects.link(camera)
    camera.location, camera.data.lens = (1, 2, 3), 31.7
    stage.frame_end = 3
    cameras.export_camera(tmp_path / "a.json", camera, format="camera_path")
    camera.data.shift_y = 0.1
    with pytest.raises(ValueError, match="no lens shift"):
        cameras.export_camera(tmp_path / "a.json", camera, format="camera_path")


def test_what_a_file_leaves_open_is_taken_from_the_scene_and_told(stage, tmp_path):
    detect.save_camera(shot("kitti", fps=10.0), tmp_path / "a.txt", "kitti")
    stage.render.resolution_x, stage.render.resolution_y, stage.render.fps = 800, 600, 25
    camera = cameras.import_camera(tmp_path / "a.txt")
    assert (stage.render.resolution_x, stage.render.fps, camera.data.lens) == (800, 25, pytest.approx(50))
    (told,) = [note for note in cameras.camera_notes(camera) if "leaves open" in note]
    assert "800 x 600" in told and "25 frames" in told and "lens" in told
    camera.data.lens = 80
    assert cameras.import_camera(tmp_path / "a.txt").data.lens == pytest.approx(80)
    own = cameras.import_camera(tmp_path / "a.txt", size=(100, 100), fov=90.0, fps=12.0)
    assert (stage.render.resolution_x, stage.render.fps) == (100, 12)
    assert own.data.lens == pytest.approx(18)


def test_a_lens_beside_the_file_is_better_than_the_scenes(stage, tmp_path):
    (tmp_path / "poses").mkdir()
    file = shot("kitti", fps=10.0)
    detect.save_camera(file, tmp_path / "00.txt", "kitti", calib=tmp_path / "calib.txt")
    cameras.export_camera(
        tmp_path / "b.json", cameras.import_camera(tmp_path / "00.txt"), format="transforms", frames=(1, 30)
    )
    back = load(tmp_path / "b.json", "transforms")
    np.testing.assert_allclose(back.intrinsics, file.intrinsics, rtol=1e-9)
    assert (back.width, back.height) == (640, 360)


def test_a_rate_in_the_file_wins_over_the_scenes(stage, tmp_path):
    for key in ("transforms", "camera_path", "tum"):
        path = tmp_path / f"{key}_{ENDINGS[key]}"
        detect.save_camera(shot(key, fps=50.0), path, key)
        stage.render.fps, stage.render.fps_base = 24, 1
        cameras.import_camera(path)
        assert stage.render.fps / stage.render.fps_base == pytest.approx(50, rel=1e-6)


@pytest.mark.parametrize(("key", "says"), [("tum", "the lens"), ("kitti", "frame rate"), ("chan", "pictures")])
def test_what_the_file_cannot_hold_is_said(stage, tmp_path, key, says):
    detect.save_camera(shot(key), tmp_path / ENDINGS[key], key)
    camera = cameras.import_camera(tmp_path / ENDINGS[key], **GIVEN)
    (told,) = cameras.export_camera(tmp_path / f"b_{ENDINGS[key]}", camera, format=key)
    assert says in told
    assert cameras.export_camera(tmp_path / "b.json", camera, format="transforms") == []


def test_frame_numbers_of_nuke_are_kept_both_ways(stage, tmp_path):
    detect.save_camera(shot("chan", fps=24.0), tmp_path / "a.chan", "chan", first_frame=1001)
    cameras.import_camera(tmp_path / "a.chan")
    assert (stage.frame_start, stage.frame_end) == (1001, 1030)
    cameras.export_camera(tmp_path / "b.chan")
    assert (tmp_path / "b.chan").read_text().split()[0] == "1001"
    cameras.import_camera(tmp_path / "a.chan", start=5)
    assert (stage.frame_start, stage.frame_end) == (5, 34)


def test_photos_come_in_as_one_camera_each_and_go_out_again(stage, tmp_path):
    file = shot(frames=5)
    detect.save_camera(file, tmp_path / "photos.json", "transforms")
    stage.frame_start, stage.frame_end = 7, 99
    several = cameras.import_cameras(tmp_path / "photos.json")
    assert len(several) == 5 and not any(c.animation_data for c in several)
    assert [c.users_collection[0].name for c in several] == ["photos"] * 5
    assert (stage.frame_start, stage.frame_end, stage.camera) == (7, 99, several[0])
    bpy.context.view_layer.update()
    for t, camera in enumerate(several):
        seen = [world_to_camera_view(stage, camera, Vector(p)) for p in np.eye(3)]
        pixels, _ = project(np.eye(3), file.extrinsics[t], file.intrinsics[t])
        np.testing.assert_allclose(np.array(seen)[:, :2] * [640, -360] + [0, 360], pixels, atol=0.01)
    stage.frame_set(30)
    cameras.export_camera(tmp_path / "b.json", several, format="transforms")
    back = load(tmp_path / "b.json", "transforms")
    np.testing.assert_allclose(back.extrinsics, file.extrinsics, atol=1e-12)
    np.testing.assert_allclose(back.intrinsics, file.intrinsics, rtol=1e-9)


def test_photos_in_the_order_of_their_names(stage, tmp_path):
    import json

    detect.save_camera(shot(frames=3), tmp_path / "a.json", "transforms")
    data = json.loads((tmp_path / "a.json").read_text())
    for frame, name in zip(data["frames"], ("p_10.png", "p_9.png", "p_8.png"), strict=True):
        frame["file_path"] = name
    (tmp_path / "a.json").write_text(json.dumps(data))
    bpy.ops.understudy.import_camera(filepath=str(tmp_path / "a.json"), by_name=True)
    stage.frame_set(stage.frame_start)
    np.testing.assert_allclose(
        stage.camera.matrix_world.translation, shot(frames=3).camera_to_world[2, :3, 3], atol=1e-5
    )


def test_up_and_scale(stage, tmp_path):
    detect.save_camera(shot(), tmp_path / "a.json", "transforms", up="Y", scale=0.01)
    camera = cameras.import_camera(tmp_path / "a.json", up="Y", scale=0.01)
    stage.frame_set(stage.frame_start)
    np.testing.assert_allclose(camera.matrix_world.translation, shot().camera_to_world[0, :3, 3], atol=1e-5)
    cameras.export_camera(tmp_path / "b.json", format="transforms", up="Y", scale=0.01)
    assert_same(load(tmp_path / "b.json", "transforms"), load(tmp_path / "a.json", "transforms"), 1e-9)


def test_the_operators_do_the_same(stage, tmp_path):
    detect.save_camera(shot(), tmp_path / "a.json", "transforms")
    assert not bpy.ops.understudy.export_camera.poll()
    scan = bpy.data.objects.new("Scan", None)
    stage.collection.objects.link(scan)
    bpy.ops.understudy.import_camera(
        filepath=str(tmp_path / "a.json"), use_start=True, start=11, relative_to="Scan", up="Z"
    )
    assert stage.camera.parent == scan and stage.frame_start == 11
    bpy.ops.understudy.export_camera(filepath=str(tmp_path / "b.json"), format="transforms", relative_to="Scan")
    assert_same(load(tmp_path / "b.json", "transforms"), load(tmp_path / "a.json", "transforms"), 1e-9)
    bpy.ops.understudy.import_camera(filepath=str(tmp_path / "a.json"), separate=True)
    for obj in stage.objects:
        obj.select_set(obj.type == "CAMERA" and obj.name.startswith("a 0"))
    bpy.ops.understudy.export_camera(filepath=str(tmp_path / "c.json"), format="transforms", what="SELECTED")
    assert len(load(tmp_path / "c.json", "transforms")) == 30


@pytest.mark.parametrize("operator", ["import_camera", "export_camera"])
def test_every_option_has_a_tooltip(stage, operator):
    hidden = {"rna_type", "filepath", "filter_glob", "check_existing"}
    options = getattr(bpy.ops.understudy, operator).get_rna_type().properties
    assert [p.identifier for p in options if not p.description and p.identifier not in hidden] == []


def test_mistakes_are_one_sentence_and_leave_the_scene_alone(stage, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    before = set(bpy.data.objects), stage.frame_end, stage.render.resolution_x
    for arguments, says in (
        ({"filepath": str(tmp_path / "a.json")}, "a.json"),
        ({"filepath": str(tmp_path / "none.json")}, "none.json"),
        ({"filepath": ""}, "No file"),
        ({"filepath": str(tmp_path / "a.json"), "relative_to": "Gone"}, "no object"),
        ({"filepath": str(tmp_path / "a.json"), "width": 10}, "both"),
    ):
        with pytest.raises(RuntimeError, match=says) as error:
            bpy.ops.understudy.import_camera(**arguments)
        assert "Traceback" not in str(error.value)
    assert before == (set(bpy.data.objects), stage.frame_end, stage.render.resolution_x)
    with pytest.raises(ValueError, match="no camera"):
        cameras.export_camera(tmp_path / "b.json")
    flat = bpy.data.objects.new("Flat", bpy.data.cameras.new("Flat"))
    stage.collection.objects.link(flat)
    with pytest.raises(ValueError, match="no ending"):
        cameras.export_camera(tmp_path / "b.xyz", flat)
    flat.data.type = "ORTHO"
    with pytest.raises(ValueError, match="not a perspective camera"):
        cameras.export_camera(tmp_path / "b.json", flat)
