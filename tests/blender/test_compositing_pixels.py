"""The person over the scene's own render: what each pixel shows, with known colours and distances."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from compositing_stage import COLOUR, CUBE, WALL, Shot, card, rendered, the_shot, widened  # noqa: F401 - fixture
from understudy_shared.frames import srgb_to_linear

PERSON = srgb_to_linear(np.array(COLOUR) / 255)


def check(image, where, colour, tolerance=2e-3):
    assert where.any()
    off = np.abs(image[..., :3] - colour).max(-1)
    assert off[where].max() < tolerance, (off[where].max(), np.argwhere(where & (off > tolerance))[:5])


def test_before_a_far_wall_and_behind_a_near_card(shot, tmp_path):
    shot.finish(picture=shot.picture(grow=4))
    near = card("Card", -1.5, 0.7, CUBE)  # 2.5 m from the camera: hides the middle
    near.location.x = 0.1
    shot.build()
    image = rendered(shot.scene, 1, tmp_path / "x")
    person = widened(shot.mask(), 4)
    k = shot.size[1] * 50 / 36 / 2.5  # pixels per metre there: AUTO fits the larger side
    y, x = np.mgrid[: shot.size[1], : shot.size[0]] + 0.5
    inside = (abs(x - shot.size[0] / 2 - 0.1 * k) < 0.35 * k - 1.5) & (abs(y - shot.size[1] / 2) < 0.35 * k - 1.5)
    outside = (abs(x - shot.size[0] / 2 - 0.1 * k) > 0.35 * k + 1.5) | (abs(y - shot.size[1] / 2) > 0.35 * k + 1.5)
    check(image, inside, CUBE)
    check(image, outside & person, PERSON)  # also where the person is wider than the body
    check(image, outside & ~person, WALL)
    assert (inside & person).sum() > 50


def test_half_covered_pixels_are_mixed_in_linear_light(shot, tmp_path):
    shot.finish(picture=shot.picture(alpha=128))
    shot.build()
    image = rendered(shot.scene, 1, tmp_path / "x")
    a = 128 / 255
    check(image, shot.mask(), PERSON * a + np.array(WALL) * (1 - a))
    assert np.allclose(image[..., 3], 1, atol=1e-3)


def test_over_a_transparent_film(shot, tmp_path):
    shot.finish(picture=shot.picture(alpha=128))
    shot.scene.render.film_transparent = True
    bpy.data.objects.remove(shot.wall)
    shot.build()
    image = rendered(shot.scene, 1, tmp_path / "x")
    mask = shot.mask()
    assert np.allclose(image[mask][:, 3], 128 / 255, atol=2e-3)
    check(image, mask, PERSON * 128 / 255)  # multiplied by alpha, as Blender's pictures are
    assert not image[~mask].any()


@pytest.mark.parametrize("transform", ["Standard", "AgX"])
def test_view_transforms_see_the_person_as_they_see_a_surface_of_that_colour(shot, tmp_path, transform):
    shot.finish()
    shot.build()
    surface = card("Patch", -1.0, 0.2, PERSON)
    surface.location.x, surface.location.z = 0.6, 0.85
    shot.scene.view_settings.view_transform = transform
    shown = rendered(shot.scene, 1, tmp_path / "x", linear=False)[..., :3] * 255
    mask = shot.mask()
    patch = shown[5:8, 40:43].reshape(-1, 3)
    one = patch[len(patch) // 2]
    wall = shown[-2, 1]
    assert np.abs(one - wall).max() > 20
    assert np.abs(shown[mask] - one).max() <= 1.01
    if transform == "Standard":
        assert np.abs(shown[mask] - COLOUR).max() <= 1.01
    else:
        assert np.abs(shown[mask] - COLOUR).max() > 10


def test_missing_frames_are_seen_as_missing_and_none_outside_the_take(shot, tmp_path):
    shot.finish(1, 3)
    done = shot.build()
    assert any("One frame of the take is missing" in note for note in done.notes)
    cross = rendered(shot.scene, 2, tmp_path / "x", linear=False)[..., :3]
    magenta = (cross[..., 0] > 0.95) & (cross[..., 1] < 0.05) & (cross[..., 2] > 0.95)
    assert magenta.mean() > 0.01
    mask = shot.mask()
    for frame in (1, 3):
        check(rendered(shot.scene, frame, tmp_path / "x"), mask, PERSON)
    for frame in (0, 4, 20):
        check(rendered(shot.scene, frame, tmp_path / "x"), np.ones_like(mask), WALL)
    # a file that is gone shows as missing, too
    next(shot.job.folder.glob("passes_*3.exr")).unlink()
    bpy.data.images["Shot take 1 Passes"].reload()
    gone = rendered(shot.scene, 3, tmp_path / "x", linear=False)[..., :3]
    assert np.abs(gone - cross).max() < 0.01
    # and the frame appears when it is made
    shot.finish(2)
    shot.build()
    check(rendered(shot.scene, 2, tmp_path / "x"), mask, PERSON)


@pytest.mark.parametrize(("resolution", "percentage"), [((96, 64), 100), ((96, 128), 50), ((32, 96), 100)])
def test_the_person_fits_the_scene_at_other_resolutions(scene, addon, tmp_path, resolution, percentage):
    """Against the body itself, rendered by Blender at that resolution."""
    shot = Shot(bpy.context.scene, tmp_path / "take", size=(96, 96))
    settings = shot.scene.render
    shot.finish()
    settings.resolution_x, settings.resolution_y = resolution
    settings.resolution_percentage = percentage
    wanted = rendered(shot.scene, 1, tmp_path / "x")[..., :3]
    body = np.abs(wanted - WALL).max(-1) > 0.02
    shot.build(shadow="NONE")
    image = rendered(shot.scene, 1, tmp_path / "x")[..., :3]
    assert image.shape == wanted.shape
    person = np.abs(image - WALL).max(-1) > 0.02
    assert body.sum() > 40
    assert not (person & ~widened(body, 1)).any()
    assert not (body & ~widened(person, 1)).any()


def test_a_take_on_twos_holds_its_frames_and_may_begin_before_zero(scene, addon, tmp_path):
    shot = Shot(bpy.context.scene, tmp_path / "take", start=-3, end=1, step=2)
    shot.finish()
    shot.finish(-1, picture=shot.picture(alpha=128))
    shot.build()
    mask = shot.mask()
    half = 128 / 255
    for frame, a in ((-4, 0), (-3, 1), (-2, 1), (-1, half), (0, half), (1, 1), (2, 0)):
        image = rendered(shot.scene, frame, tmp_path / "x")
        check(image, mask, PERSON * a + np.array(WALL) * (1 - a))


def test_the_body_throws_a_shadow_and_no_light(shot, tmp_path):
    """On a white floor in the sun, under an added ground, and not at all."""
    from blender_addon import api

    scene = shot.scene
    scene.cycles.samples, scene.cycles.max_bounces = 4, 1
    bpy.data.objects.remove(shot.wall)
    shot.finish(picture=np.zeros((*shot.size[::-1], 4), np.uint8))  # nobody: what remains is the shadow
    sun = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
    sun.data.energy, sun.rotation_euler = 3.0, (0.6, 0.5, 0)
    scene.collection.objects.link(sun)
    shot.camera.location, shot.camera.rotation_euler = (0, -5, 2.5), (np.pi / 2 - 0.5, 0, 0)
    scene.render.film_transparent = True
    done = shot.build(shadow="AUTO")
    assert done.ground is not None
    assert done.ground.location.z == pytest.approx(-1.16, abs=0.3)  # the rest body's pelvis is near the origin
    shadow = rendered(scene, 1, tmp_path / "x")
    assert shadow[..., 3].max() > 0.5  # alpha where the ground lies in the shadow
    assert shadow[..., :3].max() < 0.05  # and no light from the shining body
    assert (shadow[..., 3] > 0.3).mean() < 0.4
    shot.build(shadow="NONE")
    assert rendered(scene, 1, tmp_path / "x")[..., 3].max() < 0.02
    floor = card("Floor", 0, 30, (0, 0, 0))
    floor.rotation_euler.x, floor.location.z = np.pi / 2, done_height(shot)
    bpy.context.view_layer.update()
    assert shot.build(shadow="AUTO").ground is None
    api.remove_compositor(scene)
    assert "Shadow Ground" not in bpy.data.objects


def done_height(shot) -> float:
    from understudy_shared.frames import Channel

    from blender_addon.render.conditions import frame_geometry

    got = frame_geometry(shot.body, shot.camera, shot.scene, 1, shot.size).channels
    return float(got[Channel.VERTICES][:, 2].min()) - 0.02


def test_the_shining_body_does_not_light_the_scene(shot, tmp_path):
    scene = shot.scene
    scene.cycles.samples, scene.cycles.max_bounces = 4, 1
    bpy.data.objects.remove(shot.wall)
    floor = card("Floor", 0.5, 8, (0, 0, 0))
    tree = floor.data.materials[0].node_tree
    white = tree.nodes.new("ShaderNodeBsdfDiffuse")
    tree.links.new(white.outputs[0], next(n for n in tree.nodes if n.type == "OUTPUT_MATERIAL").inputs[0])
    lit = rendered(scene, 1, tmp_path / "x")[..., :3]
    around = ~widened(shot.mask(), 2)
    assert lit[around].max() > 0.01  # seen, it does
    shot.finish(picture=np.zeros((*shot.size[::-1], 4), np.uint8))
    shot.build()
    assert rendered(scene, 1, tmp_path / "x")[..., :3].max() < 1e-4


def test_light_is_measured_by_blender(shot):
    """A white world of half strength is half the light from every side; a red one is red."""
    from blender_addon.render.scene_light import gain

    bpy.data.objects.remove(shot.wall)
    world = bpy.data.worlds.new("World")
    if world.node_tree is None:
        world.use_nodes = True
    shot.scene.world = world
    background = world.node_tree.nodes["Background"]
    background.inputs["Strength"].default_value = 1.0
    for colour in ((0.5, 0.5, 0.5), (0.8, 0.2, 0.1)):
        background.inputs["Color"].default_value = (*colour, 1)
        got = gain(shot.scene, shot.body, shot.camera, 1, shot.size, [])
        # a body stands a little in its own shadow
        assert (np.array(got) < np.array(colour) * 1.1).all()
        assert (np.array(got) > np.array(colour) * 0.7).all()
    assert shot.scene.objects.keys().count(".understudy") == 0
    assert not [m for m in bpy.data.materials if m.name.startswith(".understudy")]
