"""Passes that Blender renders: exact values, and an artist's scene that is left as it was."""

import bpy
import numpy as np
import pytest
from understudy_shared.camera import project
from understudy_shared.camera_paths import orbit
from understudy_shared.frames import Channel

from blender_addon.render import passes
from blender_addon.render.conditions import frame_geometry
from blender_addon.render.exr import read_exr
from blender_addon.scene import compat
from blender_addon.scene.body import create_body
from blender_addon.scene.camera import import_camera
from blender_addon.scene.material import set_texture
from blender_addon.scene.motion import apply_motion

SIZE = (80, 128)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # reading every property reads old ones


@pytest.fixture
def shot(scene, model, betas, wave):
    body = create_body(scene, model, betas)
    apply_motion(body, wave, 1, wave.fps)
    view = orbit(wave.transl[40], radius=2.6, frames=90, size=SIZE)
    return body, import_camera(scene, view, 1)


def values(struct, path, depth=0):
    """Every readable property of an RNA struct and of the settings inside it, as text."""
    out = {}
    for prop in struct.bl_rna.properties:
        if prop.identifier in {"rna_type", "original", "depsgraph"}:
            continue
        value = getattr(struct, prop.identifier)
        name = f"{path}.{prop.identifier}"
        if prop.type == "POINTER":
            if value is not None and not isinstance(value, bpy.types.ID) and depth < 4:
                out |= values(value, name, depth + 1)
            else:
                out[name] = getattr(value, "name", None)
        elif prop.type == "COLLECTION":
            out[name] = [getattr(item, "name", "") for item in value] if depth < 2 else len(value)
        else:
            out[name] = value[:] if getattr(prop, "is_array", False) else value
    return out


def everything(scene):
    found = values(scene, "scene") | values(scene.view_layers[0], "layer") | values(scene.world, "world")
    for obj in scene.objects:
        found |= {f"{obj.name}.{n}": getattr(obj, n) for n in ("hide_render", "hide_viewport", "is_holdout")}
        found[f"{obj.name}.users"] = [c.name for c in obj.users_collection], [s.name for s in obj.users_scene]
    for kind in ("scenes", "collections", "cameras", "objects", "meshes", "materials", "worlds", "actions"):
        found[kind] = [item.name for item in getattr(bpy.data, kind)]
    return found


def unusual(scene):
    scene.world = bpy.data.worlds.new("Mine")
    scene.render.engine = compat.eevee_id()
    scene.render.resolution_x, scene.render.resolution_percentage = 777, 33
    scene.render.use_border, scene.render.dither_intensity = True, 0.7
    scene.render.filepath = "/nowhere/mine_"
    compat.set_file_format(scene.render.image_settings, "TIFF")
    scene.view_settings.view_transform = "AgX"
    scene.view_layers[0].use_pass_mist = True
    scene.frame_set(13, subframe=0.25)


