"""Cameras in Alembic, USD and FBX files: through Blender and back, and from files of other programs."""

import addon_utils
import bpy
import numpy as np
import pytest
from understudy_shared.camera import OPENGL_TO_OPENCV, CameraTrajectory
from understudy_shared.camera_paths import orbit

from blender_addon.api import cameras
from blender_addon.scene import alembic_camera
from blender_addon.scene.camera import read_camera

FILES = ["a.abc", "a.usdc", "a.usda", "a.usdz", "a.fbx"]
MAYA = """#usda 1.0
(
    upAxis = "Y"
    metersPerUnit = 0.01
    startTimeCode = 1001
    endTimeCode = 1003
    timeCodesPerSecond = 25
)
def Mesh "Floor" { }
def Xform "rig"
{
    double3 xformOp:translate = (0, 100, 0)
    uniform token[] xformOpOrder = ["xformOp:translate"]
    def Camera "first"
    {
        float focalLength.timeSamples = { 1001: 50, 1002: 60, 1003: 70 }
        float horizontalAperture = 36
        float verticalAperture = 20.25
        double3 xformOp:translate.timeSamples = { 1001: (0, 60, 500), 1002: (10, 60, 500), 1003: (20, 60, 500) }
        uniform token[] xformOpOrder = ["xformOp:translate"]
    }
    def Camera "second"
    {
        float focalLength = 20
        float horizontalAperture = 36
        float verticalAperture = 20.25
    }
}
"""
"""What animation programs write: Y up, centimetres, a camera below a group, other things beside it."""


@pytest.fixture
def stage(shot):
    """An object and a camera of the artist's, which must stay alone."""
    addon_utils.enable("io_scene_fbx")
    shot.collection.objects.link(bpy.data.objects.new("Shot", bpy.data.cameras.new("Shot")))
    shot.render.resolution_x, shot.render.resolution_y = 640, 360
    return shot


def shot(size=(640, 360), fps=25.0, shift=(17.0, -9.0), zoom=1.8):
    base = orbit(frames=12, size=size, fps=fps, sway=0.5, degrees=200)
    k = base.intrinsics.copy()
    k[:, (0, 1), (0, 1)] *= np.linspace(1, zoom, 12)[:, None]
    k[:, :2, 2] += shift
    return CameraTrajectory(base.extrinsics, k, *size, fps)


def add(stage, trajectory, start=1001):
    from blender_addon.scene.camera import import_camera

    camera = import_camera(stage, trajectory, start, "Hero")
    stage.understudy.camera = camera
    return camera


def assert_close(camera, stage, file):
    back = read_camera(camera, stage, range(stage.frame_start, stage.frame_end + 1))
    assert len(back) == len(file)
    size = 1 + np.linalg.norm(file.extrinsics[:, :3, 3], axis=1)[:, None, None]
    assert np.abs((back.extrinsics - file.extrinsics) / size).max() < 1e-6
    np.testing.assert_allclose(back.intrinsics, file.intrinsics, rtol=1e-6, atol=1e-6 * max(file.width, file.height))


@pytest.mark.parametrize("size", [(640, 360), (360, 640), (512, 512)])
@pytest.mark.parametrize("name", FILES)
def test_out_and_in_again(stage, tmp_path, name, size):
    file = shot(size)
    add(stage, file)
    beside = bpy.data.objects.new("Beside", bpy.data.meshes.new("Beside"))
    stage.collection.objects.link(beside)
    counts = {kind: len(getattr(bpy.data, kind)) for kind in ("objects", "cameras", "meshes", "scenes", "actions")}
    cameras.export_camera(tmp_path / name)
    assert counts == {kind: len(getattr(bpy.data, kind)) for kind in counts}
    stage.frame_start, stage.frame_end, stage.render.fps = 1, 250, 25
    camera = cameras.import_camera(tmp_path / name)
    assert (stage.frame_start, stage.frame_end) == (1001, 1012)
    assert_close(camera, stage, file)
    extra = {kind: len(getattr(bpy.data, kind)) - count for kind, count in counts.items()}
    assert extra == {"objects": 1, "cameras": 1, "meshes": 0, "scenes": 0, "actions": 1}
    assert not bpy.data.cache_files and not camera.constraints and camera.rotation_mode == "QUATERNION"


