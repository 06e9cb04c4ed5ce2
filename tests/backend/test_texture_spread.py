"""The first guess for unseen texels: nearest on the body, not in the plane of the texture."""

import numpy as np
from scipy.spatial import KDTree
from understudy_backend.texture.bake import texel_map
from understudy_backend.texture.spread import nearest_visible
from understudy_shared.body import free_body

SIZE = 128


def test_unseen_texels_take_the_nearest_colour_on_the_body() -> None:
    texels = texel_map(free_body(), SIZE)
    rng = np.random.default_rng(0)
    visible = texels.mask & (rng.random((SIZE, SIZE)) < 0.02)
    color = rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8)
    result = nearest_visible(color, visible)
    assert np.array_equal(result[visible], color[visible])
    known = texels.position[visible]
    for row, column in rng.permutation(np.argwhere(texels.mask & ~visible))[:200]:
        distance = np.linalg.norm(known - texels.position[row, column], axis=1)
        ties = color[visible][distance < distance.min() + 1e-6]
        assert (ties == result[row, column]).all(1).any()


def test_the_back_takes_what_an_exact_search_finds() -> None:
    """Of a front view, where many visible texels are about equally far."""
    texels = texel_map(free_body(), SIZE)
    places = np.zeros((SIZE, SIZE, 3), np.float32)
    places[texels.mask] = texels.position[texels.mask]
    visible = texels.mask & (places[..., 2] > np.median(places[texels.mask][:, 2]))
    found = nearest_visible(places, visible)[texels.mask & ~visible]
    unseen = places[texels.mask & ~visible]
    exact, _ = KDTree(places[visible]).query(unseen)
    excess = np.linalg.norm(found - unseen, axis=1) - exact
    assert (excess < 1e-6).mean() > 0.97
    assert excess.max() < 0.04


def test_nothing_visible_is_no_error() -> None:
    color = np.full((SIZE, SIZE, 3), 9, np.uint8)
    assert np.array_equal(nearest_visible(color, np.zeros((SIZE, SIZE), bool)), color)
