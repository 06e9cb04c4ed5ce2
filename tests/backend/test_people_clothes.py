"""Clothes as geometry: what is loose leaves the body, what hangs obeys gravity, a naked body fills its own outline."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import KDTree
from understudy_backend.training.people import drapery, footwear, outfit, poses, render
from understudy_backend.training.people.accessories import Headwear, Scarf
from understudy_backend.training.people.fabric import random_fabric
from understudy_backend.training.people.garments import Shoes, Skirt, Top, Trousers
from understudy_backend.training.people.limbs import leg_axis, reach
from understudy_backend.training.people.mesh import Hang
from understudy_backend.training.people.person import generator, random_person
from understudy_backend.training.people.stage import DressedPerson
from understudy_shared.body import free_body, rotation_matrices

CLOTH = random_fabric(np.random.default_rng(0), "top")
RNG = np.random.default_rng


def rows(part, columns):
    return part.vertices.reshape(-1, columns, 3)


def distance_to_body(points):
    """Metres (N,) to the nearest vertex of the mean body, which are some millimetres apart."""
    return KDTree(free_body().v_template).query(points)[0]


@pytest.mark.parametrize("flare", [0.03, 0.15])
def test_a_hem_leaves_the_body_by_what_it_was_asked_to(flare):
    skirt = Skirt(CLOTH, -0.1, -0.7, flare)
    part = drapery.skirt_part(skirt, -0.1, RNG(0))
    hem = rows(part, 96)[-1]
    assert np.allclose(hem[:, 1], -0.7)
    assert distance_to_body(hem).min() > 0.8 * flare
    top = Top(CLOTH, -0.3, 0.5, "crew", 0.07, drape=flare)
    hem = rows(drapery.hem_part(top, RNG(0)), 72)
    away = distance_to_body(hem[-1])
    assert away.min() > 0.6 * flare and np.allclose(hem[-1, :, 1], -0.3)


def test_a_wide_leg_and_a_wide_sleeve_end_away_from_the_limb():
    legs = [drapery.leg_part(Trousers(CLOTH, -0.1, -1.1, wide=0.07), side, RNG(0)) for side in (1, -1)]
    sleeves = [drapery.sleeve_part(Top(CLOTH, -0.3, 1.0, "crew", 0.07, bell=0.06), side, RNG(0)) for side in (1, -1)]
    for parts, columns in ((legs, 36), (sleeves, 30)):
        for part, sign in zip(parts, (1, -1), strict=True):
            assert np.median(distance_to_body(rows(part, columns)[-1])) > 0.045
            assert (np.sign(part.vertices[:, 0]) == sign).mean() > 0.9  # each on its own side
            np.testing.assert_allclose(part.weights.sum(1), 1, atol=1e-4)


def test_the_two_sides_of_the_limbs_table_agree_with_the_body():
    body = free_body().v_template
    thigh = body[(np.abs(body[:, 1] + 0.55) < 0.01) & (body[:, 0] > 0.005) & (body[:, 0] < 0.3)]
    widest = thigh[:, 0].max()
    y = np.array([-0.55])
    assert abs(leg_axis(y)[0][0] + reach("leg").at(y, np.array([np.pi / 2]))[0, 0] - widest) < 0.012


def test_an_open_coat_is_open_in_front_only():
    coat = Skirt(CLOTH, -0.1, -0.8, 0.05, gap=0.06)
    hem = rows(drapery.skirt_part(coat, -0.1, RNG(0)), 96)[-1]
    front, back = hem[hem[:, 2] > 0.1], hem[hem[:, 2] < 0.0]
    assert np.abs(front[:, 0]).min() > 0.05
    assert np.abs(back[:, 0]).min() < 0.02


def test_a_shoe_holds_the_foot():
    shoes = Shoes(CLOTH, -1.12, np.zeros(3, np.float32))
    body = free_body().v_template
    foot = body[(body[:, 0] > 0) & (body[:, 1] < -1.17)]
    left, right = footwear.shoe_parts(shoes)
    for axis in (0, 2):
        assert left.vertices[:, axis].min() < foot[:, axis].min() and left.vertices[:, axis].max() > foot[:, axis].max()
    assert left.vertices[:, 1].min() < foot[:, 1].min()
    np.testing.assert_allclose(np.ptp(left.vertices, axis=0), np.ptp(right.vertices, axis=0), atol=0.01)
    np.testing.assert_allclose(left.vertices[:, 0].mean(), -right.vertices[:, 0].mean(), atol=0.005)
    assert (left.weights[:, [7, 10]].sum(1) > 0.999).all()


def test_what_hangs_stays_upright_when_what_it_hangs_from_tilts():
    pivot = np.array([0.0, 0.4, 0.0])
    for tilt in (-0.8, 0.5, 1.0):
        above = np.concatenate([rotation_matrices(np.array([tilt, 0, 0])), np.ones((3, 1))], 1)
        for share, left in ((1.0, 0.0), (0.5, 0.5), (0.0, 1.0)):
            matrix = Hang(15, pivot, upright=share).matrix(above)
            np.testing.assert_allclose(matrix[:, :3], rotation_matrices(np.array([tilt * left, 0, 0])), atol=1e-5)
            held = above[:, :3] @ pivot + above[:, 3]
            np.testing.assert_allclose(matrix[:, :3] @ pivot + matrix[:, 3], held, atol=1e-5)
    np.testing.assert_allclose(Hang(15, pivot, sag=0.1).matrix(above)[1, 3], above[1, 3] - 0.1, atol=1e-6)


def test_a_loose_hem_is_not_worn_under_something_that_holds_it():
    for seed in range(60):
        clothes = outfit.random_outfit(RNG(seed), female=bool(seed % 2))
        for i, garment in enumerate(clothes):
            over = clothes[i + 1 :]
            if isinstance(garment, Top) and any(isinstance(g, Top | Skirt | Trousers) for g in over):
                assert garment.drape == 0


@pytest.mark.parametrize("kind", ["beanie", "cap", "hat", "hood", "headscarf"])
def test_headwear_is_around_the_head(kind):
    worn = Headwear(CLOTH, kind, 0.012, 0.07 if kind in {"cap", "hat"} else 0.0)
    body = free_body().v_template
    points = np.concatenate([part.vertices for part in worn.parts()])
    assert points[:, 1].max() > body[:, 1].max()
    assert distance_to_body(points[::5]).max() < (0.12 if kind in {"cap", "hat"} else 0.09)
    crown = body[body[:, 1] > 0.44]
    assert points[:, 2].min() < crown[:, 2].min()
    assert worn.whole_head or points[:, 2].max() > crown[:, 2].max()  # a hood is open in front
    eyes = np.array([[0.03, 0.36, 0.2], [-0.03, 0.36, 0.2]])
    assert np.linalg.norm(points[:, None] - eyes, axis=2).min() > 0.025  # nobody is blindfolded


def test_a_scarf_goes_around_the_neck():
    ring = Scarf(CLOTH, 0.03, 0.3).parts()[0].vertices
    assert (ring[:, 1] > 0.15).all() and (ring[:, 1] < 0.29).all()
    angles = np.arctan2(ring[:, 0], ring[:, 2] - 0.07)
    assert np.diff(np.sort(angles)).max() < 0.3


def test_a_naked_body_fills_its_outline_and_clothes_cover_it():
    """The target without garments is the body; with them it holds nearly all of the body and more."""
    shares, outlines = [], []
    for seed in range(8):
        dressed = DressedPerson(random_person(generator("train", seed)))
        pose = poses.walking(RNG(seed))
        view = render.frame(dressed.vertices(pose), 0.7 * seed, 0.1, 2.0, 0.9, np.zeros(2), (160, 160))
        body = dressed.body_raster(pose, view).mask
        target = dressed.target(pose, view)[..., 3] > 127
        shares.append((target & body).sum() / body.sum())
        outlines.append((target & body).sum() / (target | body).sum())
        count = len(free_body().v_template)
        faces = len(free_body().faces)
        someone = dressed.person
        naked = replace(
            someone, vertices=free_body().shaped(someone.betas).astype(np.float32), faces=someone.faces[:faces],
            weights=someone.weights[:count], face_uvs=someone.face_uvs[:faces],
        )  # fmt: skip
        bare = DressedPerson(naked).target(pose, view)[..., 3] > 127
        assert (bare ^ body).sum() < 0.06 * body.sum()  # an edge is soft in one and hard in the other
    assert min(shares) > 0.97
    assert np.mean(np.array(outlines) < 0.9) >= 0.5, outlines  # half of them at least leave the body clearly


def test_the_stage_gives_the_truth_about_a_photo():
    dressed = DressedPerson(random_person(generator("train", 1)))
    shot, again = dressed.photograph(RNG(4)), dressed.photograph(RNG(4))
    np.testing.assert_array_equal(shot.image, again.image)
    assert shot.image.shape == (640, 448, 4)
    body = dressed.body_raster(shot.pose, shot.view).mask
    assert ((shot.image[..., 3] > 127) & body).sum() > 0.97 * body.sum()
    np.testing.assert_array_equal(dressed.target(shot.pose, shot.view), shot.image)
    bright = np.clip(dressed.person.texture * np.sqrt(shot.tint), 0, 255)
    assert np.abs(dressed.texture_truth(shot) - bright).max() <= 1
    moved = dressed.vertices(shot.pose, np.array([0, 0, 1.0])) - dressed.vertices(shot.pose)
    np.testing.assert_allclose(moved, np.broadcast_to([0, 0, 1.0], moved.shape), atol=1e-5)