@pytest.mark.parametrize("name", ["a.abc", "a.usda"])
def test_the_files_frame_rate_is_found(stage, tmp_path, name):
    add(stage, shot(fps=29.97))
    cameras.export_camera(tmp_path / name)
    stage.render.fps, stage.render.fps_base = 24, 1
    cameras.import_camera(tmp_path / name)
    assert stage.render.fps / stage.render.fps_base == pytest.approx(29.97, rel=1e-6)
    assert (stage.frame_start, stage.frame_end) == (1001, 1012)


def test_an_alembic_file_holds_every_digit_and_the_zoom(stage, tmp_path):
    """Blender itself loses both: it reads the first lens only, and turns the world by angles in single precision."""
    file = shot(zoom=3.0)
    add(stage, file)
    cameras.export_camera(tmp_path / "a.abc")
    found = alembic_camera.read(tmp_path / "a.abc", "/Hero")
    assert found is not None
    np.testing.assert_allclose(found[0], np.arange(1001, 1013) / 25, rtol=1e-9)
    np.testing.assert_allclose(found[1], file.camera_to_world @ OPENGL_TO_OPENCV, atol=1e-14)
    np.testing.assert_allclose(found[2] * 640, file.intrinsics[:, 0, 0], rtol=1e-6)
    assert alembic_camera.read(tmp_path / "a.abc", "/Villain") is None
    # and Blender's own importer reads the file that was completed
    bpy.ops.wm.alembic_import(filepath=str(tmp_path / "a.abc"))
    stage.frame_set(1003)
    stage.render.fps = 25
    np.testing.assert_allclose(
        bpy.context.scene.objects["Hero.001"].matrix_world, (file.camera_to_world @ OPENGL_TO_OPENCV)[2], atol=1e-5
    )


