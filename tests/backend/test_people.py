"""People that the repository makes: dressed everywhere, the same on both sides, the same for the same seed."""

from pathlib import Path

import numpy as np
import pytest
from understudy_backend.texture.raster import rasterize
from understudy_backend.training import dataset
from understudy_backend.training.people import kernels, outfit, photograph, poses, render, shading, skins
from understudy_backend.training.people.person import random_person, skin_vertices
from understudy_backend.training.people.surface import texels, vertex_surface
from understudy_shared.body import Y_UP_TO_Z_UP, free_body, skin
from understudy_shared.camera import project


@pytest.fixture(scope="module")
def person():
    return random_person(np.random.default_rng(3))


def test_every_skin_is_a_marked_image_of_the_expected_size():
    names = skins.names()
    assert len(names) == 20
    rows = (Path(skins.__file__).parents[2] / "assets/skins/README.md").read_text()
    for name in names:
        assert f"`{name}.jpg`" in rows
        assert len(skins.load(name).colours) == texels(512).mask.sum()


@pytest.mark.parametrize("seed", range(40))
def test_nobody_is_undressed(seed):
    rng = np.random.default_rng(seed)
    clothes = outfit.random_outfit(rng, female=bool(seed % 2))
    s = vertex_surface()
    y = s.position[:, 1]
    chest = (np.abs(y - 0.02) < 0.05) & (np.abs(s.position[:, 0]) < 0.13) & (s.arm < 0)
    hips = (y < -0.2) & (y > -0.45) & (s.hand < 0.05)
    covered = np.max([g.distance(s) for g in clothes], axis=0) > 0
    assert chest.sum() > 200 and hips.sum() > 500
    assert covered[chest].all()
    assert covered[hips].all()


def test_hems_end_at_one_height_on_front_and_back():
    for seed in range(12):
        for garment in outfit.random_outfit(np.random.default_rng(seed), female=True):
            if not isinstance(garment, outfit.Trousers | outfit.Skirt):
                continue
            s = texels(512).surface
            inside = (garment.distance(s) > 0) & (s.hand < 0.05) & (s.arm < -0.3)
            front, back = s.normal[:, 2] > 0.3, s.normal[:, 2] < -0.3
            low = [s.position[inside & side, 1].min() for side in (front, back)]
            assert abs(low[0] - low[1]) < 0.006  # one or two texels


def test_the_same_seed_gives_the_same_person_and_another_seed_another(person):
    again, other = random_person(np.random.default_rng(3)), random_person(np.random.default_rng(4))
    np.testing.assert_array_equal(person.atlas, again.atlas)
    np.testing.assert_array_equal(person.vertices, again.vertices)
    assert np.abs(person.texture.astype(int) - other.texture).mean() > 5


def test_the_texture_has_no_holes_and_is_dilated(person):
    t = texels(512)
    assert (person.texture[t.near < 0] == 128).all()
    dark = (person.texture[t.mask].max(1) < 3).mean()
    assert dark < 0.02


def test_skinning_agrees_with_the_shared_body(person):
    body, rng = free_body(), np.random.default_rng(0)
    pose = rng.normal(0, 0.3, (24, 3)).astype(np.float32)
    ours = skin_vertices(body.shaped(person.betas), body.weights, person.betas, pose)
    theirs = skin(body, person.betas, pose[None, 0], pose[None, 1:], np.zeros((1, 3), np.float32))[0]
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_parts_that_leave_the_body_stay_with_it(person):
    """A mesh part may swing away from the body by decimetres, not fly off: weights sum to one, edges stay short."""
    np.testing.assert_allclose(person.weights.sum(1), 1, atol=1e-4)
    for seed in range(6):
        someone = random_person(np.random.default_rng(seed))
        vertices = someone.posed(poses.wild(np.random.default_rng(seed)))
        edges = np.linalg.norm(vertices[someone.faces[:, 0]] - vertices[someone.faces[:, 1]], axis=1)
        assert edges.max() < 0.2


def test_normals_of_a_sphere_point_outward():
    trimesh = pytest.importorskip("trimesh")
    sphere = trimesh.creation.icosphere(3)
    ours = kernels.vertex_normals(sphere.vertices, sphere.faces)
    np.testing.assert_allclose(ours, sphere.vertices, atol=0.02)


def test_leaving_out_the_far_side_changes_no_pixel():
    body = free_body()
    vertices = photograph.to_world(body.v_template)
    view = render.frame(vertices, 0.7, 0.2, 1.5, 0.9, np.zeros(2), (160, 160))
    points, depth = project(vertices, view.extrinsics, view.intrinsics)
    whole, fast = rasterize(points, depth, body.faces, view.size), render.look(view, vertices, body.faces)
    assert (whole.mask != fast.mask).mean() < 1e-3  # the open neck of the eyelids and slivers at the outline
    both = whole.mask & fast.mask
    assert (np.abs(whole.depth[both] - fast.depth[both]) < 1e-4).mean() > 0.999


