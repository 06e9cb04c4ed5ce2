"""The first guess for unseen texels: nearest on the body, not in the plane of the texture."""

import numpy as np
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


def test_nothing_visible_is_no_error() -> None:
    color = np.full((SIZE, SIZE, 3), 9, np.uint8)
    assert np.array_equal(nearest_visible(color, np.zeros((SIZE, SIZE), bool)), color)
