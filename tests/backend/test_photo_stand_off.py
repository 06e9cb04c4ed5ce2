"""How far the outline in a photo stands off the body: measured on bodies whose clothes are of a known thickness."""

import numpy as np
import pytest
from understudy_backend.photo.stand_off import MOST, SIZE, as_texture, stand_off
from understudy_backend.texture.bake import texel_map
from understudy_backend.texture.normals import vertex_normals
from understudy_backend.texture.raster import rasterize
from understudy_shared.body import Y_UP_TO_Z_UP, free_body
from understudy_shared.camera import project

BODY = free_body()
REST = BODY.v_template @ Y_UP_TO_Z_UP.T
EXTRINSICS = np.array([[1, 0, 0, 0], [0, 0, -1, -0.4], [0, 1, 0, 4.0], [0, 0, 0, 1]], float)
"""In front of the body, four metres away."""


def camera(height):
    return np.array([[height * 1.7, 0, height / 2], [0, height * 1.7, height / 2], [0, 0, 1]])


def silhouette(vertices, height):
    """(H, H) bool of a body in a square picture."""
    points, depth = project(vertices, EXTRINSICS, camera(height))
    return rasterize(points, depth, BODY.faces, (height, height)).mask


def dressed(thickness):
    """The body with clothes of a thickness (V,) in metres."""
    return REST + np.asarray(thickness)[:, None] * vertex_normals(REST, BODY.faces)


@pytest.mark.parametrize("height", [640, 1500])
@pytest.mark.parametrize("thickness", [0.0, 0.02, 0.05])
def test_clothes_of_one_thickness(thickness, height):
    mask = silhouette(dressed(np.full(len(REST), thickness)), height)
    found = stand_off(mask.astype(np.uint8) * 255, REST, BODY, camera(height), EXTRINSICS)
    on_trunk_and_legs = (np.abs(BODY.v_template[:, 0]) < 0.3) & (BODY.v_template[:, 1] < 0.1)
    assert np.median(found[on_trunk_and_legs]) == pytest.approx(thickness, abs=0.005)
    assert found.dtype == np.float32 and found.shape == (len(REST),)


def test_trousers_are_wide_where_they_are_and_no_elsewhere():
    height = BODY.v_template[:, 1]
    wide = (height < -0.8) & (height > -1.1)
    mask = silhouette(dressed(np.where(wide, 0.06, 0.0)), 640)
    found = stand_off(mask, REST, BODY, camera(640), EXTRINSICS)
    assert np.median(found[(height < -0.85) & (height > -1.05)]) > 0.03
    head_and_arms = height > 0.1
    assert abs(np.median(found[head_and_arms])) < 0.005


def test_what_is_far_off_is_something_else():
    found = stand_off(np.ones((640, 640), bool), REST, BODY, camera(640), EXTRINSICS)
    assert found.max() <= MOST and np.median(found) == pytest.approx(MOST, abs=1e-3)


def test_a_photo_without_the_body_tells_nothing():
    behind = EXTRINSICS.copy()
    behind[2, 3] = -10
    assert stand_off(np.ones((64, 64), bool), REST, BODY, camera(64), behind) is None


def test_as_a_texture_each_texel_has_its_points_value():
    texture, texels = as_texture(BODY.v_template[:, 1], BODY), texel_map(BODY, SIZE)
    assert texture.shape == (SIZE, SIZE)
    np.testing.assert_allclose(texture[texels.mask], texels.position[texels.mask][:, 1], atol=1e-5)
    gutter = texture[~texels.mask]
    assert gutter.min() >= texture[texels.mask].min() and gutter.max() <= texture[texels.mask].max()