@pytest.mark.parametrize("fails", [False, True])
def test_not_one_setting_of_the_artist_changes(scene, shot, monkeypatch, fails):
    body, camera = shot
    unusual(scene)
    body.hide_render = True
    camera.data.dof.use_dof = True
    before = everything(scene)
    assert len(before) > 300
    if fails:
        monkeypatch.setattr(passes, "read_exr", lambda path: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            passes.render_passes(scene, body, camera, 40, (32, 32), samples=1)
    else:
        passes.render_passes(scene, body, camera, 40, (32, 32), samples=1)
    after = everything(scene)
    assert {n: (before[n], after.get(n)) for n in before if before[n] != after.get(n)} == {}
    assert before.keys() == after.keys()


def test_depth_uv_normal_and_colour_of_each_pixel_lie_on_the_posed_body(scene, shot, model):
    """Pixels at vertices: the surface there is known without a rasteriser."""
    body, camera = shot
    size = (320, 512)
    set_texture(body, np.full((8, 8, 3), (200, 100, 50), np.uint8))
    got = passes.render_passes(scene, body, camera, 40, size, samples=1).channels
    geometry = frame_geometry(body, camera, scene, 40, size).channels
    assert np.array_equal(got[Channel.EXTRINSICS], geometry[Channel.EXTRINSICS])
    vertices = geometry[Channel.VERTICES]
    pixels, depth = project(vertices, geometry[Channel.EXTRINSICS], geometry[Channel.INTRINSICS])
    x, y = np.floor(pixels).astype(int).T
    mask = got[Channel.MASK] > 0
    assert set(np.unique(got[Channel.MASK])) == {0, 1}
    assert 0.05 < mask.mean() < 0.5
    shown = got[Channel.DEPTH][y, x]
    front = np.abs(shown - depth) < 0.004  # the vertices that are seen, not those behind
    assert front.sum() > 0.15 * len(vertices)
    uv_of = np.full((len(vertices), 2), np.nan, np.float32)
    uv_of[model.faces.reshape(-1)] = model.uvs[model.face_uvs.reshape(-1)]
    seams = np.bincount(np.unique(np.stack([model.faces.ravel(), model.face_uvs.ravel()]), axis=1)[0]) > 1
    off = np.abs(got[Channel.UV][y, x] - uv_of)[front & ~seams].max(1)
    assert np.median(off) < 0.002  # a pixel is at most half a pixel from the vertex
    assert np.percentile(off, 95) < 0.02
    corners = vertices[model.faces]
    face_normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(vertices)
    np.add.at(normals, model.faces.reshape(-1), np.repeat(face_normals, 3, 0))
    normals = normals @ geometry[Channel.EXTRINSICS][:3, :3].T
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    cosine = (got[Channel.NORMAL][y, x] * normals).sum(1)[front]
    assert np.median(cosine) > 0.99
    assert np.isinf(got[Channel.DEPTH][~mask]).all()
    assert not got[Channel.NORMAL][~mask].any()
    assert not got[Channel.UV][~mask].any()
    assert (got[Channel.RGBA][mask] == (200, 100, 50, 255)).all()
    assert not got[Channel.RGBA][~mask].any()


def test_antialiased_colour_and_mask(scene, shot):
    body, camera = shot
    set_texture(body, np.full((8, 8, 3), (200, 100, 50), np.uint8))
    exact = passes.render_passes(scene, body, camera, 40, SIZE, samples=1).channels
    soft = passes.render_passes(scene, body, camera, 40, SIZE).channels
    mask = soft[Channel.MASK]
    assert 0 < np.mean((mask > 0) & (mask < 1)) < 0.1
    assert abs(mask.sum() / exact[Channel.MASK].sum() - 1) < 0.02
    assert np.isfinite(soft[Channel.DEPTH][mask > 0]).all()
    covered = soft[Channel.RGBA][mask > 0].astype(int)
    assert np.abs(covered[:, :3] - (200, 100, 50)).max() <= 1  # straight alpha: no dark rim
    both = exact[Channel.MASK] > 0
    assert np.array_equal(soft[Channel.DEPTH][both], exact[Channel.DEPTH][both])


def test_pixels_that_are_not_square(scene, model, betas):
    body = create_body(scene, model, betas)
    base = orbit((0, 0, 0), radius=4, frames=2, size=(64, 64))
    camera = import_camera(scene, base.resized(64, 100), 1)
    assert scene.render.pixel_aspect_x > 1.5
    got = passes.render_passes(scene, body, camera, 1, (64, 100), samples=1).channels
    geometry = frame_geometry(body, camera, scene, 1, (64, 100)).channels
    np.testing.assert_allclose(geometry[Channel.INTRINSICS], base.resized(64, 100).intrinsics[0], atol=1e-3)
    pixels, _ = project(geometry[Channel.VERTICES], geometry[Channel.EXTRINSICS], geometry[Channel.INTRINSICS])
    rows, columns = np.nonzero(got[Channel.MASK])
    thin = (2.5, 1.5)  # pixels: fingertips lie between pixel centres
    assert (np.abs(pixels.min(0) - [columns.min(), rows.min()]) < thin).all()
    assert (np.abs(pixels.max(0) - [columns.max(), rows.max()]) < thin).all()


def test_an_included_object_hides_the_body_without_being_seen(scene, shot):
    body, camera = shot
    whole = passes.render_passes(scene, body, camera, 40, SIZE, samples=1).channels
    view = np.linalg.inv(frame_geometry(body, camera, scene, 40, SIZE).channels[Channel.EXTRINSICS])
    mesh = bpy.data.meshes.new("Card")
    corners = np.array([[-2, 0, 1, 1], [2, 0, 1, 1], [2, 2, 1, 1], [-2, 2, 1, 1]]) @ view.T
    mesh.from_pydata(corners[:, :3].tolist(), [], [(0, 1, 2, 3)])  # hides the lower half of the picture
    card = bpy.data.objects.new("Card", mesh)
    scene.collection.objects.link(card)
    alone = passes.render_passes(scene, body, camera, 40, SIZE, samples=1).channels
    assert np.array_equal(alone[Channel.MASK], whole[Channel.MASK])
    half = passes.render_passes(scene, body, camera, 40, SIZE, include=[card], samples=1).channels
    middle = SIZE[1] // 2
    assert np.array_equal(half[Channel.MASK][:middle], whole[Channel.MASK][:middle])
    assert whole[Channel.MASK][middle:].any()
    assert not half[Channel.MASK][middle:].any()
    assert not half[Channel.RGBA][middle:].any()
    assert np.isinf(half[Channel.DEPTH][middle:]).all()


def test_exr_reader_against_blenders_own(scene, tmp_path):
    image = bpy.data.images.new("float", 7, 5, alpha=True, float_buffer=True)
    pixels = np.random.default_rng(0).normal(0, 10, 7 * 5 * 4).astype(np.float32)
    pixels[3::4] = 1
    image.pixels.foreach_set(pixels)
    compat.set_file_format(scene.render.image_settings, "OPEN_EXR")
    scene.render.image_settings.color_depth, scene.render.image_settings.exr_codec = "32", "NONE"
    scene.view_settings.view_transform = "Raw"
    image.save_render(str(tmp_path / "x.exr"), scene=scene)
    loaded = bpy.data.images.load(str(tmp_path / "x.exr"))
    wanted = np.empty(7 * 5 * 4, np.float32)
    loaded.pixels.foreach_get(wanted)
    got = read_exr(tmp_path / "x.exr")
    for c, name in enumerate("RGB"):
        np.testing.assert_array_equal(got[name], wanted.reshape(5, 7, 4)[::-1, :, c])


@pytest.mark.parametrize("cut", [0, 3, 40, 400, -9])
def test_a_damaged_exr_is_one_line(scene, tmp_path, cut):
    image = bpy.data.images.new("float", 32, 16, float_buffer=True)
    compat.set_file_format(scene.render.image_settings, "OPEN_EXR")
    scene.render.image_settings.exr_codec = "NONE"
    image.save_render(str(tmp_path / "x.exr"), scene=scene)
    data = (tmp_path / "x.exr").read_bytes()
    (tmp_path / "x.exr").write_bytes(data[:cut])
    with pytest.raises(ValueError, match="EXR"):
        read_exr(tmp_path / "x.exr")