def test_a_damaged_alembic_file_is_left_to_blender(stage, tmp_path):
    add(stage, shot())
    cameras.export_camera(tmp_path / "a.abc")
    whole = (tmp_path / "a.abc").read_bytes()
    rng = np.random.default_rng(0)
    for end in (0, 3, 12, 16, 200, len(whole) // 2, len(whole) - 40):
        (tmp_path / "cut.abc").write_bytes(whole[:end])
        assert alembic_camera.read(tmp_path / "cut.abc", "/Hero") is None
    for _ in range(200):
        bad = bytearray(whole)
        for at in rng.integers(0, len(bad), 8):
            bad[at] = rng.integers(0, 256)
        (tmp_path / "bad.abc").write_bytes(bad)
        alembic_camera.read(tmp_path / "bad.abc", "/Hero")  # whatever it says, it says it without an error
        alembic_camera.put_back(tmp_path / "bad.abc", "/Hero", np.tile(np.eye(4), (12, 1, 1)))


def test_a_parented_alembic_camera_is_where_blender_puts_it(stage, tmp_path):
    """Written by Blender's exporter alone, with transforms above the camera; away from the angles that it loses."""
    rig = bpy.data.objects.new("Rig", None)
    camera = bpy.data.objects.new("Eye", bpy.data.cameras.new("Eye"))
    for obj in (rig, camera):
        stage.collection.objects.link(obj)
    camera.parent, camera.location, camera.rotation_euler = rig, (0.2, 0.1, 3), (0.3, 0.1, 0)
    for frame, turn in ((1, 0.0), (10, 0.8)):
        rig.location, rig.rotation_euler = (turn, 1, 2), (0.2, 0.1, turn)
        rig.keyframe_insert("location", frame=frame)
        rig.keyframe_insert("rotation_euler", frame=frame)
    bpy.ops.wm.alembic_export(filepath=str(tmp_path / "rig.abc"), start=1, end=10)
    wanted = read_camera(camera, stage, range(1, 11))
    back = read_camera(cameras.import_camera(tmp_path / "rig.abc", name="Eye"), stage, range(1, 11))
    np.testing.assert_allclose(back.extrinsics, wanted.extrinsics, atol=5e-6)


def test_a_stage_of_an_animation_program(stage, tmp_path):
    (tmp_path / "maya.usda").write_text(MAYA)
    camera = cameras.import_camera(tmp_path / "maya.usda")
    assert (stage.frame_start, stage.frame_end, stage.render.fps) == (1001, 1003, 25)
    assert cameras.camera_notes(camera) == ["The file also has the cameras second"]
    for i, frame in enumerate((1001, 1002, 1003)):
        stage.frame_set(frame)
        np.testing.assert_allclose(camera.matrix_world.translation, (0.1 * i, -5, 1.6), atol=1e-5)
        looks = np.array(camera.matrix_world.to_3x3()) @ (0, 0, -1)
        np.testing.assert_allclose(looks, (0, 1, 0), atol=1e-6)
        assert camera.data.lens / camera.data.sensor_width == pytest.approx((50 + 10 * i) / 36, rel=1e-6)
    assert {obj.name for obj in bpy.data.objects} == {"Shot", "maya"} and not bpy.data.meshes
    second = cameras.import_camera(tmp_path / "maya.usda", name="second", scale=2.0)
    assert second.data.lens / second.data.sensor_width == pytest.approx(20 / 36, rel=1e-6)
    np.testing.assert_allclose(second.location, (0, 0, 2), atol=1e-5)
    with pytest.raises(ValueError, match="first, second"):
        cameras.import_camera(tmp_path / "maya.usda", name="third")


def test_a_still_camera_and_a_picture_of_another_shape(stage, tmp_path):
    add(stage, CameraTrajectory(shot().extrinsics[:1], shot().intrinsics[:1], 640, 360, 25.0), start=1)
    stage.frame_end = 5
    cameras.export_camera(tmp_path / "a.usda")
    stage.render.resolution_x, stage.render.resolution_y = 640, 640
    camera = cameras.import_camera(tmp_path / "a.usda", set_scene=False)
    assert camera.animation_data is None or camera.animation_data.action is None
    back = read_camera(camera, stage, [1])
    assert back.intrinsics[0, 0, 0] == pytest.approx(shot().intrinsics[0, 0, 0], rel=1e-6)  # the view across stays


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_such_file_is_one_sentence(stage, tmp_path, name):
    before = set(bpy.data.objects), set(bpy.data.scenes)
    with pytest.raises(ValueError, match="does not exist"):
        cameras.import_camera(tmp_path / name)
    (tmp_path / name).write_bytes(b"nonsense" * 40)
    with pytest.raises(ValueError, match=r"damaged|no perspective camera") as error:
        cameras.import_camera(tmp_path / name)
    assert "\n" not in str(error.value)
    assert before == (set(bpy.data.objects), set(bpy.data.scenes))


def test_oblong_pixels_are_refused(stage, tmp_path):
    add(stage, shot())
    stage.render.pixel_aspect_x = 1.5
    with pytest.raises(ValueError, match="pixel aspect"):
        cameras.export_camera(tmp_path / "a.abc")


def test_a_file_that_cannot_be_written_leaves_the_old_one(stage, tmp_path):
    camera = add(stage, shot())
    with pytest.raises(OSError):
        cameras.export_camera(tmp_path / "nowhere" / "a.abc")
    (tmp_path / "a.fbx").write_text("old")
    addon_utils.disable("io_scene_fbx")
    with pytest.raises(ValueError, match="add-on"):
        cameras.export_camera(tmp_path / "a.fbx")
    assert (tmp_path / "a.fbx").read_text() == "old" and [f.name for f in tmp_path.iterdir()] == ["a.fbx"]
    assert (camera.name, camera.data.name) == ("Hero", "Hero")