@pytest.mark.parametrize("azimuth", [0.0, 1.5, 3.0])
def test_the_camera_frames_what_it_was_asked_to(azimuth):
    points = free_body().v_template @ Y_UP_TO_Z_UP.T * [0.3, 1, 1]
    view = render.frame(points, azimuth, 0.1, 1.8, 0.8, np.zeros(2), (200, 300))
    image, depth = project(points, view.extrinsics, view.intrinsics)
    assert depth.min() > 0
    np.testing.assert_allclose(np.ptp(image[:, 1]) / 300, 0.8, atol=0.01)
    np.testing.assert_allclose((image.min(0) + image.max(0)) / 2, [100, 150], atol=0.01)


def test_the_front_camera_sees_the_nose_and_not_the_back():
    body = free_body()
    vertices = photograph.to_world(body.v_template)
    view = render.frame(vertices, 0.0, 0.0, 2.0, 0.9, np.zeros(2), (400, 400))
    photo = np.full((400, 400, 3), 200, np.uint8)
    read, seen = photograph.read_texture(photo, np.ones((400, 400), bool), view, vertices, 256)
    t = texels(256)
    normal = np.zeros((256, 256, 3), np.float32)
    normal[t.mask] = t.surface.normal
    assert (read[seen] == 200).all() and (read[~seen] == 128).all()
    assert (normal[seen][:, 2] < 0).mean() < 0.01  # fingers curl
    assert 0.3 < seen.sum() / t.mask.sum() < 0.5


def test_a_texture_read_from_flat_renders_is_the_texture():
    """The way out and the way back: rendered without light, read again from front and back."""
    person = random_person(np.random.default_rng(5))
    body, t = free_body(), texels(512)
    vertices = photograph.to_world(
        skin_vertices(body.shaped(person.betas), body.weights, person.betas, poses.standing(np.random.default_rng(0)))
    )
    uvs = (body.uvs * [512, -512] + [0, 512]).astype(np.float32)
    for azimuth in (0.0, np.pi):
        view = render.frame(vertices, azimuth, 0.0, 2.0, 0.95, np.zeros(2), (1000, 1400))
        raster = render.look(view, vertices, body.faces)
        image = render.picture(raster, body.faces, uvs, body.face_uvs, person.texture, np.ones(3, np.float32), 1)
        read, seen = photograph.read_texture(image[..., :3], image[..., 3] > 0, view, vertices, 512)
        inner = np.zeros_like(seen)
        inner[t.mask] = t.surface.normal[:, 2] * np.cos(azimuth) > 0.5
        error = (read[seen & inner].astype(float) - person.texture[seen & inner]) / 255
        assert 10 * np.log10(1 / np.mean(error**2)) > 28


def test_light_falls_from_where_it_is():
    trimesh = pytest.importorskip("trimesh")
    sphere = trimesh.creation.icosphere(3)
    vertices, faces = sphere.vertices.astype(np.float32), sphere.faces.astype(np.int32)
    light = shading.Light(*(np.zeros(3, np.float32),) * 2, np.array([[0, 0, 1.0]]), np.ones((1, 3), np.float32))
    shade = light.shade(vertices, vertices, faces, np.ones(len(vertices), np.float32))[:, 0]
    top, bottom = shade[vertices[:, 2] > 0.95], shade[vertices[:, 2] < -0.3]
    assert top.min() > 0.85 and bottom.max() < 1e-6


def test_a_shade_stops_the_light():
    """A plate above a plate: the lower one lies in the dark where the upper one covers it."""
    x, y = np.meshgrid(np.linspace(-1, 1, 21), np.linspace(-1, 1, 21))
    low = np.stack([x, y, 0 * x], -1).reshape(-1, 3)
    corner = np.array([[-0.5, -0.5, 1], [0.5, -0.5, 1], [0.5, 0.5, 1], [-0.5, 0.5, 1.0]])
    vertices = np.concatenate([corner, low]).astype(np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]] * 1, np.int32)
    # the solid's faces are culled by side, so the plate is given both
    both = np.concatenate([faces, faces[:, ::-1]])
    lit = shading.visibility(vertices, both, np.array([0.0, 0, 1]), 128)[4:]
    inside = np.abs(low[:, :2]).max(1)
    assert lit[inside < 0.4].max() == 0 and lit[inside > 0.6].min() == 1


def test_clips_that_are_not_clips_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", other=np.zeros(3))
    with pytest.raises(ValueError, match="poses"):
        poses.read_clip(tmp_path / "a.npz")


def test_a_bad_command_says_what_is_wrong(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        dataset.main(["--kind", "texture", "--out", str(tmp_path), "--count", "0"])
    assert stop.value.code == 1
    assert "at least one sample" in capsys.readouterr().err
